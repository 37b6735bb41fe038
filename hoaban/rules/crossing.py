"""Tracks followed across a line, with the frames just before and just after, and the moment between them."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.events import format_time, utc
from hoaban.frames import FrameMeta
from hoaban.geometry import segments_meet, signed_distance
from hoaban.rules.base import Site, box_of
from hoaban.rules.seen import Seen
from hoaban.scene import Scene
from hoaban.track_table import F64, FORGET_S, TrackRows, TrackTable

Box = tuple[float, float, float, float]

LENGTHS_M = {"car": 4.4, "motorcycle": 1.9, "bicycle": 1.8, "bus": 10.0, "truck": 7.5}
"""usual lengths; a camera's rule may say others"""
OTHER_LENGTH_M = 4.4
STANDS_S = 2.0
"""beyond the line, yet too near to be believed, for so long: it stands there"""


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


@dataclass(frozen=True, slots=True)
class Crossing:
    """A track went over a line. crossed_s: interpolated between the last frame before and the first after it.

    stood: it had stood for long so near beyond the line that nobody can say on which side; crossed_s is when it moved.
    """

    track: int
    row: int
    forward: bool
    crossed_s: float
    before: Moment
    at: Moment
    stood: bool = False

    @property
    def unseen_s(self) -> float:
        """How long the way over the line was not seen: lost frames, or something nearer before the foot."""
        return self.at.captured_s - self.before.captured_s

    def doubts(self, max_gap_s: float) -> list[str]:
        """Why the moment of crossing is not known well enough."""
        if self.stood:
            return ["it had stood on the line: when it went over is not certain"]
        if self.unseen_s <= max_gap_s:
            return []
        return [f"how it went over the line was not seen for {self.unseen_s:.2f} s where {max_gap_s:g} s are allowed"]


class Sightings:
    """Where each track was seen last, kept once for all rules of a camera."""

    def __init__(self, rows: TrackRows) -> None:
        self._rows = rows
        self._table = TrackTable(rows, seen=(np.nan,) * 6)
        self._last: tuple[Tracks, float] | None = None

    @classmethod
    def of(cls, site: Site) -> "Sightings":
        return site.shared.keep("sightings", lambda: cls(site.shared.rows))

    def update(self, scene: Scene) -> None:
        """Take a frame in. Rules may say it again in the same frame."""
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks) or (self._last is not None and self._last[0] is tracks and self._last[1] == now_s):
            return
        self._last = tracks, now_s
        rows = self._rows.of(tracks.ids, now_s)
        self._table.touch(rows, now_s)
        seen = self._table["seen"]
        seen[rows, 0], seen[rows, 1], seen[rows, 2:] = scene.frame.seq, now_s, tracks.boxes

    def newest(self, track: int) -> Moment | None:
        row = self._rows.find(track)
        if row is None:
            return None
        seq, captured_s, x1, y1, x2, y2 = self._table["seen"][row].tolist()
        return Moment(int(seq), captured_s, (x1, y1, x2, y2))


class Gauge(Protocol):
    """How far objects are from a line, and in what measure. All arrays have one row a track."""

    def points(self, seen: Seen) -> F64:
        """(n, 2) where each object is, nan where that cannot be said."""
        ...

    def distances(self, seen: Seen, points: F64) -> F64:
        """(n,) of these points from the endless line, above 0 on its right."""
        ...

    def margins(self, seen: Seen) -> F64:
        """(n,) nearer to the line than this, the side is not believed."""
        ...

    def lengths(self, seen: Seen) -> F64:
        """(n,) an object's own measure, in that of the distances: its length, or its box's height."""
        ...

    def meets(self, a: F64, b: F64) -> bool:
        """Whether the way from a to b goes over the line between its ends."""
        ...


