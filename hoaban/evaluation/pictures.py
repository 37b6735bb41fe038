"""Two models on pictures in which people said what is there: errors picture by picture, for the same gate.

Things are matched as in hoaban/disagreements.py. A miss, a thing that is none and one of the wrong class count one
error each, at the score from which a model counts as sure.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoaban.coco import Labelled
from hoaban.detections import Detections
from hoaban.disagreements import SURE, Kind, Sight, compare
from hoaban.evaluation.report import ModelFindings, RecordingReport, SegmentErrors

SPACING_S = 1.0


@dataclass(frozen=True, slots=True)
class PictureSuite:
    """Labelled pictures. labels: the classes that people were asked to look for."""

    name: str
    labels: tuple[str, ...]
    pictures: tuple[Labelled, ...]

    def digest(self) -> str:
        """Of the pictures and of what is said of them."""
        return hashlib.sha256(repr((self.labels, sorted(self.pictures, key=lambda p: p.file))).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class PictureErrors:
    """What a model made of one picture."""

    missed: tuple[Sight, ...]
    false: tuple[Sight, ...]
    wrong_class: tuple[tuple[Sight, Sight], ...]
    told: int

    @property
    def count(self) -> int:
        return len(self.missed) + len(self.false) + len(self.wrong_class)


def errors_of(picture: Labelled, labels: tuple[str, ...], seen: Detections) -> PictureErrors:
    """What a model that is sure of some of what it sees made of a picture. labels: as in PictureSuite."""
    sure = seen.select(seen.scores >= SURE)
    known = np.array([label in labels for label in sure.labels], bool)
    sure = sure.select(known[sure.classes]) if len(sure) else sure
    # A class that the model does not know is missed, so both sides are told under the people's labels.
    numbers = {label: number for number, label in enumerate(labels)}
    renamed = Detections(
        sure.boxes,
        np.ones(len(sure), np.float32),
        np.array([numbers[sure.labels[int(n)]] for n in sure.classes], np.int32),
        labels,
    )
    truth = Detections(
        np.array([thing.bbox for thing in picture.things], np.float32).reshape(-1, 4),
        np.ones(len(picture.things), np.float32),
        np.array([numbers[thing.label] for thing in picture.things], np.int32),
        labels,
    )
    found = compare(truth, renamed)
    return PictureErrors(
        tuple(one.primary for one in found if one.kind is Kind.ONLY_PRIMARY and one.primary is not None),
        tuple(one.candidate for one in found if one.kind is Kind.ONLY_CANDIDATE and one.candidate is not None),
        tuple(
            (one.primary, one.candidate) for one in found if one.kind is Kind.CLASS and one.primary and one.candidate
        ),
        len(sure),
    )


def picture_reports(
    suite: PictureSuite, present: Sequence[PictureErrors], candidate: Sequence[PictureErrors]
) -> list[RecordingReport]:
    """One report for each camera of the pictures, each picture a segment. The errors: in the order of the pictures."""
    by_camera: dict[tuple[str, str], list[int]] = {}
    for number, picture in sorted(enumerate(suite.pictures), key=lambda pair: (pair[1].time, pair[1].file)):
        by_camera.setdefault((picture.camera, picture.role), []).append(number)
    digest = suite.digest()
    return [
        RecordingReport(
            name=f"{suite.name}/{camera}",
            clip=f"{len(numbers)} pictures",
            sha256=digest,
            view="good",
            role=role,
            truths=sum(len(suite.pictures[n].things) for n in numbers),
            present=_findings(suite, numbers, present),
            candidate=_findings(suite, numbers, candidate),
            lost=(),
            gained=(),
            changed=(),
            same=0,
            segments=tuple(
                SegmentErrors(
                    starts_s=place * SPACING_S,
                    truths=len(suite.pictures[n].things),
                    present=present[n].count,
                    candidate=candidate[n].count,
                )
                for place, n in enumerate(numbers)
            ),
        )
        for (camera, role), numbers in by_camera.items()
    ]


def _findings(suite: PictureSuite, numbers: Sequence[int], errors: Sequence[PictureErrors]) -> ModelFindings:
    named = [(suite.pictures[n].file, errors[n]) for n in numbers]
    return ModelFindings(
        told=sum(one.told for _, one in named),
        missed=tuple(_line(file, sight) for file, one in named for sight in one.missed),
        false=tuple(_line(file, sight) for file, one in named for sight in one.false),
        wrong_class=tuple(
            f"{_line(file, truth)}, called {told.label}" for file, one in named for truth, told in one.wrong_class
        ),
    )


def _line(file: str, sight: Sight) -> str:
    return f"{file} {sight.label} at {', '.join(f'{v:.0f}' for v in sight.bbox)}"
