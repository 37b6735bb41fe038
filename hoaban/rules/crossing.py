"""Tracks followed across a line, with the frames just before and just after, and the moment between them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hoaban.calibration import Ground
from hoaban.detections import Tracks
from hoaban.frames import FrameMeta
from hoaban.geometry import segments_meet, signed_distance, to_pixels
from hoaban.rules.base import FORGET_S, Site, box_of
from hoaban.scene import Scene
from hoaban.shapes import Line
from hoaban.track_table import F64, TrackTable

Box = tuple[float, float, float, float]

LENGTHS_M = {"car": 4.4, "motorcycle": 1.9, "bicycle": 1.8, "bus": 10.0, "truck": 7.5}
"""usual lengths; a camera's rule may say others"""
OTHER_LENGTH_M = 4.4


@dataclass(frozen=True, slots=True)
class Moment:
    """A track in one analysed frame. bbox: xyxy pixels of the source frame."""

    seq: int
    captured_s: float
    bbox: Box

    @classmethod
    def of(cls, frame: FrameMeta, tracks: Tracks, row: int) -> "Moment":
        return cls(frame.seq, frame.captured_s, box_of(tracks, row))


@dataclass(frozen=True, slots=True)
class Crossing:
    """A track went over a line. crossed_s: interpolated between the last frame before and the first after it."""

    track: int
    row: int
    forward: bool
    crossed_s: float
    before: Moment
    at: Moment


class Gauge(Protocol):
    """How far objects are from a line, and in what measure."""

    def points(self, tracks: Tracks) -> F64:
        """(n, 2) where each object is, nan where that cannot be said."""
        ...

    def distances(self, points: F64) -> F64:
        """(n,) from the endless line, above 0 on its right."""
        ...

    def margins(self, tracks: Tracks) -> F64:
        """(n,) nearer to the line than this, the side is not believed."""
        ...

    def lengths(self, tracks: Tracks) -> F64:
        """(n,) an object's own measure, in that of the distances: its length, or its box's height."""
        ...

    def meets(self, a: F64, b: F64) -> bool:
        """Whether the way from a to b goes over the line between its ends."""
        ...


class FootGauge:
    """By the foot point, in pixels."""

    def __init__(self, line: Line, site: Site) -> None:
        self._start, self._end = to_pixels([line.from_, line.to], site.width, site.height)

    def points(self, tracks: Tracks) -> F64:
        return tracks.ground_points().astype(np.float64)

    def distances(self, points: F64) -> F64:
        return signed_distance(points, self._start, self._end)

    def margins(self, tracks: Tracks) -> F64:
        return np.maximum(2.0, 0.06 * self.lengths(tracks))

    def lengths(self, tracks: Tracks) -> F64:
        return np.asarray(tracks.boxes[:, 3] - tracks.boxes[:, 1], np.float64)

    def meets(self, a: F64, b: F64) -> bool:
        return segments_meet(a, b, self._start, self._end)


class FrontGauge:
    """By the front of a vehicle seen from behind, in metres on the ground.

    Its foot point is its rear; the front lies one length further on, in the direction of travel, which is taken to be
    straight across the line. The length is the class's usual one, so the front is known to about half a metre for a
    car. Raises ValueError without a calibration.
    """

    MARGIN_M = 0.3

    def __init__(self, line: Line, site: Site, forward: bool, lengths_m: dict[str, float]) -> None:
        if site.calibration is None:
            raise ValueError("the front of a vehicle is found on the ground; give the camera a calibration")
        self._ground = Ground(site.calibration, site.width, site.height)
        ends = to_pixels([line.from_, line.to], site.width, site.height)
        self._start, self._end = self._ground.to_metres(ends)
        along = ends[1] - ends[0]
        # A point of the picture on the line's right tells which side that is on the ground, whose axes may mirror it.
        probe = ends.mean(axis=0) + np.array([-along[1], along[0]]) / np.hypot(*along)
        side = signed_distance(self._ground.to_metres(probe[None]), self._start, self._end)[0]
        self._sign = 1.0 if side > 0 else -1.0
        run = self._end - self._start
        right = self._sign * np.array([-run[1], run[0]]) / np.hypot(*run)
        self._ahead = right if forward else -right
        self._lengths = LENGTHS_M | lengths_m

    def points(self, tracks: Tracks) -> F64:
        rear = self._ground.to_metres(tracks.ground_points())
        return np.asarray(rear + self.lengths(tracks)[:, None] * self._ahead, np.float64)

    def lengths(self, tracks: Tracks) -> F64:
        by_class = np.array([self._lengths.get(label, OTHER_LENGTH_M) for label in tracks.labels])
        lengths: F64 = by_class[tracks.classes]
        return lengths

    def distances(self, points: F64) -> F64:
        return self._sign * signed_distance(points, self._start, self._end)

    def margins(self, tracks: Tracks) -> F64:
        return np.full(len(tracks), self.MARGIN_M)

    def meets(self, a: F64, b: F64) -> bool:
        return segments_meet(a, b, self._start, self._end)


