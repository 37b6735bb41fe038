"""Uptime of cameras by district, from their health events and from who reports now."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from actors import duties
from actors.board import Board
from actors.store import EventStore
from hoaban.access import Permission, Person
from hoaban.fleet import DEFAULT_TIMEZONE
from hoaban.schedule import Schedule
from hoaban.terms import Terms
from hoaban.uptime import Uptime, camera_uptime
from serve.auth import may, visible
from serve.times import Instant

router = APIRouter(prefix="/health", tags=["health"])
DEFAULT_SPAN_S = 86400.0


class UptimeView(BaseModel):
    """Shares of the expected time, 0..1; null where nothing was expected, or nothing is known yet."""

    uptime: float | None = Field(description="with pictures: not offline, stalled or silent")
    sound: float | None = Field(description="without any fault: not dark, blurred, covered, moved, … either")
    expected_s: float
    down_s: float


class CameraUptimeView(UptimeView):
    camera: str
    faults: dict[str, str] = Field(description="now: fault -> reason")


class DistrictUptimeView(UptimeView):
    district: str
    name: str
    cameras: list[CameraUptimeView]


@router.get("/districts")
def districts(
    request: Request,
    person: Annotated[Person, may(Permission.CAMERA_SEE)],
    since: Instant | None = None,
    until: Instant | None = None,
) -> list[DistrictUptimeView]:
    """Uptime of each district and its cameras between two times, by default the last 24 hours.

    A camera counts from the first that was heard of it, and where its owner shares it for some hours, in those only.
    """
    now_s = time.time()
    until_s = min(now_s, until.timestamp()) if until else now_s
    since_s = since.timestamp() if since else until_s - DEFAULT_SPAN_S
    store: EventStore = request.app.state.store
    board: Board = request.app.state.board
    fleet = board.get_json("fleet") or {}
    changes, known = store.faults(since_s, until_s), store.known_since()
    statuses, reported = board.statuses(), board.reported()
    timezone = (fleet.get("province") or {}).get("timezone") or DEFAULT_TIMEZONE
    shown = visible(request, person, Permission.CAMERA_SEE, fleet.get("cameras", []), lambda camera: str(camera["id"]))
    found = []
    for district in fleet.get("districts", []):
        views, total = [], Uptime()
        for camera in shown:
            name = camera["id"]
            if camera["district"] != district["id"] or not camera["enabled"]:
                continue
            status = statuses.get(name)
            began = [s for s in (known.get(name), status and status["state_since_s"]) if s is not None]
            uptime = camera_uptime(
                [change for change in changes if change.camera == name],
                since_s,
                until_s,
                min(began) if began else None,
                reported.get(name) if status is None else None,
                _hours(camera, timezone),
            )
            faults = (status or {}).get("faults") or ({} if status else {"silent": "its process reports nothing"})
            views.append(CameraUptimeView(camera=name, faults=faults, **_figures(uptime)))
            total += uptime
        view = DistrictUptimeView(district=district["id"], name=district["name"], cameras=views, **_figures(total))
        found.append(view)
    return found


class DutyView(BaseModel):
    """Work that nobody waits for. silent: nothing is heard of it, it hangs or does not run; unknown: nor ever was."""

    duty: str
    state: duties.State
    since_s: float | None = Field(description="since when it is sound, or failing")
    heard_s: float | None = Field(description="when it was heard of last")
    why: str | None


@router.get("/duties")
def of_duties(request: Request, _: Annotated[Person, may(Permission.METRICS_READ)]) -> list[DutyView]:
    """Whether evidence is sealed, and what is over erased; why not, where it is not, as on a disk that is full."""
    return [DutyView(**asdict(one)) for one in duties.states(request.app.state.board, time.time())]


def clock_ahead_s(fleet: dict[str, Any] | None, at: datetime | None = None) -> float:
    """How far the province's clock is ahead of UTC, at a time or now."""
    timezone = ((fleet or {}).get("province") or {}).get("timezone") or DEFAULT_TIMEZONE
    offset = (at or datetime.now(UTC)).astimezone(ZoneInfo(timezone)).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _hours(camera: dict[str, Any], timezone: str) -> Schedule | None:
    terms = Terms.model_validate(camera.get("terms") or {})
    return Schedule(terms.hours, ZoneInfo(camera.get("timezone") or timezone)) if terms.hours else None


def _figures(uptime: Uptime) -> dict[str, Any]:
    return {
        "uptime": None if uptime.up is None else round(uptime.up, 6),
        "sound": None if uptime.sound is None else round(uptime.sound, 6),
        "expected_s": round(uptime.expected_s, 3),
        "down_s": round(uptime.down_s, 3),
    }
