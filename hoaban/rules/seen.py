"""What several rules of a camera work out of the same frame's tracks: once, by the first that asks.

Where each track stands, in which zones, how far from which lines, and who has come or gone since another frame: all of
it is known of all tracks at once, in a few numpy operations. So a rule's own work, in Python, is on those few tracks of
which something changed. Each equals what hoaban/geometry.py says of one track and one zone or line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hoaban.calibration import Calibration, Ground
from hoaban.detections import Floats, Tracks
from hoaban.frames import FrameMeta
from hoaban.geometry import Outlines, to_pixels
from hoaban.shapes import Line, Zone

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]


class Places:
    """A camera's zones and lines in pixels of its frames, and its ground."""

    def __init__(
        self,
        zones: Mapping[str, Zone],
        lines: Mapping[str, Line],
        width: int,
        height: int,
        calibration: Calibration | None,
    ) -> None:
        self.polygons = {name: to_pixels(zone.polygon, width, height) for name, zone in zones.items()}
        self.zone_rows = {name: row for row, name in enumerate(zones)}
        self.outlines = Outlines(list(self.polygons.values()))
        self.ground = None if calibration is None else Ground(calibration, width, height)
        self.line_rows = {name: row for row, name in enumerate(lines)}
        ends = [to_pixels([line.from_, line.to], width, height) for line in lines.values()]
        self.ends = np.array(ends).reshape(-1, 2, 2)
        along = self.ends[:, 1] - self.ends[:, 0]
        self._along = along[:, :, None]
        self._starts = self.ends[:, 0, :, None]
        self._lengths = np.hypot(along[:, 0], along[:, 1])[:, None]

    def to_metres(self, points: NDArray[np.floating]) -> F64:
        """(n, 2) where points of the picture lie on the ground. Raises ValueError without a calibration."""
        if self.ground is None:
            raise ValueError("the camera has no calibration")
        return self.ground.to_metres(points)

    def distances(self, xs: F64, ys: F64) -> F64:
        """(lines, n) see hoaban.geometry.signed_distance, here of all lines at once."""
        cross = self._along[:, 0] * (ys - self._starts[:, 1])
        cross -= self._along[:, 1] * (xs - self._starts[:, 0])
        cross /= self._lengths
        return cross


@dataclass(frozen=True, slots=True)
class Since:
    """The tracks of a frame against those of an earlier one.

    here: rows of those that the earlier one had too; before: their rows there. come: rows of the others. gone: rows
    there of those that are not here.
    """

    here: Rows
    before: Rows
    come: Rows
    gone: Rows

    @classmethod
    def of(cls, ids: NDArray[np.int64], earlier: NDArray[np.int64]) -> "Since":
        """Both (n,) numbers, those of the earlier frame ascending."""
        at = earlier.searchsorted(ids)
        known = earlier.take(at, mode="clip") == ids if len(earlier) else np.zeros(len(ids), bool)
        here = known.nonzero()[0]
        before = at.take(here)
        if len(before) == len(earlier):
            return cls(here, before, (~known).nonzero()[0], before[:0])
        left = np.ones(len(earlier), bool)
        left[before] = False
        return cls(here, before, (~known).nonzero()[0], left.nonzero()[0])


