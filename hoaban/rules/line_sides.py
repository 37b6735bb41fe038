"""Which tracks have just gone over a line: the part that all rules on crossings share."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import meeting_point
from hoaban.rules.base import Site
from hoaban.track_table import F64, TrackRows, TrackTable

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
        self._places: list[int] = []
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
        self._places = [self._site.places.line_rows[line] for line in self._lines]
        # By row and line, where those were seen last for certain who are too near to a line.
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
        seen, ends = self._site.seen(tracks), self._site.places.ends
        rows = self._rows.of(tracks.ids, now_s)
        self._table.touch(rows, now_s)
        distances, margins = seen.distances_of(self._places), seen.margins(LEAST_MARGIN_PX, MARGIN)
        sides = np.ascontiguousarray(self._table.get("side", rows).T)
        # Nearly all are where they were, for certain; of these nothing need be decided.
        open_ = distances * sides <= margins
        open_ &= seen.of(self._classes) | (sides != 0)
        columns, which = open_.nonzero()
        near, self._near = self._near, {}
        if len(which):
            followed, away = seen.of(self._classes).take(which), distances[columns, which]
            now = np.where(followed & (np.abs(away) > margins.take(which)), np.sign(away), 0.0)
            pairs = (columns, which, rows.take(which), now, sides[columns, which])
            side, point = self._table["side"], self._table["point"]
            for column, row, place, is_, was in zip(*(values.tolist() for values in pairs), strict=True):
                key = place, column
                if is_ == 0.0:
                    if was != 0.0:
                        self._near[key] = near.get(key) or _xy(point, place)
                    continue
                side[place, column] = is_
                if was == 0.0:
                    continue
                before = near.get(key) or _xy(point, place)
                where = meeting_point(before, seen.points[row], *ends[self._places[column]])
                if where is not None:
                    found[self._lines[column]].append(Crossing(row, int(tracks.ids[row]), is_ > 0, where))
        seen_s = self._table.touched_s
        self._near |= {key: where for key, where in near.items() if seen_s[key[0]] != now_s}
        self._table.put("point", rows, seen.points)
        return found


def _xy(points: F64, place: int) -> tuple[float, float]:
    return points.item(place, 0), points.item(place, 1)
