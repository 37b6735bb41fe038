"""The report on a candidate: what both models made of each recording of a suite, and what the gate says of it.

It holds no time and no path, so that the same models on the same suite give the same report, byte for byte.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from hoaban import __version__
from hoaban.diff import diff_events
from hoaban.evaluation.gate import GateSettings, Segment, Verdict, judge
from hoaban.evaluation.matching import Happening, errors_by_segment, match
from hoaban.evaluation.suite import Recording
from hoaban.events import Event, format_time
from hoaban.models.card import ModelCard
from hoaban.shapes import Strict

SEGMENT_S = 5.0
"""length of a segment: a few happenings on a busy street, and enough of them in minutes of video"""


class ModelIdentity(Strict):
    """Exactly one model: its file, and its card, which says how the file's numbers become boxes."""

    name: str
    version: str
    sha256: str
    card: str = Field(description="sha256 of the card in canonical form")
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, card: ModelCard) -> "ModelIdentity":
        return cls(name=card.name, version=card.version, sha256=card.sha256, card=card.digest(), labels=card.labels)

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    def differs(self, other: "ModelIdentity") -> str:
        """In what it is not the same model as another, or ""."""
        pairs = (("file", self.sha256, other.sha256), ("card", self.card, other.card))
        return next((f"{what} {a[:12]}… is not {b[:12]}…" for what, a, b in pairs if a != b), "")


class SegmentErrors(Strict):
    """starts_s: media time. present, candidate: misses, false events and wrong classes."""

    starts_s: float
    truths: int = Field(ge=0)
    present: float = Field(ge=0)
    candidate: float = Field(ge=0)


class ModelFindings(Strict):
    """What a model made of a recording. missed, false, wrong_class: one line each, with the media time."""

    told: int
    frames_failed: int = 0
    missed: tuple[str, ...]
    false: tuple[str, ...]
    wrong_class: tuple[str, ...]


class RecordingReport(Strict):
    """One recording. lost, gained, changed: events of the candidate against those of the present model."""

    name: str
    clip: str
    sha256: str = Field(description="of the recording's file; of its address, when it is simulated")
    view: str
    role: str
    truths: int
    present: ModelFindings
    candidate: ModelFindings
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    changed: tuple[str, ...]
    same: int
    segments: tuple[SegmentErrors, ...]


class Report(Strict):
    """All of it. passed: in every role, and the candidate failed on no frame."""

    format: Literal[1] = 1
    code: str
    candidate: ModelIdentity
    present: ModelIdentity
    suite: str = Field(description="sha256 over the recordings and what is known of them")
    settings: GateSettings
    roles: tuple[str, ...] = Field((), description="that had to be judged")
    passed: bool
    reason: str
    verdicts: tuple[dict[str, Any], ...]
    recordings: tuple[RecordingReport, ...]

    def digest(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def judged_anew(self) -> tuple[bool, str]:
        """What the gate, as it is set here and not in the file, says of the report's segments."""
        return _judged(self.recordings, GateSettings(), self.roles)[1:]


@dataclass(frozen=True, slots=True)
class Suited:
    """A recording of a suite. digest: of its file."""

    name: str
    recording: Recording
    digest: str


@dataclass(frozen=True, slots=True)
class Run:
    """A model over a recording that is media_s long."""

    events: Sequence[Event]
    media_s: float
    frames_failed: int = 0


def suite_digest(suite: Sequence[Suited], pictures: Iterable[str] = ()) -> str:
    """Of what is known and of the recordings; neither order nor file names count.

    pictures: digests of labelled pictures.
    """
    parts = sorted(f"{one.digest} {one.recording.model_dump_json(by_alias=True)}" for one in suite)
    parts += sorted(f"pictures {digest}" for digest in set(pictures))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def compare(
    candidate: ModelCard,
    present: ModelCard,
    suite: Sequence[Suited],
    runs: Sequence[tuple[Run, Run]],
    roles: Sequence[str] = (),
    pictures: Sequence[RecordingReport] = (),
) -> Report:
    """The report. runs: of the present model and of the candidate, for each recording of the suite.

    pictures: what both made of labelled pictures (hoaban/evaluation/pictures.py).
    """
    recordings = (*(_recording(one, *pair) for one, pair in zip(suite, runs, strict=True)), *pictures)
    settings = GateSettings()
    verdict, passed, reason = _judged(recordings, settings, roles)
    return Report(
        code=__version__,
        candidate=ModelIdentity.of(candidate),
        present=ModelIdentity.of(present),
        suite=suite_digest(suite, (one.sha256 for one in pictures)),
        settings=settings,
        roles=tuple(roles),
        passed=passed,
        reason=reason,
        verdicts=tuple(asdict(role) for role in verdict.roles),
        recordings=recordings,
    )


def _judged(
    recordings: Sequence[RecordingReport], settings: GateSettings, roles: Sequence[str]
) -> tuple[Verdict, bool, str]:
    segments = [
        Segment(one.role, one.name, segment.truths, segment.present, segment.candidate)
        for one in recordings
        for segment in one.segments
    ]
    verdict = judge(segments, settings, roles)
    if failed := sum(one.candidate.frames_failed for one in recordings):
        return verdict, False, f"the candidate failed on {failed} frames"
    return verdict, verdict.passed, verdict.reason or "the suite is empty"


def _recording(one: Suited, present: Run, candidate: Run) -> RecordingReport:
    recording = one.recording
    truths, ends_s = recording.truths, max(present.media_s, candidate.media_s)
    told = [recording.told(run.events) for run in (present, candidate)]
    found = [errors_by_segment(truths, said, recording.near_s, ends_s, SEGMENT_S) for said in told]
    (before, known), (after, _) = found
    diff = diff_events(present.events, candidate.events)
    return RecordingReport(
        name=one.name,
        clip=recording.clip,
        sha256=one.digest,
        view=recording.view,
        role=recording.role.value,
        truths=len(truths),
        present=_findings(recording, told[0], present),
        candidate=_findings(recording, told[1], candidate),
        lost=tuple(_line(event) for event in diff.lost),
        gained=tuple(_line(event) for event in diff.gained),
        changed=tuple(
            f"{_line(change.before)}: class {change.before.data.get('class')} -> {change.after.data.get('class')}"
            for change in diff.changed
            if "class" in change.fields
        ),
        same=diff.same + sum("class" not in change.fields for change in diff.changed),
        segments=tuple(
            SegmentErrors(starts_s=i * SEGMENT_S, truths=n, present=was, candidate=now)
            for i, (n, was, now) in enumerate(zip(known, before, after, strict=True))
        ),
    )


def _findings(recording: Recording, told: Sequence[Happening], run: Run) -> ModelFindings:
    truths = recording.truths
    matched = match(truths, told, recording.near_s)
    return ModelFindings(
        told=len(told),
        frames_failed=run.frames_failed,
        missed=tuple(_said(truths[i]) for i in matched.missed),
        false=tuple(_said(told[j]) for j in matched.false),
        wrong_class=tuple(f"{_said(truths[i])}, called {told[j].classes[0]}" for i, j in matched.wrong_class),
    )


def _said(happening: Happening) -> str:
    kind, *place = happening.place
    words = [f"{happening.at_s:.1f} s", kind, *place, " or ".join(happening.classes)]
    return " ".join(word for word in words if word)


def _line(event: Event) -> str:
    data = event.data
    words = [format_time(event.time)[11:23], event.type, data.get("line") or data.get("zone"), data.get("direction")]
    return " ".join(str(word) for word in (*words, data.get("class")) if word)
