"""Citizens' field reports, as officers file and handle them; serve/citizens.py is the citizens' own way in.

Whoever may see reports reads their words without what looks like a telephone number or an address; who the citizen is
stays sealed until a handler asks for it with a reason, which is recorded first.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from actors.store import EventStore, Report, ReportStore
from hoaban.access import Permission, Person, Place, Role
from hoaban.incidents.reports import grouped, masked, nearest
from hoaban.incidents.states import REPORT, ReportAction, ReportState, allowed_in
from serve import cases
from serve.auditing import given, record, recorded
from serve.auth import cameras_for, check, may, visible
from serve.cases import MAX_NUMBER, REFUSALS, Change, Cursor, IfMatch, LogView, Note, Number, log_view, now_s, told
from serve.filing import MOST_TEXT, Contact, Filed, Filing, Intake, file, filed, filing
from serve.problems import Problem
from serve.schemas import EventView
from serve.shown import gate
from serve.unmask import Reason, Unmasking, unmask_reason

router = APIRouter(tags=["reports"], responses={401: {"model": Problem, "description": "No valid token"}})
Seer = Annotated[Person, may(Permission.REPORT_SEE)]
Handler = Annotated[Person, may(Permission.REPORT_HANDLE)]
NEAR_CAMERAS, NEAR_EVENTS = 10, 100


class ReportView(BaseModel):
    """A report without personal data. camera: the nearest within reach. Times: seconds since 1970 UTC."""

    number: int
    tracking: str
    channel: str
    state: ReportState
    version: int
    received_s: float
    happened_s: float
    text: str
    lat: float | None
    lon: float | None
    landmark: str | None
    district: str | None
    camera: str | None
    answer: str | None
    incident: int | None
    closed_s: float | None
    has_contact: bool
    has_photo: bool
    allowed: list[ReportAction]


class ReportPageView(BaseModel):
    reports: list[ReportView]
    next_cursor: int | None


class NearView(BaseModel):
    """A camera near the place, and its events around the time. recorded: their evidence is kept."""

    camera: str
    metres: float
    stored: list[EventView]
    recorded: int


class ReportDetail(ReportView):
    log: list[LogView]
    near: list[NearView]


class Answer(Change):
    answer: str = Field(min_length=1, max_length=MOST_TEXT, description="what the citizen reads")


class WithNote(Change):
    note: Note


class Link(Change):
    incident: int | None = Field(ge=1, le=MAX_NUMBER, description="null: the link is taken away")


@router.post(
    "/reports",
    status_code=201,
    responses={413: {"model": Problem}, 422: {"model": Problem}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Filing.model_json_schema()}}}
    },
)
async def file_report(request: Request, person: Annotated[Person, may(Permission.REPORT_FILE)]) -> Filed:
    """File a report that a citizen made in person or by telephone."""
    if person.roles == {Role.INTAKE}:
        raise HTTPException(403, "a public intake files by /public/reports")
    report, code = await run_in_threadpool(file, request, await filing(request), person, "officer")
    return filed(report, code, report.number)


@router.get("/reports")
def reports(
    request: Request,
    person: Seer,
    state: Annotated[list[ReportState] | None, Query(description="one or several; none: all")] = None,
    incident: Annotated[int | None, Query(ge=1, le=MAX_NUMBER, description="linked to this one")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> ReportPageView:
    """Reports, the newest first."""
    found, following = cases.pages(
        lambda at: _store(request).page(states=state or (), incident=incident, cursor=at, limit=limit),
        lambda items: visible(request, person, Permission.REPORT_SEE, items, lambda one: _place(request, one)),
        lambda one: one.number,
        cursor,
        limit,
    )
    handles = {one.number for one in visible(request, person, Permission.REPORT_HANDLE, found, _placed(request))}
    views = [_view(one, whole=one.number in handles) for one in found]
    return ReportPageView(reports=views, next_cursor=following)


@router.get("/reports/{number}", responses={404: {"model": Problem}})
def report(request: Request, response: Response, number: Number, person: Seer) -> ReportDetail:
    """One report with its log, the cameras near it and their events around the time. The ETag is its version."""
    found = _reached(request, person, Permission.REPORT_SEE, number)
    response.headers["ETag"] = f'"{found.version}"'
    whole = _handles(request, person, found)
    return ReportDetail(
        **_view(found, whole=whole).model_dump(),
        log=[log_view(line) for line in _store(request).log(number)] if whole else [],
        near=_near(request, person, found),
    )


@router.get("/reports/{number}/photo.jpg", response_class=Response, responses={404: {"model": Problem}})
def photo(request: Request, number: Number, person: Seer) -> Response:
    """The photo, faces hidden."""
    _reached(request, person, Permission.REPORT_SEE, number)
    return _jpeg(_store(request).photo(number), number)


@router.get("/reports/{number}/unmasked.jpg", response_class=Response, responses=REFUSALS)
def clear_photo(request: Request, number: Number, unmasking: Annotated[Unmasking, unmask_reason()]) -> Response:
    """The photo, faces not hidden, by a permit for the camera nearest to it. The look is recorded."""
    found = _reached(request, unmasking.person, Permission.REPORT_HANDLE, number)
    if found.camera is None:
        raise HTTPException(404, "no camera is near, so there is no permit for this photo; ask its citizen instead")
    unmasking.use(found.camera, f"/reports/{number}/unmasked.jpg")
    return _jpeg(_store(request).clear_photo(number), number)


@router.post("/reports/{number}/contact", responses=REFUSALS)
def contact(request: Request, number: Number, wanted: Reason, person: Handler) -> Contact:
    """How the citizen can be reached: for a reason, which is recorded."""
    found = _reached(request, person, Permission.REPORT_HANDLE, number)
    record(request, person, "report.contact", f"/reports/{number}/contact", camera=found.camera, reason=wanted.reason)
    return Contact(**_store(request).contact(number))


@router.post("/reports/{number}/check", responses=REFUSALS)
def check_report(
    request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None
) -> ReportView:
    """Somebody has read it and takes it seriously."""
    return _act(request, person, number, ReportAction.CHECK, change, if_match)


@router.post("/reports/{number}/start", responses=REFUSALS)
def start(request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None) -> ReportView:
    """Work on it begins."""
    return _act(request, person, number, ReportAction.START, change, if_match)


@router.post("/reports/{number}/answer", responses=REFUSALS)
def answer(request: Request, number: Number, change: Answer, person: Handler, if_match: IfMatch = None) -> ReportView:
    """Tell the citizen; they see these words and no note."""
    return _act(request, person, number, ReportAction.ANSWER, change, if_match, answer=change.answer)


@router.post("/reports/{number}/close", responses=REFUSALS)
def close(request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None) -> ReportView:
    """Nothing more is to be done. It is erased when its time is over."""
    return _act(request, person, number, ReportAction.CLOSE, change, if_match)


@router.post("/reports/{number}/reopen", responses=REFUSALS)
def reopen(request: Request, number: Number, change: WithNote, person: Handler, if_match: IfMatch = None) -> ReportView:
    """It is not done after all."""
    return _act(request, person, number, ReportAction.REOPEN, change, if_match)


@router.post("/reports/{number}/note", responses=REFUSALS)
def note(request: Request, number: Number, change: WithNote, person: Handler, if_match: IfMatch = None) -> ReportView:
    """Add words for colleagues alone."""
    return _act(request, person, number, ReportAction.NOTE, change, if_match)


@router.post("/reports/{number}/link", responses=REFUSALS)
def link(request: Request, number: Number, change: Link, person: Handler, if_match: IfMatch = None) -> ReportView:
    """Say which incident it is about; both logs tell so."""
    if change.incident is not None:
        _incident_in_reach(request, person, change.incident)
    return _act(request, person, number, ReportAction.LINK, change, if_match, incident=change.incident)


def _act(
    request: Request,
    person: Person,
    number: int,
    action: ReportAction,
    change: Change,
    if_match: str | None,
    answer: str | None = None,
    incident: int | None = None,
) -> ReportView:
    found = _reached(request, person, Permission.REPORT_HANDLE, number)
    version, store = cases.seen_version(change, if_match), _store(request)
    about = given({"version": version, "incident": incident})
    with (
        told("report", number, lambda: _view(store.get(number), whole=True)),
        recorded(request, person, f"report.{action}", f"/reports/{number}", camera=found.camera, **about),
    ):
        changed = store.act(
            number, action, version, person, now_s(), note=change.note, answer=answer, incident=incident
        )
    return _view(changed, whole=True)


def _incident_in_reach(request: Request, person: Person, number: int) -> None:
    seen = cameras_for(request, person, Permission.INCIDENT_SEE)
    try:
        found = request.app.state.incidents.get(number)
    except KeyError:
        found = None
    if found is None or (seen is not None and not seen.intersection(found.cameras)):
        raise HTTPException(404, f"there is no incident {number}")


def _reached(request: Request, person: Person, permission: Permission, number: int) -> Report:
    """404 for one that does not exist or lies outside the person's scope; 403 where they see it and may not do this."""
    try:
        found = _store(request).get(number)
    except KeyError:
        raise HTTPException(404, f"there is no report {number}") from None
    if not visible(request, person, Permission.REPORT_SEE, [found], _placed(request)):
        raise HTTPException(404, f"there is no report {number}")
    check(request, person, permission, _place(request, found))
    return found


