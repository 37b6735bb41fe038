"""When was a frame captured? Streams tell the time badly; wall clocks are set. Here the two become one.

All but `WallTime` reckons in seconds of a clock that only ever runs on (`now_s`: CLOCK_MONOTONIC); `WallTime` turns
the result into seconds since 1970, so that setting the machine's clock moves no frame against its neighbours.
"""

TICK_S = 1e-3
"""least time between two frames"""
MOST_LATE_S = 5.0
"""a frame that seems older than this is not old: its stream's clock jumped"""
DRIFT_WINDOW_S = 10.0
MOST_GAP_S = 10.0
"""a recording's clock that jumps further ahead than this is taken to have jumped, not to have paused"""
WALL_STEP_S = 1.0
"""a wall clock that moves by more than this against the running clock was set; by less it is followed gently"""


class MediaClock:
    """The time of a recording, from begin_s on: evenly on where its stamps jump back or more than most_gap_s ahead.

    step_s: seconds between frames where the stamps do not say.
    """

    def __init__(self, step_s: float, begin_s: float = 0.0, most_gap_s: float = 60.0) -> None:
        self._step_s, self._begin_s, self._most_gap_s = step_s, begin_s, most_gap_s
        self._offset_s: float | None = None
        self._last_s: float | None = None

    def stamp(self, stream_s: float) -> float:
        """The time of the next frame, which the stream puts at stream_s on a clock of its own."""
        if self._offset_s is None:
            self._offset_s = self._next_s - stream_s
        at_s = stream_s + self._offset_s
        if self._last_s is not None and not self._last_s < at_s <= self._last_s + self._most_gap_s:
            at_s = self._next_s
            self._offset_s = at_s - stream_s
        self._last_s = at_s
        return at_s

    def near(self, stream_s: float) -> float:
        """About when the frame of a packet will be shown."""
        return self._next_s if self._offset_s is None else stream_s + self._offset_s

    def again(self) -> None:
        """The recording begins again; its time goes on."""
        self._offset_s = None

    def move_to(self, at_s: float) -> None:
        """The next frame belongs at at_s."""
        self._begin_s, self._last_s, self._offset_s = at_s, None, None

    @property
    def _next_s(self) -> float:
        return self._begin_s if self._last_s is None else self._last_s + self._step_s


class PlayoutClock:
    """When to show the frames of a recording, or of segments that come in bursts: at the recording's own speed."""

    def __init__(self, step_s: float, now_s: float) -> None:
        self._media = MediaClock(step_s, now_s, MOST_GAP_S)

    def stamp(self, stream_s: float, now_s: float) -> float:
        """When the frame is due. Never more than MOST_GAP_S ahead; a player left far behind goes on from now."""
        due_s = self._media.stamp(stream_s)
        if due_s < now_s - MOST_LATE_S:
            self._media.move_to(now_s)
            due_s = self._media.stamp(stream_s)
        return due_s

    def near(self, stream_s: float, now_s: float) -> float:
        """About when the frame of a packet is due."""
        return min(max(self._media.near(stream_s), now_s - MOST_LATE_S), now_s + MOST_GAP_S)

    def again(self) -> None:
        """The recording begins again; its time goes on."""
        self._media.again()


class ArrivalClock:
    """The capture time of frames that come as they are made.

    A frame cannot have been captured after it arrived, so the frame that travelled fastest sets the stream's clock,
    and the stream's own stamps carry that from frame to frame: jitter of the network does not show. A slower clock in
    the camera is followed once in DRIFT_WINDOW_S; one that jumps is set anew at once.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = float("-inf")
        self._window_s = self._least_late_s = float("inf")

    def stamp(self, stream_s: float | None, now_s: float) -> float:
        """The capture time of a frame that arrives now. stream_s: the stream's time; None where none is given."""
        if stream_s is None:
            self._offset_s = None
            return now_s
        went_back, self._last_s = stream_s < self._last_s, stream_s
        late_s = 0.0 if self._offset_s is None else now_s - stream_s - self._offset_s
        if self._offset_s is None or went_back or not 0 <= late_s <= MOST_LATE_S:
            self._set(now_s - stream_s, now_s)
            return now_s
        self._least_late_s = min(self._least_late_s, late_s)
        if now_s >= self._window_s:
            self._set(self._offset_s + self._least_late_s, now_s)
        return min(stream_s + self._offset_s, now_s)  # but for rounding it is so

    def near(self, stream_s: float | None, now_s: float) -> float:
        """About the capture time of a packet's frame."""
        if stream_s is None or self._offset_s is None:
            return now_s
        return min(max(stream_s + self._offset_s, now_s - MOST_LATE_S), now_s)

    def _set(self, offset_s: float, now_s: float) -> None:
        self._offset_s, self._window_s, self._least_late_s = offset_s, now_s + DRIFT_WINDOW_S, float("inf")


class WallTime:
    """Times of the running clock as seconds since 1970, growing from frame to frame.

    Only a wall clock that was set back by more than WALL_STEP_S takes capture times back with it: evidence must bear
    the true time, and the pipeline begins its tracks anew there. Smaller corrections are followed over many frames.
    """

    def __init__(self) -> None:
        self._skew_s: float | None = None
        self._last_s = float("-inf")

    def at(self, time_s: float, now_s: float, wall_s: float) -> float:
        """time_s as wall time, when the two clocks show now_s and wall_s."""
        measured_s = wall_s - now_s
        if self._skew_s is None or abs(measured_s - self._skew_s) > WALL_STEP_S:
            if self._skew_s is not None and measured_s < self._skew_s:
                self._last_s = float("-inf")
            self._skew_s = measured_s
        else:
            self._skew_s += 0.01 * (measured_s - self._skew_s)
        self._last_s = max(time_s + self._skew_s, self._last_s + TICK_S)
        return self._last_s

    def about(self, time_s: float, now_s: float, wall_s: float) -> float:
        """As `at`, without remembering it."""
        return time_s + (wall_s - now_s if self._skew_s is None else self._skew_s)
