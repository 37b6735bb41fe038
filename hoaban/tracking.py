"""From detections of single frames to tracks.

Association goes by score as in ByteTrack (Zhang et al., ECCV 2022): tracks first take sure detections, then unsure
ones. Boxes are enlarged before they are compared (Yang et al., Hard to Track Objects with Irregular Motions, WACV
2023), since at five frames a second a car leaves its own box. Motion is a Kalman filter with constant velocity (Bewley
et al., SORT, ICIP 2016), here with the true time between frames. Centre and size share one variance, so all tracks are
a few array operations. docs/tracking.md says what was measured.
"""

import numpy as np
from numpy.typing import NDArray

from hoaban.association import F64, Pairs, Rows, centres, corners, distinct, kinds_of, near
from hoaban.detections import Detections, Tracks
from hoaban.geometry import overlaps

Flags = NDArray[np.bool_]

MEASURED = 0.05
"""of a track's height: standard deviation of a detector's box"""
SPEED = 2.0
"""heights a second: standard deviation of the speed of what just appeared; people do 1, motorcycles up to 7"""
AGILITY = 0.7
"""heights a second, gained in one second: standard deviation of a change of speed"""
LEAST_HEIGHT = 4.0
"""pixels; lower ones are as uncertain as one of this height"""
MISSED = 0.85
"""weight of the claim of a track that missed the frame before, so that of two people in one box one keeps it"""
JUMP_SIGMAS, JUMP_HEIGHTS, JUMP_RATIO = 4.0, 3.0, 1.6
"""how far, and to which other size, a track may go where no box overlaps: what just appeared has no known speed"""


