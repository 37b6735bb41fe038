"""The API (CONTRACT, HTTP). An ordinary FastAPI application; serve/deployment.py puts it under Ray Serve."""

import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from sse_starlette import EventSourceResponse

from actors.board import Board
from actors.models.files import list_models
from actors.store import EventStore, TokenInfo
from hoaban import __version__
from hoaban.signals import AHEAD_S, Reading
from serve import metrics, plate_watchlist, problems, schemas, watchlist
from serve.auth import TICKET_LIVES_S, Admin, Tickets, Viewer, picture_viewer, viewer_or_ticket
from serve.health import clock_ahead_s
from serve.health import router as health_router
from serve.settings import ApiSettings
from serve.streams import BOUNDARY, event_stream, mjpeg
from serve.terms import SharedTerms
from serve.tiles import Picture, RayTiles, TileCache, TileSource

PREFIX = "/api/v1"
router = APIRouter(prefix=PREFIX, responses={401: {"model": problems.Problem, "description": "No valid token"}})
MAX_SEQ = 2**53


def build_app(settings: ApiSettings, tiles: TileSource | None = None) -> FastAPI:
    """The application. Raises SQLAlchemyError when the store cannot be opened."""
    app = FastAPI(
        title="Hoa Ban",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.store = EventStore.open(settings.store_url)
    app.state.board = Board(settings.redis_url)
    app.state.terms = SharedTerms(app.state.board)
    app.state.tickets = Tickets(settings.ticket_secret)
    app.state.tiles = TileCache(tiles or RayTiles(settings.ray_namespace))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.dashboard_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Last-Event-ID"],
        expose_headers=["X-Hoaban-Captured", "X-Hoaban-Age", "X-Hoaban-Blur"],
    )
    problems.install(app)
    app.include_router(router)
    app.include_router(health_router, prefix=PREFIX)
    watchlist.install(app, PREFIX, settings)
    plate_watchlist.install(app, PREFIX, settings)
    return app


@router.get("/healthz", tags=["health"])
def healthz() -> schemas.Health:
    """The server lives."""
    return schemas.Health(status="ok", version=__version__)


@router.get("/readyz", tags=["health"], responses={503: {"model": problems.Problem}})
def readyz(request: Request) -> schemas.Health:
    """The database and the live store answer."""
    request.app.state.store.last_seq()
    request.app.state.board.ping()
    return schemas.Health(status="ready", version=__version__)


@router.get("/metrics", tags=["health"], response_class=Response)
def prometheus(request: Request, _: Viewer) -> Response:
    """Prometheus metrics of all cameras."""
    return Response(metrics.render(request.app.state.board.statuses()), media_type="text/plain; version=0.0.4")


@router.get("/cameras", tags=["cameras"])
def cameras(request: Request, _: Viewer) -> list[schemas.CameraView]:
    """Every camera with its newest status."""
    statuses = request.app.state.board.statuses()
    return [_view(camera, statuses.get(camera["id"])) for camera in _configured(request)]


@router.get("/cameras/{camera}", tags=["cameras"], responses={404: {"model": problems.Problem}})
def camera(request: Request, camera: str, _: Viewer) -> schemas.CameraView:
    """One camera."""
    for found in _configured(request):
        if found["id"] == camera:
            return _view(found, request.app.state.board.statuses().get(camera))
    raise HTTPException(404, f"there is no camera {camera!r}")


def _configured(request: Request) -> list[dict[str, Any]]:
    return (request.app.state.board.get_json("fleet") or {}).get("cameras", [])


def _view(camera: dict[str, Any], status: dict[str, Any] | None) -> schemas.CameraView:
    return schemas.CameraView.model_validate(camera | {"status": status})


@router.get(
    "/cameras/{camera}/snapshot.jpg",
    tags=["cameras"],
    dependencies=[Depends(picture_viewer)],
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        403: {"model": problems.Problem},
        404: {"model": problems.Problem},
    },
)
async def snapshot(request: Request, camera: str) -> Response:
    """The newest picture, faces hidden (X-Hoaban-Blur says how)."""
    picture = await request.app.state.tiles.get(camera)
    if picture is None:
        raise HTTPException(404, f"camera {camera!r} has no picture now", {"Retry-After": "1"})
    return _jpeg(picture)


