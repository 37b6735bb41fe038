"""A camera's latency budget: which stage of a frame's way is late, and what is given up until it is not."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hoaban.stream_health import Change

STAGES = ("decode", "send", "queue", "infer", "return", "analyse", "publish")
"""of a frame's way: until it is decoded, its model input is ready, a model takes it, the model has an answer, the
camera has that, its tracks and rules are done, its events are on disk. "queue" and "return" cross to the model's node
and back, so they hold the difference of the two nodes' clocks"""
SHARES = (0.1, 0.1, 0.35, 0.25, 0.05, 0.1, 0.05)
"""of the budget, for each stage"""
Marks = tuple[float, float, float, float, float, float, float, float]
"""of one frame, seconds since 1970: captured, then the end of each stage"""
WINDOW_S = 5.0
"""the frames of so long are judged together"""
LATE = "late"
"""the fault of a camera that is over its budget, or keeps it only by giving something up"""
DOWN_AFTER_S = 5.0
UP_AFTER_S = 20.0
MOST_UP_AFTER_S = 640.0
CALM = 0.6
"""of the budget: below it there is room for the next rung up"""


class Rung(StrEnum):
    """What a camera gives up, the least missed first. Each rung gives up what those before it do."""

    FULL = "full"
    NO_SHADOW = "no_shadow"
    NO_OPTIONAL_MODELS = "no_optional_models"
    NO_TILES = "no_tiles"
    TWO_THIRDS = "two_thirds"
    HALF = "half"
    THIRD = "third"

    @property
    def rate(self) -> float:
        """Share of its analysis rate that the camera keeps."""
        return {Rung.TWO_THIRDS: 2 / 3, Rung.HALF: 1 / 2, Rung.THIRD: 1 / 3}.get(self, 1.0)

    def gives_up(self, other: "Rung") -> bool:
        """Whether what `other` gives up is given up here."""
        order = list(Rung)
        return order.index(self) >= order.index(other)


def rungs(*, shadow: bool, optional_models: bool, tiles: bool) -> tuple[Rung, ...]:
    """The ladder of a camera: only what it has can be given up."""
    has = {Rung.NO_SHADOW: shadow, Rung.NO_OPTIONAL_MODELS: optional_models, Rung.NO_TILES: tiles}
    return tuple(rung for rung in Rung if has.get(rung, True))


@dataclass(frozen=True, slots=True)
class Late:
    """The stage that is furthest over its share of the budget, and by how much."""

    stage: str
    p95_s: float
    share_s: float


def percentile_95(seconds: NDArray[np.float64]) -> float:
    """Of at least one value."""
    return float(np.percentile(seconds, 95))


def blame(stages_s: NDArray[np.float64], budget_s: float) -> Late | None:
    """stages_s: (n, stages) seconds of frames in each stage. None while their 95th percentile is in the budget."""
    if len(stages_s) == 0 or percentile_95(stages_s.sum(axis=1)) <= budget_s:
        return None
    p95_s = np.percentile(stages_s, 95, axis=0)
    shares_s = np.array(SHARES) * budget_s
    worst = int(np.argmax(p95_s - shares_s))
    return Late(STAGES[worst], float(p95_s[worst]), float(shares_s[worst]))


class Ladder:
    """Steps down while the budget is broken, and up again, carefully, when there is room.

    A rung up that had to be taken back at once is tried again only after twice the time.
    """

    def __init__(self, budget_s: float, ladder: Sequence[Rung]) -> None:
        self.budget_s = budget_s
        self._ladder = tuple(ladder)
        self._at = 0
        self._over_since_s: float | None = None
        self._calm_since_s: float | None = None
        self._up_after_s = UP_AFTER_S
        self._went_up_s: float | None = None

    @property
    def rung(self) -> Rung:
        return self._ladder[self._at]

    def update(self, p95_s: float | None, now_s: float) -> Rung:
        """The rung for now. p95_s: of the frames of the last seconds; None when there was none. now_s: any clock."""
        over, calm = p95_s is not None and p95_s > self.budget_s, p95_s is None or p95_s < CALM * self.budget_s
        self._over_since_s = (now_s if self._over_since_s is None else self._over_since_s) if over else None
        self._calm_since_s = (now_s if self._calm_since_s is None else self._calm_since_s) if calm else None
        if self._over_since_s is not None and now_s - self._over_since_s >= DOWN_AFTER_S:
            self._over_since_s = now_s
            if self._at < len(self._ladder) - 1:
                self._at += 1
                if self._went_up_s is not None and now_s - self._went_up_s < 2 * UP_AFTER_S:
                    self._up_after_s = min(2 * self._up_after_s, MOST_UP_AFTER_S)
                self._went_up_s = None
        elif self._calm_since_s is not None and now_s - self._calm_since_s >= self._up_after_s:
            self._calm_since_s = now_s
            if self._at > 0:
                self._at -= 1
                self._went_up_s = now_s
            else:
                self._up_after_s = UP_AFTER_S
        return self.rung


