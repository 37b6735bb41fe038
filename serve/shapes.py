"""A camera's zones and lines, drawn on its picture and written into the fleet file that the system runs from."""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Header, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hoaban.access import Permission, Person
from hoaban.fleet_checks import misfits
from hoaban.fleet_edit import CannotEditError, has_camera, with_shapes
from hoaban.shapes import Line, Zone
from serve.auditing import recorded
from serve.auth import may_at
from serve.problems import Problem

router = APIRouter(
    tags=["fleet"], responses={401: {"model": Problem}, 403: {"model": Problem}, 404: {"model": Problem}}
)
Changer = Annotated[Person, may_at(Permission.FLEET_CHANGE)]
DIGITS = 4
_writing = threading.Lock()


class ShapesView(BaseModel):
    """As the fleet file has them, fractions of the picture. revision: to be given with a change (If-Match)."""

    zones: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    revision: str


class NewShapes(BaseModel):
    model_config = ConfigDict(extra="forbid")
    zones: list[Zone] = Field(max_length=100)
    lines: list[Line] = Field(max_length=100)


@router.get("/cameras/{camera}/shapes", responses={409: {"model": Problem}, 503: {"model": Problem}})
def shapes(request: Request, response: Response, camera: str, _: Changer) -> ShapesView:
    """A camera's zones and lines in the fleet file. The ETag is their revision."""
    view = _view(_listed(_text(_file(request, camera)), camera))
    response.headers["ETag"] = f'"{view.revision}"'
    return view


@router.put(
    "/cameras/{camera}/shapes",
    responses={409: {"model": Problem}, 412: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
def change(
    request: Request,
    response: Response,
    camera: str,
    wanted: NewShapes,
    person: Changer,
    if_match: Annotated[str, Header(description="the revision that you saw")],
) -> ShapesView:
    """Replace them. The system takes the file up within seconds, for this camera alone; its tracker begins anew.

    412: somebody changed them meanwhile. 409: the file is written so that this place cannot be changed alone.
    """
    zones, lines = rounded(wanted.zones), rounded(wanted.lines)
    refuse_misfits(request, camera, camera_of(request, camera) | {"zones": zones, "lines": lines})
    with _writing:
        file = _file(request, camera)
        text = _text(file)
        seen = _view(_listed(text, camera)).revision
        if if_match.strip().strip('"') != seen:
            raise HTTPException(412, "somebody changed them meanwhile; look at them again, then draw yours")
        try:
            edited = with_shapes(text, camera, zones, lines)
        except (CannotEditError, yaml.YAMLError) as error:
            raise HTTPException(409, str(error)) from None
        names = {"zones": [zone["id"] for zone in zones], "lines": [line["id"] for line in lines]}
        with recorded(request, person, "fleet.shapes", camera, camera=camera, **names):
            _replace(file, edited)
    view = _view({"zones": zones, "lines": lines})
    response.headers["ETag"] = f'"{view.revision}"'
    return view


def camera_of(request: Request, camera: str) -> dict[str, Any]:
    """A camera as it runs. 404 for one that is not there."""
    fleet = request.app.state.board.get_json("fleet") or {}
    for one in fleet.get("cameras", []):
        if one["id"] == camera:
            return dict(one)
    raise HTTPException(404, f"there is no camera {camera!r}")


def refuse_misfits(request: Request, camera: str, edited: dict[str, Any]) -> None:
    """422 with all that would be wrong with the fleet, where this camera's other configuration is what makes it so."""
    fleet = request.app.state.board.get_json("fleet") or {}
    before = {str(one) for one in misfits(fleet)}
    cameras = [edited if one["id"] == camera else one for one in fleet.get("cameras", [])]
    wrong = [one for one in misfits(fleet | {"cameras": cameras}) if str(one) not in before]
    if wrong:
        raise HTTPException(422, "; ".join(message for _, message in wrong[:5]))


def rounded(shapes: Sequence[Zone | Line]) -> list[dict[str, Any]]:
    """As they are written into the file."""
    return [_rounded(shape.model_dump(mode="json", by_alias=True)) for shape in shapes]


def _file(request: Request, camera: str) -> Path:
    """The fleet file that lists a camera."""
    files = [Path(name) for name in request.app.state.settings.fleet_files]
    if not files:
        raise HTTPException(409, "this API was started without fleet files that it may change; edit the file by hand")
    for file in files:
        try:
            if has_camera(_text(file), camera):
                return file
        except (CannotEditError, yaml.YAMLError):
            continue
    raise HTTPException(404, f"no fleet file lists camera {camera!r}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HTTPException(503, f"{file.name}: cannot be read: {error}") from None


def _listed(text: str, camera: str) -> dict[str, Any]:
    cameras = (yaml.safe_load(text) or {}).get("cameras") or []
    found: dict[str, Any] = next(one for one in cameras if one.get("id") == camera)
    return found


def _view(camera: dict[str, Any]) -> ShapesView:
    zones, lines = camera.get("zones") or [], camera.get("lines") or []
    digest = hashlib.sha256(json.dumps([zones, lines], sort_keys=True).encode()).hexdigest()[:16]
    return ShapesView(zones=zones, lines=lines, revision=digest)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {key: _rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


def _replace(file: Path, text: str) -> None:
    """Whole or not at all, with the rights it had."""
    target = file.resolve()
    try:
        mode = target.stat().st_mode
        handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.chmod(part, mode & 0o7777)
        os.replace(part, target)
    except OSError as error:
        raise HTTPException(503, f"{file.name}: cannot be written: {error.strerror}; edit it by hand") from None
