"""What other zones, lines or rules of a camera would have told of its last minutes, before anybody saves them."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, ValidationError

from actors.preview import Job, PreviewError, Recent, preview
from hoaban.access import Permission, Person
from hoaban.access.misuse import LOOK
from hoaban.fleet import Camera
from hoaban.status import SourceState
from hoaban.terms import OpenHours
from serve.auditing import record
from serve.auth import check_at, check_shown, may_at
from serve.problems import Problem
from serve.shapes import NewShapes, camera_of, refuse_misfits, rounded
from serve.tiles import ask_camera

router = APIRouter(
    tags=["fleet"], responses={401: {"model": Problem}, 403: {"model": Problem}, 404: {"model": Problem}}
)
_busy = threading.Lock()
NOTHING = "the camera keeps nothing of its stream now: it does not run, or its pre_roll_s is 0 in the fleet file"


class Trial(NewShapes):
    """What is to be tried. rules: as in the fleet file; by default those that the camera has."""

    rules: list[dict[str, Any]] | None = Field(None, max_length=100)


class Side(BaseModel):
    """Numbers of events by type; counts: line -> direction -> class -> number; turns: from -> to -> class -> number."""

    events: dict[str, int]
    counts: dict[str, dict[str, dict[str, int]]]
    turns: dict[str, dict[str, dict[str, int]]]


class PreviewPicture(BaseModel):
    """A frame that differs, JPEG in base64, faces hidden as `blur` says."""

    at: str
    events: list[str]
    blur: str
    jpeg: str


class PreviewView(BaseModel):
    """gained, lost: events (CloudEvents), the first hundred. media_s: of how much video. whole: false where a limit
    ended it before the recording did. untried: rules that a recording says nothing about. of: "ring", what the camera
    keeps of its stream, or "file", the recording that it plays."""

    present: Side
    tried: Side
    gained: list[dict[str, Any]]
    lost: list[dict[str, Any]]
    changed: int
    same: int
    from_: str | None = Field(serialization_alias="from", validation_alias="from")
    media_s: float
    frames: int
    failed: int
    whole: bool
    model: str
    untried: list[str]
    pictures: list[PreviewPicture]
    of: str


class RecentSource(Protocol):
    """Where a camera's last seconds come from."""

    async def recent(self, camera: str) -> Recent | None:
        """What it keeps of its stream; None when it keeps nothing, or does not run."""
        ...


class RayRecent:
    """From the camera actors."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    async def recent(self, camera: str) -> Recent | None:
        answer = await ask_camera(self._namespace, camera, "recent")
        return None if answer is None else Recent(**answer)


@router.post(
    "/cameras/{camera}/shapes/preview",
    responses={409: {"model": Problem}, 422: {"model": Problem}, 429: {"model": Problem}},
)
async def try_out(
    request: Request, camera: str, wanted: Trial, person: Annotated[Person, may_at(Permission.FLEET_CHANGE)]
) -> PreviewView:
    """Replay what the camera has of its last minutes under these shapes and under its present ones; nothing is saved.

    It shows pictures, so it needs the right to look at the camera and is recorded as a look. One at a time: 429. 409:
    there is nothing to try it on, and why.
    """
    present = await run_in_threadpool(camera_of, request, camera)
    check_at(request, person, Permission.CAMERA_SEE, camera)
    check_shown(request, person, Permission.CAMERA_SEE, camera)
    tried = present | {"zones": rounded(wanted.zones), "lines": rounded(wanted.lines)}
    if wanted.rules is not None:
        tried["rules"] = wanted.rules
    try:
        spec = Camera.model_validate(tried)
    except ValidationError as error:
        raise HTTPException(422, "; ".join(_said(one) for one in error.errors()[:5])) from None
    await run_in_threadpool(refuse_misfits, request, camera, tried)
    _refuse_closed(spec)
    if _busy.locked():  # before the clip is fetched; who really runs alone is told by _alone
        raise _busy_now()
    source: RecentSource = request.app.state.recent
    recent = await source.recent(camera)
    return PreviewView.model_validate(await run_in_threadpool(_alone, request, person, present, spec, recent))


def _refuse_closed(camera: Camera) -> None:
    """409 for a camera of which nothing may be taken now, whether or not it runs and reports that."""
    if not camera.enabled:
        raise HTTPException(409, "it is switched off (enabled: false in the fleet file)")
    if why := OpenHours(camera.terms, camera.clock).closed(time.time()):
        raise HTTPException(409, why)


def _busy_now() -> HTTPException:
    return HTTPException(429, "another preview is running; try again in some seconds", {"Retry-After": "10"})


def _alone(
    request: Request, person: Person, present: dict[str, Any], tried: Camera, recent: Recent | None
) -> dict[str, Any]:
    """The look recorded, and the replay, one at a time.

    The lock is this thread's, not the request's: a request ends when its connection is closed, the replay's process
    does not.
    """
    if not _busy.acquire(blocking=False):
        raise _busy_now()
    try:
        record(request, person, LOOK, f"/cameras/{tried.id}/shapes/preview", camera=tried.id)
        return _replayed(request, present, tried, recent)
    finally:
        _busy.release()


def _replayed(request: Request, present: dict[str, Any], tried: Camera, recent: Recent | None) -> dict[str, Any]:
    """Of the file that the camera plays, where this machine has it; else of what the camera keeps of its stream."""
    status = request.app.state.board.statuses().get(tried.id) or {}
    if status.get("state") == SourceState.PAUSED:
        raise HTTPException(409, f"its owner shows it at other hours: {status.get('error')}")
    model = status.get("model")
    running = f"{model['name']}@{model['version']}" if model else tried.model or ""
    job = Job(present, tried.model_dump(mode="json", by_alias=True), running)
    path = tried.source.reveal().removeprefix("file://")
    try:
        if tried.source.is_file and Path(path).is_file():
            hidden = tuple(zone.model_dump(mode="json") for zone in tried.privacy_zones)
            return preview(replace(job, source=path, from_s=time.time(), hidden=hidden)) | {"of": "file"}
        if recent is None or not recent.clip:
            raise HTTPException(409, NOTHING)
        job = replace(job, from_s=recent.from_s, hidden=tuple(recent.hidden))
        return preview(job, recent.clip) | {"of": "ring"}
    except PreviewError as why:
        raise HTTPException(409, str(why)) from None


def _said(error: Any) -> str:
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}" if error["loc"] else str(error["msg"])
