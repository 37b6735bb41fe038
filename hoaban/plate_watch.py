"""Vehicles whose plates are read, and what is proposed of them: pure, the same for live cameras and for replay.

Reading takes long, so it is done beside the frames: `choose` says which crops, `take` hears what was read. That lives
in memory for the time of a vehicle's passage; of plates that fit no entry nothing else is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hoaban.detections import Tracks
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.plates import Plate, combine, unknown_beside
from hoaban.rules.base import Site
from hoaban.rules.lawful import why_silent
from hoaban.rules.moments import Moment
from hoaban.rules.plate_watchlist import PlateWatchlistRule
from hoaban.rules.recent import Recent

NOTE = "a proposal by the characters that were read, not an identification: an officer compares and decides"
PASSAGE_S = 10.0
"""a vehicle not seen for so long is forgotten, with what was read of it"""
MOST_LOOKS = 2
"""crops of one frame that are read"""


@dataclass(frozen=True, slots=True)
class ListedPlate:
    """One approved entry. plate: capitals and digits alone. `subject` is a reference (a case or file number)."""

    id: str
    watchlist: str
    subject: str
    plate: str
    expires_s: float


@dataclass(frozen=True, slots=True)
class Look:
    """A crop that is to be read: a vehicle in a frame. rules: names of those in whose zones it is."""

    frame: FrameMeta
    track: int
    label: str
    score: float
    moment: Moment
    rules: tuple[str, ...]
    provenance: Provenance


@dataclass(slots=True)
class _Passage:
    """rule -> what was read, by picture, while the vehicle was in its zone; None where no plate was seen."""

    seen_s: float
    looks: int = 0
    looked_s: float = float("-inf")
    read: dict[str, list[tuple[Moment, Plate]]] = field(default_factory=dict)
    done: bool = False


class PlateWatch:
    """The plate rules of one camera. Not thread-safe: one caller at a time.

    law_not_before_s: as for faces, the law is judged by a frame's capture time and in a replay by this later one.
    """

    def __init__(self, camera: Camera, code: str, *, law_not_before_s: float = 0.0) -> None:
        self._code, self._law_not_before_s = code, law_not_before_s
        self._entries: Sequence[ListedPlate] | None = None
        self._ends_s: dict[str, float] = {}  # watchlist -> when its last entry is over
        self._looks = self._plates = self._proposals = 0
        self._camera, self._digest = camera, camera.digest()
        self._begin()

    def reconfigure(self, camera: Camera) -> None:
        """Another configuration of the same camera; passages begin anew where the rules do."""
        before, self._camera, self._digest = self._camera, camera, camera.digest()
        if camera.rules_rest_on != before.rules_rest_on:
            self._begin()

    def _begin(self) -> None:
        self._site: Site | None = None
        self._passages: dict[int, _Passage] = {}
        self._told: dict[str, Recent[str]] = {rule.name: Recent(rule.cooldown_s) for rule in self._camera.plate_rules}
        self._captured_s = float("-inf")

    def set_watchlist(self, entries: Sequence[ListedPlate] | None) -> None:
        """Another list from now on; None: there is none."""
        self._entries, self._ends_s = entries, {}
        for entry in entries or ():
            self._ends_s[entry.watchlist] = max(entry.expires_s, self._ends_s.get(entry.watchlist, 0.0))

    def resume(self, once: Sequence[Event]) -> None:
        """What an earlier process proposed, the oldest first: not again within the rules' cooldown."""
        for event in once:
            if (told := self._told.get(event.data["rule"])) is not None and "entry" in event.data:
                told.tell(event.data["entry"], event.time.timestamp())

    def silent(self, rule: PlateWatchlistRule, captured_s: float) -> str | None:
        """Why a rule reads nothing now, or None."""
        ends_s = None if self._entries is None else self._ends_s
        return why_silent(rule.lawful_basis, rule.watchlist, ends_s, self._law_s(captured_s))

    def choose(self, frame: FrameMeta, tracks: Tracks, model: ModelRef) -> list[Look]:
        """The vehicles of a frame whose plates are worth reading now, those read least and nearest first."""
        self._fit(frame)
        now_s, found = frame.captured_s, dict[int, list[PlateWatchlistRule]]()
        self._passages = {t: p for t, p in self._passages.items() if now_s - p.seen_s <= PASSAGE_S}
        if self._site is None or not len(tracks):
            return []
        seen, heights = self._site.seen(tracks), tracks.boxes[:, 3] - tracks.boxes[:, 1]
        for rule in self._camera.plate_rules:
            if self.silent(rule, now_s) is None:
                near = seen.of(rule.classes) & seen.inside(rule.zone) & (heights >= rule.min_height * frame.height)
                for row in np.flatnonzero(near).tolist():
                    found.setdefault(row, []).append(rule)
        due = []
        for row, rules in found.items():
            passage = self._passages.setdefault(int(tracks.ids[row]), _Passage(now_s))
            passage.seen_s = now_s
            open_ = not passage.done and passage.looks < max(rule.looks for rule in rules)
            if open_ and now_s - passage.looked_s >= min(rule.every_s for rule in rules) - 1e-6:
                due.append((passage.looks, -float(heights[row]), row))
        return [self._look(frame, tracks, row, found[row], model) for _, _, row in sorted(due)[:MOST_LOOKS]]

    def give_back(self, look: Look) -> None:
        """A crop that `choose` named was not read: it does not count among the looks at its vehicle."""
        self._looks -= 1
        if (passage := self._passages.get(look.track)) is not None:
            passage.looks -= 1

    def take(self, look: Look, plate: Plate | None) -> list[Event]:
        """What was read on a crop that `choose` named; None: no plate."""
        passage = self._passages.get(look.track)
        self._plates += plate is not None
        if passage is None or plate is None or passage.done:
            return []
        events = []
        for rule in self._camera.plate_rules:
            if rule.name in look.rules:
                read = passage.read.setdefault(rule.name, [])
                read.append((look.moment, plate))
                events += self._judge(rule, look, read)
        passage.done = bool(events)
        self._proposals += len(events)
        return events

    def pins(self) -> set[int]:
        """Numbers of the frames that a proposal may yet need as stills."""
        open_ = [passage for passage in self._passages.values() if not passage.done]
        return {moment.seq for passage in open_ for read in passage.read.values() for moment, _ in read}

    def status(self, now_s: float) -> dict[str, Any]:
        """How many crops were read, how many showed a plate, proposals; of each rule why it is silent, or None."""
        return {
            "crops_read": self._looks,
            "plates_read": self._plates,
            "proposals": self._proposals,
            "rules": {rule.name: {"silent": self.silent(rule, now_s)} for rule in self._camera.plate_rules},
        }

    def _look(
        self, frame: FrameMeta, tracks: Tracks, row: int, rules: list[PlateWatchlistRule], model: ModelRef
    ) -> Look:
        passage = self._passages[int(tracks.ids[row])]
        passage.looks, passage.looked_s = passage.looks + 1, frame.captured_s
        self._looks += 1
        terms = self._camera.terms
        provenance = Provenance(model, self._digest, self._code, None, terms.retention_days if terms else None)
        moment, names = Moment.of(frame, tracks, row), tuple(rule.name for rule in rules)
        score = float(tracks.scores[row])
        return Look(frame, int(tracks.ids[row]), tracks.label(row), score, moment, names, provenance)

    def _judge(self, rule: PlateWatchlistRule, look: Look, read: list[tuple[Moment, Plate]]) -> list[Event]:
        """The entries that the vehicle's plate fits, as far as enough pictures show it."""
        plate = combine(one for _, one in read)
        if plate is None or self.silent(rule, look.frame.captured_s) is not None:
            return []
        law_s, now_s, events = self._law_s(look.frame.captured_s), look.frame.captured_s, []
        for entry in self._entries or ():
            if entry.watchlist not in rule.watchlist or entry.expires_s <= law_s:
                continue
            unknown = unknown_beside(plate, entry.plate, rule.sure)
            if unknown is None or unknown > rule.most_unknown or self._told[rule.name].within(entry.id, now_s):
                continue
            agreeing = [
                moment for moment, one in read
                if (open_ := unknown_beside(one, entry.plate, rule.sure)) is not None and open_ <= rule.most_unknown
            ]  # fmt: skip
            if len(agreeing) < rule.agree:
                continue
            self._told[rule.name].tell(entry.id, now_s)
            finding = self._finding(rule, look, entry, plate, unknown, agreeing)
            events.append(bind(finding, look.frame, self._camera.role, look.provenance))
        return events

    def _finding(
        self,
        rule: PlateWatchlistRule,
        look: Look,
        entry: ListedPlate,
        plate: Plate,
        unknown: int,
        agreeing: list[Moment],
    ) -> Finding:
        moments = {"before": agreeing[0], "at": agreeing[len(agreeing) // 2], "past": agreeing[-1]}
        extra = {
            "watchlist": entry.watchlist,
            "entry": entry.id,
            "subject_reference": entry.subject,
            "plate": plate.as_dict(),
            "unknown_characters": unknown,
            "pictures_agreed": len(agreeing),
            "frames": {name: moment.as_dict() for name, moment in moments.items()},
            "lawful_basis": rule.lawful_basis.model_dump(mode="json"),
            "status": "proposed",
            "note": NOTE,
        }
        return Finding(
            "plate_watchlist",
            rule.name,
            track=look.track,
            label=look.label,
            zone=rule.zone,
            score=look.score,
            bbox=look.moment.bbox,
            extra=extra,
            part=entry.id,
        )

    def _law_s(self, captured_s: float) -> float:
        return max(captured_s, self._law_not_before_s)

    def _fit(self, frame: FrameMeta) -> None:
        """Another frame size, or a clock that went back, begins passages anew."""
        site = self._site
        if (
            site is None
            or (site.width, site.height) != (frame.width, frame.height)
            or frame.captured_s < self._captured_s
        ):
            self._site = self._camera.site_for(frame.width, frame.height)
            self._passages = {}
        self._captured_s = frame.captured_s
