"""Incidents: read, handled, handed over, and followed as they change.

An incident is shown to whoever may see incidents at one of the cameras that saw it; of others they see nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from actors.store import HandoverError, Holder, Incident, IncidentStore
from actors.store.incidents import Handover
from hoaban.access import Permission, Person
from hoaban.incidents.reports import nearest
from hoaban.incidents.settings import Severity
from hoaban.incidents.states import INCIDENT, Action, Dismissal, State, allowed_in
from serve import cases
from serve.assignees import AssigneeView, Assignment, assignees, chosen, views
from serve.auditing import given, recorded
from serve.auth import cameras_for, check, may, refused, signed_in, visible
from serve.cases import MAX_NUMBER, REFUSALS, Change, Cursor, IfMatch, LogView, Note, Number, log_view, now_s, told
from serve.places import Places
from serve.problems import Problem
from serve.schemas import EventView
from serve.shown import gate
from serve.times import Instant

router = APIRouter(tags=["incidents"], responses={401: {"model": Problem, "description": "No valid token"}})
Seer = Annotated[Person, may(Permission.INCIDENT_SEE)]
Handler = Annotated[Person, may(Permission.INCIDENT_HANDLE)]
POLL_S, BATCH = 0.5, 200


class PlaceView(BaseModel):
    """Where it was seen. lasting: how much began there and is not over."""

    camera: str
    spot: str = Field(description="zone or line; empty: the whole picture")
    first_s: float
    last_s: float
    lasting: int


class IncidentView(BaseModel):
    """An incident as it stands. Times: seconds since 1970 UTC. version: to be given with the next change."""

    number: int
    kind: str
    severity: Severity
    state: State
    version: int
    camera: str
    district: str | None
    simulated: bool
    first_s: float
    last_s: float
    events: int
    opened_s: float
    waiting_since_s: float
    escalated_s: float | None = Field(description="since when it has waited too long for its acknowledgement")
    proposed_s: float | None = Field(description="since when it is proposed to resolve it: nothing more was seen")
    assignee: str | None
    dismissal: Dismissal | None
    places: list[PlaceView]
    allowed: list[Action] = Field(description="what may be done in its state")


class IncidentPageView(BaseModel):
    incidents: list[IncidentView]
    next_cursor: int | None


class NeighbourView(BaseModel):
    camera: str
    metres: float


class IncidentDetail(IncidentView):
    """log: oldest first. stored: its newest events, newest first. neighbours: cameras near it, nearest first."""

    log: list[LogView]
    stored: list[EventView]
    neighbours: list[NeighbourView]


class Dismissing(Change):
    """A reason from the list, and in words."""

    reason: Dismissal
    note: Note


class Grading(Change):
    """note: why."""

    severity: Severity
    note: Note


class Comment(Change):
    note: Note


class NewHandover(BaseModel):
    model_config = Change.model_config
    to: str = Field(min_length=1, max_length=128, description="a person's id or name; see `assignees`")
    note: Note


class HandoverView(BaseModel):
    """Signed by who gave it, with the open incidents as they stood; accepted_s: when the other signed, too."""

    number: int
    at_s: float
    from_name: str
    to_name: str
    note: str
    incidents: list[dict[str, Any]]
    accepted_s: float | None
    accepted_name: str | None


@router.get("/incidents")
def incidents(
    request: Request,
    person: Seer,
    state: Annotated[list[State] | None, Query(description="one or several; none: all")] = None,
    severity: Severity | None = None,
    camera: str | None = None,
    district: str | None = None,
    since: Annotated[Instant | None, Query(description="seen since then, RFC 3339 with a zone")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> IncidentPageView:
    """Incidents, the newest first."""
    seen = cameras_for(request, person, Permission.INCIDENT_SEE)
    found, following = _store(request).page(
        cameras=seen,
        states=state or (),
        severity=severity.value if severity else None,
        camera=camera,
        district=district,
        since_s=since.timestamp() if since else None,
        cursor=cursor,
        limit=limit,
    )
    return IncidentPageView(incidents=[_view(one, seen) for one in found], next_cursor=following)


@router.get("/incidents/stream", response_class=EventSourceResponse)
def stream(
    request: Request,
    holder: Annotated[Holder, signed_in()],
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_NUMBER, description="begin after this number; default: now")
    ] = None,
) -> EventSourceResponse:
    """Lines of the incidents' logs as they are written (Server-Sent Events); resumes by Last-Event-ID."""
    check(request, holder.person, Permission.INCIDENT_SEE)
    if last_event_id is not None:
        if not last_event_id.isdecimal() or len(last_event_id) > 16 or int(last_event_id) > MAX_NUMBER:
            raise HTTPException(400, "Last-Event-ID must be the number of an event from this stream")
        after = int(last_event_id)
    begin = _store(request).last_line() if after is None else after
    return EventSourceResponse(_changes(request, holder, begin), ping=10)


