"""Which tracks have just gone over a line: the part that all rules on crossings share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import meeting_point, signed_distance, to_pixels
from hoaban.rules.base import FORGET_S, Site
from hoaban.shapes import Line

MARGIN = 0.1
"""of a track's height: nearer to the line than this, its side is not believed, so that one who trembles or stands on the
line counts once or not at all"""
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
        rows = np.flatnonzero(wanted & (np.abs(distances) > margins))
        self._seen_s[np.isin(self._ids, tracks.ids)] = now_s
        ids, right = tracks.ids[rows], distances[rows] > 0
        at, known = self._find(ids)
        turned = np.flatnonzero(known & (self._right[at] != right) if len(self._ids) else known)
        found = []
        for index in turned:
            row = int(rows[index])
            where = meeting_point(self._points[at[index]], points[row], self._start, self._end)
            if where is not None:
                found.append(Crossing(row, int(ids[index]), bool(right[index]), where))
        self._remember(ids, right, points[rows], now_s)
        return found

    def _find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        if len(self._ids) == 0:
            return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return at, self._ids[at] == ids

    def _remember(
        self, ids: NDArray[np.int64], right: NDArray[np.bool_], points: NDArray[np.float64], now_s: float
    ) -> None:
        stay = (now_s - self._seen_s <= FORGET_S) & ~np.isin(self._ids, ids)
        merged = np.concatenate([self._ids[stay], ids])
        order = np.argsort(merged)
        self._ids = merged[order]
        self._right = np.concatenate([self._right[stay], right])[order]
        self._points = np.concatenate([self._points[stay], points])[order]
        self._seen_s = np.concatenate([self._seen_s[stay], np.full(len(ids), now_s)])[order]
