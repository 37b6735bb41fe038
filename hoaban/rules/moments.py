"""Where a track was in one frame, as evidence names it, and where each was seen last."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hoaban.detections import Tracks
from hoaban.events import format_time, utc
from hoaban.frames import FrameMeta
from hoaban.rules.base import Site, box_of
from hoaban.scene import Scene
from hoaban.track_table import TrackTable

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Moment:
    """A track in one analysed frame. bbox: xyxy pixels of the source frame."""

    seq: int
    captured_s: float
    bbox: Box

    @classmethod
    def of(cls, frame: FrameMeta, tracks: Tracks, row: int) -> "Moment":
        return cls(frame.seq, frame.captured_s, box_of(tracks, row))

    def as_dict(self) -> dict[str, Any]:
        """As an event carries it: plain JSON values."""
        return {
            "seq": self.seq,
            "captured_s": round(self.captured_s, 6),
            "time": format_time(utc(self.captured_s)),
            "bbox": [round(value, 1) for value in self.bbox],
        }


class Sightings:
    """Where each track was seen last, kept once for all rules of a camera."""

    def __init__(self, site: Site) -> None:
        self._site, self._rows = site, site.shared.rows
        self._table = TrackTable(self._rows, seen=(np.nan,) * 6)
        self._last: tuple[Tracks, float] | None = None

    @classmethod
    def of(cls, site: Site) -> "Sightings":
        return site.shared.keep("sightings", lambda: cls(site))

    def update(self, scene: Scene) -> None:
        """Take a frame in. Rules may say it again in the same frame."""
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks) or (self._last is not None and self._last[0] is tracks and self._last[1] == now_s):
            return
        self._last = tracks, now_s
        rows = self._rows.of(tracks.ids, now_s)
        self._table.touch(rows, now_s)
        self._table.put("seen", rows, self._site.seen(tracks).samples(scene.frame))

    def newest(self, track: int) -> Moment | None:
        row = self._rows.find(track)
        if row is None:
            return None
        seq, captured_s, x1, y1, x2, y2 = self._table["seen"][row].tolist()
        return Moment(int(seq), captured_s, (x1, y1, x2, y2))
