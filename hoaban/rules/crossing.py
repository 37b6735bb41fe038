"""Tracks followed across a line, with the frames just before and just after, and the moment between them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import segments_meet
from hoaban.rules.base import Site
from hoaban.rules.gauges import FootGauge, Gauge, Measured
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
    """A track in one frame. values: (8,) what Seen.samples has of it, and the point that the gauge measured."""

    values: F64

    @property
    def point(self) -> F64:
        return self.values[6:]

    @property
    def captured_s(self) -> float:
        return float(self.values[1])

    def moment(self) -> Moment:
        return Moment.of_sample(self.values[:6])


@dataclass(frozen=True, slots=True)
class _Pending:
    """One that seems to be beyond a line, which is not believed yet.

    before: its last sample before the line. at: the first one beyond it; None while its foot was hidden.
    """

    before: _Sample
    at: _Sample | None


@dataclass(frozen=True, slots=True)
class _Over:
    """One that is beyond a line, by where it is now. index: among the measured. place: its row in the table."""

    line: int
    index: int
    place: int
    was: float
    sure: bool


class LineWatches:
    """Crossings of some lines that are measured alike, all lines and tracks at once.

    Of a track that stays where it is, the last sample is before the line, whichever line that is: it is kept once. Only
    of those few that are on their way over a line is more kept.
    """

    def __init__(self, gauge: Gauge, site: Site, classes: tuple[str, ...], min_hits: int) -> None:
        self.gauge, self._heirs = gauge, Heirs.of(site, classes)
        self._heir_since_s: dict[int, float] = {}  # by row of the table, the oldest first
        self._measured: tuple[int, Measured | None] = 0, None
        self._site, self._followed = site, (classes, min_hits)
        self._pending: dict[tuple[int, int], _Pending] = {}  # by row of the table and line
        self._last: tuple[Tracks, float, list[list[Crossing]]] | None = None
        self.watch(1)

    def watch(self, lines: int) -> None:
        """Look at so many lines. Before the first frame."""
        # side: 1 right, -1 left, 0 not known. last: its last sample.
        self._table = TrackTable(self._site.shared.rows, FORGET_S, side=(0.0,) * lines, last=(np.nan,) * 8)
        self._lines = lines

    def update(self, scene: Scene) -> list[list[Crossing]]:
        """Of each line, the crossings that this frame completes. Rules may ask again in the same frame."""
        if self._last is None or self._last[0] is not scene.tracks or self._last[1] != scene.now_s:
            self._last = scene.tracks, scene.now_s, self._look(scene)
        return self._last[2]

    def distances(self, line: int) -> F64:
        """(n,) see LineWatch."""
        count, measured = self._measured
        distances = np.full(count, np.nan)
        if measured is not None:
            distances[measured.of(measured.followed.rows)] = measured.away[line]
        return distances

    def _look(self, scene: Scene) -> list[list[Crossing]]:
        tracks, now_s, table = scene.tracks, scene.now_s, self._table
        self._measured = len(tracks), None
        found: list[list[Crossing]] = [[] for _ in range(self._lines)]
        if not len(tracks):
            return found
        rows, seen = self._site.shared.rows.of(tracks.ids, now_s), self._site.seen(tracks)
        table.touch(rows, now_s)
        for track, heir in self._heirs.update(scene).items():
            self._inherit(track, heir.lost, now_s)
        followed = seen.followed(*self._followed)
        measured = self.gauge.measure(seen, followed)
        self._measured = len(tracks), measured
        places = measured.of(followed.places(rows))
        samples = np.empty((len(places), 8))
        samples[:, :6], samples[:, 6:] = measured.of(followed.samples(scene.frame)), measured.points
        was = np.ascontiguousarray(table.get("side", places).T)
        # Nearly all are where they were, for certain; of these nothing need be decided.
        open_ = measured.away * was <= measured.margins
        if self._pending or np.count_nonzero(open_):
            over = self._over(open_, was, places, measured, now_s)
            if over or self._pending:
                self._decide(scene, measured, over, places, samples, found)
        table.put("last", places, samples)
        return found

    def _inherit(self, track: int, lost: int, now_s: float) -> None:
        """What is known of a lost track holds for the one that goes on for it."""
        rows, table = self._site.shared.rows, self._table
        was, place = rows.find(lost), rows.find(track)
        # Once it was measured, if that was not long ago.
        if was is None or place is None or not now_s - table["last"].item(was, 1) <= FORGET_S:
            return
        for name in ("side", "last"):
            table[name][place] = table[name][was]
        for line in range(self._lines):
            if (pending := self._pending.pop((was, line), None)) is not None:
                self._pending[place, line] = pending
        while self._heir_since_s and now_s - self._heir_since_s[oldest := next(iter(self._heir_since_s))] > FORGET_S:
            del self._heir_since_s[oldest]
        self._heir_since_s.pop(place, None)
        self._heir_since_s[place] = now_s

    def _over(self, open_: NDArray[np.bool_], was: F64, places: Rows, measured: Measured, now_s: float) -> list[_Over]:
        """Who is beyond a line, of those who are not for certain where they were. Notes where others are who are new.

        open_: (lines, m) of the measured. was: (lines, m) the sides.
        """
        side, last = self._table["side"], self._table["last"]
        lines, which = open_.nonzero()
        each = zip(
            lines.tolist(), which.tolist(), places.take(which).tolist(), was[lines, which].tolist(),
            measured.away[lines, which].tolist(), measured.margins.take(which).tolist(), strict=True,
        )  # fmt: skip
        over = []
        for line, index, place, before, away, margin in each:
            if before and now_s - last.item(place, 1) > FORGET_S:  # not measured for so long
                before = side[place, line] = 0.0
            if before == 0.0:
                if abs(away) > margin:
                    side[place, line] = 1.0 if away > 0 else -1.0
            elif away * before < 0:
                over.append(_Over(line, index, place, before, abs(away) > margin))
        return over

    def _decide(
        self,
        scene: Scene,
        measured: Measured,
        over: list[_Over],
        places: Rows,
        samples: F64,
        found: list[list[Crossing]],
    ) -> None:
        """Who of those that are beyond a line has gone over it, into `found`."""
        tracks, now_s = scene.tracks, scene.now_s
        known, here = self._pending, set(places.tolist())
        # Whoever is seen now and is not beyond any more is forgotten.
        self._pending = {key: one for key, one in known.items() if key[0] not in here}
        if not over:
            return
        rows = measured.of(measured.followed.rows).take([one.index for one in over])
        last = self._table["last"]
        for one, row, behind in zip(over, rows.tolist(), feet_hidden(tracks, rows).tolist(), strict=True):
            key, sample = (one.place, one.line), _Sample(samples[one.index])
            pending = known.get(key)
            if pending is None:
                pending = _Pending(_Sample(last[one.place].copy()), None)
            at = pending.at
            if behind:
                measured.away[one.line, one.index] = np.nan
            elif at is None:
                at = sample
            if one.sure and not behind and at is not None:
                self._table["side"][one.place, one.line] = -one.was
                crossing = self._crossing(one.line, int(tracks.ids[row]), row, pending.before, at, sample)
                if crossing is not None:
                    concluded = crossing.before.captured_s < self._heir_since_s.get(one.place, 0.0)
                    found[one.line].append(replace(crossing, concluded=concluded))
                continue
            stands = not behind and at is not None and now_s - at.captured_s > STANDS_S
            self._pending[key] = _Pending(sample if stands else pending.before, at)

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
    x1, y1, x2, y2 = np.ascontiguousarray(tracks.boxes.T, np.float64)
    left, right, foot = x1[rows][:, None], x2[rows][:, None], y2[rows][:, None]
    slack = np.maximum(2.0, 0.05 * (y2[rows] - y1[rows]))[:, None]
    before = (y1 <= foot + slack) & (y2 > foot + slack)
    before &= np.minimum(x2, right) - np.maximum(x1, left) >= HIDES * (right - left)
    return np.asarray(before.any(axis=1))
