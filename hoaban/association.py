"""Which detection belongs to which track: numbers for each pair, and the best choice of pairs.

Boxes here are (n, 4) centre x, centre y, width, height, in pixels of the source frame.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
from hoaban.detections import Detections
from hoaban.geometry import overlaps

F64 = NDArray[np.float64]
Rows = NDArray[np.intp]

KINDS = {"car": "vehicle", "truck": "vehicle", "bus": "vehicle", "motorcycle": "two-wheeler", "bicycle": "two-wheeler"}
"""classes that detectors take for one another"""
SAME_OBJECT = 0.7
"""overlap from which two boxes of one kind are one object"""


@lru_cache(maxsize=64)
def kinds_of(labels: tuple[str, ...]) -> Rows:
    """(classes,) a number per class, the same for those of one kind."""
    names = [KINDS.get(label, label) for label in labels]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.intp)


def distinct(detections: Detections, kinds: Rows) -> Detections:
    """The detections without an object's second box of another class, as a van gives that is a car and a truck.

    A detector's own suppression goes class by class and leaves both. The surer box stays. kinds: see kinds_of.
    """
    classes = set(detections.classes.tolist())
    if len(classes) < 2 or len({int(kinds[name]) for name in classes}) == len(classes):
        return detections
    order = np.argsort(-detections.scores, kind="stable")
    boxes, of_kind = detections.boxes[order], kinds[detections.classes[order]]
    better, worse, overlap = overlaps(boxes, boxes)
    clash = (better < worse) & (overlap > SAME_OBJECT) & (of_kind[better] == of_kind[worse])
    keep = np.ones(len(order), bool)
    for first, second in zip(better[clash].tolist(), worse[clash].tolist(), strict=True):  # by falling score of first
        keep[second] &= not keep[first]
    return detections if keep.all() else detections.select(np.sort(order[keep]))


def centres(boxes: NDArray[np.floating]) -> F64:
    """(n, 4) centre x, centre y, width, height of xyxy boxes."""
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], axis=1)


def corners(boxes: F64, enlarge: float = 0.0) -> F64:
    """(n, 4) xyxy of boxes whose sides are at least a pixel, grown by `enlarge` of its size on each side."""
    reach = np.maximum(boxes[:, 2:], 1.0) * (0.5 + enlarge)
    return np.concatenate([boxes[:, :2] - reach, boxes[:, :2] + reach], axis=1)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs that may be matched, each once: parallel arrays. gain: above 0."""

    tracks: Rows
    rows: Rows
    gain: F64

    def select(self, keep: NDArray[np.bool_]) -> "Pairs":
        return Pairs(self.tracks[keep], self.rows[keep], self.gain[keep])

    def best(self) -> tuple[Rows, Rows]:
        """Tracks and rows of the one-to-one choice with the greatest sum of gains."""
        if len(self.tracks) == 0:
            return self.tracks, self.rows
        # Who has no rival at either end needs no deciding; in a street those are most, and deciding costs n^3.
        alone = (np.bincount(self.tracks)[self.tracks] == 1) & (np.bincount(self.rows)[self.rows] == 1)
        if alone.all():
            return self.tracks, self.rows
        rest = self.select(~alone)
        tracks, rows = np.bincount(rest.tracks).nonzero()[0], np.bincount(rest.rows).nonzero()[0]
        gain = np.zeros((len(tracks), len(rows)))
        gain[tracks.searchsorted(rest.tracks), rows.searchsorted(rest.rows)] = rest.gain
        chosen, taken = cheapest_pairs(-gain)
        useful = gain[chosen, taken] > 0
        return (
            np.concatenate([self.tracks[alone], tracks[chosen[useful]]]),
            np.concatenate([self.rows[alone], rows[taken[useful]]]),
        )


def near(tracks: F64, spread: F64, found: F64, sigmas: float, most: float, size_ratio: float) -> F64:
    """(n, m) above 0 where a track may have gone to a detection, 1 where it was expected.

    spread: (n,) standard deviation of each track's centre, pixels. Zero beyond `sigmas` of them, or beyond `most`
    heights of the track, or where one is taller than the other by more than size_ratio.
    """
    heights, heights_found = np.maximum(tracks[:, 3, None], 1.0), np.maximum(found[:, 3], 1.0)
    reach = np.minimum(sigmas * spread[:, None], most * heights)
    away = np.hypot(tracks[:, 0, None] - found[:, 0], tracks[:, 1, None] - found[:, 1])
    alike = np.maximum(heights, heights_found) <= size_ratio * np.minimum(heights, heights_found)
    return np.asarray(np.maximum(1 - (away / reach) ** 2, 0) * alike, np.float64)