@dataclass(frozen=True, slots=True)
class Timing:
    """How old a camera's frames are, stage by stage, and what it does about that. p95_s: None without recent frames."""

    budget_s: float | None = None
    p95_s: float | None = None
    stages_p95_s: dict[str, float] = field(default_factory=dict)
    late_stage: str | None = None
    rung: Rung = Rung.FULL


class LatencyWatch:
    """Follows a camera's frames against its budget; without one it measures and gives nothing up."""

    def __init__(self, budget_s: float | None, ladder: Sequence[Rung]) -> None:
        self._budget_s = budget_s
        self._ladder = None if budget_s is None else Ladder(budget_s, ladder)
        self._over_since_s: float | None = None
        self._reason: str | None = None
        self.timing = Timing(budget_s)

    @property
    def faults(self) -> dict[str, str]:
        """fault -> reason, now."""
        return {} if self._reason is None else {LATE: self._reason}

    def update(self, marks: Sequence[Marks] | deque[Marks], now_s: float) -> list[Change]:
        """Look at the newest frames; what begins or is over. marks: oldest first. now_s: seconds since 1970."""
        recent = np.array([row for row in marks if now_s - row[-1] <= WINDOW_S])
        stages_s = np.diff(recent, axis=1) if len(recent) else np.empty((0, len(STAGES)))
        p95_s = percentile_95(stages_s.sum(axis=1)) if len(stages_s) else None
        by_stage = [percentile_95(stage) for stage in stages_s.T] if len(stages_s) else []
        late = None if self._budget_s is None else blame(stages_s, self._budget_s)
        rung = Rung.FULL if self._ladder is None else self._ladder.update(p95_s, now_s)
        self.timing = Timing(
            self._budget_s,
            None if p95_s is None else round(p95_s, 4),
            {name: round(value, 4) for name, value in zip(STAGES, by_stage, strict=False)},
            None if late is None else late.stage,
            rung,
        )
        return self._changes(late, p95_s, now_s)

    def _changes(self, late: Late | None, p95_s: float | None, now_s: float) -> list[Change]:
        """The fault begins when the budget has been broken for DOWN_AFTER_S, and ends when all is given again."""
        if late is None or self._over_since_s is None:
            self._over_since_s = None if late is None else now_s
        rung = self.timing.rung
        over = self._over_since_s is not None and now_s - self._over_since_s >= DOWN_AFTER_S
        if self._reason is None and not over:
            return []
        if late is None and rung is Rung.FULL:
            self._reason = None
            return [Change(LATE, "end", f"within its budget of {self._budget_s:g} s with nothing given up", now_s)]
        began = self._reason is None
        self._reason = self._words(late, p95_s)
        return [Change(LATE, "start", self._reason, now_s)] if began else []

    def _words(self, late: Late | None, p95_s: float | None) -> str:
        given_up = "" if self.timing.rung is Rung.FULL else f"; it runs with {self.timing.rung.value}"
        if late is None:
            return f"it keeps its budget of {self._budget_s:g} s by giving something up{given_up}"
        return (
            f"frames are {p95_s:.2f} s old when their events are told (95th percentile), {self._budget_s:g} s are its "
            f"budget; {late.stage} takes {late.p95_s:.2f} s of a share of {late.share_s:.2f} s{given_up}"
        )
