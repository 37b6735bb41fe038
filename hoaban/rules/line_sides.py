"""Which tracks have just gone over a line: the part that all rules on crossings share."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import meeting_point
from hoaban.rules.base import Site
from hoaban.track_table import TrackRows, TrackTable

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
        # side: 1 right, -1 left, 0 not known.
        count = len(self._lines)
        self._table = TrackTable(self._rows, side=(0.0,) * count, x=(0.0,) * count, y=(0.0,) * count)

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
        side, xs, ys = (self._table[name] for name in ("side", "x", "y"))
        distances = seen.distances_of([places.line_rows[line] for line in self._lines]).T
        margins = np.maximum(LEAST_MARGIN_PX, MARGIN * seen.heights)
        sure = seen.of(self._classes)[:, None] & (np.abs(distances) > margins[:, None])
        points = seen.points
        which, columns = sure.nonzero()
        known = rows[which], columns
        here = np.sign(distances[which, columns])
        for index in (here == -side[known]).nonzero()[0].tolist():
            row, column = int(which[index]), int(columns[index])
            line, place = self._lines[column], rows[row]
            before = xs[place, column], ys[place, column]
            where = meeting_point(before, points[row], *places.ends[places.line_rows[line]])
            if where is not None:
                found[line].append(Crossing(row, int(tracks.ids[row]), bool(here[index] > 0), where))
        side[known], xs[known], ys[known] = here, points[which, 0], points[which, 1]
        return found
