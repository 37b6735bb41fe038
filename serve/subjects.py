"""A person asks what is held about them: found by plate, or place and time, answered, erased where law allows."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.elsewhere import Pictures, Place, PutAside, Thing, Wanted, removers
from actors.retention import Eraser
from actors.store.evidence import CaseRow
from actors.store.reports import Report
from actors.store.retention import report_id
from hoaban.access import Permission, Person
from hoaban.events import utc
from hoaban.evidence.retention import refusal
from hoaban.incidents.reports import grouped
from hoaban.incidents.states import ReportState
from hoaban.plates import normalise
from serve.auditing import record, recorded
from serve.auth import may
from serve.cases import MAX_NUMBER
from serve.problems import Problem
from serve.times import Instant

LONGEST_S = 31 * 86400.0
MOST = 500
router = APIRouter(prefix="/subjects", tags=["subjects"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Answerer = Annotated[Person, may(Permission.SUBJECT_ANSWER)]


class Search(BaseModel):
    """reference: the request's own number. By plate, or by cameras and a time of at most 31 days, or both at once."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reference: str = Field(min_length=1, max_length=100)
    plate: str | None = Field(None, min_length=4, max_length=32)
    cameras: list[str] = Field([], max_length=50)
    since: Instant | None = None
    until: Instant | None = None

    @model_validator(mode="after")
    def _names_something(self) -> "Search":
        placed = bool(self.cameras and self.since and self.until)
        if self.plate is not None and len(normalise(self.plate).replace("?", "")) < 4:
            raise ValueError("a plate has at least 4 letters and digits")
        if self.plate is None and not placed:
            raise ValueError("name a plate, or cameras with since and until")
        if self.since and self.until and not 0 < (self.until - self.since).total_seconds() <= LONGEST_S:
            raise ValueError("until must lie after since, by 31 days at most")
        return self


class HeldCase(BaseModel):
    """refusal: why it may not be erased at this request; null where it may."""

    id: str
    type: str
    camera: str
    captured: datetime
    plate: str | None
    state: str
    refusal: str | None


class HeldEvent(BaseModel):
    id: str
    type: str
    camera: str
    time: datetime
    refusal: str | None


class Held(BaseModel):
    """What is held. more: of other kinds, by their names; what has an id there may be erased, if it has no refusal.
    whole: false when there was more than can be listed."""

    reference: str
    evidence: list[HeldCase]
    events: list[HeldEvent]
    more: dict[str, list[dict[str, Any]]]
    whole: bool


