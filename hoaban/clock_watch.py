"""Does a camera's clock tell the time? From when its frames come and what its stream says of them.

Two clocks can be wrong. The stream's own timestamps, which count from anywhere, may run too fast or too slow: seen as a
drift against our clock over minutes. And the time of day that a camera tells with its stream (RTCP sender reports) may
be off: seen at once. A clock that is only written into the picture is not read.

A frame can come late, never early. So only the quickest of each span of time is looked at (the lower envelope, as in
Cristian, Probabilistic clock synchronization, 1989): it had the least of the network's delay in it.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

SPAN_S = 10.0
LEAST_SPANS = 18
MOST_SPANS = 60
"""a drift is judged over 3 to 10 minutes"""
JUMP_S = 2.0
"""timestamps that jump so far belong to another connection, or the camera's clock was set: the drift begins anew"""


@dataclass(slots=True)
class _Span:
    began_s: float
    least_s: float


class ClockWatch:
    """Drift and offset of one camera's clocks. Times: seconds since 1970 UTC by our clock, which is kept by NTP."""

    def __init__(self) -> None:
        self._spans: deque[tuple[float, float]] = deque(maxlen=MOST_SPANS)
        self._span: _Span | None = None
        self._offsets: deque[float] = deque(maxlen=3)
        self._offset: _Span | None = None

    def frame(self, arrived_s: float, stream_s: float | None, told_s: float | None) -> None:
        """A frame came. stream_s: its place on the stream's clock. told_s: its time of day by the camera."""
        if stream_s is not None:
            late_s = arrived_s - stream_s
            if self._span is not None and late_s < self._span.least_s - JUMP_S:
                self._spans.clear()
                self._span = None
            self._span, ended = _taken(self._span, arrived_s, late_s)
            if ended is not None:
                if self._spans and abs(ended.least_s - self._spans[-1][1]) > JUMP_S:
                    self._spans.clear()
                self._spans.append((ended.began_s, ended.least_s))
        if told_s is not None:
            self._offset, ended = _taken(self._offset, arrived_s, arrived_s - told_s)
            if ended is not None:
                self._offsets.append(-ended.least_s)

    @property
    def drift(self) -> float | None:
        """How fast the stream's clock runs, less one: 0.001 gains 3.6 s an hour. None before 3 minutes."""
        if len(self._spans) < LEAST_SPANS:
            return None
        times, late = np.array(self._spans).T
        first, second = np.triu_indices(len(times), 1)
        return -float(np.median((late[second] - late[first]) / (times[second] - times[first])))

    @property
    def offset_s(self) -> float | None:
        """By how much the camera's time of day is ahead of ours, less its delay. None where it tells none."""
        return float(np.median(self._offsets)) if self._offsets else None


def _taken(span: _Span | None, now_s: float, value_s: float) -> tuple[_Span, _Span | None]:
    """The span that a value belongs to, and the one that it ends."""
    if span is None or now_s < span.began_s:
        return _Span(now_s, value_s), None
    if now_s - span.began_s >= SPAN_S:
        return _Span(now_s, value_s), span
    span.least_s = min(span.least_s, value_s)
    return span, None
