"""From detections of single frames to tracks.

Two-stage association by score as in ByteTrack (Zhang et al., ECCV 2022): sure detections first, then what is left of
the tracks against the unsure ones. Boxes are enlarged before they are compared (Yang et al., Hard to Track Objects
with Irregular Motions, WACV 2023), since at five frames a second a car leaves its own box. Motion is a Kalman filter
with constant velocity (Bewley et al., SORT, ICIP 2016), here with the true time between frames, and each of centre x,
centre y, width and height filtered by itself, so that all tracks are a few array operations.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoaban.detections import Detections, Tracks
from hoaban.geometry import iou

F64 = NDArray[np.float64]
_KINDS = {"car": "vehicle", "truck": "vehicle", "bus": "vehicle", "motorcycle": "two-wheeler", "bicycle": "two-wheeler"}


class Tracker:
    """Tracks of one camera.

    sure: score from which a detection may begin a track. enlarge: how much of its size a box grows on each side before
    comparison. min_overlap: least overlap (IoU of enlarged boxes) of a match. min_hits: frames before a track is
    confirmed. lost_after_s: a track not seen for so long is over.
    """

    def __init__(
        self,
        sure: float = 0.5,
        enlarge: float = 0.35,
        min_overlap: float = 0.15,
        min_hits: int = 2,
        lost_after_s: float = 1.5,
    ) -> None:
        self._sure, self._enlarge, self._min_overlap = sure, enlarge, min_overlap
        self._min_hits, self._lost_after_s = min_hits, lost_after_s
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; ids go on."""
        self._labels: tuple[str, ...] = ()
        self._now_s: float | None = None
        self._ids = np.zeros(0, np.int64)
        self._mean = np.zeros((0, 2, 4))  # position and velocity of cx, cy, w, h
        self._cov = np.zeros((0, 3, 4))  # pp, pv, vv of each
        self._hits = np.zeros(0, np.int32)
        self._seen_s = np.zeros(0)
        self._scores = np.zeros(0, np.float32)
        self._votes = np.zeros((0, 0))

    def update(self, detections: Detections, captured_s: float) -> Tracks:
        """The confirmed tracks seen in this frame. A clock that goes back, or other labels, begin anew."""
        if (self._now_s is not None and captured_s < self._now_s) or detections.labels != self._labels:
            self.reset()
            self._labels = detections.labels
            self._votes = np.zeros((0, len(self._labels)))
        elapsed_s = 0.0 if self._now_s is None else captured_s - self._now_s
        self._now_s = captured_s
        self._predict(elapsed_s)
        kinds = self._kinds(detections.classes)
        sure = np.flatnonzero(detections.scores >= self._sure)
        unsure = np.flatnonzero(detections.scores < self._sure)
        everyone = np.arange(len(self._ids))
        matched: list[tuple[int, int]] = self._match(everyone, sure, detections, kinds)
        left = np.setdiff1d(everyone, [track for track, _ in matched])
        confirmed = left[self._hits[left] >= self._min_hits]
        matched += self._match(confirmed, unsure, detections, kinds)
        self._correct(matched, detections, captured_s)
        begun = np.setdiff1d(sure, [row for _, row in matched])
        self._begin(begun, detections, captured_s)
        seen = self._seen_s == captured_s
        tentative_gone = ~seen & (self._hits < self._min_hits)
        self._keep(~tentative_gone & (captured_s - self._seen_s <= self._lost_after_s))
        return self._seen(captured_s)

    def _kinds(self, classes: NDArray[np.int32]) -> NDArray[np.intp]:
        """A number per row that is the same for classes a detector takes for one another."""
        names = [_KINDS.get(label, label) for label in self._labels]
        order = {name: number for number, name in enumerate(dict.fromkeys(names))}
        lookup = np.array([order[name] for name in names], np.intp)
        return lookup[classes] if len(lookup) else np.zeros(0, np.intp)

    def _boxes(self) -> F64:
        centre, size = self._mean[:, 0, :2], np.maximum(self._mean[:, 0, 2:], 1.0)
        return np.concatenate([centre - size / 2, centre + size / 2], axis=1)

    def _match(
        self, tracks: NDArray[np.intp], rows: NDArray[np.intp], detections: Detections, kinds: NDArray[np.intp]
    ) -> list[tuple[int, int]]:
        if len(tracks) == 0 or len(rows) == 0:
            return []
        overlap = iou(self._grown(self._boxes()[tracks]), self._grown(detections.boxes[rows].astype(np.float64)))
        track_kinds = self._kinds(self._votes[tracks].argmax(axis=1).astype(np.int32))
        overlap[track_kinds[:, None] != kinds[rows][None]] = 0
        pairs = zip(*linear_sum_assignment(-overlap), strict=True)
        return [(int(tracks[t]), int(rows[r])) for t, r in pairs if overlap[t, r] >= self._min_overlap]

    def _grown(self, boxes: F64) -> F64:
        margin = (boxes[:, 2:] - boxes[:, :2]) * self._enlarge
        return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)

    def _noise(self) -> F64:
        """(n, 1) pixels: noise grows with the object, as a detector's error does."""
        return np.maximum(self._mean[:, 0, 3:4], 4.0)

    def _predict(self, elapsed_s: float) -> None:
        if elapsed_s <= 0 or len(self._ids) == 0:
            return
        position, velocity = self._mean[:, 0], self._mean[:, 1]
        # Sizes change slowly; a free size velocity would blow a lost track's box up.
        velocity[:, 2:] *= 0.5
        position += velocity * elapsed_s
        jerk = (0.7 * self._noise()) ** 2  # white acceleration, (sizes a second squared)^2 a second
        pp, pv, vv = self._cov[:, 0], self._cov[:, 1], self._cov[:, 2]
        pp += 2 * elapsed_s * pv + elapsed_s**2 * vv + jerk * elapsed_s**3 / 3
        pv += elapsed_s * vv + jerk * elapsed_s**2 / 2
        vv += jerk * elapsed_s

    def _correct(self, matched: list[tuple[int, int]], detections: Detections, captured_s: float) -> None:
        if not matched:
            return
        tracks, rows = np.array(matched, np.intp).T
        measured = _centres(detections.boxes[rows])
        variance = (0.05 * self._noise()[tracks]) ** 2
        pp, pv, vv = (self._cov[tracks, k] for k in range(3))
        gain_p, gain_v = pp / (pp + variance), pv / (pp + variance)
        surprise = measured - self._mean[tracks, 0]
        self._mean[tracks, 0] += gain_p * surprise
        self._mean[tracks, 1] += gain_v * surprise
        self._cov[tracks] = np.stack([(1 - gain_p) * pp, (1 - gain_p) * pv, vv - gain_v * pv], axis=1)
        self._hits[tracks] += 1
        self._seen_s[tracks] = captured_s
        self._scores[tracks] = detections.scores[rows]
        self._votes[tracks, detections.classes[rows]] += detections.scores[rows]

    def _begin(self, rows: NDArray[np.intp], detections: Detections, captured_s: float) -> None:
        if len(rows) == 0:
            return
        count = len(rows)
        position = _centres(detections.boxes[rows])
        mean = np.stack([position, np.zeros_like(position)], axis=1)
        size = np.maximum(position[:, 3:4], 4.0)
        spread = np.stack([(0.05 * size) ** 2, 0 * size, (2.0 * size) ** 2], axis=1)
        votes = np.zeros((count, len(self._labels)))
        votes[np.arange(count), detections.classes[rows]] = detections.scores[rows]
        self._ids = np.concatenate([self._ids, np.arange(self._next_id, self._next_id + count)])
        self._next_id += count
        self._mean = np.concatenate([self._mean, mean])
        self._cov = np.concatenate([self._cov, np.broadcast_to(spread, (count, 3, 4))])
        self._hits = np.concatenate([self._hits, np.ones(count, np.int32)])
        self._seen_s = np.concatenate([self._seen_s, np.full(count, captured_s)])
        self._scores = np.concatenate([self._scores, detections.scores[rows]])
        self._votes = np.concatenate([self._votes, votes])

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        if keep.all():
            return
        self._ids, self._mean, self._cov = self._ids[keep], self._mean[keep], self._cov[keep]
        self._hits, self._seen_s = self._hits[keep], self._seen_s[keep]
        self._scores, self._votes = self._scores[keep], self._votes[keep]

    def _seen(self, captured_s: float) -> Tracks:
        rows = np.flatnonzero((self._seen_s == captured_s) & (self._hits >= self._min_hits))
        if len(rows) == 0:
            return Tracks.empty(self._labels)
        classes = self._votes[rows].argmax(axis=1).astype(np.int32)
        boxes = self._boxes()[rows].astype(np.float32)
        return Tracks(self._ids[rows], boxes, self._scores[rows], classes, self._hits[rows].copy(), self._labels)


def _centres(boxes: NDArray[np.float32]) -> F64:
    """(n, 4) centre x, centre y, width, height of xyxy boxes."""
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], axis=1)
