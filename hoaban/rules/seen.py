"""What several rules of a camera work out of the same frame's tracks: once, by the first that asks."""

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hoaban.calibration import Calibration, Ground
from hoaban.detections import Floats, Tracks
from hoaban.geometry import inside, to_pixels
from hoaban.shapes import Line, Zone

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]


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
        self.ground = None if calibration is None else Ground(calibration, width, height)
        self.line_rows = {name: row for row, name in enumerate(lines)}
        ends = [to_pixels([line.from_, line.to], width, height) for line in lines.values()]
        self.ends = np.array(ends).reshape(-1, 2, 2)

    @cached_property
    def along(self) -> F64:
        """(lines, 2) the way along each line."""
        return self.ends[:, 1] - self.ends[:, 0]

    @cached_property
    def lengths(self) -> F64:
        """(lines,) pixels."""
        return np.asarray(np.hypot(self.along[:, 0], self.along[:, 1]))


class Seen:
    """The tracks of one frame. All arrays have one row a track, in the order of the tracks."""

    def __init__(self, tracks: Tracks, places: Places) -> None:
        self.tracks, self._places = tracks, places
        self._of: dict[tuple[str, ...], Flags] = {}
        self._followed: dict[tuple[tuple[str, ...], int], Flags] = {}
        self._inside: dict[str, Flags] = {}

    @cached_property
    def feet(self) -> Floats:
        """(n, 2) float32 pixels, where each stands."""
        return self.tracks.ground_points()

    @cached_property
    def points(self) -> F64:
        """(n, 2) the same as float64."""
        return self.feet.astype(np.float64)

    @cached_property
    def heights(self) -> Floats:
        """(n,) float32 pixels."""
        return np.asarray(self.tracks.boxes[:, 3] - self.tracks.boxes[:, 1], np.float32)

    @cached_property
    def metres(self) -> F64:
        """(n, 2) where each stands on the ground, nan beyond the horizon. Raises ValueError without a calibration."""
        if self._places.ground is None:
            raise ValueError("the camera has no calibration")
        return self._places.ground.to_metres(self.points)

    @cached_property
    def _distances(self) -> F64:
        """(lines, n); see hoaban.geometry.signed_distance, done here for all lines at once."""
        places = self._places
        across, down = (self.points[:, axis] - places.ends[:, 0, axis, None] for axis in (0, 1))
        cross = places.along[:, 0, None] * down - places.along[:, 1, None] * across
        return np.asarray(cross / places.lengths[:, None])

    def distances(self, line: str) -> F64:
        """(n,) pixels from the endless line, above 0 on its right."""
        row: F64 = self._distances[self._places.line_rows[line]]
        return row

    def distances_of(self, rows: list[int]) -> F64:
        """(len(rows), n) the same of several lines, by their places among the camera's."""
        return np.asarray(self._distances[rows])

    def inside(self, zone: str) -> Flags:
        """(n,) who stands in the zone."""
        if zone not in self._inside:
            self._inside[zone] = inside(self.points, self._places.polygons[zone])
        return self._inside[zone]

    def of(self, classes: tuple[str, ...]) -> Flags:
        """(n,) who is of one of these classes."""
        if classes not in self._of:
            self._of[classes] = of_classes(self.tracks, classes)
        return self._of[classes]

    def followed(self, classes: tuple[str, ...], min_hits: int) -> Flags:
        """(n,) who is of one of these classes and was seen in so many frames."""
        key = classes, min_hits
        if key not in self._followed:
            self._followed[key] = self.of(classes) & (self.tracks.hits >= min_hits)
        return self._followed[key]


def of_classes(tracks: Tracks, classes: Iterable[str]) -> Flags:
    """(n,) which tracks are of one of these classes."""
    known = _known(tracks.labels, tuple(classes))
    return known[tracks.classes] if len(known) else np.zeros(len(tracks), bool)


@lru_cache(maxsize=256)
def _known(labels: tuple[str, ...], classes: tuple[str, ...]) -> Flags:
    return np.array([label in classes for label in labels], bool)
