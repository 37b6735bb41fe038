"""The API (CONTRACT, HTTP). An ordinary FastAPI application; serve/deployment.py puts it under Ray Serve."""

import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from actors import duties
from actors.audit_anchor import Anchor, keep_anchored
from actors.board import NODES, POOL, Board
from actors.bus import EventBus
from actors.store import AuditStore, EventStore, Holder, Outbox, PeopleStore
from actors.store.preferences import PreferenceStore
from actors.store.sessions import SessionStore
from hoaban import __version__
from hoaban.access import Permission, Person
from hoaban.signals import AHEAD_S, Reading
from serve import (
    accounts,
    audit,
    casework,
    cluster,
    counts,
    evidence,
    evidence_labels,
    metrics,
    models,
    pictures,
    plate_watchlist,
    preferences,
    problems,
    provider_sign_in,
    schemas,
    sessions,
    shadow,
    shape_preview,
    shapes,
    unmask,
    watchlist,
)
from serve.auditing import Looks, Refusals
from serve.auth import (
    TICKET_LIVES_S,
    Credentials,
    Tickets,
    anyone,
    cameras_for,
    may,
    may_at,
    may_stream,
    refuse_undeclared,
    signed_in,
    visible,
)
from serve.edge import NoControlCharacters
from serve.feed import EventFeed
from serve.health import router as health_router
from serve.limits import AddressLimit, Limiter
from serve.places import Places
from serve.settings import ApiSettings
from serve.shown import Gate, gate
from serve.streams import event_stream, resume_at
from serve.tiles import RayTiles, TileCache, TileSource
from serve.times import Instant
from serve.viewer import ViewerAddress

PREFIX = "/api/v1"
router = APIRouter(prefix=PREFIX, responses={401: {"model": problems.Problem, "description": "No valid token"}})
MAX_SEQ = 2**53
Seer = Annotated[Person, may(Permission.CAMERA_SEE)]


def build_app(
    settings: ApiSettings, tiles: TileSource | None = None, unmasked: unmask.UnmaskedSource | None = None
) -> FastAPI:
    """The application. Raises StoreError when the database cannot be used."""
    app = FastAPI(
        title="Hoa Ban",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.store = EventStore.open(settings.store_url)
    app.state.feed = EventFeed(app.state.store)
    app.state.board, app.state.bus = Board(settings.redis_url), EventBus(settings.redis_url)
    app.state.places = Places(app.state.board)
    app.state.audit = AuditStore(app.state.store.engine)
    app.state.data_dir = settings.data_dir
    app.state.looks = Looks()
    app.state.refusals = Refusals()
    app.state.citizen_limiters = {}
    app.state.citizen_proxies = settings.access.citizen_proxies
    app.state.misuse = settings.access.misuse
    app.state.people = PeopleStore(app.state.store.engine)
    app.state.sessions = SessionStore(app.state.store.engine)
    app.state.preferences = PreferenceStore(app.state.store.engine)
    app.state.credentials = Credentials(app.state.people, settings.access)
    app.state.wrong_by_source = Limiter(settings.access.limits.wrong_passwords_per_name)
    app.state.wrong_by_name = Limiter(settings.access.limits.wrong_passwords_per_name_everywhere)
    app.state.wrong_by_address = Limiter(settings.access.limits.wrong_passwords_per_address)
    app.state.tickets = Tickets(settings.ticket_secret)
    app.state.permits = unmask.Permits(settings.ticket_secret)
    app.state.unmasked = unmasked or unmask.RayUnmasked(settings.ray_namespace)
    app.state.recent = shape_preview.RayRecent(settings.ray_namespace)
    app.state.tiles = TileCache(tiles or RayTiles(settings.ray_namespace))
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.dashboard_origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "If-Match", "Last-Event-ID", "X-Hoaban-Permit"],
        expose_headers=["X-Hoaban-Captured", "X-Hoaban-Age", "X-Hoaban-Blur"],
    )
    app.add_middleware(NoControlCharacters)
    app.add_middleware(AddressLimit, limit=settings.access.limits.per_address)
    if settings.viewer_secret:
        app.add_middleware(ViewerAddress, secret=settings.viewer_secret)
    if settings.access.trusted_proxies:  # outermost: from there on the address is that of who asks
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.access.trusted_proxies))
    problems.install(app)
    app.include_router(router)
    app.include_router(sessions.router, prefix=PREFIX)
    app.include_router(accounts.router, prefix=PREFIX)
    app.include_router(audit.router, prefix=PREFIX)
    app.include_router(counts.router, prefix=PREFIX)
    app.include_router(cluster.router, prefix=PREFIX)
    app.include_router(shapes.router, prefix=PREFIX)
    app.include_router(shape_preview.router, prefix=PREFIX)
    app.include_router(preferences.router, prefix=PREFIX)
    app.include_router(pictures.router, prefix=PREFIX)
    app.include_router(health_router, prefix=PREFIX)
    app.include_router(unmask.router, prefix=PREFIX)
    models.install(app, PREFIX, settings)
    provider_sign_in.install(app, PREFIX, settings)
    watchlist.install(app, PREFIX, settings)
    plate_watchlist.install(app, PREFIX, settings)
    evidence.install(app, PREFIX, settings)
    shadow.install(app, PREFIX, settings)
    app.include_router(evidence_labels.router, prefix=PREFIX)
    casework.install(app, PREFIX, settings)
    if settings.data_dir:
        keep_anchored(app.state.audit, Anchor(Path(settings.data_dir)))
    refuse_undeclared(app)
    return app


