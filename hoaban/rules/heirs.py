"""Which new track goes on where which lost one was: behind a nearer vehicle, or straight on after a short gap."""

from dataclasses import dataclass

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
    """Tracks in one frame, ids ascending: parallel arrays.

    boxes: (n, 4) xyxy pixels. tops: (n, 2) the middles of their upper edges. speeds: (n, 2) of these, a second.
    """

    ids: NDArray[np.int64]
    kinds: NDArray[np.intp]
    boxes: F64
    tops: F64
    speeds: F64

    def select(self, keep: NDArray[np.bool_] | slice) -> "_Rows":
        return _Rows(self.ids[keep], self.kinds[keep], self.boxes[keep], self.tops[keep], self.speeds[keep])


@dataclass(frozen=True, slots=True)
class _Lost:
    """Tracks where they were seen last, in the order in which they were lost: parallel arrays.

    covered_s: when something nearer last stood where the track was lost; -inf for one that nothing hid.
    """

    rows: _Rows
    seen_s: F64
    covered_s: F64

    def __len__(self) -> int:
        return len(self.seen_s)

    def select(self, keep: NDArray[np.bool_]) -> "_Lost":
        return _Lost(self.rows.select(keep), self.seen_s[keep], self.covered_s[keep])

    def joined(self, rows: _Rows, seen_s: float, hidden: NDArray[np.bool_]) -> "_Lost":
        mine, now_s = self.rows, np.full(len(hidden), seen_s)
        pairs = ((mine.ids, rows.ids), (mine.kinds, rows.kinds), (mine.boxes, rows.boxes), (mine.tops, rows.tops))
        both = _Rows(*(np.concatenate(pair) for pair in (*pairs, (mine.speeds, rows.speeds))))
        covered_s = np.where(hidden, seen_s, -np.inf)
        return _Lost(both, np.concatenate([self.seen_s, now_s]), np.concatenate([self.covered_s, covered_s]))


_NONE = _Rows(np.zeros(0, np.int64), np.zeros(0, np.intp), np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((0, 2)))


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
        self._here, self._here_s = _NONE, 0.0
        self._lost = _Lost(_NONE, np.zeros(0), np.zeros(0))
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
        before, before_s = self._here, self._here_s
        self._here, gone = self._follow(tracks, now_s)
        self._here_s, now = now_s, self._here
        if gone is not None:
            lost = before.select(gone)
            self._lost = self._lost.joined(lost, before_s, _covering(lost.boxes, before.boxes).any(axis=1))
        new = now.select(slice(int(now.ids.searchsorted(self._newest, "right")), None))
        self._newest = max(self._newest, int(now.ids[-1])) if len(now.ids) else self._newest
        if not len(self._lost):
            return {}
        covering = self._wait(now, now_s)
        return self._match(new, covering, now.boxes, now_s) if len(new.ids) and len(self._lost) else {}

    def _wait(self, now: _Rows, now_s: float) -> NDArray[np.bool_]:
        """Forget whom nobody need wait for any longer. (lost, n): who stands before where the others were lost."""
        lost = self._lost
        hidden = np.flatnonzero(lost.covered_s > -np.inf)
        covering = np.zeros((len(lost), len(now.ids)), bool)
        covering[hidden] = _covering(lost.rows.boxes[hidden], now.boxes)
        lost.covered_s[covering.any(axis=1)] = now_s
        away_s, open_s = now_s - lost.seen_s, now_s - lost.covered_s
        waits = (away_s <= GAP_S) | ((open_s <= UNCOVERED_S) & (away_s <= HIDDEN_S))
        waits &= ~_find(now.ids, lost.rows.ids)[1]
        if waits.all():
            return covering
        self._lost = lost.select(waits)
        return np.asarray(covering[waits])

    def _match(self, new: _Rows, covering: NDArray[np.bool_], boxes: F64, now_s: float) -> dict[int, Heir]:
        lost = self._lost
        fit = np.minimum(_out_from_behind(new, lost.rows, covering, boxes), _straight_on(new, lost, now_s))
        fit[(new.kinds[:, None] != lost.rows.kinds) | (fit > 1)] = 2.0
        if fit.min() > 1:
            return {}
        rows, columns = linear_sum_assignment(fit)
        fits = fit[rows, columns] <= 1
        rows, columns = rows[fits], columns[fits]
        left = np.ones(len(lost), bool)
        left[columns] = False
        self._lost = lost.select(left)
        firsts, seen_s = lost.rows.ids[columns].tolist(), lost.seen_s[columns].tolist()
        heirs = zip(new.ids[rows].tolist(), firsts, seen_s, strict=True)
        return {heir: Heir(first, now_s - last_s) for heir, first, last_s in heirs}

    def _follow(self, tracks: Tracks, now_s: float) -> tuple[_Rows, NDArray[np.bool_] | None]:
        """The tracks of a frame, their speeds gone on from the frame before; which of that one's are gone, if any."""
        before, ids, boxes, classes = self._here, tracks.ids, tracks.boxes, tracks.classes
        if not (ids[1:] > ids[:-1]).all():
            order = np.argsort(ids, kind="stable")
            ids, boxes, classes = ids[order], boxes[order], classes[order]
        boxes = boxes.astype(np.float64)
        kinds = kinds_of(tracks.labels)[classes] if len(ids) else np.zeros(0, np.intp)
        now = _Rows(ids, kinds, boxes, _tops(boxes), np.zeros((len(ids), 2)))
        at, known = _find(before.ids, ids)
        at = at[known]
        if len(at) and now_s > self._here_s:
            steps = (now.tops[known] - before.tops[at]) / (now_s - self._here_s)
            now.speeds[known] = (1 - STEADY) * before.speeds[at] + STEADY * steps
        if len(at) == len(before.ids):
            return now, None
        gone = np.ones(len(before.ids), bool)
        gone[at] = False
        return now, gone


