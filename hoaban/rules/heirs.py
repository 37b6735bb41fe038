"""Which new track goes on where which lost one was: behind a nearer vehicle, or straight on after a short gap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
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


_ID, _KIND, _BOX, _TOP, _SPEED, _SEEN, _COVERED = 0, 1, slice(2, 6), slice(6, 8), slice(8, 10), 10, 11
_COLUMNS = 12
"""what is remembered of a track where it was seen last: its number, its kind, its box (xyxy pixels), the middle of its
upper edge and the speed of that a second, when, and when something nearer last stood there: -inf if nothing hid it"""


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
        self._here, self._lost = np.zeros((0, _COLUMNS)), np.zeros((0, _COLUMNS))  # numbers ascend among those here
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
        before = self._here
        self._here, gone = self._follow(tracks, now_s)
        now = self._here
        if gone is not None:
            lost = before[gone]
            hidden = _covering(lost[:, _BOX], before[:, _BOX]).any(axis=1)
            lost[hidden, _COVERED] = lost[hidden, _SEEN]
            self._lost = np.concatenate([self._lost, lost])
        new = now[now[:, _ID].searchsorted(self._newest, "right") :]
        self._newest = int(new[-1, _ID]) if len(new) else self._newest
        if not len(self._lost):
            return {}
        covering = self._wait(now, now_s)
        return self._match(new, covering, now[:, _BOX], now_s) if len(new) and len(self._lost) else {}

    def _wait(self, now: F64, now_s: float) -> NDArray[np.bool_]:
        """Forget whom nobody need wait for any longer. (lost, n): who stands before where the others were lost."""
        lost = self._lost
        hidden = np.flatnonzero(lost[:, _COVERED] > -np.inf)
        covering = np.zeros((len(lost), len(now)), bool)
        if len(hidden):
            covering[hidden] = covers = _covering(lost[hidden, _BOX], now[:, _BOX])
            lost[hidden[covers.any(axis=1)], _COVERED] = now_s
        away_s = now_s - lost[:, _SEEN]
        waits = (now_s - lost[:, _COVERED] <= UNCOVERED_S) & (away_s <= HIDDEN_S)
        waits |= away_s <= GAP_S
        waits &= ~_find(now[:, _ID], lost[:, _ID])[1]
        if waits.all():
            return covering
        self._lost = lost[waits]
        return np.asarray(covering[waits])

    def _match(self, new: F64, covering: NDArray[np.bool_], boxes: F64, now_s: float) -> dict[int, Heir]:
        lost = self._lost
        fit = _straight_on(new, lost, now_s)
        hidden = np.flatnonzero(lost[:, _COVERED] > -np.inf)
        if len(hidden):
            behind = _out_from_behind(new, lost[hidden], covering[hidden], boxes)
            fit[:, hidden] = np.minimum(fit[:, hidden], behind)
        fit[(new[:, _KIND, None] != lost[:, _KIND]) | (fit > 1)] = 2.0
        if fit.min() > 1:
            return {}
        rows, columns = cheapest_pairs(fit)
        fits = fit[rows, columns] <= 1
        rows, columns = rows[fits], columns[fits]
        self._lost = np.delete(lost, columns, axis=0)
        heirs = zip(new[rows, _ID].tolist(), lost[columns][:, [_ID, _SEEN]].tolist(), strict=True)
        return {int(heir): Heir(int(first), now_s - seen_s) for heir, (first, seen_s) in heirs}

    def _follow(self, tracks: Tracks, now_s: float) -> tuple[F64, NDArray[np.bool_] | None]:
        """The tracks of a frame, their speeds gone on from the frame before; which of that one's are gone, if any."""
        before, ids = self._here, tracks.ids
        now = np.empty((len(ids), _COLUMNS))
        now[:, _ID], now[:, _BOX] = ids, tracks.boxes
        now[:, _KIND] = kinds_of(tracks.labels)[tracks.classes] if len(ids) else 0
        now[:, _TOP] = now[:, 2:4]
        now[:, 6] += now[:, 4]
        now[:, 6] /= 2
        now[:, _SPEED], now[:, _SEEN], now[:, _COVERED] = 0.0, now_s, -np.inf
        if not (ids[1:] > ids[:-1]).all():
            now = now[np.argsort(ids, kind="stable")]
        at, known = _find(before[:, _ID], now[:, _ID])
        at = at[known]
        if len(at) and now_s > before[0, _SEEN]:
            was = before.take(at, axis=0)
            steps = (now[known, _TOP] - was[:, _TOP]) / (now_s - was[0, _SEEN])
            now[known, _SPEED] = (1 - STEADY) * was[:, _SPEED] + STEADY * steps
        if len(at) == len(before):
            return now, None
        gone = np.ones(len(before), bool)
        gone[at] = False
        return now, gone


def _find(ascending: F64, ids: F64) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(n,) where each of these ids stands among ascending ones; (n,) whether it does at all."""
    at = ascending.searchsorted(ids)
    known = ascending.take(at, mode="clip") == ids if len(ascending) else np.zeros(len(ids), bool)
    return at, known


def _out_from_behind(new: F64, lost: F64, covering: NDArray[np.bool_], boxes: F64) -> F64:
    """(new, lost) how far from where it was lost one comes out from behind what hid it, 1 at most; else 2."""
    height = (new[:, 5] - new[:, 3])[:, None, None]
    away = np.abs(new[:, None, _TOP] - lost[:, _TOP]) / height
    fit = np.maximum(away[..., 0] / HIDDEN_REACH, away[..., 1] / HIDDEN_TOP)
    by_the_same = _beside(new[:, _BOX], boxes).astype(np.float32) @ covering.T.astype(np.float32) > 0
    return np.where(by_the_same, fit, 2.0)


def _straight_on(new: F64, lost: F64, now_s: float) -> F64:
    """(new, lost) how far from where a lost one should be by now, as a share of the reach; 2 after too long."""
    away_s = now_s - lost[:, _SEEN]
    expected = lost[:, _TOP] + lost[:, _SPEED] * away_s[:, None]
    reach = np.maximum((new[:, 5] - new[:, 3])[:, None], lost[:, 5] - lost[:, 3]) * (REACH + GROWTH * away_s)
    away = new[:, None, _TOP] - expected
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