class Seen:
    """The tracks of one frame. All arrays have one row a track, in the order of the tracks; nobody writes into them."""

    def __init__(self, tracks: Tracks, places: Places) -> None:
        self.tracks, self._places = tracks, places
        self._of: dict[tuple[str, ...], Flags] = {}
        self._followed: dict[tuple[tuple[str, ...], int], Followed] = {}
        self._within: dict[tuple[str, tuple[str, ...]], Rows] = {}
        self._margins: dict[tuple[float, float], F64] = {}
        self._samples: tuple[FrameMeta, F64] | None = None

    @cached_property
    def feet(self) -> Floats:
        """(n, 2) float32 pixels, where each stands."""
        return self.tracks.ground_points()

    @cached_property
    def points(self) -> F64:
        """(n, 2) the same as float64."""
        return self.feet.astype(np.float64)

    @cached_property
    def columns(self) -> F64:
        """(2, n) the same, x and y apart."""
        return np.ascontiguousarray(self.points.T)

    @cached_property
    def heights(self) -> Floats:
        """(n,) float32 pixels."""
        return np.asarray(self.tracks.boxes[:, 3] - self.tracks.boxes[:, 1], np.float32)

    @cached_property
    def metres(self) -> F64:
        """(n, 2) where each stands on the ground, nan beyond the horizon. Raises ValueError without a calibration."""
        return self._places.to_metres(self.points)

    @cached_property
    def _distances(self) -> F64:
        return self._places.distances(*self.columns)

    def distances_of(self, rows: list[int]) -> F64:
        """(len(rows), n) pixels from these endless lines, above 0 on their right. rows: places among all lines."""
        return self._distances if rows == list(range(len(self._distances))) else self._distances.take(rows, axis=0)

    def margins(self, least: float, share: float) -> F64:
        """(n,) a share of each one's height, and not less than `least` pixels."""
        key = least, share
        if key not in self._margins:
            self._margins[key] = np.maximum(least, share * self.heights).astype(np.float64)
        return self._margins[key]

    def samples(self, frame: FrameMeta) -> F64:
        """(n, 6) what is kept of a track in a frame: the frame's number and capture time, and its box."""
        if self._samples is None or self._samples[0] is not frame:
            samples = np.empty((len(self.tracks), 6))
            samples[:, 0], samples[:, 1], samples[:, 2:] = frame.seq, frame.captured_s, self.tracks.boxes
            self._samples = frame, samples
        return self._samples[1]

    @cached_property
    def zones(self) -> list[Flags]:
        """Of each zone, (n,) who stands in it."""
        return self._places.outlines.inside(*self.columns)

    def inside(self, zone: str) -> Flags:
        """(n,) who stands in the zone."""
        return self.zones[self._places.zone_rows[zone]]

    def within(self, zone: str, classes: tuple[str, ...]) -> Rows:
        """Rows of those of these classes who stand in the zone."""
        key = zone, classes
        if key not in self._within:
            self._within[key] = np.flatnonzero(self.of(classes) & self.inside(zone))
        return self._within[key]

    def of(self, classes: tuple[str, ...]) -> Flags:
        """(n,) who is of one of these classes."""
        if classes not in self._of:
            self._of[classes] = of_classes(self.tracks, classes)
        return self._of[classes]

    def followed(self, classes: tuple[str, ...], min_hits: int) -> "Followed":
        """Those who are of one of these classes and were seen in so many frames."""
        key = classes, min_hits
        if key not in self._followed:
            self._followed[key] = Followed(self, self.of(classes) & (self.tracks.hits >= min_hits))
        return self._followed[key]


class Followed:
    """Some of the tracks of a frame. flags: (n,) which. All else has one row for each of them."""

    def __init__(self, seen: Seen, flags: Flags) -> None:
        self.flags, self._seen = flags, seen
        self._places: tuple[Rows, Rows] | None = None
        self._samples: tuple[F64, F64] | None = None

    @cached_property
    def rows(self) -> Rows:
        """Their rows among all tracks."""
        return self.flags.nonzero()[0]

    @cached_property
    def points(self) -> F64:
        """(m, 2) pixels, where each stands."""
        return self._seen.points.take(self.rows, axis=0)

    @cached_property
    def heights(self) -> F64:
        """(m,) pixels."""
        return self._seen.heights.take(self.rows).astype(np.float64)

    def places(self, rows: Rows) -> Rows:
        """Their rows in the tables of tracks. rows: those of all tracks."""
        if self._places is None or self._places[0] is not rows:
            self._places = rows, rows.take(self.rows)
        return self._places[1]

    def samples(self, frame: FrameMeta) -> F64:
        """(m, 6) see Seen.samples."""
        every = self._seen.samples(frame)
        if self._samples is None or self._samples[0] is not every:
            self._samples = every, every.take(self.rows, axis=0)
        return self._samples[1]


def of_classes(tracks: Tracks, classes: Iterable[str]) -> Flags:
    """(n,) which tracks are of one of these classes."""
    known = _known(tracks.labels, tuple(classes))
    return known[tracks.classes] if len(known) else np.zeros(len(tracks), bool)


@lru_cache(maxsize=256)
def _known(labels: tuple[str, ...], classes: tuple[str, ...]) -> Flags:
    return np.array([label in classes for label in labels], bool)