async def _changes(request: Request, holder: Holder, after: int) -> AsyncIterator[ServerSentEvent]:
    """Lines after a number, then each new one, for as long as the holder may see incidents."""

    def lines() -> list[tuple[int, str, str]] | None:
        now = request.app.state.credentials.still(holder.credential)
        if now is None:
            return None
        seen = cameras_for(request, now.person, Permission.INCIDENT_SEE)
        return [
            (line.seq, line.action, ChangeView(incident=line.about, **log_view(line).model_dump()).model_dump_json())
            for line in _store(request).tail(after, BATCH, seen)
        ]

    while not await request.is_disconnected():
        found = await run_in_threadpool(lines)
        if found is None:
            return
        for seq, action, text in found:
            after = seq
            yield ServerSentEvent(id=str(seq), event=f"incident.{action}", data=text)
        if len(found) < BATCH:
            await asyncio.sleep(POLL_S)


class ChangeView(LogView):
    """A line of an incident's log, on the stream."""

    incident: int


@router.get("/incidents/{number}", responses={404: {"model": Problem}})
def incident(request: Request, response: Response, number: Number, person: Seer) -> IncidentDetail:
    """One incident with its log, its events and the cameras near it. The ETag is its version, for If-Match."""
    found = _reached(request, person, Permission.INCIDENT_SEE, number)
    seen, store, ground = cameras_for(request, person, Permission.INCIDENT_SEE), _store(request), cases.ground(request)
    view = _view(found, seen)
    near: list[tuple[str, float]] = []
    if (place := ground.places.get(view.camera)) is not None:
        within_m = ground.settings.reports.cameras_within_m
        near = [(camera, m) for camera, m in nearest(place, ground.places) if m <= within_m and camera != view.camera]
        near = visible(request, person, Permission.CAMERA_SEE, near, lambda one: one[0])
    response.headers["ETag"] = f'"{found.version}"'
    return IncidentDetail(
        **view.model_dump(),
        log=[log_view(line) for line in store.log(number)],
        stored=gate(request, person, Permission.INCIDENT_SEE).views(store.events(number, seen)),
        neighbours=[NeighbourView(camera=camera, metres=round(metres, 1)) for camera, metres in near],
    )


@router.get("/incidents/{number}/assignees", responses={404: {"model": Problem}})
def possible_assignees(request: Request, number: Number, person: Handler) -> list[AssigneeView]:
    """Who may be given it: people who may handle incidents at one of its cameras."""
    found = _reached(request, person, Permission.INCIDENT_HANDLE, number)
    return views(assignees(request, Permission.INCIDENT_HANDLE, found.cameras))


@router.post("/incidents/{number}/acknowledge", responses=REFUSALS)
def acknowledge(
    request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None
) -> IncidentView:
    """Somebody has seen it and takes care: it escalates no more."""
    return _act(request, person, number, Action.ACKNOWLEDGE, change, if_match)


@router.post("/incidents/{number}/assign", responses=REFUSALS)
def assign(
    request: Request, number: Number, change: Assignment, person: Handler, if_match: IfMatch = None
) -> IncidentView:
    """Give it to a person who may handle it."""
    found = _reached(request, person, Permission.INCIDENT_HANDLE, number)
    to = chosen(request, Permission.INCIDENT_HANDLE, found.cameras, change.assignee)
    return _act(request, person, number, Action.ASSIGN, change, if_match, assignee=to)


@router.post("/incidents/{number}/start", responses=REFUSALS)
def start(request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None) -> IncidentView:
    """Work on it begins."""
    return _act(request, person, number, Action.START, change, if_match)


@router.post("/incidents/{number}/resolve", responses=REFUSALS)
def resolve(
    request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None
) -> IncidentView:
    """It is over and dealt with."""
    return _act(request, person, number, Action.RESOLVE, change, if_match)


@router.post("/incidents/{number}/dismiss", responses=REFUSALS)
def dismiss(
    request: Request, number: Number, change: Dismissing, person: Handler, if_match: IfMatch = None
) -> IncidentView:
    """It was none."""
    return _act(request, person, number, Action.DISMISS, change, if_match, dismissal=change.reason)


@router.post("/incidents/{number}/reopen", responses=REFUSALS)
def reopen(
    request: Request, number: Number, change: Comment, person: Handler, if_match: IfMatch = None
) -> IncidentView:
    """It is not over after all: it waits for somebody again."""
    return _act(request, person, number, Action.REOPEN, change, if_match)


@router.post("/incidents/{number}/comment", responses=REFUSALS)
def comment(
    request: Request, number: Number, change: Comment, person: Handler, if_match: IfMatch = None
) -> IncidentView:
    """Add words to the log. Two people may do so at once: the version is not needed."""
    return _act(request, person, number, Action.COMMENT, change, if_match)


@router.post("/incidents/{number}/grade", responses=REFUSALS)
def grade(request: Request, number: Number, change: Grading, person: Handler, if_match: IfMatch = None) -> IncidentView:
    """Give it another severity, for a reason. It escalates by the new one from now on."""
    return _act(request, person, number, Action.GRADE, change, if_match, severity=change.severity)


