"""Work orders for the maintenance of cameras. Whoever may see a camera sees its orders."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from actors.store import WorkOrder, WorkOrderStore
from hoaban.access import Permission, Person
from hoaban.incidents.settings import Severity
from hoaban.incidents.states import BY_THE_CAMERA, ORDER, OrderAction, OrderState, allowed_in
from hoaban.incidents.timers import overdue
from serve import cases
from serve.assignees import AssigneeView, Assignment, assignees, chosen, views
from serve.auditing import given, recorded
from serve.auth import cameras_for, check_at, may
from serve.cases import REFUSALS, Change, Cursor, IfMatch, LogView, Note, Number, log_view, now_s, told
from serve.problems import Problem
from serve.times import Instant

router = APIRouter(
    prefix="/work-orders", tags=["work orders"], responses={401: {"model": Problem, "description": "No valid token"}}
)
Seer = Annotated[Person, may(Permission.CAMERA_SEE)]
Handler = Annotated[Person, may(Permission.WORKORDER_HANDLE)]


class WorkOrderView(BaseModel):
    """began_s, ended_s: of the camera's fault. due_s: when it should be repaired. Seconds since 1970 UTC."""

    number: int
    camera: str
    fault: str
    district: str | None
    severity: Severity
    state: OrderState
    version: int
    reason: str
    opened_s: float
    began_s: float
    ended_s: float | None
    due_s: float
    assignee: str | None
    overdue: bool
    allowed: list[OrderAction] = Field(description="what a person may do in its state")


class WorkOrderPageView(BaseModel):
    work_orders: list[WorkOrderView]
    next_cursor: int | None


class WorkOrderDetail(WorkOrderView):
    log: list[LogView]


class RepairTimeView(BaseModel):
    """mean_s: from the beginning of a fault to its end, on average."""

    district: str | None
    orders: int
    mean_s: float


class WithNote(Change):
    note: Note


@router.get("")
def work_orders(
    request: Request,
    person: Seer,
    state: Annotated[list[OrderState] | None, Query(description="one or several; none: all")] = None,
    camera: str | None = None,
    district: str | None = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> WorkOrderPageView:
    """Work orders, the newest first."""
    found, following = _store(request).page(
        cameras=cameras_for(request, person, Permission.CAMERA_SEE),
        states=state or (),
        camera=camera,
        district=district,
        cursor=cursor,
        limit=limit,
    )
    return WorkOrderPageView(work_orders=[_view(one) for one in found], next_cursor=following)


@router.get("/repair-times")
def repair_times(request: Request, person: Seer, since: Instant | None = None) -> list[RepairTimeView]:
    """Mean time to repair of each district, over the faults that ended since then."""
    cameras = cameras_for(request, person, Permission.CAMERA_SEE)
    times = _store(request).repair_times(since.timestamp() if since else None, cameras)
    return [RepairTimeView(**asdict(one)) for one in times]


@router.get("/{number}", responses={404: {"model": Problem}})
def work_order(request: Request, response: Response, number: Number, person: Seer) -> WorkOrderDetail:
    """One work order with its log. The ETag is its version, for If-Match."""
    found = _reached(request, person, Permission.CAMERA_SEE, number)
    response.headers["ETag"] = f'"{found.version}"'
    log = [log_view(line) for line in _store(request).log(number)]
    return WorkOrderDetail(**_view(found).model_dump(), log=log)


@router.get("/{number}/assignees", responses={404: {"model": Problem}})
def possible_assignees(request: Request, number: Number, person: Handler) -> list[AssigneeView]:
    """Who may be given it: people who may handle work orders of its camera."""
    found = _reached(request, person, Permission.WORKORDER_HANDLE, number)
    return views(assignees(request, Permission.WORKORDER_HANDLE, [found.camera]))


@router.post("/{number}/assign", responses=REFUSALS)
def assign(
    request: Request, number: Number, change: Assignment, person: Handler, if_match: IfMatch = None
) -> WorkOrderView:
    """Give it to a person who may handle it."""
    found = _reached(request, person, Permission.WORKORDER_HANDLE, number)
    to = chosen(request, Permission.WORKORDER_HANDLE, [found.camera], change.assignee)
    return _act(request, person, number, OrderAction.ASSIGN, change, if_match, to)


@router.post("/{number}/start", responses=REFUSALS)
def start(request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None) -> WorkOrderView:
    """Work on it begins."""
    return _act(request, person, number, OrderAction.START, change, if_match)


@router.post("/{number}/done", responses=REFUSALS)
def done(request: Request, number: Number, change: Change, person: Handler, if_match: IfMatch = None) -> WorkOrderView:
    """Somebody has checked that the camera works again. Possible once its own events say that the fault is over."""
    return _act(request, person, number, OrderAction.DONE, change, if_match)


@router.post("/{number}/cancel", responses=REFUSALS)
def cancel(
    request: Request, number: Number, change: WithNote, person: Handler, if_match: IfMatch = None
) -> WorkOrderView:
    """It is not to be repaired; say why."""
    return _act(request, person, number, OrderAction.CANCEL, change, if_match)


@router.post("/{number}/note", responses=REFUSALS)
def note(
    request: Request, number: Number, change: WithNote, person: Handler, if_match: IfMatch = None
) -> WorkOrderView:
    """Add words to the log."""
    return _act(request, person, number, OrderAction.NOTE, change, if_match)


def _act(
    request: Request,
    person: Person,
    number: int,
    action: OrderAction,
    change: Change,
    if_match: str | None,
    assignee: Person | None = None,
) -> WorkOrderView:
    found = _reached(request, person, Permission.WORKORDER_HANDLE, number)
    version, store = cases.seen_version(change, if_match), _store(request)
    about = given({"version": version, "assignee": assignee.id if assignee else None})
    with (
        told("work order", number, lambda: _view(store.get(number))),
        recorded(request, person, f"workorder.{action}", f"/work-orders/{number}", camera=found.camera, **about),
    ):
        changed = store.act(number, action, version, person, now_s(), note=change.note, assignee=assignee)
    return _view(changed)


def _reached(request: Request, person: Person, permission: Permission, number: int) -> WorkOrder:
    """404 for one that does not exist, or whose camera is outside the person's scope; 403 where they may not."""
    missing = f"there is no work order {number}"
    try:
        found = _store(request).get(number)
    except KeyError:
        raise HTTPException(404, missing) from None
    check_at(request, person, permission, found.camera, missing=missing)
    return found


def _view(found: WorkOrder) -> WorkOrderView:
    state = OrderState(found.state)
    allowed = [action for action in allowed_in(ORDER, state) if action not in BY_THE_CAMERA]
    return WorkOrderView(**asdict(found), overdue=overdue(state, found.due_s, now_s()), allowed=allowed)


def _store(request: Request) -> WorkOrderStore:
    store: WorkOrderStore = request.app.state.work_orders
    return store
