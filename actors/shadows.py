"""Whose frames candidates are shown, as the registry says; a candidate that hangs is taken away by itself."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from actors.models.files import find_model
from actors.promotions import RegistryError, ShadowRegistry
from hoaban.evaluation.report import ModelIdentity
from hoaban.fleet import Camera, Role
from hoaban.models.backend import ModelError
from hoaban.shadow import ShadowOrder, ShadowStep, assigned, running

log = structlog.get_logger(__name__)

BY = "hoaban"
"""whom the registry names when a candidate that hangs is taken away"""


def begin(
    model: str, *, cameras: Iterable[str], role: Role | None, share: float, sample: float, by: str
) -> ShadowOrder:
    """The order to show frames to a candidate, NAME@VERSION. Raises ModelError for one that cannot be a candidate."""
    if not model.partition("@")[2]:
        raise ModelError(f"model {model!r}: no version is named, and a shadow is of one; write NAME@VERSION")
    card = find_model(model).card
    if card.task != "detect":
        raise ModelError(f"model {model!r}: its task is {card.task}; only detectors can be shown frames beside another")
    return ShadowOrder(
        candidate=ModelIdentity.of(card),
        cameras=tuple(dict.fromkeys(cameras)),
        role=role,
        share=share,
        sample=sample,
        at=datetime.now(UTC),
        by=by,
    )


def end(model: str, *, by: str, why: str = "") -> ShadowStep:
    """The end of a shadow."""
    return ShadowStep(ends=model, at=datetime.now(UTC), by=by, why=why)


class ShadowKeeper:
    """What the registry orders for the cameras of a fleet."""

    def __init__(self, data: Path) -> None:
        self._registry = ShadowRegistry(data)
        self._stamp: tuple[int, int] | None = None
        self._orders: dict[str, ShadowOrder] = {}

    def assigned(self, cameras: Iterable[Camera]) -> Mapping[str, ShadowOrder]:
        """camera -> the order that holds there now."""
        self._read()
        return assigned(self._orders.values(), cameras)

    def hung(self, model: str, why: str) -> bool:
        """A model hung in an inference actor; whether it was a candidate, which is shown no frames any more then."""
        if model not in self._orders:
            return False
        try:
            self._registry.add(lambda _: end(model, by=BY, why=why))
        except RegistryError as error:
            log.error("shadow not ended", model=model, error=str(error))
            return False
        log.error("shadow ended", model=model, why=why)
        self._read()
        return True

    def _read(self) -> None:
        if self._stamp == (stamp := self._registry.stamp):
            return
        self._stamp = stamp
        try:
            self._orders = running(self._registry.steps())
        except RegistryError as error:
            log.error("shadows not read; they stay as they are", error=str(error))