def _handles(request: Request, person: Person, found: Report) -> bool:
    return bool(visible(request, person, Permission.REPORT_HANDLE, [found], _placed(request)))


def _place(request: Request, found: Report) -> Place:
    """Whose the report is: the nearest camera's, else the district's, else the whole province's alone."""
    if found.camera is not None:
        place: Place = request.app.state.places.place(found.camera)
        return place
    return Place(district=found.district)


def _placed(request: Request) -> Any:
    return lambda one: _place(request, one)


def _near(request: Request, person: Person, found: Report) -> list[NearView]:
    """The cameras within reach that the person may see, and what they told around the time."""
    if found.lat is None or found.lon is None:
        return []
    ground = cases.ground(request)
    settings = ground.settings.reports
    cameras = nearest((found.lat, found.lon), ground.places)
    within = [(camera, metres) for camera, metres in cameras if metres <= settings.cameras_within_m]
    seen = visible(request, person, Permission.CAMERA_SEE, within, lambda one: one[0])
    store: EventStore = request.app.state.store
    views = []
    for camera, metres in seen[:NEAR_CAMERAS]:
        page = store.page(
            since_s=found.happened_s - settings.events_around_s,
            until_s=found.happened_s + settings.events_around_s,
            camera=camera,
            limit=NEAR_EVENTS,
        )
        stored = gate(request, person).views(page.events)
        recorded = sum(one.event["data"].get("evidence") is not None for one in stored)
        views.append(NearView(camera=camera, metres=round(metres, 1), stored=stored, recorded=recorded))
    return views


def _jpeg(photo: bytes | None, number: int) -> Response:
    if photo is None:
        raise HTTPException(404, f"report {number} has no photo")
    return Response(photo, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _view(found: Report, whole: bool) -> ReportView:
    """whole: with the citizen's words as they are, for who handles the report."""
    allowed: Sequence[ReportAction] = allowed_in(REPORT, ReportState(found.state))
    fields = asdict(found) | {"tracking": grouped(found.tracking)}
    if not whole:
        fields |= {name: masked(fields[name]) for name in ("text", "answer", "landmark") if fields[name]}
    return ReportView(**fields, allowed=list(allowed) if whole else [])


def _store(request: Request) -> ReportStore:
    intake: Intake = request.app.state.intake
    return intake.store
