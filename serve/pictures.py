"""Cameras' pictures with faces hidden: one, a stream of them, and under a heat map."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from actors.store import Holder
from hoaban.access import Permission, Person
from hoaban.access.misuse import LOOK
from serve import problems, schemas
from serve.auditing import Looks
from serve.auth import may_at, may_look
from serve.places import Places
from serve.streams import BOUNDARY, mjpeg
from serve.tiles import TileCache, jpeg_answer

router = APIRouter(responses={401: {"model": problems.Problem, "description": "No valid token"}})
PICTURE: dict[str, Any] = {
    "tags": ["cameras"],
    "dependencies": [may_look()],
    "response_class": Response,
    "responses": {
        200: {"content": {"image/jpeg": {}}},
        403: {"model": problems.Problem},
        404: {"model": problems.Problem},
    },
}


@router.get("/cameras/{camera}/snapshot.jpg", **PICTURE)
async def snapshot(request: Request, camera: str) -> Response:
    """The newest picture, faces hidden (X-Hoaban-Blur says how)."""
    picture = await request.app.state.tiles.get(camera)
    if picture is None:
        raise HTTPException(404, f"camera {camera!r} has no picture now", {"Retry-After": "1"})
    return jpeg_answer(picture)


@router.get("/cameras/{camera}/heatmap", tags=["cameras"], responses={404: {"model": problems.Problem}})
async def heat_map(
    request: Request, camera: str, _: Annotated[Person, may_at(Permission.CAMERA_SEE)]
) -> schemas.HeatMapView:
    """Where people and things have been lately, for a camera that keeps such a map (heat_map in the fleet file)."""
    grid = await request.app.state.tiles.source.heat_map(camera)
    if grid is None:
        raise HTTPException(404, f"camera {camera!r} keeps no heat map, or does not run; ask for heat_map in its entry")
    return schemas.HeatMapView.model_validate(grid)


@router.get("/cameras/{camera}/heatmap.jpg", **PICTURE)
async def heat_picture(request: Request, camera: str) -> Response:
    """The newest picture, faces hidden, under its heat map."""
    picture = await request.app.state.tiles.source.heat_tile(camera)
    if picture is None:
        raise HTTPException(404, f"camera {camera!r} keeps no heat map, or has no picture now", {"Retry-After": "1"})
    return jpeg_answer(picture)


@router.get(
    "/cameras/{camera}/live.mjpg",
    tags=["cameras"],
    response_class=StreamingResponse,
    responses={403: {"model": problems.Problem}, 404: {"model": problems.Problem}},
)
async def live(request: Request, camera: str, holder: Annotated[Holder, may_look()]) -> StreamingResponse:
    """The picture as MJPEG, faces hidden. It ends within seconds of the right to look at it."""
    tiles: TileCache = request.app.state.tiles
    if await tiles.get(camera) is None:
        raise HTTPException(404, f"camera {camera!r} has no picture now", {"Retry-After": "1"})
    kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
    pictures = mjpeg(request, tiles, camera, lambda: _still_looks(request, camera, holder))
    return StreamingResponse(pictures, media_type=kind, headers={"Cache-Control": "no-store"})


def _still_looks(request: Request, camera: str, holder: Holder) -> bool:
    now = request.app.state.credentials.still(holder.credential)
    places: Places = request.app.state.places
    if now is None or not (places.sees(camera, now.person) and places.shows_to(camera, now.person)):
        return False
    looks: Looks = request.app.state.looks
    looks.record(request, now.person, LOOK, f"/cameras/{camera}", camera)
    return True
