"""A candidate that looks at sampled live frames beside the model that counts: at which cameras, and when it may.

A look of the candidate is never more urgent than any frame of the model that counts. So it is let in only when none of
those is expected within the time that it takes, and a share of the time stays free of it whatever is expected: frames
come at moments that nobody knows for certain, and a look that a frame had to wait for is at most `share` of all.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Annotated

from pydantic import Field

from hoaban.evaluation.report import ModelIdentity
from hoaban.fleet import Camera, Role
from hoaban.shapes import Id, Strict
from hoaban.terms import MODEL_TRIALS

SHARE = 0.04
"""of the time of one thread that candidates may take. Below 0.05, so that of a hundred frames of the model that counts
fewer than five can meet a look of a candidate, and the 95th percentile of their waits is that of the others"""
LOOK_AGAIN_S = 0.005
"""when a frame is expected: how long until it is asked again whether it came"""


class ShadowGate:
    """When a candidate may look. Times are seconds of one clock that never goes back; one caller at a time."""

    def __init__(self, share: float = SHARE) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share {share}: between 0 and 1 is expected")
        self._share = share
        self._rests_until_s = float("-inf")

    def wait_s(self, now_s: float, cost_s: float, due: Callable[[float], int], idle: int) -> float:
        """For how many seconds to wait before asking again; 0: a look is let in now.

        cost_s: what it is expected to take. due: how many frames of models that count wait, or are expected within so
        many seconds. idle: threads that are free beside the one that would look.
        """
        if now_s < self._rests_until_s:
            return self._rests_until_s - now_s
        return LOOK_AGAIN_S if due(cost_s) > idle else 0.0

    def took(self, ended_s: float, took_s: float) -> None:
        """A look took so long: for a time that makes it no more than the share, there is none."""
        self._rests_until_s = ended_s + took_s * (1 / self._share - 1)


Sample = Annotated[float, Field(gt=0, le=1, description="share of the analysed frames that the candidate is shown")]
Share = Annotated[float, Field(gt=0, le=1, description="share of the cameras that are meant")]


class ShadowOrder(Strict):
    """A candidate and whose frames it is shown. Of cameras and role, what is left out does not limit."""

    candidate: ModelIdentity
    cameras: tuple[Id, ...] = ()
    role: Role | None = None
    share: Share = 1.0
    sample: Sample = 0.1
    at: datetime
    by: str

    @property
    def model(self) -> str:
        return self.candidate.ref

    def means(self, camera: Camera) -> bool:
        """Whether it is for this camera.

        A share takes the same cameras each time, and a larger one takes more to them.
        """
        return (
            (not self.cameras or camera.id in self.cameras)
            and self.role in (None, camera.role)
            and _place_of(camera.id) < self.share
        )


class ShadowStep(Strict):
    """The begin of a shadow, or its end. why: in words, where it was ended."""

    order: ShadowOrder | None = None
    ends: str | None = Field(None, description="NAME@VERSION of the candidate that looks no more")
    at: datetime
    by: str
    why: str = ""


def running(steps: Iterable[ShadowStep]) -> dict[str, ShadowOrder]:
    """NAME@VERSION -> the order that is in force, the one given last at the end."""
    orders: dict[str, ShadowOrder] = {}
    for step in steps:
        if step.order is not None:
            orders.pop(step.order.model, None)
            orders[step.order.model] = step.order
        elif step.ends is not None:
            orders.pop(step.ends, None)
    return orders


def last_ends(steps: Iterable[ShadowStep]) -> dict[str, ShadowStep]:
    """NAME@VERSION -> how the last shadow of a candidate that looks no more was ended."""
    ended: dict[str, ShadowStep] = {}
    for step in steps:
        if step.order is not None:
            ended.pop(step.order.model, None)
        elif step.ends is not None:
            ended[step.ends] = step
    return ended


def may_be_shown(camera: Camera) -> bool:
    """Whether the owner's terms let candidates be tried on a camera's pictures."""
    return camera.terms is None or camera.terms.allows(MODEL_TRIALS)


def assigned(orders: Iterable[ShadowOrder], cameras: Iterable[Camera]) -> Mapping[str, ShadowOrder]:
    """camera -> the order that holds there: the last given of those that mean it. A camera shows one candidate."""
    newest_first = sorted(orders, key=lambda order: order.at, reverse=True)
    found = {}
    for camera in cameras:
        if not may_be_shown(camera):
            continue
        order = next((order for order in newest_first if order.means(camera)), None)
        if order is not None and camera.model != order.model:
            found[camera.id] = order
    return found


def _place_of(camera: str) -> float:
    """A number in [0, 1) that is always the same for a camera."""
    return int.from_bytes(hashlib.sha256(camera.encode()).digest()[:6]) / 2**48
