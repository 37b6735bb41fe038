"""One number for one person or thing, also where the tracker lost it and gave it another."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoaban.detections import Tracks
from hoaban.track_table import TrackRows

GAP_S, REACH = 5.0, 0.7


@dataclass(frozen=True, slots=True)
class _Seen:
    """Where tracks were last seen, parallel arrays. ids ascend among those of the last frame."""

    ids: NDArray[np.int64]
    firsts: NDArray[np.int64]
    feet: NDArray[np.float32]
    heights: NDArray[np.float32]
    classes: NDArray[np.int32]
    at_s: NDArray[np.float64]

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "_Seen":
        feet, heights, classes = self.feet[keep], self.heights[keep], self.classes[keep]
        return _Seen(self.ids[keep], self.firsts[keep], feet, heights, classes, self.at_s[keep])

    def plus(self, other: "_Seen") -> "_Seen":
        return _Seen(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.firsts, other.firsts]),
            np.concatenate([self.feet, other.feet]),
            np.concatenate([self.heights, other.heights]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.at_s, other.at_s]),
        )


def _nobody() -> _Seen:
    ids, numbers = np.zeros(0, np.int64), np.zeros(0, np.float32)
    return _Seen(ids, ids, np.zeros((0, 2), np.float32), numbers, np.zeros(0, np.int32), np.zeros(0))


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
        self._here, self._lost = _nobody(), _nobody()
        self._last: tuple[Tracks, float, Tracks] | None = None

    def update(self, tracks: Tracks, now_s: float) -> Tracks:
        """The same tracks, each under the number with which it was seen first. Rows stay where they are.

        Asked again about the same frame's tracks, it gives the same answer: rules share it.
        """
        if self._last is None or self._last[0] is not tracks or self._last[1] != now_s:
            self._last = tracks, now_s, replace(tracks, ids=self._firsts(tracks, now_s))
        return self._last[2]

    def _firsts(self, tracks: Tracks, now_s: float) -> NDArray[np.int64]:
        here, ids, feet = self._here, tracks.ids, tracks.ground_points()
        firsts, known, at = ids.copy(), np.zeros(len(ids), bool), np.zeros(0, np.intp)
        if len(here.ids):
            at = np.minimum(np.searchsorted(here.ids, ids), len(here.ids) - 1)
            known = here.ids[at] == ids
            firsts[known] = here.firsts[at[known]]
        if int(known.sum()) < len(here.ids):
            gone = np.ones(len(here.ids), bool)
            gone[at[known]] = False
            self._lost = self._lost.plus(here.select(gone))
        if len(self._lost.ids):
            fresh = now_s - self._lost.at_s <= self._gap_s
            self._lost = self._lost if fresh.all() else self._lost.select(fresh)
            if not known.all():
                self._come_back(firsts, ids, np.flatnonzero(~known))
                self._inherit(firsts, np.flatnonzero(~known & (firsts == ids)), feet, tracks.classes, now_s)
        if not known.all():  # those known stood apart before
            _part(firsts, ids)
        heights = tracks.boxes[:, 3] - tracks.boxes[:, 1]
        seen = _Seen(ids, firsts, feet, heights, tracks.classes, np.full(len(ids), now_s))
        self._here = seen if (np.diff(ids) > 0).all() else seen.select(np.argsort(ids, kind="stable"))
        return firsts

    def _come_back(self, firsts: NDArray[np.int64], ids: NDArray[np.int64], new: NDArray[np.intp]) -> None:
        """Who was lost and is seen under his own id again."""
        back = (self._lost.ids[:, None] == ids[new]).any(axis=1)
        if not back.any():
            return
        for number, first in zip(self._lost.ids[back], self._lost.firsts[back], strict=True):
            firsts[ids == number] = first
        self._lost = self._lost.select(~back)

    def _inherit(
        self,
        firsts: NDArray[np.int64],
        new: NDArray[np.intp],
        feet: NDArray[np.float32],
        classes: NDArray[np.int32],
        now_s: float,
    ) -> None:
        lost = self._lost
        across, down = (feet[new, axis, None] - lost.feet[:, axis] for axis in (0, 1))
        reach = np.maximum(lost.heights * self._reach * (1 + 0.5 * (now_s - lost.at_s)), 1.0)
        share = (across * across + down * down) / (reach * reach)
        near = (share <= 1) & (classes[new, None] == lost.classes)
        if not near.any():
            return
        # Someone who is seen under his newer number is not lost under his older one.
        near &= ~(lost.firsts[:, None] == firsts).any(axis=1)
        for row, column in zip(*linear_sum_assignment(np.where(near, share, 2.0)), strict=True):
            if near[row, column]:
                firsts[new[row]] = lost.firsts[column]


def _part(firsts: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
    """Where two stand in one frame under one number, in place: it stays with its first bearer, if he came back."""
    if len(np.unique(firsts)) == len(firsts):
        return
    taken = set(firsts[firsts == ids].tolist())
    for row in np.flatnonzero(firsts != ids):
        if int(firsts[row]) in taken:
            firsts[row] = ids[row]
        taken.add(int(firsts[row]))