class LineWatch:
    """Crossings of a line, each told once, in the frame in which the other side is believed."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        names = [f"{when}_{what}" for when in ("before", "at") for what in ("seq", "s", "d", "px", "py", *"xyzw")]
        self._table = TrackTable(FORGET_S, side=0.0, **dict.fromkeys(names, np.nan))

    def update(self, scene: Scene, wanted: NDArray[np.bool_]) -> tuple[list[Crossing], F64]:
        """The crossings that this frame completes, and each track's distance from the line, above 0 on its right.

        wanted: (n,) the tracks that are followed; the distance of others, and of those that cannot be measured, is nan.
        """
        tracks = scene.tracks
        distances = np.full(len(tracks), np.nan)
        if not len(tracks):
            return [], distances
        points = self._gauge.points(tracks)
        rows = np.flatnonzero(wanted & np.isfinite(points).all(axis=1))
        distances[rows] = self._gauge.distances(points[rows])
        table, d = self._table, distances[rows]
        at = table.rows(tracks.ids[rows], scene.now_s)
        sure = np.abs(d) > self._gauge.margins(tracks)[rows]
        side = table["side"][at]
        here = np.sign(d)
        stays = (side == 0) | (here == side) | (here == 0)
        crossed = ~stays & sure
        steps_over = ~stays & np.isnan(table["at_s"][at])
        self._note("at", at[steps_over], scene, rows[steps_over], d[steps_over], points)
        found = [
            self._crossing(int(a), int(row), points[row], scene)
            for a, row in zip(at[crossed], rows[crossed], strict=True)
        ]
        table["side"][at[(side == 0) & sure]] = here[(side == 0) & sure]
        table["side"][at[crossed]] = here[crossed]
        settled = stays | crossed
        self._note("before", at[settled], scene, rows[settled], d[settled], points)
        table["at_s"][at[settled]] = np.nan
        return [crossing for crossing in found if crossing is not None], distances

    def _note(self, when: str, at: NDArray[np.intp], scene: Scene, rows: NDArray[np.intp], d: F64, points: F64) -> None:
        if not len(at):
            return
        table = self._table
        table[f"{when}_seq"][at], table[f"{when}_s"][at], table[f"{when}_d"][at] = scene.frame.seq, scene.now_s, d
        table[f"{when}_px"][at], table[f"{when}_py"][at] = points[rows].T
        for index, name in enumerate("xyzw"):
            table[f"{when}_{name}"][at] = scene.tracks.boxes[rows, index]

    def _crossing(self, at: int, row: int, point: F64, scene: Scene) -> Crossing | None:
        value = {
            name: self._table[name][at] for name in ("before_s", "before_d", "at_s", "at_d", "before_px", "before_py")
        }
        if np.isnan(value["before_s"]):
            return None
        if not self._gauge.meets(np.array([value["before_px"], value["before_py"]]), point):
            return None
        share = value["before_d"] / (value["before_d"] - value["at_d"])
        crossed_s = float(value["before_s"] + np.clip(share, 0, 1) * (value["at_s"] - value["before_s"]))
        forward = bool(value["at_d"] > 0)
        return Crossing(
            int(self._table.ids[at]), row, forward, crossed_s, self._moment("before", at), self._moment("at", at)
        )

    def _moment(self, when: str, at: int) -> Moment:
        table = self._table
        x1, y1, x2, y2 = (float(table[f"{when}_{name}"][at]) for name in "xyzw")
        return Moment(int(table[f"{when}_seq"][at]), float(table[f"{when}_s"][at]), (x1, y1, x2, y2))
