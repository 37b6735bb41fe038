"""Running inference actors kept at what the registry of promotions says that names stand for."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import ray
import structlog

from actors.promotions import PromotionRegistry, RegistryError
from hoaban.evaluation.report import ModelIdentity
from hoaban.models.promotion import PromotionError, in_force, rollback
from hoaban.probation import Verdict

log = structlog.get_logger(__name__)

AGAIN_S = 20.0
"""after a swap that could not be made, such as for a file that is not on that node yet"""
BY = "hoaban"
"""whom the registry names when a model on probation is taken back"""


@dataclass(slots=True)
class _Actor:
    """An inference actor as it was told. has: None: an earlier supervisor told it, who knows what."""

    has: dict[str, ModelIdentity | None] | None = None
    asked: tuple[str, ModelIdentity | None, Any] | None = None
    watched: set[str] = field(default_factory=set)
    """names whose new model is on probation"""
    told: Any = None
    rests_until_s: float = 0.0


class ModelTurns:
    """One swap at a time in each inference actor. A model that fails on probation is rolled back in the registry."""

    def __init__(self, registry: PromotionRegistry) -> None:
        self._registry = registry
        self._stamp: tuple[int, int] | None = None
        self._wanted: dict[str, ModelIdentity | None] = {}
        self._actors: dict[str, _Actor] = {}
        self._read()

    def started(self, actor: str) -> dict[str, ModelIdentity]:
        """What names stand for, for an actor that is started with it."""
        self._actors[actor] = _Actor(dict(self._wanted))
        return {name: identity for name, identity in self._wanted.items() if identity is not None}

    def hung(self, actor: str, label: str, why: str) -> bool:
        """A model hung in an actor; whether it was one that was just swapped in, which is taken back for it."""
        place = label.partition(" (")[0]
        told = self._actors.get(actor)
        fresh = told is not None and (place in told.watched or (told.asked is not None and told.asked[0] == place))
        return fresh and self._wanted.get(place) is not None and self._take_back(place, why)

    def tick(self, handles: Mapping[str, Any]) -> None:
        """Read the registry, hear what was answered, and ask each actor for the next swap that is due."""
        self._read()
        self._actors = {name: self._actors.get(name) or _Actor() for name in handles}
        for name, actor in self._actors.items():
            try:
                self._hear(name, actor)
                self._ask(handles[name], actor)
            except ray.exceptions.RayError as error:  # it is dead or dying: the crew's affair
                actor.asked = actor.told = None
                log.debug("no answer on swaps", name=name, error=str(error))

    def _read(self) -> None:
        if self._stamp == (stamp := self._registry.stamp):
            return
        self._stamp = stamp
        try:
            steps = self._registry.steps()
        except RegistryError as error:
            log.error("promotions not read; models stay as they are", error=str(error))
            return
        self._wanted = dict.fromkeys(step.place for step in steps) | in_force(steps)

    def _hear(self, name: str, actor: _Actor) -> None:
        if actor.asked is not None and _ready(actor.asked[2]):
            place, identity, answer = actor.asked
            actor.asked = None
            try:
                swaps = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                actor.rests_until_s = time.monotonic() + AGAIN_S
                log.error("model not swapped", actor=name, model=place, error=str(error.cause))
            else:
                actor.has = (actor.has or {}) | {place: identity}
                if swaps and identity is not None:
                    actor.watched.add(place)
        if actor.told is not None and _ready(actor.told):
            swaps = ray.get(actor.told)["swaps"]
            actor.told = None
            for place in list(actor.watched):
                state = swaps.get(place, {}).get("state")
                if state == Verdict.OPEN.value:
                    continue
                actor.watched.discard(place)
                if state == Verdict.FAILED.value and self._is(place, swaps[place]["to"]):
                    self._take_back(place, swaps[place]["why"])

    def _ask(self, handle: Any, actor: _Actor) -> None:
        if actor.watched and actor.told is None:
            actor.told = handle.where.remote()
        if actor.asked is not None or time.monotonic() < actor.rests_until_s:
            return
        has = actor.has or {}
        for place, identity in self._wanted.items():
            if place not in has or has[place] != identity:
                actor.asked = (place, identity, handle.stand_for.remote(place, identity))
                return

    def _is(self, place: str, ref: Mapping[str, str]) -> bool:
        wanted = self._wanted.get(place)
        return wanted is not None and (wanted.ref, wanted.sha256) == (f"{ref['name']}@{ref['version']}", ref["digest"])

    def _take_back(self, place: str, why: str) -> bool:
        try:
            self._registry.add(lambda steps: rollback(steps, place=place, at=datetime.now(UTC), by=BY, why=why))
        except (PromotionError, RegistryError) as error:
            log.error("promotion not taken back", model=place, error=str(error))
            return False
        log.error("promotion taken back", model=place, why=why)
        self._read()
        return True


def _ready(reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])