class FootGauge:
    """By the foot point, in pixels."""

    def __init__(self, line: str, site: Site) -> None:
        self._line = line
        self._start, self._end = site.places.ends[site.places.line_rows[line]]

    def points(self, seen: Seen) -> F64:
        return seen.points

    def distances(self, seen: Seen, points: F64) -> F64:
        return seen.distances(self._line)

    def margins(self, seen: Seen) -> F64:
        return np.maximum(2.0, 0.06 * self.lengths(seen))

    def lengths(self, seen: Seen) -> F64:
        return np.asarray(seen.heights, np.float64)

    def meets(self, a: F64, b: F64) -> bool:
        return segments_meet(a, b, self._start, self._end)


class FrontGauge:
    """By the front of a vehicle seen from behind, in metres on the ground.

    Its foot point is its rear; the front lies one length further on, in the direction of travel, which is taken to be
    straight across the line. The length is the class's usual one, so the front is known to a seventh of it at best, and
    that much it must be over the line to count. Raises ValueError without a calibration.
    """

    LEAST_MARGIN_M, MARGIN = 0.5, 0.15

    def __init__(self, line: str, site: Site, forward: bool, lengths_m: dict[str, float]) -> None:
        ground = site.places.ground
        if ground is None:
            raise ValueError("the front of a vehicle is found on the ground; give the camera a calibration")
        ends = site.places.ends[site.places.line_rows[line]]
        self._start, self._end = ground.to_metres(ends)
        along = ends[1] - ends[0]
        # A point of the picture on the line's right tells which side that is on the ground, whose axes may mirror it.
        probe = ends.mean(axis=0) + np.array([-along[1], along[0]]) / np.hypot(*along)
        side = signed_distance(ground.to_metres(probe[None]), self._start, self._end)[0]
        self._sign = 1.0 if side > 0 else -1.0
        run = self._end - self._start
        right = self._sign * np.array([-run[1], run[0]]) / np.hypot(*run)
        self._ahead = right if forward else -right
        self._lengths = LENGTHS_M | lengths_m

    def points(self, seen: Seen) -> F64:
        return np.asarray(seen.metres + self.lengths(seen)[:, None] * self._ahead, np.float64)

    def lengths(self, seen: Seen) -> F64:
        by_class = np.array([self._lengths.get(label, OTHER_LENGTH_M) for label in seen.tracks.labels])
        lengths: F64 = by_class[seen.tracks.classes]
        return lengths

    def distances(self, seen: Seen, points: F64) -> F64:
        return self._sign * signed_distance(points, self._start, self._end)

    def margins(self, seen: Seen) -> F64:
        return np.maximum(self.LEAST_MARGIN_M, self.MARGIN * self.lengths(seen))

    def meets(self, a: F64, b: F64) -> bool:
        return segments_meet(a, b, self._start, self._end)


_SEQ, _TIME, _AWAY, _POINT, _BOX = 0, 1, 2, slice(3, 5), slice(5, 9)
_NOWHEN = (np.nan,) * 9
"""a sample of a track: frame number, capture time, distance from the line, the point measured, its box"""


