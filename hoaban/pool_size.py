"""How many inference actors a fleet needs now, by how late its due frames are taken.

A frame is due when a camera has one waiting. Its lag is how long it waits for a model, in periods of its camera: at 1
the next frame is there already, and one is lost to the overload policy (the newest wins). One actor more is wanted when
the lag stays high, one less when the others could do its work and still have room: between the two nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field, model_validator

from hoaban.shapes import Strict
from hoaban.succession import START_LIMIT_S

LATE = 0.5
"""periods: at this lag a frame is taken halfway to the next"""
PROMPT = 0.25
BUSY = 0.6
"""share of their time at which those that would be left may work: beyond it they would soon be late again"""
GROW_AFTER_S, SHRINK_AFTER_S = 10.0, 120.0
REST_S = 30.0
"""after a change nothing is judged: cameras find an actor or leave it. Nor is one more wanted before all that are
wanted answer, but for START_LIMIT_S at most"""


class PoolSettings(Strict):
    """How many inference actors there may be. Without it: one a GPU, or one a node with all its processors."""

    least: int = Field(1, ge=1, le=1000)
    most: int = Field(ge=1, le=1000)
    threads: int = Field(1, ge=1, le=256, description="processors of one, in a cluster without GPUs")
    grow_after_s: float = Field(GROW_AFTER_S, gt=0, le=3600, description="due frames are late for so long: one more")
    shrink_after_s: float = Field(SHRINK_AFTER_S, gt=0, le=86400, description="one could be spared for so long")

    @model_validator(mode="after")
    def _ordered(self) -> "PoolSettings":
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is more than most ({self.most})")
        return self


@dataclass(frozen=True, slots=True)
class Load:
    """Of one inference actor, in the last seconds. lag: periods that due frames waited, on average. busy: share of its
    threads' time, 0..1."""

    lag: float
    busy: float


class PoolSize:
    """Times: seconds of one clock that runs on."""

    def __init__(self) -> None:
        self.wanted = 0
        self.lag = self.busy = 0.0
        self.why = ""
        self._changed_s = float("-inf")
        self._short_since_s: float | None = None
        self._late_since_s: float | None = None
        self._spare_since_s: float | None = None

    def resume(self, wanted: int) -> None:
        """Go on from a number of before, within the bounds of the next update; 0: from what is ready then."""
        self.wanted = wanted

    def update(self, settings: PoolSettings, loads: Sequence[Load], now_s: float, room: int) -> int:
        """How many are wanted. loads: of those that are ready. room: how many the cluster's nodes could hold now.

        One more than there is room for is asked for at most: so that a cluster that can grow does, and one that cannot
        is not asked for ever more.
        """
        before = self.wanted or min(max(len(loads), settings.least), settings.most)
        self.wanted = min(max(before, settings.least), settings.most)
        self.lag = max((load.lag for load in loads), default=0.0)
        self.busy = sum(load.busy for load in loads) / len(loads) if loads else 0.0
        short = len(loads) < min(self.wanted, room)
        self._short_since_s = (self._short_since_s if self._short_since_s is not None else now_s) if short else None
        if now_s - self._changed_s < REST_S or not loads:
            self._late_since_s = self._spare_since_s = None
            return self.wanted
        late = self.lag >= LATE and not (short and _for(self._short_since_s, now_s) < START_LIMIT_S)
        spare = self.lag <= PROMPT and self.busy * len(loads) <= BUSY * (self.wanted - 1)
        self._late_since_s = (self._late_since_s if self._late_since_s is not None else now_s) if late else None
        self._spare_since_s = (self._spare_since_s if self._spare_since_s is not None else now_s) if spare else None
        if (
            _for(self._late_since_s, now_s) >= settings.grow_after_s
            and self.wanted < settings.most
            and self.wanted <= room
        ):
            self._change(1, f"due frames wait {self.lag:.2f} periods", now_s)
        elif _for(self._spare_since_s, now_s) >= settings.shrink_after_s and self.wanted > settings.least:
            self._change(-1, f"{self.busy:.0%} of {len(loads)} is less than {self.wanted - 1} can do", now_s)
        return self.wanted

    def _change(self, by: int, why: str, now_s: float) -> None:
        self.wanted, self.why, self._changed_s = self.wanted + by, why, now_s
        self._short_since_s = self._late_since_s = self._spare_since_s = None


def _for(since_s: float | None, now_s: float) -> float:
    return 0.0 if since_s is None else now_s - since_s
