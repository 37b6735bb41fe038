"""In what two models that saw the same picture do not agree."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
from hoaban.detections import Detections
from hoaban.geometry import iou

SAME_IOU = 0.5
"""boxes that overlap by so much are of one thing"""
SURE = 0.5
"""things that both are less sure of do not count: near its threshold a model does not agree with itself"""
SCORE_GAP = 0.3
WRONG_CLASS = 10.0
"""a pair of two classes is taken only where none of one class is possible"""

Box = tuple[float, float, float, float]


class Kind(StrEnum):
    ONLY_PRIMARY = "only_primary"
    ONLY_CANDIDATE = "only_candidate"
    CLASS = "class"
    SCORE = "score"


@dataclass(frozen=True, slots=True)
class Sight:
    """One thing as one model saw it. bbox: xyxy pixels of the source frame."""

    label: str
    score: float
    bbox: Box

    def as_dict(self, scale: float = 1.0) -> dict[str, Any]:
        """scale: of the picture in whose pixels the box is to be told."""
        return {"class": self.label, "score": round(self.score, 4), "bbox": [round(v * scale, 1) for v in self.bbox]}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that the models do not agree on. primary: the model that counts; candidate: the one that is tried."""

    kind: Kind
    primary: Sight | None
    candidate: Sight | None

    def as_dict(self, scale: float = 1.0) -> dict[str, Any]:
        return {
            "kind": self.kind.value,
            "primary": None if self.primary is None else self.primary.as_dict(scale),
            "candidate": None if self.candidate is None else self.candidate.as_dict(scale),
        }


def compare(primary: Detections, candidate: Detections) -> list[Disagreement]:
    """What two models do not agree on in one picture, the surest first.

    Only classes that both models know are looked at. As many pairs as possible are made of boxes that overlap by
    SAME_IOU, of these the ones of one class, and of these the ones that overlap most.
    """
    known = set(primary.labels) & set(candidate.labels)
    ours, theirs = _sights(primary, known), _sights(candidate, known)
    found: list[Disagreement] = []
    left, right = set(range(len(ours))), set(range(len(theirs)))
    for i, j in _pairs(ours, theirs):
        left.discard(i)
        right.discard(j)
        a, b = ours[i], theirs[j]
        if max(a.score, b.score) < SURE:
            continue
        if a.label != b.label:
            found.append(Disagreement(Kind.CLASS, a, b))
        elif abs(a.score - b.score) >= SCORE_GAP:
            found.append(Disagreement(Kind.SCORE, a, b))
    found += [Disagreement(Kind.ONLY_PRIMARY, ours[i], None) for i in sorted(left) if ours[i].score >= SURE]
    found += [Disagreement(Kind.ONLY_CANDIDATE, None, theirs[j]) for j in sorted(right) if theirs[j].score >= SURE]
    return sorted(found, key=_surest)


def _surest(one: Disagreement) -> float:
    return -max(sight.score for sight in (one.primary, one.candidate) if sight is not None)


def _sights(seen: Detections, known: set[str]) -> list[Sight]:
    return [
        Sight(label, float(score), (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
        for box, score, number in zip(seen.boxes, seen.scores, seen.classes, strict=True)
        if 0 <= number < len(seen.labels) and (label := seen.labels[int(number)]) in known
    ]


def _pairs(ours: list[Sight], theirs: list[Sight]) -> list[tuple[int, int]]:
    if not ours or not theirs:
        return []
    overlap: NDArray[np.float64] = iou(
        np.array([one.bbox for one in ours], np.float64), np.array([one.bbox for one in theirs], np.float64)
    )
    other = np.array([[a.label != b.label for b in theirs] for a in ours])
    # A pair that is possible at all outweighs any that is not, so that most pairs are made first.
    cost = np.where(overlap >= SAME_IOU, 1 - overlap + WRONG_CLASS * other, 1e3 * WRONG_CLASS)
    rows, columns = cheapest_pairs(cost)
    return [
        (int(row), int(column)) for row, column in zip(rows, columns, strict=True) if overlap[row, column] >= SAME_IOU
    ]


@dataclass(slots=True)
class ShadowCount:
    """What became of a camera's frames that a candidate was to see, since its process began with this candidate.

    sampled: frames that were to be shown. looked: that it answered. dropped: that it had no time for, because the
    model that counts goes first. failed: on which it failed. disagreeing: of those it looked at, with any difference.
    stored: of these, whose picture was kept.
    """

    sampled: int = 0
    looked: int = 0
    dropped: int = 0
    failed: int = 0
    disagreeing: int = 0
    stored: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def saw(self, differences: Iterable[Disagreement]) -> None:
        """One more picture that it looked at."""
        kinds = [one.kind.value for one in differences]
        self.looked += 1
        self.disagreeing += bool(kinds)
        self.kinds.update(kinds)

    @property
    def per_100(self) -> float | None:
        """Disagreeing frames of a hundred that the candidate looked at; None before the first."""
        return None if not self.looked else round(100 * self.disagreeing / self.looked, 2)

    def as_dict(self) -> dict[str, Any]:
        return {
            "sampled": self.sampled,
            "looked": self.looked,
            "dropped": self.dropped,
            "failed": self.failed,
            "disagreeing": self.disagreeing,
            "per_100_frames": self.per_100,
            "stored": self.stored,
            "kinds": {kind.value: self.kinds[kind.value] for kind in Kind},
        }
