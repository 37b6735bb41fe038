"""One face rule's decision: enough frames of one passage agree on one person, who is proposed once."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoaban.events import Event, Finding, ModelRef, format_time, utc
from hoaban.faces.gallery import Gallery, WatchlistEntry
from hoaban.faces.quality import MEASURES, Refusal
from hoaban.faces.rows import FACE_LABEL, Faces
from hoaban.geometry import inside, to_pixels
from hoaban.rules.face_watchlist import FaceWatchlistRule
from hoaban.shapes import Zone
from hoaban.track_table import FORGET_S

NOTE = "a proposal by similarity, not an identification: an officer compares and decides"


MAJORITY = 2 / 3
"""of the votes of a passage must be for the person: a face that is like several people by turns is like none"""


@dataclass(frozen=True, slots=True)
class _Vote:
    """One frame's word for one person: no template, only how similar it was."""

    at_s: float
    seq: int
    entry: WatchlistEntry
    similarity: float
    measures: tuple[float, ...]


@dataclass(slots=True)
class _Passage:
    votes: deque[_Vote] = field(default_factory=deque)
    seen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a rule is shown: the faces of a frame and their tracks (-1: none yet)."""

    seq: int
    now_s: float
    faces: Faces
    tracks: NDArray[np.int64]


class FaceWatch:
    """The rule. Not one template outlives `update`."""

    def __init__(self, config: FaceWatchlistRule, zone: Zone, width: int, height: int) -> None:
        self.name, self.config = config.name, config
        self._polygon = to_pixels(zone.polygon, width, height)
        self._passages: dict[int, _Passage] = {}
        self._proposed: dict[str, float] = {}  # subject -> when last seen
        self.searched = 0

    def update(self, look: Look, gallery: Gallery, template_model: ModelRef, law_s: float) -> list[Finding]:
        """Search the faces in the zone. Raises WrongModelError for a gallery of another model."""
        faces = look.faces
        centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        usable = (faces.refusals == Refusal.NONE) & (look.tracks >= 0)
        rows = np.flatnonzero(usable & inside(centres, self._polygon)) if len(faces) else np.zeros(0, np.intp)
        found = gallery.search(faces.templates[rows], template_model.digest, law_s)
        self.searched += len(rows)
        self._forget(look.now_s)
        findings = []
        for row, index, similarity in zip(rows.tolist(), found.entries.tolist(), found.similarities, strict=True):
            if index < 0 or similarity < self.config.threshold:
                continue
            measures = tuple(round(float(value), 2) for value in faces.measures[row])
            vote = _Vote(look.now_s, look.seq, gallery.entries[index], float(similarity), measures)
            if (agreed := self._count(int(look.tracks[row]), vote)) is not None:
                findings.append(self._finding(look, row, agreed, gallery.size(law_s), template_model))
        return findings

    def resume(self, once: Iterable[Event]) -> None:
        """Whom an earlier process proposed, among its other events: not again within the cooldown."""
        for event in once:
            if event.data["rule"] == self.name and (subject := event.data.get("subject_reference")):
                self._proposed[subject] = event.time.timestamp()

    def _forget(self, now_s: float) -> None:
        self._passages = {t: p for t, p in self._passages.items() if now_s - p.seen_s <= FORGET_S}
        keep_s = self.config.cooldown_s
        self._proposed = {s: seen_s for s, seen_s in self._proposed.items() if now_s - seen_s <= keep_s}

    def _count(self, track: int, vote: _Vote) -> list[_Vote] | None:
        """The votes that agree when this one makes them enough for the first time in the person's passage."""
        passage = self._passages.setdefault(track, _Passage())
        passage.seen_s = vote.at_s
        passage.votes.append(vote)
        while vote.at_s - passage.votes[0].at_s > self.config.within_s:
            passage.votes.popleft()
        subject = vote.entry.subject
        agreed = [one for one in passage.votes if one.entry.subject == subject]
        told = subject in self._proposed
        if told:
            self._proposed[subject] = vote.at_s
        if told or len(agreed) < max(self.config.agree, MAJORITY * len(passage.votes)):
            return None
        self._proposed[subject] = vote.at_s
        return agreed

    def _finding(self, look: Look, row: int, agreed: list[_Vote], size: int, template_model: ModelRef) -> Finding:
        best = max(agreed, key=lambda vote: vote.similarity)
        config, basis = self.config, self.config.lawful_basis
        extra: dict[str, Any] = {
            "watchlist": best.entry.watchlist,
            "entry": best.entry.id,
            "subject_reference": best.entry.subject,
            "similarity": round(best.similarity, 4),
            "threshold": config.threshold,
            "gallery_size": size,
            "frames_agreed": len(agreed),
            "best_frame": {"seq": best.seq, "time": format_time(utc(best.at_s))}
            | dict(zip(MEASURES, best.measures, strict=True)),
            "template_model": template_model.as_dict(),
            "lawful_basis": basis.model_dump(mode="json"),
            "status": "proposed",
            "note": NOTE,
        }
        x1, y1, x2, y2 = look.faces.boxes[row].tolist()
        return Finding(
            "face_watchlist",
            self.name,
            track=int(look.tracks[row]),
            label=FACE_LABEL,
            zone=config.zone,
            score=float(look.faces.scores[row]),
            bbox=(x1, y1, x2, y2),
            extra=extra,
        )
