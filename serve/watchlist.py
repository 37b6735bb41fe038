"""The watchlist's routes: an officer proposes, an approver approves and erases. No route gives a template out."""

import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Base64Bytes, Field, ValidationError

from actors.board import Board
from actors.enrol import MOST_BYTES, EnrolmentError, template_of_photo
from actors.models import ModelError, find_model, load_face_model
from actors.models.face_model import FaceModel
from actors.store import EventStore
from actors.watchlist.feed import GALLERY, publish_gallery, was_published
from actors.watchlist.key import KeyMissingError, WatchlistKey
from actors.watchlist.store import EntryInfo, NewEntry, WatchlistError, WatchlistStore
from hoaban.access import Permission, Person
from serve.auditing import Looks, recorded
from serve.auth import may
from serve.lists import REFUSALS, ListedView, ListKeeper, NewListed
from serve.problems import Problem, problem
from serve.settings import ApiSettings

MOST_BODY = MOST_BYTES * 4 // 3 + 64 * 1024


class Enrolment(NewListed):
    """photo: base64. Read, made a template, and forgotten: it is written nowhere."""

    photo: Base64Bytes


class EntryView(ListedView):
    """An entry, without its template."""

    model: str
    model_digest: str
    quality: dict[str, float] | None = Field(None, description="of the photo, in the answer to its enrolment alone")


class Watchlist(ListKeeper[EntryInfo]):
    """The faces, and the face model, found when first needed."""

    entries: WatchlistStore

    def __init__(self, store: EventStore, board: Board, settings: ApiSettings) -> None:
        self._board = board
        self._data_dir = Path(settings.data_dir) if settings.data_dir else None
        entries = WatchlistStore(store.engine, self._key)
        super().__init__(
            entries,
            lambda: publish_gallery(board, self._key(), entries.active()),
            lambda: was_published(board, GALLERY),
        )
        self._lock = threading.Lock()
        self._model: FaceModel | None = None

    def model(self) -> FaceModel:
        """The fleet's face model. Raises ModelError, redis.RedisError."""
        with self._lock:
            name = ((self._board.get_json("fleet") or {}).get("models") or {}).get("faces", "faces")
            package = find_model(name)
            if self._model is None or self._model.card != package.card:
                self._model = load_face_model(package, device="cpu")
            return self._model

    def _key(self) -> WatchlistKey:
        return WatchlistKey.load_or_make(self._data_dir)


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes, and begin to keep the list."""
    shared = Watchlist(app.state.store, app.state.board, settings)
    app.state.watchlist = shared
    app.include_router(router, prefix=prefix)
    shared.start()

    @app.exception_handler(KeyMissingError)
    async def _no_key(_: Request, error: KeyMissingError) -> Any:
        return problem(503, str(error))


router = APIRouter(tags=["watchlist"], responses=REFUSALS)


@router.get("/watchlist")
def entries(
    request: Request, person: Annotated[Person, may(Permission.WATCHLIST_SEE)], watchlist: str | None = None
) -> list[EntryView]:
    """The entries, without templates."""
    looks: Looks = request.app.state.looks
    looks.record(request, person, "watchlist.see", watchlist or "all lists")
    return [_view(info) for info in _shared(request).entries.entries(watchlist)]


@router.post(
    "/watchlist",
    status_code=201,
    responses={413: {"model": Problem}, 422: {"model": Problem}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Enrolment.model_json_schema()}}}
    },
)
async def enrol(request: Request, person: Annotated[Person, may(Permission.WATCHLIST_PROPOSE)]) -> EntryView:
    """Enrol a face from a photo. It is not searched before another person has approved it."""
    # Read by hand, so that the token is checked before a body of megabytes is.
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY:
            raise HTTPException(413, f"the photo is larger than {MOST_BYTES // 2**20} MiB; make it smaller")
    try:
        wanted = Enrolment.model_validate_json(bytes(body))
    except ValidationError as invalid:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in invalid.errors(include_input=False))
        raise HTTPException(422, problems[:2000]) from None
    return await run_in_threadpool(_enrol, request, wanted, person)


def _enrol(request: Request, wanted: Enrolment, person: Person) -> EntryView:
    shared = _shared(request)
    try:
        model = shared.model()
        template, quality = template_of_photo(wanted.photo, model)
    except ModelError as error:
        raise HTTPException(503, str(error)) from None
    except EnrolmentError as error:
        raise HTTPException(422, f"photo: {error}") from None
    fields = wanted.model_dump(exclude={"photo"})
    with recorded(request, person, "watchlist.propose", wanted.subject, reason=wanted.law, watchlist=wanted.watchlist):
        try:
            info = shared.entries.add(NewEntry(template=template, model=model.template, **fields), person)
        except WatchlistError as error:
            raise HTTPException(422, str(error)) from None
    return _view(info, quality)


@router.post("/watchlist/{entry}/approve", responses={404: {"model": Problem}, 409: {"model": Problem}})
def approve(request: Request, entry: str, person: Annotated[Person, may(Permission.WATCHLIST_APPROVE)]) -> EntryView:
    """Make an entry active. Another person than the one who enrolled it must."""
    with recorded(request, person, "watchlist.approve", entry):
        return _view(_shared(request).approve(entry, person))


@router.delete("/watchlist/{entry}", status_code=204, responses={404: {"model": Problem}})
def erase(request: Request, entry: str, person: Annotated[Person, may(Permission.WATCHLIST_APPROVE)]) -> None:
    """Erase an entry and its template; the cameras forget it within seconds."""
    with recorded(request, person, "watchlist.erase", entry):
        _shared(request).erase(entry, person)


def _shared(request: Request) -> Watchlist:
    shared: Watchlist = request.app.state.watchlist
    return shared


def _view(info: EntryInfo, quality: dict[str, float] | None = None) -> EntryView:
    return EntryView(state=info.state(datetime.now(UTC)), quality=quality, **asdict(info))
