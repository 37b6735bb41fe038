"""A camera's latency budget: which stage of a frame's way is late, and what is given up until it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

STAGES = ("offered", "taken", "answered", "published")
"""moments of a frame's way after its capture: model input ready, taken by a model, answered, events published"""
SHARES = (0.1, 0.45, 0.35, 0.1)
"""of the budget, for each stage"""
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
    """stages_s: (n, 4) seconds that frames spent in each stage. None while their 95th percentile is in the budget."""
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
