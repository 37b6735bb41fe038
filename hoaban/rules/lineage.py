"""One number for one person or thing, also where the tracker lost it and gave it another."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoaban.detections import Tracks

GAP_S, REACH = 5.0, 0.7


class Lineage:
    """A track that begins where another was lost a moment ago goes on under the other's number.

    gap_s: how long ago at most. reach: how far from where it was last seen, in its own heights, plus half of that for
    each second it was away, since people walk on while nobody sees them. One heir for each that was lost.
    """

    def __init__(self, gap_s: float = GAP_S, reach: float = REACH) -> None:
        self._gap_s, self._reach = gap_s, reach
        self._ids = np.zeros(0, np.int64)  # sorted
        self._firsts = np.zeros(0, np.int64)
        self._feet = np.zeros((0, 2), np.float32)
        self._heights = np.zeros(0, np.float32)
        self._seen_s = np.zeros(0)
        self._last: tuple[Tracks, float, Tracks] | None = None

    def update(self, tracks: Tracks, now_s: float) -> Tracks:
        """The same tracks, each under the number with which it was seen first. Rows stay where they are.

        Asked again about the same frame's tracks, it gives the same answer: rules share it.
        """
        if self._last is None or self._last[0] is not tracks or self._last[1] != now_s:
            self._last = tracks, now_s, self._follow(tracks, now_s)
        return self._last[2]

    def _follow(self, tracks: Tracks, now_s: float) -> Tracks:
        self._keep(now_s - self._seen_s <= self._gap_s)
        if len(tracks) == 0:
            return tracks
        feet, heights = tracks.ground_points(), tracks.boxes[:, 3] - tracks.boxes[:, 1]
        at = np.searchsorted(self._ids, tracks.ids)
        known = np.zeros(len(tracks), bool)
        within = at < len(self._ids)
        known[within] = self._ids[at[within]] == tracks.ids[within]
        firsts = tracks.ids.copy()
        firsts[known] = self._firsts[at[known]]
        if not known.all():
            lost = np.ones(len(self._ids), bool)
            lost[at[known]] = False
            self._inherit(firsts, np.flatnonzero(~known), np.flatnonzero(lost), feet, now_s)
        _part(firsts, tracks.ids)
        self._remember(tracks, firsts, feet, heights, at, known, now_s)
        return replace(tracks, ids=firsts)

    def _inherit(
        self,
        firsts: NDArray[np.int64],
        new: NDArray[np.intp],
        lost: NDArray[np.intp],
        feet: NDArray[np.float32],
        now_s: float,
    ) -> None:
        # Someone who is seen under his newer number is not lost under his older one.
        lost = lost[~np.isin(self._firsts[lost], firsts)]
        if len(lost) == 0:
            return
        away = np.linalg.norm(feet[new][:, None] - self._feet[lost][None], axis=2)
        reach = self._heights[lost] * self._reach * (1 + 0.5 * (now_s - self._seen_s[lost]))
        share = np.minimum(away / np.maximum(reach, 1.0), 2.0)
        for row, column in zip(*linear_sum_assignment(share), strict=True):
            if share[row, column] <= 1:
                firsts[new[row]] = self._firsts[lost[column]]

    def _remember(
        self,
        tracks: Tracks,
        firsts: NDArray[np.int64],
        feet: NDArray[np.float32],
        heights: NDArray[np.float32],
        at: NDArray[np.intp],
        known: NDArray[np.bool_],
        now_s: float,
    ) -> None:
        rows = at[known]
        self._firsts[rows], self._seen_s[rows] = firsts[known], now_s
        self._feet[rows], self._heights[rows] = feet[known], heights[known]
        if known.all():
            return
        new = ~known
        ids = np.concatenate([self._ids, tracks.ids[new]])
        order = np.argsort(ids, kind="stable")
        self._ids = ids[order]
        self._firsts = np.concatenate([self._firsts, firsts[new]])[order]
        self._feet = np.concatenate([self._feet, feet[new]])[order]
        self._heights = np.concatenate([self._heights, heights[new]])[order]
        self._seen_s = np.concatenate([self._seen_s, np.full(int(new.sum()), now_s)])[order]

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        if not keep.all():
            self._ids, self._firsts, self._feet = self._ids[keep], self._firsts[keep], self._feet[keep]
            self._heights, self._seen_s = self._heights[keep], self._seen_s[keep]


def _part(firsts: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
    """Where two stand in one frame under one number, in place: it stays with its first bearer, if he came back."""
    if len(np.unique(firsts)) == len(firsts):
        return
    taken = set(firsts[firsts == ids].tolist())
    for row in np.flatnonzero(firsts != ids):
        if int(firsts[row]) in taken:
            firsts[row] = ids[row]
        taken.add(int(firsts[row]))
