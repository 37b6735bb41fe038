"""One number for one person or thing, also where the tracker lost it and gave it another."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
from hoaban.detections import Tracks, foot_points
from hoaban.rules.seen import Since
from hoaban.track_table import TrackRows

GAP_S, REACH = 5.0, 0.7

_ID, _FIRST, _FOOT, _HEIGHT, _CLASS, _TIME = 0, 1, slice(2, 4), 4, 5, 6
"""columns of what is remembered of a lost track: its number, the one it bore, where it was seen last, its height and
class there, when"""


@dataclass(frozen=True, slots=True)
class _Frame:
    """The tracks of a frame and the numbers that they were given. order: of their rows, by ascending ids."""

    tracks: Tracks
    ids: NDArray[np.int64]
    firsts: NDArray[np.int64]
    order: NDArray[np.intp] | None
    at_s: float

    @classmethod
    def of(cls, tracks: Tracks, firsts: NDArray[np.int64], at_s: float) -> "_Frame":
        ids = tracks.ids
        if np.count_nonzero(ids[1:] > ids[:-1]) >= len(ids) - 1:  # as the tracker gives them
            return cls(tracks, ids, firsts, None, at_s)
        order = np.argsort(ids, kind="stable")
        return cls(tracks, ids[order], firsts[order], order, at_s)

    def lost(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """(len(rows), 7) what is remembered of these."""
        found, tracks = np.empty((len(rows), 7)), self.tracks
        found[:, _ID], found[:, _FIRST], found[:, _TIME] = self.ids.take(rows), self.firsts.take(rows), self.at_s
        rows = rows if self.order is None else self.order.take(rows)
        boxes = tracks.boxes.take(rows, axis=0)
        found[:, _FOOT], found[:, _HEIGHT] = foot_points(boxes), boxes[:, 3] - boxes[:, 1]
        found[:, _CLASS] = tracks.classes.take(rows)
        return found


class Lineage:
    """A track that begins where another of its class was lost a moment ago goes on under the other's number.

    gap_s: how long ago at most. reach: how far from where it was last seen, in its own heights, plus half of that for
    each second it was away, since people walk on while nobody sees them. One heir for each that was lost; where the
    lost one comes back itself, it takes its number back.
    """

    def __init__(self, gap_s: float = GAP_S, reach: float = REACH) -> None:
        self._gap_s, self._reach = gap_s, reach
        self.rows = TrackRows()
        """of tracks by the numbers that it gives"""
        self._before = _Frame.of(Tracks.empty(), np.zeros(0, np.int64), 0.0)
        self._lost = np.zeros((0, 7))
        self._last: tuple[Tracks, float, Tracks] | None = None

    def update(self, tracks: Tracks, now_s: float) -> Tracks:
        """The same tracks, each under the number with which it was seen first. Rows stay where they are.

        Asked again about the same frame's tracks, it gives the same answer: rules share it.
        """
        if self._last is None or self._last[0] is not tracks or self._last[1] != now_s:
            self._last = tracks, now_s, replace(tracks, ids=self._firsts(tracks, now_s))
        return self._last[2]

    def _firsts(self, tracks: Tracks, now_s: float) -> NDArray[np.int64]:
        before = self._before
        since = Since.of(tracks.ids, before.ids)
        firsts, new = tracks.ids.copy(), since.come
        firsts[since.here] = before.firsts.take(since.before)
        if len(since.gone):
            self._lost = np.concatenate([self._lost, before.lost(since.gone)])
        if len(self._lost):
            fresh = now_s - self._lost[:, _TIME] <= self._gap_s
            self._lost = self._lost if np.count_nonzero(fresh) == len(fresh) else self._lost[fresh]
            if len(new):
                self._come_back(firsts, tracks.ids, new)
                self._inherit(firsts, new[firsts.take(new) == tracks.ids.take(new)], tracks, now_s)
        if len(new):  # those known stood apart before
            _part(firsts, tracks.ids, new)
        self._before = _Frame.of(tracks, firsts, now_s)
        return firsts

    def _come_back(self, firsts: NDArray[np.int64], ids: NDArray[np.int64], new: NDArray[np.intp]) -> None:
        """Who was lost and is seen under his own id again."""
        same = self._lost[:, _ID, None] == ids.take(new)
        if not np.count_nonzero(same):
            return
        back = same.any(axis=1)
        for number, first in self._lost[back][:, [_ID, _FIRST]]:
            firsts[ids == number] = first
        self._lost = self._lost[~back]

    def _inherit(self, firsts: NDArray[np.int64], new: NDArray[np.intp], tracks: Tracks, now_s: float) -> None:
        lost, boxes = self._lost, tracks.boxes.take(new, axis=0)
        # As float32, as boxes are: what lies on the edge of the reach must not depend on how it is kept.
        foot, place = foot_points(boxes)[:, :, None], lost[:, _FOOT].T.astype(np.float32)
        away = (foot - place) ** 2
        reach = np.maximum(
            lost[:, _HEIGHT].astype(np.float32) * self._reach * (1 + 0.5 * (now_s - lost[:, _TIME])), 1.0
        )
        share = (away[:, 0] + away[:, 1]) / (reach * reach)
        near = (share <= 1) & (tracks.classes.take(new)[:, None] == lost[:, _CLASS])
        if not np.count_nonzero(near):
            return
        # Someone who is seen under his newer number is not lost under his older one.
        columns = near.any(axis=0).nonzero()[0]
        there = set(firsts.tolist())
        columns = columns[[int(first) not in there for first in lost[columns, _FIRST]]]
        near = near.take(columns, axis=1)
        share = np.where(near, share.take(columns, axis=1), 2.0)
        for row, column in zip(*cheapest_pairs(share), strict=True):
            if near[row, column]:
                firsts[new[row]] = lost[columns[column], _FIRST]


def _part(firsts: NDArray[np.int64], ids: NDArray[np.int64], new: NDArray[np.intp]) -> None:
    """Where a new one stands under another's number, in place: it stays with its first bearer, if he came back."""
    if np.count_nonzero(firsts.take(new)[:, None] == firsts) == len(new):
        return
    while len(np.unique(firsts)) < len(firsts):  # who gets his own number back may find that another bears it
        taken = set(firsts[firsts == ids].tolist())
        for row in np.flatnonzero(firsts != ids):
            if int(firsts[row]) in taken:
                firsts[row] = ids[row]
            taken.add(int(firsts[row]))
