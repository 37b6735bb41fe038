"""One number for one person or thing, also where the tracker lost it and gave it another."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
from hoaban.detections import Tracks
from hoaban.track_table import TrackRows

GAP_S, REACH = 5.0, 0.7


_ID, _FIRST, _FOOT, _HEIGHT, _CLASS, _TIME = 0, 1, slice(2, 4), 4, 5, 6
"""columns of what is remembered of a track: its number, the one it bears, where it was seen last, its height and class
there, when"""


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
        self._here, self._lost = np.zeros((0, 7)), np.zeros((0, 7))  # ids ascend among those of the last frame
        self._last: tuple[Tracks, float, Tracks] | None = None

    def update(self, tracks: Tracks, now_s: float) -> Tracks:
        """The same tracks, each under the number with which it was seen first. Rows stay where they are.

        Asked again about the same frame's tracks, it gives the same answer: rules share it.
        """
        if self._last is None or self._last[0] is not tracks or self._last[1] != now_s:
            self._last = tracks, now_s, replace(tracks, ids=self._firsts(tracks, now_s))
        return self._last[2]

    def _firsts(self, tracks: Tracks, now_s: float) -> NDArray[np.int64]:
        here, ids = self._here, tracks.ids
        firsts, known = ids.copy(), np.zeros(len(ids), bool)
        if len(here):
            at = np.minimum(np.searchsorted(here[:, _ID], ids), len(here) - 1)
            known = here[at, _ID] == ids
            firsts[known] = here[at[known], _FIRST]
            if np.count_nonzero(known) < len(here):
                gone = np.ones(len(here), bool)
                gone[at[known]] = False
                self._lost = np.concatenate([self._lost, here[gone]])
        feet = tracks.ground_points()
        if len(self._lost):
            fresh = now_s - self._lost[:, _TIME] <= self._gap_s
            self._lost = self._lost if fresh.all() else self._lost[fresh]
            if not known.all():
                self._come_back(firsts, ids, np.flatnonzero(~known))
                self._inherit(firsts, np.flatnonzero(~known & (firsts == ids)), feet, tracks.classes, now_s)
        if not known.all():  # those known stood apart before
            _part(firsts, ids)
        seen = np.empty((len(ids), 7))
        seen[:, _ID], seen[:, _FIRST], seen[:, _FOOT], seen[:, _TIME] = ids, firsts, feet, now_s
        seen[:, _HEIGHT], seen[:, _CLASS] = tracks.boxes[:, 3] - tracks.boxes[:, 1], tracks.classes
        self._here = seen if (ids[1:] > ids[:-1]).all() else seen[np.argsort(ids, kind="stable")]
        return firsts

    def _come_back(self, firsts: NDArray[np.int64], ids: NDArray[np.int64], new: NDArray[np.intp]) -> None:
        """Who was lost and is seen under his own id again."""
        back = (self._lost[:, _ID, None] == ids[new]).any(axis=1)
        if not back.any():
            return
        for number, first in self._lost[back][:, [_ID, _FIRST]]:
            firsts[ids == number] = first
        self._lost = self._lost[~back]

    def _inherit(
        self,
        firsts: NDArray[np.int64],
        new: NDArray[np.intp],
        feet: NDArray[np.float32],
        classes: NDArray[np.int32],
        now_s: float,
    ) -> None:
        lost = self._lost
        # As float32, as boxes are: what lies on the edge of the reach must not depend on how it is kept.
        across, down = (feet[new, axis, None] - lost[:, 2 + axis].astype(np.float32) for axis in (0, 1))
        reach = np.maximum(
            lost[:, _HEIGHT].astype(np.float32) * self._reach * (1 + 0.5 * (now_s - lost[:, _TIME])), 1.0
        )
        share = (across * across + down * down) / (reach * reach)
        near = (share <= 1) & (classes[new, None] == lost[:, _CLASS])
        if not near.any():
            return
        # Someone who is seen under his newer number is not lost under his older one.
        near &= ~(lost[:, _FIRST, None] == firsts).any(axis=1)
        for row, column in zip(*cheapest_pairs(np.where(near, share, 2.0)), strict=True):
            if near[row, column]:
                firsts[new[row]] = lost[column, _FIRST]


def _part(firsts: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
    """Where two stand in one frame under one number, in place: it stays with its first bearer, if he came back."""
    if len(np.unique(firsts)) == len(firsts):
        return
    taken = set(firsts[firsts == ids].tolist())
    for row in np.flatnonzero(firsts != ids):
        if int(firsts[row]) in taken:
            firsts[row] = ids[row]
        taken.add(int(firsts[row]))
