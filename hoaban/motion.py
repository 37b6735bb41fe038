"""The motion gate: spares the model the frames in which nothing moves."""

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
WIDTH, HEIGHT = 96, 54
"""of the brightness that cameras show to it"""
REFRESH_S = 0.8
"""a rule takes what it did not see for a second for gone (hoaban/rules/intrusion.py)"""
TOLERANCE_S = 0.005
"""times since 1970 are rounded to a quarter of a microsecond, a stream's to its time base: a frame on the very limit is
judged alike live and in a replay"""


class MotionGate:
    """Admits a frame when enough of the picture changed, for a while after that, and now and then in any case.

    difference: grey levels (0..255) that count as a change against a slow running background.
    fraction: of the picture that must have changed. hold_s: frames admitted after the last change, so that what
    stopped is still seen standing. refresh_s: two admitted frames are no further apart, if frames come so often.
    period_s: between two frames.
    """

    def __init__(
        self,
        difference: float = 12.0,
        fraction: float = 0.0015,
        hold_s: float = 2.0,
        refresh_s: float = REFRESH_S,
        period_s: float = 0.0,
    ) -> None:
        self._difference, self._fraction = difference, fraction
        self._hold_s, self._longest_s = hold_s + TOLERANCE_S, refresh_s - period_s + TOLERANCE_S
        self._background: NDArray[np.float32] | None = None
        self._moved_s = self._admitted_s = float("-inf")

    def admit(self, luma: Luma, captured_s: float) -> bool:
        """True when the frame should be analysed. luma: (h, w) uint8, always of one size; another starts anew."""
        if self._background is None or self._background.shape != luma.shape or captured_s < self._admitted_s:
            self._background = luma.astype(np.float32)
            self._moved_s = self._admitted_s = captured_s
            return True
        change = cv2.absdiff(luma, cv2.convertScaleAbs(self._background))
        changed = cv2.countNonZero(cv2.threshold(change, self._difference, 255, cv2.THRESH_BINARY)[1])
        cv2.accumulateWeighted(luma, self._background, 0.1)
        if changed >= max(1.0, self._fraction * luma.size):
            self._moved_s = captured_s
        if captured_s - self._moved_s <= self._hold_s or captured_s - self._admitted_s > self._longest_s:
            self._admitted_s = captured_s
            return True
        return False