class Erase(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reference: str = Field(min_length=1, max_length=100)
    basis: str = Field(min_length=10, max_length=1000, description="why the law allows it")
    evidence: list[str] = Field([], max_length=MOST)
    events: list[str] = Field([], max_length=MOST)
    reports: list[Annotated[int, Field(ge=1, le=MAX_NUMBER)]] = Field(
        [], max_length=MOST, description="citizens' reports, by their numbers"
    )
    disagreements: list[str] = Field([], max_length=MOST, description="pictures on which two models differ")
    dead_letters: list[str] = Field([], max_length=MOST, description="events that no database took")


class Erased(BaseModel):
    """erasure: names the signed record, GET /erasures/{erasure}; null when nothing was erased."""

    erasure: str | None
    erased: list[str]
    refused: dict[str, str]


@router.post("/search", responses={422: {"model": Problem}})
def search(request: Request, wanted: Search, person: Answerer) -> Held:
    """What is held about a person. POST, so that a plate stands in no address and no log of addresses."""
    shared = request.app.state.evidence
    told = wanted.model_dump(mode="json", exclude={"reference"}, exclude_none=True)
    if wanted.plate is not None:
        told["plate"] = shared.plate_told(wanted.plate)
    record(request, person, "subject.search", wanted.reference, **told)
    since_s = wanted.since.timestamp() if wanted.since else None
    until_s = wanted.until.timestamp() if wanted.until else None
    if wanted.plate is not None:
        cases = [
            case
            for case in shared.records.by_plate(wanted.plate)
            if (not wanted.cameras or case.camera in wanted.cameras)
            and (since_s is None or case.captured_s >= since_s)
            and (until_s is None or case.captured_s < until_s)
        ]
        found = shared.retention.events_by_id([case.id for case in cases[:MOST]])
        named = shared.retention.events_by_plate(wanted.plate, wanted.cameras, since_s, until_s, MOST + 1)
        events = list((found | {event["id"]: event for event in named}).values())
    else:
        cases, _ = shared.records.page(cameras=wanted.cameras, since_s=since_s, until_s=until_s, limit=MOST + 1)
        events = shared.retention.find_events(wanted.cameras, since_s, until_s, MOST + 1)
    why = _Refusals(request, [event["id"] for event in events])
    reports = request.app.state.intake.store.about(wanted.plate, wanted.cameras, since_s, until_s, MOST + 1)
    elsewhere = Wanted(wanted.plate, wanted.cameras, since_s, until_s)
    things = {place.what: place.find(elsewhere, MOST + 1) for place in _places(request)}
    more = {"reports": [why.report_told(report) for report in reports[:MOST]]}
    more |= {what: [why.told(one) for one in found[:MOST]] for what, found in things.items()}
    return Held(
        reference=wanted.reference,
        evidence=[
            HeldCase.model_validate(
                {f: getattr(c, f) for f in ("id", "type", "camera", "plate", "state")}
                | {"captured": utc(c.captured_s), "refusal": why.of_case(c)}
            )
            for c in cases[:MOST]
            if c.erased_s is None
        ],
        events=[
            HeldEvent(
                id=event["id"],
                type=event["type"],
                camera=event["data"]["camera"],
                time=event["time"],
                refusal=why.of_event(event),
            )
            for event in events[:MOST]
        ],
        more=more,
        whole=max(len(cases), len(events), len(reports), *map(len, things.values())) <= MOST,
    )


@router.post("/erase", responses={422: {"model": Problem}})
def erase(request: Request, wanted: Erase, person: Answerer) -> Erased:
    """Erase what the law allows of these; each that stays is told with the reason. The record of it is signed."""
    if not (wanted.evidence or wanted.events or wanted.reports or wanted.disagreements or wanted.dead_letters):
        raise HTTPException(422, "name what is to be erased: evidence, events, reports, disagreements or dead letters")
    shared = request.app.state.evidence
    events = shared.retention.events_by_id(wanted.events)
    whys = _Refusals(request, list(events))
    refused: dict[str, str] = {}
    cases: list[CaseRow] = []
    for id in dict.fromkeys(wanted.evidence):
        try:
            case = shared.records.get(id)
        except KeyError:
            refused[id] = "there is no such evidence"
            continue
        if (why := whys.of_case(case)) is None:
            cases.append(case)
        else:
            refused[id] = why
    refused |= {id: "there is no such event" for id in wanted.events if id not in events}
    refused |= {id: why for id, event in events.items() if (why := whys.of_event(event)) is not None}
    going = [id for id in events if id not in refused]
    reports: list[int] = []
    for number in dict.fromkeys(wanted.reports):
        try:
            why_not = whys.of_report(request.app.state.intake.store.get(number))
        except KeyError:
            why_not = "there is no such report"
        if why_not is None:
            reports.append(number)
        else:
            refused[report_id(number)] = why_not
    others: list[Thing] = []
    for place in _places(request):
        ids = dict.fromkeys(getattr(wanted, place.what))
        there = place.get(ids.keys())
        for id in ids:
            thing = there.get(id)
            if thing is None:
                refused[id] = f"there is no such id among {place.what}"
            elif (held := whys.of_thing(thing)) is not None:
                refused[id] = held
            else:
                others.append(thing)
    if not (cases or going or reports or others):
        record(request, person, "subject.erase", wanted.reference, reason=wanted.basis, outcome="refused", kept=refused)
        return Erased(erasure=None, erased=[], refused=refused)
    elsewhere = removers(_places(request))
    forget = request.app.state.bus.forget
    eraser = Eraser(shared.retention, shared.records, shared.desk.files, shared.desk.keys, elsewhere, forget)
    gone = [case.id for case in cases] + going + [one.id for one in others] + [report_id(number) for number in reports]
    with recorded(request, person, "subject.erase", wanted.reference, reason=wanted.basis, wanted=gone) as told:
        basis = f"{wanted.reference}: {wanted.basis}"
        done = eraser.erase(cases, going, "request", basis, person.name, time.time(), others, reports)
        left = [id for id in gone if id not in done.kept]
        refused |= done.kept
        told |= {"erased": left, "kept": refused}  # a hold may have come meanwhile
    return Erased(erasure=None if done.erasure is None else done.erasure.id, erased=left, refused=refused)


def _places(request: Request) -> list[Place]:
    """What is kept outside tables and evidence."""
    pictures = request.app.state.disagreements
    put_aside = PutAside(request.app.state.bus)
    return [put_aside] if pictures is None else [Pictures(pictures), put_aside]


class _Refusals:
    """Why things may not be erased at a request, by the holds and the cases there are now. events: ids."""

    def __init__(self, request: Request, events: list[str]) -> None:
        shared, now_s = request.app.state.evidence, time.time()
        self._holds = [hold for hold, _ in shared.retention.holds() if hold.lasts(now_s)]
        self._with_case = shared.records.kept_of(events)

    def of_case(self, case: CaseRow) -> str | None:
        return refusal(case.state, case.evidential, self._hold(case.id, case.camera, case.captured_s))

    def of_event(self, event: Mapping[str, Any]) -> str | None:
        """An event goes with its case where it has one, or gets one; else nothing but a hold keeps it."""
        captured_s = datetime.fromisoformat(event["time"]).timestamp()
        if (held := self._hold(event["id"], event["data"]["camera"], captured_s)) is not None:
            return f"a legal hold keeps it ({held})"
        if event["id"] in self._with_case:
            return "it goes with its evidence: erase that"
        if event["data"].get("evidence"):
            return "its evidence is recorded and not sealed yet: ask again when it is"
        return None

    def of_thing(self, thing: Thing) -> str | None:
        held = thing.held_by(self._holds)
        return None if held is None else f"a legal hold keeps it ({held})"

    def told(self, thing: Thing) -> dict[str, Any]:
        about = {"id": thing.id, "type": thing.told, "camera": thing.camera, "time": utc(thing.captured_s)}
        return about | {"refusal": self.of_thing(thing)}

    def of_report(self, report: Report) -> str | None:
        """One that is not closed is being answered yet."""
        for hold in self._holds:
            of_it = hold.kind == "report" and hold.subject == str(report.number)
            if of_it or (report.camera and hold.covers("", report.camera, report.happened_s)):
                return f"a legal hold keeps it ({hold.id})"
        return None if report.state == ReportState.CLOSED else "it is not closed: answer it and close it first"

    def report_told(self, report: Report) -> dict[str, Any]:
        about = {"id": report.number, "type": "report", "camera": report.camera, "time": utc(report.happened_s)}
        tracked = {"tracking": grouped(report.tracking), "state": report.state}
        return about | tracked | {"refusal": self.of_report(report)}

    def _hold(self, id: str, camera: str, captured_s: float) -> str | None:
        return next((hold.id for hold in self._holds if hold.covers(id, camera, captured_s)), None)