def _jpeg(picture: Picture) -> Response:
    headers = {
        "Cache-Control": "no-store",
        "X-Hoaban-Captured": f"{picture.captured_s:.3f}",
        "X-Hoaban-Age": f"{max(0.0, time.time() - picture.captured_s):.3f}",
        "X-Hoaban-Blur": picture.blur,
    }
    return Response(picture.jpeg, media_type="image/jpeg", headers=headers)


@router.get("/cameras/{camera}/heatmap", tags=["cameras"], responses={404: {"model": problems.Problem}})
async def heat_map(request: Request, camera: str, _: Viewer) -> schemas.HeatMapView:
    """Where people and things have been lately, for a camera that keeps such a map (heat_map in the fleet file)."""
    grid = await request.app.state.tiles.source.heat_map(camera)
    if grid is None:
        raise HTTPException(404, f"camera {camera!r} keeps no heat map, or does not run; ask for heat_map in its entry")
    return schemas.HeatMapView.model_validate(grid)


@router.get(
    "/cameras/{camera}/heatmap.jpg",
    tags=["cameras"],
    dependencies=[Depends(picture_viewer)],
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}},
        403: {"model": problems.Problem},
        404: {"model": problems.Problem},
    },
)
async def heat_picture(request: Request, camera: str) -> Response:
    """The newest picture, faces hidden, under its heat map."""
    picture = await request.app.state.tiles.source.heat_tile(camera)
    if picture is None:
        raise HTTPException(404, f"camera {camera!r} keeps no heat map, or has no picture now", {"Retry-After": "1"})
    return _jpeg(picture)


@router.get(
    "/cameras/{camera}/live.mjpg",
    tags=["cameras"],
    response_class=StreamingResponse,
    responses={403: {"model": problems.Problem}, 404: {"model": problems.Problem}},
)
async def live(
    request: Request, camera: str, holder: Annotated[TokenInfo, Depends(picture_viewer)]
) -> StreamingResponse:
    """The picture as MJPEG, faces hidden. It ends when the camera's owner no longer shares it with who looks."""
    tiles: TileCache = request.app.state.tiles
    if await tiles.get(camera) is None:
        raise HTTPException(404, f"camera {camera!r} has no picture now", {"Retry-After": "1"})
    kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
    terms: SharedTerms = request.app.state.terms
    pictures = mjpeg(request, tiles, camera, lambda: terms.may_see(camera, holder))
    return StreamingResponse(pictures, media_type=kind, headers={"Cache-Control": "no-store"})


@router.post(
    "/signals/{camera}/{signal}",
    tags=["signals"],
    status_code=202,
    response_class=Response,
    responses={403: {"model": problems.Problem}, 404: {"model": problems.Problem}, 422: {"model": problems.Problem}},
)
def tell_signal(request: Request, camera: str, signal: str, reading: schemas.SignalReading, _: Admin) -> None:
    """A traffic signal's controller tells what it shows: on every change, and in between before its feed is stale."""
    for found in _configured(request):
        if found["id"] == camera:
            known = [item["id"] for item in found.get("signals", []) if item.get("feed")]
            break
    else:
        raise HTTPException(404, f"there is no camera {camera!r}")
    if signal not in known:
        raise HTTPException(404, f"camera {camera!r} has no signal {signal!r} with a feed; it has: {known or 'none'}")
    at_s = reading.at.timestamp()
    if at_s > time.time() + AHEAD_S:
        raise HTTPException(422, f"at is {at_s - time.time():.1f} s ahead; set the controller's clock")
    request.app.state.board.put_reading(camera, Reading(signal, reading.state, at_s))


