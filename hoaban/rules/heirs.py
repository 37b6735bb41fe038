"""Which new track goes on where which lost one was: behind a nearer vehicle, or straight on after a short gap."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoaban.association import kinds_of
from hoaban.detections import Tracks
from hoaban.rules.base import Site
from hoaban.scene import Scene
from hoaban.track_table import F64

HIDDEN_S = 20.0
"""one that a nearer vehicle hides may come out from behind it for so long"""
UNCOVERED_S = 1.0
"""where it was lost is in sight again for so long, and it was not there: it is gone"""
GAP_S = 1.5
"""one that nothing hid is looked for so long, along its way"""
REACH, GROWTH = 0.5, 0.4
"""of its height: how far from where it is expected at once, and more of that for each second"""
HIDDEN_REACH, HIDDEN_TOP = 2.5, 0.6
"""of the new one's height: how far aside of where it was lost it may come out, and how much higher or lower"""
STEADY = 0.3
"""weight of the newest step in a track's speed"""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Tracks where they were seen last: parallel arrays.

    boxes: (n, 4) xyxy pixels. speeds: (n, 2) of the middle of the upper edge, a second. covered_s: when something
    nearer last stood where the track was lost; -inf for one that nothing hid.
    """

    ids: NDArray[np.int64]
    kinds: NDArray[np.intp]
    boxes: F64
    speeds: F64
    seen_s: F64
    covered_s: F64

    @classmethod
    def none(cls) -> "_Rows":
        numbers = np.zeros(0)
        return cls(np.zeros(0, np.int64), np.zeros(0, np.intp), np.zeros((0, 4)), np.zeros((0, 2)), numbers, numbers)

    def select(self, keep: NDArray[np.bool_]) -> "_Rows":
        return _Rows(*(column[keep] for column in self._columns()))

    def joined(self, others: "_Rows") -> "_Rows":
        return _Rows(*(np.concatenate(pair) for pair in zip(self._columns(), others._columns(), strict=True)))

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.ids, self.kinds, self.boxes, self.speeds, self.seen_s, self.covered_s


@dataclass(frozen=True, slots=True)
class Heir:
    """A track that goes on for a lost one. unseen_s: between the two, nothing was seen of it."""

    lost: int
    unseen_s: float


class Heirs:
    """One heir for each lost track, of its kind; once for all rules of a camera.

    An upper edge is compared, not a foot: what hides a vehicle hides its foot first. What is concluded here nobody saw,
    so a finding that rests on it says how long nothing was seen.
    """

    def __init__(self) -> None:
        self._here, self._lost = _Rows.none(), _Rows.none()  # ids ascend among those of the last frame
        self._newest = -1
        self._last: tuple[Tracks, float, dict[int, Heir]] | None = None

    @classmethod
    def of(cls, site: Site) -> "Heirs":
        return site.shared.keep("heirs", cls)

    def update(self, scene: Scene) -> dict[int, Heir]:
        """The tracks that begin in this frame, each with the lost one that it goes on for. Rules may ask again."""
        if self._last is None or self._last[0] is not scene.tracks or self._last[1] != scene.now_s:
            self._last = scene.tracks, scene.now_s, self._look(scene.tracks, scene.now_s)
        return self._last[2]

    def _look(self, tracks: Tracks, now_s: float) -> dict[int, Heir]:
        now = self._rows(tracks, now_s)
        gone = ~np.isin(self._here.ids, now.ids)
        if gone.any():
            lost = self._here.select(gone)
            hidden = _covering(lost.boxes, self._here.boxes).any(axis=1)
            lost.covered_s[hidden] = lost.seen_s[hidden]
            self._lost = self._lost.joined(lost)
        self._here = now
        new = now.select(now.ids > self._newest)
        self._newest = max(self._newest, int(now.ids[-1])) if len(now.ids) else self._newest
        if not len(self._lost.ids):
            return {}
        covering = _covering(self._lost.boxes, now.boxes) & np.isfinite(self._lost.covered_s)[:, None]
        self._lost.covered_s[covering.any(axis=1)] = now_s
        away_s, open_s = now_s - self._lost.seen_s, now_s - self._lost.covered_s
        waits = (away_s <= GAP_S) | ((open_s <= UNCOVERED_S) & (away_s <= HIDDEN_S))
        waits &= ~np.isin(self._lost.ids, now.ids)
        self._lost = self._lost.select(waits)
        return self._match(new, covering[waits], now.boxes, now_s)

    def _match(self, new: _Rows, covering: NDArray[np.bool_], boxes: F64, now_s: float) -> dict[int, Heir]:
        lost = self._lost
        if not len(new.ids) or not len(lost.ids):
            return {}
        fit = np.minimum(_out_from_behind(new, lost, covering, boxes), _straight_on(new, lost, now_s))
        fit[(new.kinds[:, None] != lost.kinds) | (fit > 1)] = 2.0
        if fit.min() > 1:
            return {}
        rows, columns = linear_sum_assignment(fit)
        fits = fit[rows, columns] <= 1
        rows, columns = rows[fits], columns[fits]
        left = np.ones(len(lost.ids), bool)
        left[columns] = False
        self._lost = lost.select(left)
        heirs = zip(new.ids[rows].tolist(), lost.ids[columns].tolist(), lost.seen_s[columns].tolist(), strict=True)
        return {heir: Heir(first, now_s - seen_s) for heir, first, seen_s in heirs}

    def _rows(self, tracks: Tracks, now_s: float) -> _Rows:
        """The tracks of a frame, ids ascending; their speeds go on from the frame before."""
        order, before = np.argsort(tracks.ids, kind="stable"), self._here
        ids, boxes = tracks.ids[order], tracks.boxes[order].astype(np.float64)
        kinds = kinds_of(tracks.labels)[tracks.classes[order]] if len(order) else np.zeros(0, np.intp)
        speeds = np.zeros((len(ids), 2))
        if len(before.ids) and len(ids) and now_s > before.seen_s[0]:
            at = np.minimum(np.searchsorted(before.ids, ids), len(before.ids) - 1)
            known = before.ids[at] == ids
            at = at[known]
            steps = (_tops(boxes[known]) - _tops(before.boxes[at])) / (now_s - before.seen_s[0])
            speeds[known] = (1 - STEADY) * before.speeds[at] + STEADY * steps
        return _Rows(ids, kinds, boxes, speeds, np.full(len(ids), now_s), np.full(len(ids), -np.inf))


def _out_from_behind(new: _Rows, lost: _Rows, covering: NDArray[np.bool_], boxes: F64) -> F64:
    """(new, lost) how far from where it was lost one comes out from behind what hid it, 1 at most; else 2."""
    height = (new.boxes[:, 3] - new.boxes[:, 1])[:, None]
    away = np.abs(_tops(new.boxes)[:, None] - _tops(lost.boxes)) / height[..., None]
    fit = np.maximum(away[..., 0] / HIDDEN_REACH, away[..., 1] / HIDDEN_TOP)
    by_the_same = _beside(new.boxes, boxes).astype(np.float32) @ covering.T.astype(np.float32) > 0
    return np.where(by_the_same, fit, 2.0)


def _straight_on(new: _Rows, lost: _Rows, now_s: float) -> F64:
    """(new, lost) how far from where a lost one should be by now, as a share of the reach; 2 after too long."""
    away_s = now_s - lost.seen_s
    expected = _tops(lost.boxes) + lost.speeds * away_s[:, None]
    heights, heights_new = lost.boxes[:, 3] - lost.boxes[:, 1], new.boxes[:, 3] - new.boxes[:, 1]
    reach = np.maximum(heights_new[:, None], heights) * (REACH + GROWTH * away_s)
    away = _tops(new.boxes)[:, None] - expected
    return np.where(away_s <= GAP_S, np.hypot(away[..., 0], away[..., 1]) / reach, 2.0)


def _covering(some: F64, boxes: F64) -> NDArray[np.bool_]:
    """(some, boxes) which stand before the foot of which: around it, and reaching lower."""
    x1, y1, x2, y2 = boxes.T
    middle, foot = ((some[:, 0] + some[:, 2]) / 2)[:, None], some[:, 3, None]
    slack = np.maximum(2.0, 0.05 * (some[:, 3] - some[:, 1]))[:, None]
    return np.asarray((x1 <= middle) & (middle <= x2) & (y1 <= foot + slack) & (y2 > foot + slack))


def _beside(some: F64, boxes: F64) -> NDArray[np.bool_]:
    """(some, boxes) which are so near, and nearer to the camera, that one may just have come out from behind them."""
    x1, y1, x2, y2 = boxes.T
    left, right, foot = some[:, 0, None], some[:, 2, None], some[:, 3, None]
    wide = right - left
    return np.asarray((x1 <= right + wide) & (x2 >= left - wide) & (y1 <= foot) & (y2 > foot))


def _tops(boxes: F64) -> F64:
    return np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 1]])
