"""Which new track goes on where which lost one was: behind a nearer vehicle, or straight on after a short gap."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
from hoaban.association import kinds_of
from hoaban.detections import Floats, Tracks
from hoaban.rules.base import Site
from hoaban.rules.seen import Since
from hoaban.scene import Scene
from hoaban.track_table import F64, Rows

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
    """One heir for each lost track, of its kind; once for all rules of a camera that follow the same classes.

    An upper edge is compared, not a foot: what hides a vehicle hides its foot first. What is concluded here nobody saw,
    so a finding that rests on it says how long nothing was seen.
    """

    def __init__(self, classes: tuple[str, ...] | None = None) -> None:
        self._classes = classes
        self._here, self._lost = _Here.of(Tracks.empty(), classes, 0.0), np.zeros((0, _COLUMNS))
        self._newest = -1
        self._last: tuple[Tracks, float, dict[int, Heir]] | None = None

    @classmethod
    def of(cls, site: Site, classes: tuple[str, ...]) -> "Heirs":
        return site.shared.keep(("heirs", classes), lambda: cls(classes))

    def update(self, scene: Scene) -> dict[int, Heir]:
        """The tracks that begin in this frame, each with the lost one that it goes on for. Rules may ask again."""
        if self._last is None or self._last[0] is not scene.tracks or self._last[1] != scene.now_s:
            self._last = scene.tracks, scene.now_s, self._look(scene.tracks, scene.now_s)
        return self._last[2]

    def _look(self, tracks: Tracks, now_s: float) -> dict[int, Heir]:
        before, now = self._here, _Here.of(tracks, self._classes, now_s)
        since = Since.of(now.ids, before.ids)
        if len(since.here) and now_s > before.at_s:
            steps = (now.tops.take(since.here, axis=0) - before.tops.take(since.before, axis=0)) / (now_s - before.at_s)
            steps *= STEADY
            steps += (1 - STEADY) * before.speeds.take(since.before, axis=0)
            now.speeds[since.here] = steps
        self._here = now
        if len(since.gone):
            lost, boxes = before.records(since.gone), before.tracks.boxes
            hidden = _covering(lost[:, _BOX], boxes).any(axis=1)
            lost[hidden, _COVERED] = lost[hidden, _SEEN]
            self._lost = np.concatenate([self._lost, lost])
        first = int(now.ids.searchsorted(self._newest, "right"))
        new = np.arange(first, len(now.ids))
        self._newest = int(now.ids[-1]) if len(new) else self._newest
        if not len(self._lost):
            return {}
        self._wait(now.ids.take(since.come), tracks.boxes, now_s)
        return self._match(now.records(new), tracks.boxes, now_s) if len(new) and len(self._lost) else {}

    def _wait(self, come: NDArray[np.int64], boxes: Floats, now_s: float) -> None:
        """Forget whom nobody need wait for any longer. come: who is seen and was not in the frame before."""
        lost = self._lost
        hidden = (lost[:, _COVERED] > -np.inf).nonzero()[0]
        if len(hidden):
            covered = _covering(lost.take(hidden, axis=0)[:, _BOX], boxes).any(axis=1)
            lost[hidden[covered], _COVERED] = now_s
        away_s = now_s - lost[:, _SEEN]
        waits = (now_s - lost[:, _COVERED] <= UNCOVERED_S) & (away_s <= HIDDEN_S)
        waits |= away_s <= GAP_S
        if len(come):
            waits &= ~(lost[:, _ID, None] == come).any(axis=1)
        if np.count_nonzero(waits) < len(waits):
            self._lost = lost[waits]

    def _match(self, new: F64, boxes: Floats, now_s: float) -> dict[int, Heir]:
        lost = self._lost
        fit = _straight_on(new, lost, now_s)
        hidden = (lost[:, _COVERED] > -np.inf).nonzero()[0]
        if len(hidden):
            behind = _out_from_behind(new, lost.take(hidden, axis=0), boxes)
            fit[:, hidden] = np.minimum(fit[:, hidden], behind)
        fit[(new[:, _KIND, None] != lost[:, _KIND]) | (fit > 1)] = 2.0
        if not np.count_nonzero(fit <= 1):
            return {}
        rows, columns = cheapest_pairs(fit)
        fits = fit[rows, columns] <= 1
        rows, columns = rows[fits], columns[fits]
        self._lost = np.delete(lost, columns, axis=0)
        heirs = zip(new[rows, _ID].tolist(), lost[columns][:, [_ID, _SEEN]].tolist(), strict=True)
        return {int(heir): Heir(int(first), now_s - seen_s) for heir, (first, seen_s) in heirs}


@dataclass(frozen=True, slots=True)
class _Here:
    """The tracks of one frame of the kinds of some classes, by ascending ids: one row each in all but `tracks`.

    rows: theirs in `tracks`. tops, speeds: (m, 2) the middle of the upper edge, pixels, and its speed a second.
    """

    tracks: Tracks
    rows: Rows
    ids: NDArray[np.int64]
    tops: F64
    speeds: F64
    at_s: float

    @classmethod
    def of(cls, tracks: Tracks, classes: tuple[str, ...] | None, at_s: float) -> "_Here":
        """Speeds are not known yet."""
        rows = np.arange(len(tracks))
        if classes is not None and len(tracks):
            rows = _of_kinds(tracks.labels, classes).take(tracks.classes).nonzero()[0]
        ids = tracks.ids.take(rows)
        if np.count_nonzero(ids[1:] < ids[:-1]):
            order = np.argsort(ids, kind="stable")
            rows, ids = rows[order], ids[order]
        boxes = tracks.boxes.take(rows, axis=0)
        tops = boxes[:, :2].astype(np.float64)
        tops[:, 0] += boxes[:, 2]
        tops[:, 0] /= 2
        return cls(tracks, rows, ids, tops, np.zeros(tops.shape), at_s)

    def records(self, which: Rows) -> F64:
        """(len(which), 12) what is remembered of these, as seen and hidden by nothing."""
        found, rows = np.empty((len(which), _COLUMNS)), self.rows.take(which)
        found[:, _ID], found[:, _BOX] = self.ids.take(which), self.tracks.boxes.take(rows, axis=0)
        found[:, _KIND] = kinds_of(self.tracks.labels).take(self.tracks.classes.take(rows))
        found[:, _TOP], found[:, _SPEED] = self.tops.take(which, axis=0), self.speeds.take(which, axis=0)
        found[:, _SEEN], found[:, _COVERED] = self.at_s, -np.inf
        return found


@lru_cache(maxsize=64)
def _of_kinds(labels: tuple[str, ...], classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """(labels,) which are of a kind that one of these classes is of, too."""
    kinds = kinds_of(labels)
    wanted = {int(kind) for kind, label in zip(kinds, labels, strict=True) if label in classes}
    return np.array([int(kind) in wanted for kind in kinds], bool)


def _out_from_behind(new: F64, lost: F64, boxes: Floats) -> F64:
    """(new, lost) how far from where it was lost one comes out from behind what hid it, 1 at most; else 2."""
    height = (new[:, 5] - new[:, 3])[:, None, None]
    away = np.abs(new[:, None, _TOP] - lost[:, _TOP]) / height
    fit = np.maximum(away[..., 0] / HIDDEN_REACH, away[..., 1] / HIDDEN_TOP)
    rows, columns = (fit <= 1).nonzero()
    found = np.full(fit.shape, 2.0)
    if len(rows):
        by_the_same = _beside(new[rows][:, _BOX], boxes) & _covering(lost[columns][:, _BOX], boxes)
        near = by_the_same.any(axis=1)
        found[rows[near], columns[near]] = fit[rows[near], columns[near]]
    return found


def _straight_on(new: F64, lost: F64, now_s: float) -> F64:
    """(new, lost) how far from where a lost one should be by now, as a share of the reach; 2 after too long."""
    away_s = now_s - lost[:, _SEEN]
    expected = lost[:, _TOP] + lost[:, _SPEED] * away_s[:, None]
    reach = np.maximum((new[:, 5] - new[:, 3])[:, None], lost[:, 5] - lost[:, 3]) * (REACH + GROWTH * away_s)
    away = new[:, None, _TOP] - expected
    return np.where(away_s <= GAP_S, np.hypot(away[..., 0], away[..., 1]) / reach, 2.0)


def _covering(some: F64, boxes: Floats) -> NDArray[np.bool_]:
    """(some, boxes) which stand before the foot of which: around it, and reaching lower."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T, np.float64)
    middle, foot = ((some[:, 0] + some[:, 2]) / 2)[:, None], some[:, 3, None]
    slack = np.maximum(2.0, 0.05 * (some[:, 3] - some[:, 1]))[:, None]
    return np.asarray((x1 <= middle) & (middle <= x2) & (y1 <= foot + slack) & (y2 > foot + slack))


def _beside(some: F64, boxes: Floats) -> NDArray[np.bool_]:
    """(some, boxes) which are so near, and nearer to the camera, that one may just have come out from behind them."""
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T, np.float64)
    left, right, foot = some[:, 0, None], some[:, 2, None], some[:, 3, None]
    wide = right - left
    return np.asarray((x1 <= right + wide) & (x2 >= left - wide) & (y1 <= foot) & (y2 > foot))