@router.get("/events", tags=["events"])
def events(
    request: Request,
    _: Viewer,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    type: Annotated[str | None, Query(examples=["hoaban.line_count"])] = None,
    camera: str | None = None,
    cursor: Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schemas.EventPageView:
    """Stored events, the newest first. since and until: capture time, RFC 3339 with a zone."""
    page = request.app.state.store.page(
        since_s=since.timestamp() if since else None,
        until_s=until.timestamp() if until else None,
        type=type,
        camera=camera,
        cursor=cursor,
        limit=limit,
    )
    views = [schemas.EventView(seq=stored.seq, event=stored.event.to_cloudevent()) for stored in page.events]
    return schemas.EventPageView(events=views, next_cursor=page.next_cursor)


@router.get(
    "/events/stream", tags=["events"], dependencies=[Depends(viewer_or_ticket)], response_class=EventSourceResponse
)
def stream(
    request: Request,
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="begin after this number; default: now")] = None,
) -> EventSourceResponse:
    """Events as they are stored (Server-Sent Events); resumes by Last-Event-ID without loss or repeat."""
    store: EventStore = request.app.state.store
    if last_event_id is not None:
        if not last_event_id.isdecimal() or len(last_event_id) > 16 or int(last_event_id) > MAX_SEQ:
            raise HTTPException(400, "Last-Event-ID must be the number of an event from this stream")
        after = int(last_event_id)
    return EventSourceResponse(event_stream(request, store, store.last_seq() if after is None else after), ping=10)


@router.get("/counts", tags=["counts"])
def counts(
    request: Request,
    _: Viewer,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    camera: str | None = None,
    bucket: Annotated[int | None, Query(ge=1, le=86400 * 31, description="interval in seconds, e.g. 900")] = None,
) -> list[schemas.CountView]:
    """Line crossings by camera, line, direction, class and lane. The intervals' sum is the number of stored events.

    Intervals are aligned to the province's clock: those of 86400 s begin at its midnight.
    """
    rows = request.app.state.store.counts(
        since_s=since.timestamp() if since else None,
        until_s=until.timestamp() if until else None,
        camera=camera,
        bucket_s=bucket,
        clock_s=clock_ahead_s(request.app.state.board.get_json("fleet"), since),
    )
    return [schemas.CountView(**asdict(row)) for row in rows]


@router.get("/counts/turns", tags=["counts"])
def turns(
    request: Request,
    _: Viewer,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    camera: str | None = None,
    bucket: Annotated[int | None, Query(ge=1, le=86400 * 31, description="interval in seconds, e.g. 900")] = None,
) -> list[schemas.TurnView]:
    """Turning counts by camera, rule, both lines and class, in intervals as those of /counts."""
    rows = request.app.state.store.turns(
        since_s=since.timestamp() if since else None,
        until_s=until.timestamp() if until else None,
        camera=camera,
        bucket_s=bucket,
        clock_s=clock_ahead_s(request.app.state.board.get_json("fleet"), since),
    )
    return [schemas.TurnView(**asdict(row)) for row in rows]


@router.get("/models", tags=["models"])
def models(_: Viewer) -> list[schemas.ModelView]:
    """The models this machine knows."""
    return [
        schemas.ModelView(
            name=package.card.name,
            version=package.card.version,
            task=package.card.task,
            backend=package.card.backend,
            digest=package.card.sha256,
            available=package.card.file is None or package.path is not None,
            licence=package.card.licence,
            origin=package.card.origin,
            known_failures=package.card.known_failures,
        )
        for package in list_models()
    ]


@router.get("/fleet", tags=["fleet"])
def fleet(request: Request, _: Viewer) -> schemas.FleetView:
    """The fleet that runs, and why the last edit of its file was refused, if it was."""
    return schemas.FleetView.model_validate(request.app.state.board.get_json("fleet") or {})


@router.post("/tickets", tags=["auth"])
def tickets(request: Request, holder: Viewer, wanted: schemas.TicketRequest) -> dict[str, schemas.Ticket]:
    """Permits for pictures and streams in a browser: ?ticket=… on snapshot.jpg, live.mjpg, events/stream.

    A shared camera whose terms do not name the token's role or agency is left out of the answer.
    """
    issue = request.app.state.tickets.issue
    return {
        name: schemas.Ticket(ticket=issue(name, holder), expires_in_s=TICKET_LIVES_S)
        for name in wanted.cameras
        if name == "*" or request.app.state.terms.may_see(name, holder)
    }
