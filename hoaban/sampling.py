"""Which frames of a stream are due for analysis, by capture time alone, so that live and replay agree."""


class FrameSampler:
    """Takes frames at `rate` a second on average, never more.

    Keeps the phase: a frame that comes late does not move the next one. A clock that jumps back, or ahead by more
    than a second, starts a new phase.
    """

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError(f"rate {rate}: above 0 is expected")
        self.rate = rate
        self._next_due_s: float | None = None
        self._delay_s = 0.0

    def due(self, captured_s: float) -> bool:
        """True when the frame captured at `captured_s` is to be analysed."""
        period_s = 1 / self.rate
        if self._next_due_s is None or abs(captured_s - self._next_due_s) > max(1.0, 2 * period_s):
            self._next_due_s = captured_s + period_s
            return True
        # Another thread may ask for a delay meanwhile: it moves the next frame but one.
        delay_s, self._delay_s = self._delay_s, 0.0
        self._next_due_s += delay_s
        # Timestamps are rounded to the stream's time base; a tenth of a period forgives that.
        if captured_s < self._next_due_s - 0.1 * period_s:
            return False
        while self._next_due_s <= captured_s + 0.1 * period_s:
            self._next_due_s += period_s
        return True

    def delay(self, by_s: float) -> None:
        """Sample later from now on, once by this many seconds (see hoaban.phase)."""
        self._delay_s = by_s
