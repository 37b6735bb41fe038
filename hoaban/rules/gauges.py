"""How far objects are from lines: by where they stand in the picture, or by a vehicle's front on the ground."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hoaban.geometry import signed_distance
from hoaban.rules.base import Site
from hoaban.rules.seen import Followed, Seen
from hoaban.track_table import F64, Rows

LENGTHS_M = {"car": 4.4, "motorcycle": 1.9, "bicycle": 1.8, "bus": 10.0, "truck": 7.5}
"""usual lengths; a camera's rule may say others"""
OTHER_LENGTH_M = 4.4


@dataclass(frozen=True, slots=True)
class Measured:
    """Some of the tracks of a frame: rows of `followed`. points: (m, 2) where each is, in the gauge's measure.

    away: (lines, m) from the endless lines, above 0 on their right. margins: (m,) nearer to a line than this, the side
    is not believed.
    """

    followed: Followed
    rows: Rows | None
    """None: all"""
    points: F64
    away: F64
    margins: F64

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Of values that have a row for each of those followed, those of the measured."""
        return values if self.rows is None else values.take(self.rows, axis=0)


class Gauge(Protocol):
    """How far objects are from some lines, and in what measure. Lines are meant by their places among the gauge's."""

    def measure(self, seen: Seen, followed: Followed) -> Measured:
        """Those of whom it can be said where they are."""
        ...

    def lengths(self, seen: Seen) -> F64:
        """(n,) of all tracks, their own measure, in that of the distances: its length, or its box's height."""
        ...

    def ends(self, line: int) -> tuple[F64, F64]:
        """(2,), (2,) the line's ends, in the measure of the points."""
        ...

    def away(self, line: int, point: F64) -> float:
        """Of one point, what `distances` says of all."""
        ...


class FootGauge:
    """By the foot point, in pixels. Lines are added before the first frame."""

    def __init__(self, site: Site) -> None:
        self._places = site.places
        self.lines: list[str] = []
        self._rows: list[int] = []

    def add(self, line: str) -> int:
        """The line's place among the gauge's."""
        if line not in self.lines:
            self.lines.append(line)
            self._rows.append(self._places.line_rows[line])
        return self.lines.index(line)

    def measure(self, seen: Seen, followed: Followed) -> Measured:
        rows = followed.rows
        away = seen.distances_of(self._rows).take(rows, axis=1)
        return Measured(followed, None, followed.points, away, seen.margins(2.0, 0.06).take(rows))

    def lengths(self, seen: Seen) -> F64:
        return np.asarray(seen.heights, np.float64)

    def ends(self, line: int) -> tuple[F64, F64]:
        start, end = self._places.ends[self._rows[line]]
        return start, end

    def away(self, line: int, point: F64) -> float:
        return float(signed_distance(point[None], *self.ends(line))[0])


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
        self._run, self._length = run, self._sign * float(np.hypot(*run))
        right = self._sign * np.array([-run[1], run[0]]) / np.hypot(*run)
        self._ahead = right if forward else -right
        self._lengths = LENGTHS_M | lengths_m
        self._labels: tuple[str, ...] | None = None
        self._of_labels = np.zeros(0)

    def measure(self, seen: Seen, followed: Followed) -> Measured:
        lengths = self._by_class(seen.tracks.labels).take(seen.tracks.classes.take(followed.rows))
        points = lengths[:, None] * self._ahead
        points += seen.metres.take(followed.rows, axis=0)
        rows = None
        known = points[:, 0] == points[:, 0]  # not nan
        if np.count_nonzero(known) < len(known):
            rows = known.nonzero()[0]
            points, lengths = points.take(rows, axis=0), lengths.take(rows)
        # As signed_distance has it.
        away = self._run[0] * (points[:, 1] - self._start[1])
        away -= self._run[1] * (points[:, 0] - self._start[0])
        away /= self._length
        return Measured(followed, rows, points, away[None], np.maximum(self.LEAST_MARGIN_M, self.MARGIN * lengths))

    def lengths(self, seen: Seen) -> F64:
        return self._by_class(seen.tracks.labels).take(seen.tracks.classes)

    def _by_class(self, labels: tuple[str, ...]) -> F64:
        if self._labels != labels:
            self._labels = labels
            self._of_labels = np.array([self._lengths.get(label, OTHER_LENGTH_M) for label in labels])
        return self._of_labels

    def ends(self, line: int) -> tuple[F64, F64]:
        return self._start, self._end

    def away(self, line: int, point: F64) -> float:
        return self._sign * float(signed_distance(point[None], self._start, self._end)[0])
