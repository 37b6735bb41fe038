"""The state of a camera's stream, from what its decoder reports; the time is given by the caller."""

from dataclasses import dataclass

from hoaban.status import SourceState

FIRST_PAUSE_S = 0.5
MOST_PAUSE_S = 30.0
STEADY_S = 10.0
"""a stream that was live for so long starts its back-off anew"""


@dataclass(slots=True)
class SourceTracker:
    """Follows one stream through connecting, live, stalled, failed, ended and paused. Times: one clock's seconds."""

    stall_s: float
    now_s: float
    state: SourceState = SourceState.CONNECTING
    since_s: float = 0.0
    error: str | None = None
    failures: int = 0
    """in a row, without a steady time between"""
    _frame_s: float | None = None

    def __post_init__(self) -> None:
        self.since_s = self.now_s

    def connecting(self, now_s: float) -> None:
        """A connection is being made. A failed stream stays failed, with its reason, until its first frame.

        A live one is a file that begins again.
        """
        if self.state not in (SourceState.FAILED, SourceState.LIVE):
            self._frame_s = None
            self._enter(SourceState.CONNECTING, now_s)

    def frame(self, now_s: float) -> None:
        """A frame was decoded."""
        self._frame_s = now_s
        if self.state is not SourceState.LIVE:
            self._enter(SourceState.LIVE, now_s)
            self.error = None
        elif self.failures and now_s - self.since_s >= STEADY_S:
            self.failures = 0

    def failed(self, error: str, now_s: float) -> None:
        """The connection could not be made, or broke."""
        self.failures += 1
        self.error = error
        self._enter(SourceState.FAILED, now_s)

    def reconnecting(self, now_s: float) -> None:
        """A live stream came to its end in good order; another connection follows at once."""
        self._frame_s = None
        self._enter(SourceState.CONNECTING, now_s)

    def paused(self, why: str, now_s: float) -> None:
        """Nothing may be read now."""
        self._frame_s, self.error, self.failures = None, why, 0
        self._enter(SourceState.PAUSED, now_s)

    def resumed(self, now_s: float) -> None:
        """It may be read again."""
        if self.state is SourceState.PAUSED:
            self.error = None
            self._enter(SourceState.CONNECTING, now_s)

    def ended(self, now_s: float) -> None:
        """A file that is not looped came to its end."""
        self._enter(SourceState.ENDED, now_s)

    def look(self, now_s: float) -> SourceState:
        """The state now: live becomes stalled by age alone."""
        age_s = now_s - self._frame_s if self._frame_s is not None else now_s - self.since_s
        if self.state is SourceState.LIVE and age_s > self.stall_s:
            self.error = f"no frame for more than {self.stall_s:g} s; check the camera and its network"
            self._enter(SourceState.STALLED, now_s)
        return self.state

    def pause_s(self, jitter: float) -> float:
        """How long to wait before the next attempt. jitter: a random number in 0..1.

        Doubles with each failure, capped, half of it random ("equal jitter": Brooker, Exponential Backoff And
        Jitter, AWS Architecture Blog, 2015), so that a switch that comes back is not met by all cameras at once.
        """
        base = min(FIRST_PAUSE_S * 2.0 ** max(self.failures - 1, 0), MOST_PAUSE_S)
        return base / 2 + jitter * base / 2

    def _enter(self, state: SourceState, now_s: float) -> None:
        if state is not self.state:
            self.state, self.since_s = state, now_s
