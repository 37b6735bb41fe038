"""Which tracks have just gone over a line: the part that all rules on crossings share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import meeting_point, signed_distance, to_pixels
from hoaban.rules.base import FORGET_S, Site
from hoaban.shapes import Line

MARGIN = 0.1
"""of a track's height: nearer to the line than this, its side is not believed, so that one who trembles or stands on
the line counts once or not at all"""
LEAST_MARGIN_PX = 2.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """A track has gone over the line. row: its row among the tracks. point: (2,) pixels, where on the line."""

    row: int
    track: int
    forward: bool
    point: NDArray[np.float64]


class LineSides:
    """On which side of a line each track was last seen for certain, by its foot point."""

    def __init__(self, line: Line, site: Site) -> None:
        self._start, self._end = to_pixels([line.from_, line.to], site.width, site.height)
        # Parallel arrays, ids ascending.
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._right = np.zeros(0, bool)
        self._points: NDArray[np.float64] = np.zeros((0, 2))
        self._seen_s = np.zeros(0)

    def update(self, tracks: Tracks, wanted: NDArray[np.bool_], now_s: float) -> list[Crossing]:
        """The crossings that this frame completes. wanted: (n,) which tracks are followed."""
        if len(tracks) == 0:
            return []
        points = tracks.ground_points().astype(np.float64)
        distances = signed_distance(points, self._start, self._end)
        margins = np.maximum(LEAST_MARGIN_PX, MARGIN * (tracks.boxes[:, 3] - tracks.boxes[:, 1]))
        sure, right = wanted & (np.abs(distances) > margins), distances > 0
        self._forget(now_s)
        at, known = self._find(tracks.ids)
        self._seen_s[at[known]] = now_s
        rows = np.flatnonzero(sure & known)
        found = []
        for row in rows[self._right[at[rows]] != right[rows]]:
            where = meeting_point(self._points[at[row]], points[row], self._start, self._end)
            if where is not None:
                found.append(Crossing(int(row), int(tracks.ids[row]), bool(right[row]), where))
        self._right[at[rows]], self._points[at[rows]] = right[rows], points[rows]
        self._add(tracks.ids, right, points, np.flatnonzero(sure & ~known), now_s)
        return found

    def _find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where each id stands, and whether it does."""
        if len(self._ids) == 0:
            return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return at, self._ids[at] == ids

    def _forget(self, now_s: float) -> None:
        stay = now_s - self._seen_s <= FORGET_S
        if not stay.all():
            self._ids, self._right = self._ids[stay], self._right[stay]
            self._points, self._seen_s = self._points[stay], self._seen_s[stay]

    def _add(
        self,
        ids: NDArray[np.int64],
        right: NDArray[np.bool_],
        points: NDArray[np.float64],
        rows: NDArray[np.intp],
        now_s: float,
    ) -> None:
        if len(rows) == 0:
            return
        order = np.argsort(np.concatenate([self._ids, ids[rows]]))
        self._ids = np.concatenate([self._ids, ids[rows]])[order]
        self._right = np.concatenate([self._right, right[rows]])[order]
        self._points = np.concatenate([self._points, points[rows]])[order]
        self._seen_s = np.concatenate([self._seen_s, np.full(len(rows), now_s)])[order]
