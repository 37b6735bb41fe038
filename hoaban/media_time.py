"""A frame's place on its stream's own clock, also where the stream tells it badly."""


class MediaTime:
    """Seconds on the stream's clock for each frame in the order of showing.

    Some files write presentation stamps that go to and fro (AVI with B-frames) while their decoding stamps grow
    evenly. Both are watched, and the kind that went back less often is believed: the rule of libavcodec's best-effort
    timestamp.
    step_s: seconds between frames where neither is given.
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._last_s = -step_s
        self._last_shown = self._last_decoded = float("-inf")
        self._bad_shown = self._bad_decoded = 0

    def at(self, shown: int | None, decoded: int | None, unit_s: float) -> float:
        """The time of the next frame. shown, decoded: its stamps (pts, dts), in units of unit_s seconds."""
        if shown is not None:
            self._bad_shown += shown <= self._last_shown
            self._last_shown = shown
        if decoded is not None:
            self._bad_decoded += decoded <= self._last_decoded
            self._last_decoded = decoded
        stamp = shown if decoded is None or (shown is not None and self._bad_shown <= self._bad_decoded) else decoded
        self._last_s = self._last_s + self._step_s if stamp is None else stamp * unit_s
        return self._last_s