class LineWatch:
    """Crossings of a line, each told once, in the frame in which the other side is believed.

    Of each track the last sample before the line and the first one behind it are kept. classes, min_hits: which tracks
    are followed. distances: (n,) of the last frame's tracks from the line, above 0 on its right; nan for those that
    are not followed or cannot be measured.
    """

    def __init__(self, gauge: Gauge, site: Site, classes: tuple[str, ...], min_hits: int) -> None:
        self.gauge, self.distances = gauge, np.zeros(0)
        self._site, self._followed = site, (classes, min_hits)
        self._table = TrackTable(site.shared.rows, FORGET_S, side=0.0, before=_NOWHEN, at=_NOWHEN)
        self._last: tuple[Tracks, float, list[Crossing]] | None = None

    @classmethod
    def at_foot(cls, site: Site, line: str, classes: tuple[str, ...], min_hits: int) -> "LineWatch":
        """By foot points: the same watch for all rules that follow the same tracks over the line."""
        make = lambda: cls(FootGauge(line, site), site, classes, min_hits)  # noqa: E731
        return site.shared.keep(("foot", line, classes, min_hits), make)

    def update(self, scene: Scene) -> list[Crossing]:
        """The crossings that this frame completes. Rules may ask again in the same frame.

        A foot behind a nearer object seems further on than it is: such a track does not cross yet.
        """
        if self._last is None or self._last[0] is not scene.tracks or self._last[1] != scene.now_s:
            self._last = scene.tracks, scene.now_s, self._look(scene)
        return self._last[2]

    def _look(self, scene: Scene) -> list[Crossing]:
        tracks = scene.tracks
        self.distances = distances = np.full(len(tracks), np.nan)
        if not len(tracks):
            return []
        seen = self._site.seen(tracks)
        points = self.gauge.points(seen)
        rows = np.flatnonzero(seen.followed(*self._followed) & np.isfinite(points[:, 0]))
        samples = np.empty((len(rows), 9))
        samples[:, _SEQ], samples[:, _TIME] = scene.frame.seq, scene.now_s
        samples[:, _AWAY] = away = self.gauge.distances(seen, points)[rows]
        samples[:, _POINT], samples[:, _BOX] = points[rows], tracks.boxes[rows]
        distances[rows] = away
        places = self._site.shared.rows.of(tracks.ids, scene.now_s)[rows]
        self._table.touch(places, scene.now_s)
        side, before, at = (self._table[name] for name in ("side", "before", "at"))
        sure = np.abs(away) > self.gauge.margins(seen)[rows]
        was, here = side[places], np.sign(away)
        there = np.flatnonzero(here == np.where(was == 0, 2, -was))
        past = [(before[place].copy(), at[place].copy()) for place in places[there].tolist()]
        # Most are where they were: all are taken as if, and then those few that are on the other side one by one.
        side[places] = np.where(sure, here, was)
        before[places], at[places, _SEQ] = samples, np.nan
        found = []
        for index, hidden, (was_before, was_at) in zip(
            there.tolist(), feet_hidden(tracks, rows[there]).tolist(), past, strict=True
        ):
            place, sample = places[index], samples[index]
            if hidden:
                distances[rows[index]] = np.nan
            elif np.isnan(was_at[_SEQ]):
                was_at = sample
            if sure[index] and not hidden:
                found.append(self._crossing(int(tracks.ids[rows[index]]), int(rows[index]), was_before, was_at, sample))
                continue
            side[place], at[place] = was[index], was_at
            stands = not hidden and scene.now_s - was_at[_TIME] > STANDS_S
            before[place] = sample if stands else was_before
        return [crossing for crossing in found if crossing is not None]

    def _crossing(self, track: int, row: int, before: F64, at: F64, now: F64) -> Crossing | None:
        stood = bool(before[_TIME] >= at[_TIME])
        at = now if stood else at
        if not stood and not self.gauge.meets(before[_POINT], now[_POINT]):
            return None
        share = 0.0 if stood else before[_AWAY] / (before[_AWAY] - at[_AWAY])
        crossed_s = float(before[_TIME] + min(max(share, 0.0), 1.0) * (at[_TIME] - before[_TIME]))
        return Crossing(track, row, bool(at[_AWAY] > 0), crossed_s, _moment(before), _moment(at), stood)


def feet_hidden(tracks: Tracks, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Of each of these rows, whether a nearer object stands before its foot: the box then ends too high.

    Nearer is what reaches lower in the picture; the foot lies higher up, further away, than where the object stands.
    """
    if not len(rows):
        return np.zeros(0, bool)
    x1, y1, x2, y2 = tracks.boxes.T
    middle, foot = (x1[rows] + x2[rows])[:, None] / 2, y2[rows][:, None]
    slack = np.maximum(2.0, 0.05 * (y2[rows] - y1[rows]))[:, None]
    before = (x1 <= middle) & (middle <= x2) & (y1 <= foot + slack) & (y2 > foot + slack)
    return np.asarray(before.any(axis=1))


def _moment(sample: F64) -> Moment:
    x1, y1, x2, y2 = sample[_BOX].tolist()
    return Moment(int(sample[_SEQ]), float(sample[_TIME]), (x1, y1, x2, y2))