@router.get("/openapi.json", tags=["health"], dependencies=[signed_in()], response_class=JSONResponse)
def openapi(request: Request) -> JSONResponse:
    """This API's description (OpenAPI)."""
    return JSONResponse(request.app.openapi())


@router.get("/healthz", tags=["health"], dependencies=[anyone()])
def healthz() -> schemas.Health:
    """The server lives."""
    return schemas.Health(status="ok", version=__version__)


@router.get("/readyz", tags=["health"], dependencies=[anyone()], responses={503: {"model": problems.Problem}})
def readyz(request: Request) -> schemas.Health:
    """The database and the live store answer."""
    request.app.state.store.last_seq()
    request.app.state.board.ping()
    return schemas.Health(status="ready", version=__version__)


@router.get("/metrics", tags=["health"], response_class=Response)
def prometheus(request: Request, person: Annotated[Person, may(Permission.METRICS_READ)]) -> Response:
    """Prometheus metrics of the cameras, and of the system for who may see all of them."""
    statuses = request.app.state.board.statuses()
    shown = visible(request, person, Permission.METRICS_READ, statuses, str)
    whole = cameras_for(request, person, Permission.METRICS_READ) is None
    system = _figures(request, statuses) if whole else None
    text = metrics.render({camera: statuses[camera] for camera in shown}, system)
    return Response(text, media_type="text/plain; version=0.0.4")


def _figures(request: Request, statuses: dict[str, dict[str, Any]]) -> metrics.SystemFigures:
    fleet = request.app.state.board.get_json("fleet") or {}
    running = {name for name, status in statuses.items() if status.get("pid") is not None}
    return metrics.SystemFigures(
        enabled=sum(camera["enabled"] for camera in fleet.get("cameras", [])),
        reporting=len(running),
        fleet_refused=bool(fleet.get("errors")),
        backlog=request.app.state.board.backlog(),
        targets=Outbox(request.app.state.store.engine).states(),
        data_dir=request.app.state.data_dir,
        duties=duties.states(request.app.state.board, time.time()),
        pool=request.app.state.board.get_json(POOL) or None,
        nodes=[node["state"] for node in (request.app.state.board.get_json(NODES) or {}).get("nodes", {}).values()],
    )


@router.get("/cameras", tags=["cameras"])
def cameras(request: Request, person: Seer) -> list[schemas.CameraView]:
    """Every camera with its newest status."""
    statuses = request.app.state.board.statuses()
    shown = visible(request, person, Permission.CAMERA_SEE, _configured(request), _id)
    return [_view(camera, statuses.get(camera["id"])) for camera in shown]


@router.get("/cameras/{camera}", tags=["cameras"], responses={404: {"model": problems.Problem}})
def camera(request: Request, camera: str, _: Annotated[Person, may_at(Permission.CAMERA_SEE)]) -> schemas.CameraView:
    """One camera."""
    for found in _configured(request):
        if found["id"] == camera:
            return _view(found, request.app.state.board.statuses().get(camera))
    raise HTTPException(404, f"there is no camera {camera!r}")


def _configured(request: Request) -> list[dict[str, Any]]:
    return (request.app.state.board.get_json("fleet") or {}).get("cameras", [])


def _id(camera: dict[str, Any]) -> str:
    return str(camera["id"])


