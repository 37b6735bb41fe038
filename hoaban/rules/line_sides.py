"""Which tracks have just gone over a line: the part that all rules on crossings share."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import meeting_point
from hoaban.rules.base import Site
from hoaban.track_table import F64, Rows, TrackRows, TrackTable

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
    """On which side of some lines each track was last seen for certain, by its foot point.

    classes: of the tracks that are followed. rows: of these tracks, by the numbers that they bear.
    """

    def __init__(self, site: Site, classes: tuple[str, ...], rows: TrackRows) -> None:
        self._site, self._classes, self._rows = site, classes, rows
        self._lines: list[str] = []
        self._table = TrackTable(rows)
        self._last: tuple[Tracks, float, dict[str, list[Crossing]]] | None = None

    @classmethod
    def of(
        cls, site: Site, lines: tuple[str, ...], classes: tuple[str, ...], rows: TrackRows, hours: Hashable = ()
    ) -> "LineSides":
        """The same for all rules that follow the same tracks at the same hours; these lines are among its lines."""
        shared = site.shared.keep(("sides", classes, id(rows), hours), lambda: cls(site, classes, rows))
        shared.watch(lines)
        return shared

    def watch(self, lines: tuple[str, ...]) -> None:
        """Look at these lines too. Before the first frame."""
        self._lines += [line for line in lines if line not in self._lines]
        # side: 1 right, -1 left, 0 not known. point: where the track was seen last.
        self._table = TrackTable(self._rows, side=(0.0,) * len(self._lines), point=(0.0, 0.0))
        self._near: dict[tuple[int, int], tuple[float, float]] = {}

    def update(self, tracks: Tracks, now_s: float) -> dict[str, list[Crossing]]:
        """line -> the crossings that this frame completes. Rules may ask again in the same frame."""
        if self._last is None or self._last[0] is not tracks or self._last[1] != now_s:
            self._last = tracks, now_s, self._look(tracks, now_s)
        return self._last[2]

    def _look(self, tracks: Tracks, now_s: float) -> dict[str, list[Crossing]]:
        found: dict[str, list[Crossing]] = {line: [] for line in self._lines}
        if len(tracks) == 0:
            return found
        seen, places = self._site.seen(tracks), self._site.places
        rows = self._rows.of(tracks.ids, now_s)
        self._table.touch(rows, now_s)
        points, side, point = seen.points, self._table["side"], self._table["point"]
        was = np.ascontiguousarray(side.take(rows, axis=0).T)
        distances = seen.distances_of([places.line_rows[line] for line in self._lines])
        sure = np.abs(distances) > np.maximum(LEAST_MARGIN_PX, MARGIN * seen.heights)
        sure &= seen.of(self._classes)
        now = np.sign(distances) * sure
        near = self._left_for_near(was, now, rows, now_s)
        over = (now != was) & sure
        if over.any():
            for column, row in zip(*(index.tolist() for index in (over & (was != 0)).nonzero()), strict=True):
                line, place = self._lines[column], int(rows[row])
                before = near.get((place, column)) or point[place]
                where = meeting_point(before, points[row], *places.ends[places.line_rows[line]])
                if where is not None:
                    found[line].append(Crossing(row, int(tracks.ids[row]), bool(now[column, row] > 0), where))
            side[rows] = np.where(sure, now, was).T
        point[rows] = points
        return found

    def _left_for_near(
        self, was: F64, now: F64, rows: Rows, now_s: float
    ) -> dict[tuple[int, int], tuple[float, float]]:
        """Where those were seen last for certain who are, or just were, too near to a line; by row and line."""
        before, seen_s, point = self._near, self._table.touched_s, self._table["point"]
        columns, which = ((now == 0) & (was != 0)).nonzero()
        keys = list(zip(rows[which].tolist(), columns.tolist(), strict=True))
        self._near = {key: where for key, where in before.items() if seen_s[key[0]] != now_s}
        for key, where in zip(keys, point[rows[which]].tolist(), strict=True):
            self._near[key] = before.get(key) or (where[0], where[1])
        return before
