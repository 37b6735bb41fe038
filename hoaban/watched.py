"""Time that was watched: durations are counted on it, since what nobody saw did not last."""

LONGEST_S = 2.0
"""two pictures no further apart are watched time: whatever the rate, a decoder and a model may be late by so much"""


class WatchedTime:
    """Capture time less outages, from one analysed frame to the next.

    rate: frames a second that are to be expected. After a pause of more than LONGEST_S, and than three periods, a frame
    stands for one period like any other, and the rest of the pause was not watched: so an outage of whatever length
    makes nothing last, and a camera that sends less than it should has its durations grow slowly, not never.

    gap_s: not watched before the newest frame. lost_s: not watched in all.
    """

    def __init__(self, rate: float) -> None:
        self.expect(rate)
        self._captured_s: float | None = None
        self.gap_s = self.lost_s = 0.0

    def expect(self, rate: float) -> None:
        """Another rate from now on."""
        self._period_s, self._longest_s = 1 / rate, max(LONGEST_S, 3 / rate)

    def see(self, captured_s: float) -> None:
        """An analysed frame. A clock that was set ahead is an outage; one that went back is none."""
        pause_s = 0.0 if self._captured_s is None else captured_s - self._captured_s
        self._captured_s = captured_s
        self.gap_s = pause_s - self._period_s if pause_s > self._longest_s else 0.0
        self.lost_s += self.gap_s
