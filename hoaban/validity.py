"""Whether what was found may stand as evidence: reasons against it, in words. Automation proposes, an officer decides.

A finding without a reason against it is not proved; one with a reason is still shown, and says why it cannot be used.
"""

from collections import deque
from datetime import UTC, datetime
from itertools import pairwise

from hoaban.calibration import Calibration
from hoaban.scene import Scene

KEEP_S = 120.0
CLOCK_SINCE_S = 946_684_800.0
"""2000-01-01: a capture time before it is a recording's own time, counted from 1970, and not a clock's"""


class Guard:
    """Watches what evidence rests on, frame by frame: the frames' spacing, the camera's faults, its calibration."""

    def __init__(self, calibration: Calibration | None, max_gap_s: float) -> None:
        self._calibration, self._max_gap_s = calibration, max_gap_s
        self._times: deque[float] = deque()
        self._faults: dict[str, tuple[float, str]] = {}  # name -> when it was last there, in words
        self._last: Scene | None = None

    def see(self, scene: Scene) -> None:
        """Take one analysed frame in. Rules may say it again in the same frame."""
        if scene is self._last:
            return
        self._last = scene
        self._times.append(scene.now_s)
        while self._times[0] < scene.now_s - KEEP_S:
            self._times.popleft()
        for name, words in scene.faults.items():
            self._faults[name] = scene.now_s, words

    def doubts(self, scene: Scene, from_s: float, to_s: float, gaps: bool = True) -> list[str]:
        """Why what happened between two capture times, the last of them now or before, is not evidential.

        gaps: whether a time without frames matters.
        """
        found = []
        if scene.frame.simulated:
            found.append("the source is a simulation")
        if from_s < CLOCK_SINCE_S:
            found.append("the capture times are a recording's own, not a clock's")
        found += [f"camera {name}: {words}" for name, (last_s, words) in self._faults.items() if last_s >= from_s]
        if gaps and (gap_s := self._widest_gap(from_s, to_s)) > self._max_gap_s:
            found.append(f"frames are missing: {gap_s:.2f} s without one where {self._max_gap_s:g} s are allowed")
        return found + self._of_calibration(to_s)

    def _widest_gap(self, from_s: float, to_s: float) -> float:
        times = [time for time in self._times if from_s - 1e-6 <= time <= to_s + 1e-6]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def _of_calibration(self, to_s: float) -> list[str]:
        if self._calibration is None or self._calibration.valid_until is None:
            return []
        day = datetime.fromtimestamp(to_s, UTC).date()
        if day <= self._calibration.valid_until:
            return []
        return [f"calibration {self._calibration.id} ran out on {self._calibration.valid_until.isoformat()}"]