def _find(ascending: NDArray[np.int64], ids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(n,) where each of these ids stands among ascending ones; (n,) whether it does at all."""
    at = ascending.searchsorted(ids)
    known = ascending.take(at, mode="clip") == ids if len(ascending) else np.zeros(len(ids), bool)
    return at, known


def _out_from_behind(new: _Rows, lost: _Rows, covering: NDArray[np.bool_], boxes: F64) -> F64:
    """(new, lost) how far from where it was lost one comes out from behind what hid it, 1 at most; else 2."""
    fit = np.full((len(new.ids), len(lost.ids)), 2.0)
    hidden = np.flatnonzero(covering.any(axis=1))
    if not len(hidden):
        return fit
    covering = covering[hidden].astype(np.float32)
    rows, columns = (_beside(new.boxes, boxes).astype(np.float32) @ covering.T).nonzero()
    columns = hidden[columns]
    away = np.abs(new.tops[rows] - lost.tops[columns]) / (new.boxes[rows, 3] - new.boxes[rows, 1])[:, None]
    fit[rows, columns] = np.maximum(away[:, 0] / HIDDEN_REACH, away[:, 1] / HIDDEN_TOP)
    return fit


def _straight_on(new: _Rows, lost: _Lost, now_s: float) -> F64:
    """(new, lost) how far from where a lost one should be by now, as a share of the reach; 2 after too long."""
    away_s, boxes = now_s - lost.seen_s, lost.rows.boxes
    expected = lost.rows.tops + lost.rows.speeds * away_s[:, None]
    heights, heights_new = boxes[:, 3] - boxes[:, 1], new.boxes[:, 3] - new.boxes[:, 1]
    reach = np.maximum(heights_new[:, None], heights) * (REACH + GROWTH * away_s)
    away = new.tops[:, None] - expected
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
    tops = boxes[:, :2].copy()
    tops[:, 0] += boxes[:, 2]
    tops[:, 0] /= 2
    return tops
