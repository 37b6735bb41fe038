"""Tracks followed across a line, with the frames just before and just after, and the moment between them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import segments_meet
from hoaban.rules.base import Site
from hoaban.rules.gauges import FootGauge, Gauge
from hoaban.rules.heirs import Heirs
from hoaban.rules.moments import Moment
from hoaban.scene import Scene
from hoaban.track_table import F64, FORGET_S, Rows, TrackTable

HIDES = 0.8
"""share of a box's lower edge that a nearer object must cover to hide its foot"""
STANDS_S = 2.0
"""beyond the line, yet too near to be believed, for so long: it stands there"""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A track went over a line. crossed_s: interpolated between the last frame before and the first after it.

    stood: it had stood for long so near beyond the line that nobody can say on which side; crossed_s is when it moved.
    concluded: before it, another track was seen, for which this one goes on.
    """

    track: int
    row: int
    forward: bool
    crossed_s: float
    before: Moment
    at: Moment
    stood: bool = False
    concluded: bool = False

    @property
    def unseen_s(self) -> float:
        """How long the way over the line was not seen: lost frames, or something nearer before the foot."""
        return self.at.captured_s - self.before.captured_s

    def doubts(self, max_gap_s: float) -> list[str]:
        """Why the moment of crossing is not known well enough."""
        if self.stood:
            return ["it had stood on the line: when it went over is not certain"]
        if self.concluded:
            return [f"its track was lost at the line for {self.unseen_s:.2f} s: that it is the same one is concluded"]
        if self.unseen_s <= max_gap_s:
            return []
        return [f"how it went over the line was not seen for {self.unseen_s:.2f} s where {max_gap_s:g} s are allowed"]


@dataclass(frozen=True, slots=True)
class _Sample:
    """A track in one frame. seen: (6,) as Seen.samples has it. point: (2,) what the gauge measured."""

    seen: F64
    point: F64

    @property
    def captured_s(self) -> float:
        return float(self.seen[1])

    def moment(self) -> Moment:
        seq, captured_s, x1, y1, x2, y2 = self.seen.tolist()
        return Moment(int(seq), captured_s, (x1, y1, x2, y2))


@dataclass(frozen=True, slots=True)
class _Pending:
    """One that seems to be beyond a line, which is not believed yet.

    before: its last sample before the line. at: the first one beyond it; None while its foot was hidden.
    """

    before: _Sample
    at: _Sample | None


class LineWatches:
    """Crossings of some lines that are measured alike, all lines and tracks at once.

    Of a track that stays where it is, the last sample is before the line, whichever line that is: it is kept once. Only
    of those few that are on their way over a line is more kept.
    """

    def __init__(self, gauge: Gauge, site: Site, classes: tuple[str, ...], min_hits: int) -> None:
        self.gauge, self._heirs = gauge, Heirs.of(site, classes)
        self._heir_since_s: dict[int, float] = {}  # by row of the table, the oldest first
        self._measured: tuple[int, Rows, F64] = 0, np.zeros(0, np.intp), np.zeros((1, 0))
        self._site, self._followed = site, (classes, min_hits)
        self._pending: dict[tuple[int, int], _Pending] = {}  # by row of the table and line
        self._last: tuple[Tracks, float, list[list[Crossing]]] | None = None
        self.watch(1)

    def watch(self, lines: int) -> None:
        """Look at so many lines. Before the first frame."""
        # side: 1 right, -1 left, 0 not known.
        sides, nowhere = (0.0,) * lines, (np.nan,) * 2
        self._table = TrackTable(self._site.shared.rows, FORGET_S, side=sides, seen=(np.nan,) * 6, point=nowhere)
        self._lines = lines

    def update(self, scene: Scene) -> list[list[Crossing]]:
        """Of each line, the crossings that this frame completes. Rules may ask again in the same frame."""
        if self._last is None or self._last[0] is not scene.tracks or self._last[1] != scene.now_s:
            self._last = scene.tracks, scene.now_s, self._look(scene)
        return self._last[2]

    def distances(self, line: int) -> F64:
        """(n,) see LineWatch."""
        count, rows, away = self._measured
        distances = np.full(count, np.nan)
        distances[rows] = away[line]
        return distances

    def _look(self, scene: Scene) -> list[list[Crossing]]:
        tracks, now_s = scene.tracks, scene.now_s
        self._measured = len(tracks), np.zeros(0, np.intp), np.zeros((self._lines, 0))
        found: list[list[Crossing]] = [[] for _ in range(self._lines)]
        if not len(tracks):
            return found
        everywhere = self._site.shared.rows.of(tracks.ids, now_s)
        for track, heir in self._heirs.update(scene).items():
            self._inherit(track, heir.lost, now_s)
        seen = self._site.seen(tracks)
        points = self.gauge.points(seen)
        followed = seen.followed(*self._followed)
        rows = (followed & (points[:, 0] == points[:, 0])).nonzero()[0]
        away = self.gauge.distances(seen, points).take(rows, axis=1)
        self._measured = len(tracks), rows, away
        places = everywhere.take(rows)
        self._table.touch(places, now_s)
        margins, was = self.gauge.margins(seen).take(rows), np.ascontiguousarray(self._table.get("side", places).T)
        samples, points = seen.samples(scene.frame).take(rows, axis=0), points.take(rows, axis=0)
        # Nearly all are where they were, for certain; of these nothing need be decided.
        lines, open_ = (away * was <= margins).nonzero()
        if len(lines) or self._pending:
            found = self._decide(scene, lines, open_, was, margins, samples, points)
        self._table.put("seen", places, samples)
        self._table.put("point", places, points)
        return found

    def _inherit(self, track: int, lost: int, now_s: float) -> None:
        """What is known of a lost track holds for the one that goes on for it."""
        rows, table = self._site.shared.rows, self._table
        was, place = rows.find(lost), rows.find(track)
        if was is None or place is None or was >= len(table.touched_s) or now_s - table.touched_s[was] > FORGET_S:
            return
        table.touch(np.array([place]), float(table.touched_s[was]))  # it was not measured yet itself
        for name in ("side", "seen", "point"):
            table[name][place] = table[name][was]
        for line in range(self._lines):
            if (pending := self._pending.pop((was, line), None)) is not None:
                self._pending[place, line] = pending
        while self._heir_since_s and now_s - self._heir_since_s[oldest := next(iter(self._heir_since_s))] > FORGET_S:
            del self._heir_since_s[oldest]
        self._heir_since_s.pop(place, None)
        self._heir_since_s[place] = now_s

    def _decide(
        self, scene: Scene, lines: Rows, open_: Rows, was: F64, margins: F64, samples: F64, points: F64
    ) -> list[list[Crossing]]:
        """Of these lines and of these of the measured, side by side: who has gone over."""
        tracks, now_s, (_, rows, away) = scene.tracks, scene.now_s, self._measured
        found: list[list[Crossing]] = [[] for _ in range(self._lines)]
        places, side = self._site.shared.rows.of(tracks.ids, now_s).take(rows), self._table["side"]
        distances, before = away[lines, open_], was[lines, open_]
        here, sure = np.sign(distances), np.abs(distances) > margins.take(open_)
        begins = (sure & (before == 0)).nonzero()[0]
        side[places.take(open_.take(begins)), lines.take(begins)] = here.take(begins)
        over = (here * before < 0).nonzero()[0]
        lines, there, sure = lines.take(over), open_.take(over), sure.take(over)
        started = self._started(places, there, lines, now_s)
        hidden = feet_hidden(tracks, rows.take(there)).tolist()
        each = zip(there.tolist(), lines.tolist(), sure.tolist(), hidden, started, strict=True)
        for index, line, certain, behind, pending in each:
            row, place, sample = int(rows[index]), int(places[index]), _Sample(samples[index], points[index])
            at = pending.at
            if behind:
                away[line, index] = np.nan
            elif at is None:
                at = sample
            if certain and not behind and at is not None:
                side[place, line] = -was[line, index]
                crossing = self._crossing(line, int(tracks.ids[row]), row, pending.before, at, sample)
                if crossing is not None:
                    concluded = crossing.before.captured_s < self._heir_since_s.get(place, 0.0)
                    found[line].append(replace(crossing, concluded=concluded))
                continue
            stands = not behind and at is not None and now_s - at.captured_s > STANDS_S
            self._pending[place, line] = _Pending(sample if stands else pending.before, at)
        return found

    def _started(self, places: Rows, there: Rows, lines: Rows, now_s: float) -> list[_Pending]:
        """How each that is beyond a line came there. Whoever is seen now and is not beyond any more is forgotten."""
        if not len(there) and not self._pending:
            return []
        keys = list(zip(places[there].tolist(), lines.tolist(), strict=True))
        known, seen_s = self._pending, self._table.touched_s
        self._pending = {key: one for key, one in known.items() if seen_s[key[0]] != now_s}
        seen, points = self._table["seen"], self._table["point"]
        return [known.get(key) or _Pending(_Sample(seen[key[0]].copy(), points[key[0]].copy()), None) for key in keys]

    def _crossing(self, line: int, track: int, row: int, before: _Sample, at: _Sample, now: _Sample) -> Crossing | None:
        stood = before.captured_s >= at.captured_s
        at = now if stood else at
        if not stood and not segments_meet(before.point, now.point, *self.gauge.ends(line)):
            return None
        at_away = self.gauge.away(line, at.point)
        before_away = self.gauge.away(line, before.point)
        share = 0.0 if stood else before_away / (before_away - at_away)
        crossed_s = before.captured_s + min(max(share, 0.0), 1.0) * (at.captured_s - before.captured_s)
        return Crossing(track, row, at_away > 0, crossed_s, before.moment(), at.moment(), stood)


class LineWatch:
    """Crossings of one line, each told once, in the frame in which the other side is believed.

    Of each track the last sample before the line and the first one behind it are told.
    """

    def __init__(self, watches: LineWatches, line: int = 0) -> None:
        self._watches, self._line = watches, line

    @classmethod
    def at_foot(cls, site: Site, line: str, classes: tuple[str, ...], min_hits: int) -> "LineWatch":
        """By foot points: the same watch for all rules that follow the same tracks, whatever their lines."""
        gauge = site.shared.keep(("feet", classes, min_hits), lambda: FootGauge(site))
        place = gauge.add(line)
        watches = site.shared.keep(("watches", classes, min_hits), lambda: LineWatches(gauge, site, classes, min_hits))
        watches.watch(len(gauge.lines))
        return cls(watches, place)

    @property
    def gauge(self) -> Gauge:
        return self._watches.gauge

    @property
    def distances(self) -> F64:
        """(n,) of the last frame's tracks from the line, above 0 on its right; nan for those that are not followed or
        cannot be measured."""
        return self._watches.distances(self._line)

    def update(self, scene: Scene) -> list[Crossing]:
        """The crossings that this frame completes. Rules may ask again in the same frame.

        A foot behind a nearer object seems further on than it is: such a track does not cross yet.
        """
        return self._watches.update(scene)[self._line]


def feet_hidden(tracks: Tracks, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Of each of these rows, whether a nearer object stands before its foot: the box then ends too high.

    Nearer is what reaches lower in the picture; the foot lies higher up, further away, than where the object stands. It
    must cover HIDES of the lower edge: what stands before a corner alone leaves the rest of the edge in sight, and the
    box ends where it should.
    """
    if not len(rows):
        return np.zeros(0, np.bool_)
    x1, y1, x2, y2 = tracks.boxes.T.astype(np.float64)
    left, right, foot = x1[rows][:, None], x2[rows][:, None], y2[rows][:, None]
    slack = np.maximum(2.0, 0.05 * (y2[rows] - y1[rows]))[:, None]
    before = (y1 <= foot + slack) & (y2 > foot + slack)
    before &= np.minimum(x2, right) - np.maximum(x1, left) >= HIDES * (right - left)
    return np.asarray(before.any(axis=1))
