"""The watchlist's routes: an officer proposes, an approver approves and erases. No route gives a template out."""

import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import redis
import structlog
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from actors.board import Board
from actors.enrol import MOST_BYTES, EnrolmentError, template_of_photo
from actors.models import ModelError, find_model, load_face_model
from actors.models.face_model import FaceModel
from actors.store import EventStore
from actors.watchlist import (
    EntryInfo,
    KeyMissingError,
    NewEntry,
    WatchlistError,
    WatchlistKey,
    WatchlistStore,
    publish_gallery,
)
from actors.watchlist.feed import VERSION
from hoaban.access import Permission, Person
from hoaban.shapes import Id
from serve.auditing import Looks, recorded
from serve.auth import may
from serve.problems import Problem, problem
from serve.settings import ApiSettings

log = structlog.get_logger(__name__)
KEEP_EVERY_S = 30.0
MOST_BODY = MOST_BYTES * 4 // 3 + 64 * 1024


class Enrolment(BaseModel):
    """photo: base64. Read, made a template, and forgotten: it is written nowhere."""

    model_config = ConfigDict(extra="forbid")
    watchlist: Id
    subject: str = Field(min_length=1, max_length=128, description="a case or file number, not a name")
    law: str = Field(min_length=1, max_length=400)
    authority: str = Field(min_length=1, max_length=400)
    document: str = Field(min_length=1, max_length=400)
    basis_until: AwareDatetime = Field(description="until when the lawful basis holds")
    expires_at: AwareDatetime = Field(description="when the entry is erased")
    photo: Base64Bytes


class EntryView(BaseModel):
    """An entry, without its template."""

    id: str
    watchlist: str
    subject: str
    state: str = Field(description="waiting for approval, active, expired")
    model: str
    model_digest: str
    law: str
    authority: str
    document: str
    basis_until: datetime
    expires_at: datetime
    added_by: str
    added_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    quality: dict[str, float] | None = Field(None, description="of the photo, in the answer to its enrolment alone")


class Watchlist:
    """What the routes share: the entries, the face model, found when first needed, and handing the list out.

    What could not be handed out, because Redis was away, is handed out later; what is over is erased.
    """

    def __init__(self, store: EventStore, board: Board, settings: ApiSettings) -> None:
        self._board = board
        self._data_dir = Path(settings.data_dir) if settings.data_dir else None
        self.entries = WatchlistStore(store.engine, self._key)
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._model: FaceModel | None = None
        self._handed_out = True

    def model(self) -> FaceModel:
        """The fleet's face model. Raises ModelError, redis.RedisError."""
        with self._lock:
            name = ((self._board.get_json("fleet") or {}).get("models") or {}).get("faces", "faces")
            package = find_model(name)
            if self._model is None or self._model.card != package.card:
                self._model = load_face_model(package, device="cpu")
            return self._model

    def publish(self) -> None:
        """Hand the active entries to the cameras, now or, when Redis is away, as soon as it is back.

        Raises KeyMissingError.
        """
        with self._publishing:
            try:
                publish_gallery(self._board, self._key(), self.entries.active())
                self._handed_out = True
            except redis.RedisError as error:
                self._handed_out = False
                log.warning("watchlist not handed out; trying again", reason=str(error))

    def keep(self) -> None:
        """Hand the list out as it is, and from then on erase what is over. Does not return."""
        try:
            if self.entries.entries() or self._board.get_json(VERSION):
                self.publish()
        except Exception as error:
            self._handed_out = False
            log.warning("watchlist not handed out at the start", reason=str(error))
        while True:
            time.sleep(KEEP_EVERY_S)
            try:
                if self.entries.erase_expired() or not self._handed_out:
                    self.publish()
            except Exception as error:  # a store that is away: looked at again
                log.warning("watchlist not kept", reason=str(error).splitlines()[0])

    def _key(self) -> WatchlistKey:
        return WatchlistKey.load_or_make(self._data_dir)


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes, and begin to keep the list."""
    shared = Watchlist(app.state.store, app.state.board, settings)
    app.state.watchlist = shared
    app.include_router(router, prefix=prefix)
    threading.Thread(target=shared.keep, name="watchlist", daemon=True).start()

    @app.exception_handler(KeyMissingError)
    async def _no_key(_: Request, error: KeyMissingError) -> Any:
        return problem(503, str(error))


router = APIRouter(
    tags=["watchlist"],
    responses={
        401: {"model": Problem, "description": "No valid token"},
        403: {"model": Problem, "description": "Not by one of your roles"},
        503: {"model": Problem, "description": "The key, the model or a store is away"},
    },
)


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
    shared = _shared(request)
    with recorded(request, person, "watchlist.approve", entry):
        try:
            info = shared.entries.approve(entry, person)
        except KeyError:
            raise HTTPException(404, f"there is no watchlist entry {entry!r}") from None
        except WatchlistError as error:
            raise HTTPException(409, str(error)) from None
    shared.publish()
    return _view(info)


@router.delete("/watchlist/{entry}", status_code=204, responses={404: {"model": Problem}})
def erase(request: Request, entry: str, person: Annotated[Person, may(Permission.WATCHLIST_APPROVE)]) -> None:
    """Erase an entry and its template; the cameras forget it within seconds."""
    shared = _shared(request)
    with recorded(request, person, "watchlist.erase", entry):
        try:
            shared.entries.remove(entry, person)
        except KeyError:
            raise HTTPException(404, f"there is no watchlist entry {entry!r}") from None
    shared.publish()


def _shared(request: Request) -> Watchlist:
    shared: Watchlist = request.app.state.watchlist
    return shared


def _view(info: EntryInfo, quality: dict[str, float] | None = None) -> EntryView:
    return EntryView(state=info.state(datetime.now(UTC)), quality=quality, **asdict(info))
