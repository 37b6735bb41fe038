"""Where a track was in one frame, as evidence names it, and where each was seen last."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from hoaban.detections import Tracks
from hoaban.events import format_time, utc
from hoaban.frames import FrameMeta
from hoaban.rules.base import Site, box_of
from hoaban.scene import Scene
from hoaban.track_table import F64

Box = tuple[float, float, float, float]

KEEP_S = 5.0
"""of the past: within it a vehicle that was reported may be reported again under another number"""


@dataclass(frozen=True, slots=True)
class Moment:
    """A track in one analysed frame. bbox: xyxy pixels of the source frame."""

    seq: int
    captured_s: float
    bbox: Box

    @classmethod
    def of(cls, frame: FrameMeta, tracks: Tracks, row: int) -> "Moment":
        return cls(frame.seq, frame.captured_s, box_of(tracks, row))

    @classmethod
    def of_sample(cls, sample: F64) -> "Moment":
        """sample: (6,) as Seen.samples has it."""
        seq, captured_s, x1, y1, x2, y2 = sample.tolist()
        return cls(int(seq), captured_s, (x1, y1, x2, y2))

    def as_dict(self) -> dict[str, Any]:
        """As an event carries it: plain JSON values."""
        return {
            "seq": self.seq,
            "captured_s": round(self.captured_s, 6),
            "time": format_time(utc(self.captured_s)),
            "bbox": [round(value, 1) for value in self.bbox],
        }


class Sightings:
    """The tracks of the last seconds, kept once for all rules of a camera."""

    def __init__(self) -> None:
        self._past: deque[tuple[FrameMeta, Tracks]] = deque()

    @classmethod
    def of(cls, site: Site) -> "Sightings":
        return site.shared.keep("sightings", cls)

    def update(self, scene: Scene) -> None:
        """Take a frame in. Rules may say it again in the same frame."""
        if self._past and self._past[-1][0] is scene.frame:
            return
        self._past.append((scene.frame, scene.tracks))
        while scene.now_s - self._past[0][0].captured_s > KEEP_S:
            self._past.popleft()

    def newest(self, track: int, after_s: float) -> Moment | None:
        """Where a track was seen last, if that was after a time and no longer than KEEP_S ago."""
        for frame, tracks in reversed(self._past):
            if frame.captured_s <= after_s:
                return None
            if len(rows := (tracks.ids == track).nonzero()[0]):
                return Moment.of(frame, tracks, int(rows[0]))
        return None