def _view(camera: dict[str, Any], status: dict[str, Any] | None) -> schemas.CameraView:
    return schemas.CameraView.model_validate(camera | {"status": status})


@router.post(
    "/signals/{camera}/{signal}",
    tags=["signals"],
    status_code=202,
    response_class=Response,
    responses={403: {"model": problems.Problem}, 404: {"model": problems.Problem}, 422: {"model": problems.Problem}},
)
def tell_signal(
    request: Request,
    camera: str,
    signal: str,
    reading: schemas.SignalReading,
    _: Annotated[Person, may_at(Permission.SIGNAL_TELL)],
) -> None:
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
    person: Seer,
    since: Instant | None = None,
    until: Instant | None = None,
    type: Annotated[str | None, Query(examples=["hoaban.line_count"])] = None,
    camera: str | None = None,
    cursor: Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> schemas.EventPageView:
    """Stored events, the newest first. since and until: capture time, RFC 3339 with a zone.

    A search, for a camera or a time, is recorded; the newest events as a page shows them are not.
    """
    if camera or since or until or cursor:
        searched = {"camera": camera, "since": since, "until": until, "type": type}
        words = [f"{name}={value}" for name, value in searched.items() if value is not None]
        looks: Looks = request.app.state.looks
        looks.record(request, person, "event.search", " ".join(words)[:500] or "all, page by page", camera)
    seen = gate(request, person)
    page = request.app.state.store.page(
        since_s=since.timestamp() if since else None,
        until_s=until.timestamp() if until else None,
        type=type,
        camera=camera,
        cameras=seen.cameras,
        cursor=cursor,
        limit=limit,
    )
    return schemas.EventPageView(events=seen.views(page.events), next_cursor=page.next_cursor)


@router.get("/events/stream", tags=["events"], response_class=EventSourceResponse)
def stream(
    request: Request,
    holder: Annotated[Holder, may_stream()],
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="begin after this number; default: now")] = None,
) -> EventSourceResponse:
    """Events as they are stored (Server-Sent Events); resumes by Last-Event-ID without loss or repeat.

    An event `reset` with {"newest": number} says that the database was restored from a backup: a number that was to be
    resumed from is not known any more, new events follow.
    """
    store: EventStore = request.app.state.store
    if last_event_id is not None:
        if not last_event_id.isdecimal() or len(last_event_id) > 16 or int(last_event_id) > MAX_SEQ:
            raise HTTPException(400, "Last-Event-ID must be the number of an event from this stream")
        after = int(last_event_id)
    begin, restored = resume_at(store, after)
    may_carry = partial(_streams, request, holder)
    return EventSourceResponse(event_stream(request.app.state.feed, begin, restored, may_carry), ping=10)


def _streams(request: Request, holder: Holder) -> Gate:
    """What a stream may carry now. Raises PermissionError once it must end."""
    now = request.app.state.credentials.still(holder.credential)
    places: Places = request.app.state.places
    if now is None or not places.sees(None, now.person):
        raise PermissionError
    return gate(request, now.person)


@router.get("/fleet", tags=["fleet"])
def fleet(request: Request, person: Annotated[Person, may(Permission.FLEET_SEE)]) -> schemas.FleetView:
    """The fleet that runs, and why the last edit of its file was refused, if it was."""
    found = request.app.state.board.get_json("fleet") or {}
    shown = visible(request, person, Permission.FLEET_SEE, found.get("cameras", []), _id)
    whole = cameras_for(request, person, Permission.FLEET_SEE) is None
    # The errors name cameras and lines of the file, whichever part of the province they are of.
    return schemas.FleetView.model_validate(
        found | {"cameras": shown, "errors": found.get("errors", []) if whole else []}
    )


@router.post("/tickets", tags=["auth"])
def tickets(
    request: Request, holder: Annotated[Holder, signed_in()], wanted: schemas.TicketRequest
) -> dict[str, schemas.Ticket]:
    """Permits for pictures and streams in a browser: ?ticket=… on snapshot.jpg, live.mjpg, events/stream.

    A camera whose pictures are not for who asks is left out of the answer.
    """
    issue = request.app.state.tickets.issue
    places: Places = request.app.state.places
    person = holder.person
    return {
        name: schemas.Ticket(ticket=issue(name, holder), expires_in_s=TICKET_LIVES_S)
        for name in wanted.cameras
        if (places.sees(name, person) and places.shows_to(name, person) if name != "*" else places.sees(None, person))
    }