@router.post("/handovers", status_code=201)
def hand_over(request: Request, wanted: NewHandover, person: Handler) -> HandoverView:
    """Sign the shift off: a note with all incidents that are open where you handle them."""
    cameras = cameras_for(request, person, Permission.INCIDENT_HANDLE)
    to = chosen(request, Permission.INCIDENT_HANDLE, _handed(request, person), wanted.to)
    if to.id == person.id:
        raise HTTPException(422, "you cannot hand over to yourself")
    with recorded(request, person, "handover.sign", to.name) as more:
        made = _store(request).hand_over(person, to, wanted.note, now_s(), cameras)
        more["number"] = made.number
    return HandoverView.model_validate(asdict(made))


@router.get("/handovers/assignees")
def possible_successors(request: Request, person: Handler) -> list[AssigneeView]:
    """Who may take over from you: people who may handle incidents at one of the cameras where you do."""
    able = assignees(request, Permission.INCIDENT_HANDLE, _handed(request, person))
    return views(one for one in able if one.id != person.id)


def _handed(request: Request, person: Person) -> frozenset[str]:
    """The cameras whose incidents a person hands over."""
    places: Places = request.app.state.places
    cameras = cameras_for(request, person, Permission.INCIDENT_HANDLE)
    return places.all() if cameras is None else cameras


@router.post("/handovers/{number}/accept", responses={404: {"model": Problem}, 409: {"model": Problem}})
def accept(request: Request, number: Number, person: Handler) -> HandoverView:
    """Sign that you have taken over."""
    try:
        with recorded(request, person, "handover.accept", f"/handovers/{number}"):
            accepted = _store(request).accept(number, person, now_s())
        return _handover(accepted, request, person)
    except KeyError:
        raise HTTPException(404, f"there is no handover {number}") from None
    except HandoverError as error:
        raise HTTPException(409, str(error)) from None


@router.get("/handovers")
def handovers(
    request: Request,
    person: Handler,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[HandoverView]:
    """The newest first, of their incidents those at cameras where you may see incidents: such as you gave or were
    given, and such as have an incident that you may see."""
    found = [(one, _handover(one, request, person)) for one in _store(request).handovers(limit, cursor)]
    whole = cameras_for(request, person, Permission.INCIDENT_SEE) is None
    return [view for one, view in found if whole or view.incidents or person.id in (one.from_id, one.to_id)]


def _handover(one: Handover, request: Request, person: Person) -> HandoverView:
    seen = cameras_for(request, person, Permission.INCIDENT_SEE)
    listed = [incident for incident in one.incidents if seen is None or incident["camera"] in seen]
    return HandoverView.model_validate(asdict(one) | {"incidents": listed})


def _act(
    request: Request,
    person: Person,
    number: int,
    action: Action,
    change: Change,
    if_match: str | None,
    assignee: Person | None = None,
    dismissal: Dismissal | None = None,
    severity: Severity | None = None,
) -> IncidentView:
    found = _reached(request, person, Permission.INCIDENT_HANDLE, number)
    store, seen = _store(request), cameras_for(request, person, Permission.INCIDENT_SEE)
    free = action is Action.COMMENT and change.version is None and if_match is None
    version = None if free else cases.seen_version(change, if_match)
    # Words stay in the incident's log, which goes with it; the audit chain is kept for ever.
    how: dict[str, Any] = {"assignee": assignee, "dismissal": dismissal, "severity": severity}
    about = {"version": version} | how | {"assignee": assignee.id if assignee else None}
    with (
        told("incident", number, lambda: _view(store.get(number), seen)),
        recorded(request, person, f"incident.{action}", f"/incidents/{number}", camera=found.camera, **given(about)),
    ):
        changed = store.act(number, action, version, person, now_s(), note=change.note, **how)
    return _view(changed, seen)


def _reached(request: Request, person: Person, permission: Permission, number: int) -> Incident:
    """404 for one that does not exist, or none of whose cameras is in the person's scope; 403 where they may not."""
    try:
        found = _store(request).get(number)
    except KeyError:
        raise HTTPException(404, f"there is no incident {number}") from None
    seen = cameras_for(request, person, Permission.INCIDENT_SEE)
    if seen is not None and not seen.intersection(found.cameras):
        raise HTTPException(404, f"there is no incident {number}")
    there = cameras_for(request, person, permission)
    if there is not None and not there.intersection(found.cameras):
        why = f"your roles do not give {permission} where this incident is"
        raise refused(request, person, permission, why, found.camera)
    return found


def _view(found: Incident, seen: Collection[str] | None) -> IncidentView:
    """An incident as a person sees it who may see these cameras."""
    fields = asdict(found)
    places: Sequence[Any] = [place for place in fields["places"] if seen is None or place["camera"] in seen]
    camera = found.camera if seen is None or found.camera in seen or not places else places[0]["camera"]
    return IncidentView(
        **fields | {"places": places, "camera": camera}, allowed=allowed_in(INCIDENT, State(found.state))
    )


def _store(request: Request) -> IncidentStore:
    store: IncidentStore = request.app.state.incidents
    return store