class Tracker:
    """Tracks of one camera.

    begin: score from which a detection may begin a track. sure: score from which it goes before others. enlarge: how
    much of its size a box grows on each side before comparison. min_overlap: least overlap (IoU of enlarged boxes) of a
    match. min_hits: frames in a row before a track is confirmed. lost_after_s: a track not seen for so long is over.
    rate: frames a second that are to be expected; a camera with few may be longer without one.
    """

    def __init__(
        self,
        begin: float = 0.6,
        sure: float = 0.5,
        enlarge: float = 0.35,
        min_overlap: float = 0.25,
        min_hits: int = 2,
        lost_after_s: float = 1.5,
        rate: float = 5.0,
    ) -> None:
        self.begin = begin
        self._sure, self._enlarge, self._min_overlap = sure, enlarge, min_overlap
        self._min_hits, self._lost_after_s = min_hits, lost_after_s
        self._longest_s = max(lost_after_s, 3 / rate)
        self._next_id = 1
        self._labels: tuple[str, ...] = ()
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; ids go on."""
        self._kind_of = kinds_of(self._labels)
        self._now_s: float | None = None
        self._ids = np.zeros(0, np.int64)
        self._boxes = np.zeros((0, 4))  # centre x, centre y, width, height
        self._speeds = np.zeros((0, 4))  # of the same, a second
        self._cov = np.zeros((0, 3))  # variance of a box's numbers, covariance with their speeds, variance of these
        self._kinds = np.zeros(0, np.intp)
        self._hits = np.zeros(0, np.int32)
        self._seen_s = np.zeros(0)
        self._scores = np.zeros(0, np.float32)
        self._votes = np.zeros((0, len(self._labels)))

    def update(self, detections: Detections, captured_s: float) -> Tracks:
        """The confirmed tracks seen in this frame. A clock that goes back, or other labels, begin anew."""
        if detections.labels != self._labels or (self._now_s is not None and captured_s < self._now_s):
            self._labels = detections.labels
            self.reset()
        before_s, self._now_s = self._now_s, captured_s
        if before_s is not None:
            # Over before anything is matched, or the first frame after an outage would give a number to a stranger.
            seen_last = (self._seen_s == before_s) & (captured_s - before_s <= self._longest_s)
            self._keep((captured_s - self._seen_s <= self._lost_after_s) | seen_last)
            self._predict(captured_s - before_s)
        detections = distinct(detections, self._kind_of)
        found = centres(detections.boxes)
        row_of = self._associate(detections, found, before_s)
        tracks = (row_of >= 0).nonzero()[0]
        rows = row_of[tracks]
        self._correct(tracks, found[rows])
        self._hits[tracks] += 1
        self._seen_s[tracks] = captured_s
        self._scores[tracks] = detections.scores[rows]
        self._votes[tracks, detections.classes[rows]] += detections.scores[rows]
        new = detections.scores >= self.begin
        new[rows] = False
        self._begin(new.nonzero()[0], detections, found)
        unseen_s = captured_s - self._seen_s
        self._keep((unseen_s <= self._lost_after_s) & ((unseen_s == 0) | (self._hits >= self._min_hits)))
        return self._seen()

    def _associate(self, detections: Detections, found: F64, before_s: float | None) -> Rows:
        """(tracks,) the row of the detection that each track takes, -1 for none."""
        row_of = np.full(len(self._ids), -1, np.intp)
        if len(row_of) == 0 or len(found) == 0:
            return row_of
        kinds = self._kind_of[detections.classes]
        recent = self._seen_s == before_s
        confirmed, sure = self._hits >= self._min_hits, detections.scores >= self._sure
        free = np.ones(len(found), bool)

        def take(pairs: Pairs, tracks: Flags, rows: Flags) -> None:
            open_ = (tracks & (row_of < 0))[pairs.tracks] & (rows & free)[pairs.rows]
            if not open_.any():
                return
            which, taken = pairs.select(open_).best()
            row_of[which] = taken
            free[taken] = False

        overlapping = self._overlapping(found, kinds, recent)
        take(overlapping, confirmed, sure)
        take(overlapping, confirmed, ~sure)
        take(overlapping, ~confirmed, sure)
        offered = (sure & free).nonzero()[0]
        if len(offered) and len(waiting := (recent & (row_of < 0)).nonzero()[0]):
            take(self._jumps(waiting, offered, found, kinds), recent, sure)
        return row_of

    def _overlapping(self, found: F64, kinds: Rows, recent: Flags) -> Pairs:
        tracks, rows, gain = overlaps(corners(self._boxes, self._enlarge), corners(found, self._enlarge))
        likely = (gain >= self._min_overlap) & (self._kinds[tracks] == kinds[rows])
        pairs = Pairs(tracks, rows, gain).select(likely)
        if not recent.all():
            pairs.gain[~recent[pairs.tracks]] *= MISSED
        return pairs

    def _jumps(self, waiting: Rows, offered: Rows, found: F64, kinds: Rows) -> Pairs:
        """Where these tracks may have gone though no box overlaps."""
        boxes = self._boxes[waiting]
        spread = np.sqrt(self._cov[waiting, 0] + self._variance(boxes))
        gain = near(boxes, spread, found[offered], JUMP_SIGMAS, JUMP_HEIGHTS, JUMP_RATIO)
        gain *= self._kinds[waiting, None] == kinds[offered]
        tracks, rows = np.nonzero(gain)
        return Pairs(waiting[tracks], offered[rows], gain[tracks, rows])

    @staticmethod
    def _variance(boxes: F64) -> F64:
        """(n,) of what a detector measures: its error grows with the object."""
        variance: F64 = (MEASURED * np.maximum(boxes[:, 3], LEAST_HEIGHT)) ** 2
        return variance

    def _predict(self, elapsed_s: float) -> None:
        if elapsed_s <= 0 or len(self._ids) == 0:
            return
        # Sizes change slowly; a free size velocity would blow a lost track's box up.
        self._speeds[:, 2:] *= 0.5
        self._boxes += self._speeds * elapsed_s
        agility = (AGILITY / MEASURED) ** 2 * self._variance(self._boxes)  # of white acceleration, pixels^2 / s^3
        pp, pv, vv = self._cov.T
        pp += 2 * elapsed_s * pv + elapsed_s**2 * vv + agility * elapsed_s**3 / 3
        pv += elapsed_s * vv + agility * elapsed_s**2 / 2
        vv += agility * elapsed_s

    def _correct(self, tracks: Rows, measured: F64) -> None:
        if len(tracks) == 0:
            return
        boxes, cov = self._boxes[tracks], self._cov[tracks]
        pp, pv, vv = cov.T
        certain = pp + self._variance(boxes)
        gain_p, gain_v = pp / certain, pv / certain
        surprise = measured - boxes
        self._boxes[tracks] = boxes + gain_p[:, None] * surprise
        self._speeds[tracks] += gain_v[:, None] * surprise
        vv -= gain_v * pv  # before pv changes
        cov[:, :2] *= (1 - gain_p)[:, None]
        self._cov[tracks] = cov

    def _begin(self, rows: Rows, detections: Detections, found: F64) -> None:
        count = len(rows)
        if count == 0:
            return
        boxes, classes, scores = found[rows], detections.classes[rows], detections.scores[rows]
        variance = self._variance(boxes)
        cov = np.stack([variance, np.zeros(count), (SPEED / MEASURED) ** 2 * variance], axis=1)
        votes = np.zeros((count, len(self._labels)))
        votes[np.arange(count), classes] = scores
        self._ids = np.concatenate([self._ids, np.arange(self._next_id, self._next_id + count)])
        self._next_id += count
        self._boxes = np.concatenate([self._boxes, boxes])
        self._speeds = np.concatenate([self._speeds, np.zeros((count, 4))])
        self._cov = np.concatenate([self._cov, cov])
        self._kinds = np.concatenate([self._kinds, self._kind_of[classes]])
        self._hits = np.concatenate([self._hits, np.ones(count, np.int32)])
        self._seen_s = np.concatenate([self._seen_s, np.full(count, self._now_s)])
        self._scores = np.concatenate([self._scores, scores])
        self._votes = np.concatenate([self._votes, votes])

    def _keep(self, keep: Flags) -> None:
        if keep.all():
            return
        self._ids, self._boxes, self._speeds = self._ids[keep], self._boxes[keep], self._speeds[keep]
        self._cov, self._kinds, self._hits = self._cov[keep], self._kinds[keep], self._hits[keep]
        self._seen_s, self._scores, self._votes = self._seen_s[keep], self._scores[keep], self._votes[keep]

    def _seen(self) -> Tracks:
        rows = ((self._seen_s == self._now_s) & (self._hits >= self._min_hits)).nonzero()[0]
        if len(rows) == 0:
            return Tracks.empty(self._labels)
        classes = self._votes[rows].argmax(axis=1).astype(np.int32)
        boxes = corners(self._boxes[rows]).astype(np.float32)
        return Tracks(self._ids[rows], boxes, self._scores[rows], classes, self._hits[rows], self._labels)
