"""When in its period a camera samples: it moves, by trial, to a moment at which the model is free.

Cameras sample at a steady rate, so two that want the model at the same moment meet again each period, for as long as
both run (cameras behind one recorder often tick together). A camera that waits moves its sampling later by as long as
it waited. Moves that do not help become rare: under overload every moment is as bad as another.
"""

import random

BEGIN_S = 1.0
MOST_PAUSE_S = 64.0
WORTH_S = 0.003
"""shorter waits are the way to the model and back"""
HELPED = 0.7
"""a move that leaves less of the wait than this helped"""
NEWEST = 0.2
"""weight of the newest wait in the mean"""


class PhaseSeeker:
    """Says by how much to delay a camera's sampling, now and then.

    name: of the camera; it seeds the pauses, so that cameras that meet do not move together. period_s: between two
    samples; no delay is longer.
    """

    def __init__(self, name: str, period_s: float) -> None:
        self._period_s = period_s
        self._pauses = random.Random(name)
        self._pause_s = BEGIN_S
        self._next_s: float | None = None
        self._mean_s = 0.0
        self._before_s: float | None = None

    def waited(self, wait_s: float, now_s: float) -> float:
        """A frame waited so long beside the work done for it: seconds to delay the sampling by, mostly 0."""
        self._mean_s += NEWEST * (min(max(wait_s, 0.0), self._period_s) - self._mean_s)
        if self._next_s is None:
            self._next_s = now_s + self._pause()
        if now_s < self._next_s:
            return 0.0
        if self._before_s is not None:
            helped = self._mean_s < HELPED * self._before_s
            self._pause_s = BEGIN_S if helped else min(2 * self._pause_s, MOST_PAUSE_S)
        moves = self._mean_s >= WORTH_S
        self._before_s = self._mean_s if moves else None
        self._next_s = now_s + self._pause()
        return self._mean_s if moves else 0.0

    def _pause(self) -> float:
        return self._pause_s * self._pauses.uniform(0.5, 1.5)
