"""Evidence under review: an officer looks, decides, and lets leave what is confirmed. Every view and export is audited.

Pictures are shown with everybody else hidden; the camera's own pixels need a permit (serve/unmask.py).
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Body, FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from actors.proof.archive import to_tar, to_zip
from actors.proof.desk import Desk, NotReadyError
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.purge import case_term, owners_days
from actors.store import EvidenceRecords, RetentionStore
from actors.store.evidence import CaseRow
from actors.watchlist.key import KeyMissingError, WatchlistKey
from hoaban.access import Permission, Person, Place
from hoaban.events import utc
from hoaban.evidence import manifest as m
from hoaban.evidence.retention import Retention
from hoaban.evidence.review import REASONS, RefusedError, State, Verdict, check_export
from hoaban.evidence.signing import SigningKeyError
from hoaban.plates import normalise
from serve import holds, subjects
from serve.auditing import record, recorded
from serve.auth import cameras_for, check_at, check_shown, may, signed_in, visible
from serve.places import Places
from serve.problems import Problem, problem
from serve.settings import ApiSettings
from serve.times import Instant
from serve.unmask import Unmasking, unmask_reason

log = structlog.get_logger(__name__)

MEDIA = {".jpg": "image/jpeg", ".mp4": "video/mp4"}
ARCHIVES = {"zip": (to_zip, "application/zip"), "tar": (to_tar, "application/x-tar")}
Words = Annotated[str, Field(min_length=10, max_length=500)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Decide(Strict):
    """version: of the case as it was seen. reason: one of the case's `reasons` for the verdict."""

    verdict: Verdict
    reason: str = Field(max_length=32)
    note: str = Field("", max_length=2000)
    version: int = Field(ge=0, le=2**31)


class Export(Strict):
    reason: Words = Field(description="why it leaves, and to whom")
    format: Literal["zip", "tar"] = "zip"
    version: int = Field(ge=0, le=2**31, description="of the case as it was seen: 409 when it was decided since")


class CaseView(BaseModel):
    """A case in the queue."""

    id: str
    type: str
    camera: str
    captured: datetime
    plate: str | None
    state: State
    version: int = Field(description="how many decisions there were; a decision names the version that was seen")
    evidential: bool
    doubts: list[str] = Field(description="why it cannot be confirmed as proof; empty when it can")
    missing: dict[str, str] = Field(description="files that a whole package would have, and why they are not there")
    seconds_into_red: float | None
    simulated: bool
    timestamp: datetime | None = Field(description="by a timestamp authority")
    redacted: str | None = Field(description="how others are hidden in its pictures; null: not made yet")
    kept_until: datetime | None = Field(description="when it is erased unless a hold keeps it")


class DecisionView(BaseModel):
    version: int
    verdict: str
    reason: str
    note: str
    by: str
    at: datetime


class CaseDetail(CaseView):
    decisions: list[DecisionView]
    reasons: dict[Verdict, list[str]] = Field(description="what a decision may give as its reason")
    pictures: list[str] = Field(description="names for …/files/{name}")
    held_by: str | None = Field(description="the hold that keeps it")
    manifest: dict[str, Any] | None = Field(description="what was signed; null for a damaged or erased case")


class CasePage(BaseModel):
    cases: list[CaseView]
    next_cursor: int | None


class Evidence:
    """What the routes share."""

    def __init__(self, app: FastAPI, settings: ApiSettings) -> None:
        engine = app.state.store.engine
        self.records, self.retention = EvidenceRecords(engine), RetentionStore(engine)
        self._board, self._settings = app.state.board, settings
        self._desk: Desk | None = None

    @property
    def desk(self) -> Desk:
        """Raises HTTPException 503 where this system has no place for evidence."""
        if self._desk is None:
            if not (data_dir := self._settings.data_dir):
                raise HTTPException(503, "this API was started without a data folder: it has no evidence")
            url = self._settings.evidence_url or str(Path(data_dir) / "evidence")
            self._desk = Desk(PackageFiles(url), Keys(data_dir))
        return self._desk

    def plate_told(self, plate: str) -> str:
        """A plate as the audit chain tells it: under a key, for the chain is kept for years and nothing in it can be
        erased. One plate always gives the same, however it was written."""
        data_dir = self._settings.data_dir
        try:
            key = WatchlistKey.load_or_make(Path(data_dir) if data_dir else None)
        except KeyMissingError:
            return "plate"
        return f"plate {key.digest(normalise(plate), 'audit')}"

    def views(self, cases: Iterable[CaseRow]) -> list[dict[str, Any]]:
        """Cases as they are shown."""
        fleet = self._board.get_json("fleet") or {}
        retention, owners = Retention.model_validate(fleet.get("retention") or {}), owners_days(fleet)
        found = []
        for case in cases:
            over_s = case_term(case, retention, owners).over_at(case.captured_s)
            until = None if over_s is None else utc(over_s)
            times = {"captured": utc(case.captured_s), "timestamp": case.stamped, "kept_until": until}
            found.append(asdict(case) | times)
        return found


router = APIRouter(
    tags=["evidence"],
    responses={
        401: {"model": Problem, "description": "No valid token"},
        403: {"model": Problem},
        503: {"model": Problem, "description": "The store of evidence is away"},
    },
)
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
CONFLICT: dict[int | str, dict[str, Any]] = {**NOT_FOUND, 409: {"model": Problem}}
Seer = Annotated[Person, may(Permission.EVIDENCE_SEE)]
Decider = Annotated[Person, may(Permission.EVIDENCE_DECIDE)]
Exporter = Annotated[Person, may(Permission.EVIDENCE_EXPORT)]


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes."""
    app.state.evidence = Evidence(app, settings)
    for part in (router, holds.router, subjects.router):
        app.include_router(part, prefix=prefix)

    @app.exception_handler(OSError)
    @app.exception_handler(SigningKeyError)
    async def _away(request: Request, error: Exception) -> Any:
        log.error("storage or a key is away", path=request.url.path, error=str(error))
        return problem(503, "storage or the signing key does not answer; the log says why", {"Retry-After": "5"})


@router.get("/evidence")
def queue(
    request: Request,
    person: Seer,
    state: State | None = None,
    type: Annotated[str | None, Query(max_length=64)] = None,
    camera: Annotated[str | None, Query(max_length=64)] = None,
    plate: Annotated[str | None, Query(max_length=32, description="a search of this kind is audited")] = None,
    evidential: bool | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    cursor: Annotated[int | None, Query(ge=0, le=2**53, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CasePage:
    """Cases, the newest first. since and until: capture time."""
    if plate is not None:
        record(request, person, "evidence.search", _shared(request).plate_told(plate))
    allowed = cameras_for(request, person, Permission.EVIDENCE_SEE)
    if camera is not None:
        allowed = frozenset({camera}) if allowed is None else allowed & {camera}
    shared = _shared(request)
    left: list[Place] = []
    if allowed is not None:
        places: Places = request.app.state.places
        gone = shared.records.places_but(places.all())
        within = [place for place in gone if camera in (None, place.camera)]
        left = visible(request, person, Permission.EVIDENCE_SEE, within, lambda place: place)
    cases, next_cursor = shared.records.page(
        state=state,
        type=type,
        cameras=allowed,
        left=left,
        plate=plate,
        evidential=evidential,
        since_s=since.timestamp() if since else None,
        until_s=until.timestamp() if until else None,
        cursor=cursor,
        limit=limit,
    )
    return CasePage(cases=[CaseView.model_validate(one) for one in shared.views(cases)], next_cursor=next_cursor)


@router.get("/evidence-keys")
def public_keys(request: Request, _: Annotated[Any, signed_in()]) -> dict[str, str]:
    """key id -> the public key in PEM: what packages are verified against."""
    return {name: pem.decode() for name, pem in _shared(request).desk.keys.public().items()}


@router.get("/evidence/{id}", responses=NOT_FOUND)
def case(request: Request, id: str, person: Seer) -> CaseDetail:
    """A case, with what was decided of it and what was signed."""
    shared = _shared(request)
    found = _case(request, person, id, Permission.EVIDENCE_SEE)
    record(request, person, "evidence.see", id, camera=found.camera)
    return _detail(shared, found)


@router.get("/evidence/{id}/files/{name}", responses=NOT_FOUND, response_class=Response)
def file(request: Request, id: str, name: str, person: Seer) -> Response:
    """A picture or the clip, with everybody else hidden."""
    found = _case(request, person, id, Permission.EVIDENCE_SEE)
    _check_owner(request, person, found)
    request.app.state.looks.record(request, person, "evidence.look", f"{id}/{name}", found.camera)
    try:
        return _picture(_shared(request).desk.redacted(found, name), name, found.redacted or "")
    except NotReadyError:
        raise HTTPException(404, "its pictures are not made presentable yet", {"Retry-After": "5"}) from None
    except FileNotFoundError:
        raise HTTPException(404, f"{id} has no picture {name!r}") from None
    except RefusedError as error:
        raise HTTPException(409, str(error)) from None


@router.get("/evidence/{id}/original/{name}", responses=NOT_FOUND, response_class=Response)
def original(
    request: Request, id: str, name: str, person: Seer, unmasking: Annotated[Unmasking, unmask_reason()]
) -> Response:
    """A picture or the clip as the camera gave it. Needs a permit for the camera."""
    found = _case(request, person, id, Permission.EVIDENCE_SEE)
    _check_owner(request, person, found)
    unmasking.use(found.camera, f"/evidence/{id}/{name}"[:200], found.terms)
    try:
        return _picture(_shared(request).desk.original(found, name), name, "none")
    except FileNotFoundError:
        raise HTTPException(404, f"{id} has no picture {name!r}") from None


@router.post("/evidence/{id}/decision", responses=CONFLICT | {422: {"model": Problem}})
def decide(request: Request, id: str, wanted: Decide, person: Decider) -> CaseDetail:
    """Confirm or reject. 409 when somebody decided since `version`; 422 where the case does not allow it."""
    shared = _shared(request)
    found = _case(request, person, id, Permission.EVIDENCE_DECIDE)
    told = {"verdict": wanted.verdict.value, "because": wanted.reason, "version": wanted.version}
    try:
        with recorded(request, person, "evidence.decide", id, camera=found.camera, reason=wanted.note or None, **told):
            found = shared.records.decide(id, wanted.verdict, wanted.reason, wanted.note, wanted.version, person)
    except RefusedError as error:
        raise HTTPException(409 if error.conflict else 422, str(error)) from None
    return _detail(shared, found)


@router.post("/evidence/{id}/export", responses=CONFLICT, response_class=Response)
def export(request: Request, id: str, wanted: Export, person: Exporter) -> Response:
    """A signed archive of a confirmed case, with everybody else hidden. `hoaban evidence verify` checks it."""
    found = _case(request, person, id, Permission.EVIDENCE_EXPORT)
    _check_owner(request, person, found)
    return _export(request, found, wanted, person, unblurred=False)


@router.post("/evidence/{id}/original/export", responses=CONFLICT, response_class=Response)
def export_original(
    request: Request,
    id: str,
    wanted: Annotated[Export, Body()],
    person: Exporter,
    unmasking: Annotated[Unmasking, unmask_reason()],
) -> Response:
    """A signed archive of a confirmed case as it was recorded, nobody hidden. Needs a permit for the camera."""
    found = _case(request, person, id, Permission.EVIDENCE_EXPORT)
    _check_owner(request, person, found)
    unmasking.use(found.camera, f"/evidence/{id}/export", found.terms)
    return _export(request, found, wanted, person, unblurred=True)


def _export(request: Request, found: CaseRow, wanted: Export, person: Person, *, unblurred: bool) -> Response:
    shared = _shared(request)
    try:
        decided = shared.records.decisions(found.id)
        files = shared.desk.export(
            found, decided, person, wanted.reason, seen_version=wanted.version, unblurred=unblurred
        )
        now = shared.records.get(found.id)  # packing takes seconds: who decided meanwhile is not passed over
        check_export(now.state, now.version, wanted.version)
    except (RefusedError, NotReadyError) as error:
        why = str(error) or "its pictures are not made presentable yet; try again"
        record(request, person, "evidence.export", found.id, camera=found.camera, reason=why, outcome="refused")
        raise HTTPException(409, why) from None
    pack, media = ARCHIVES[wanted.format]
    data = pack(found.id, files)
    told = {"unblurred": unblurred, "sha256": m.digest(data), "bytes": len(data)}
    record(request, person, "evidence.export", found.id, camera=found.camera, reason=wanted.reason, **told)
    headers = {"Content-Disposition": f'attachment; filename="{found.id}.{wanted.format}"', "Cache-Control": "no-store"}
    return Response(data, media_type=media, headers=headers)


def _detail(shared: Evidence, found: CaseRow) -> CaseDetail:
    whole = found.manifest_sha256 is not None and found.state not in (State.ERASING, State.ERASED)
    try:
        pictures = shared.desk.shown(found) if whole else []
    except NotReadyError:
        pictures = []
    holding = (h for h, _ in shared.retention.holds() if h.lasts(time.time()))
    keepers = (h.id for h in holding if h.covers(found.id, found.camera, found.captured_s))
    decisions = [asdict(one) | {"by": one.by_name, "at": utc(one.at_s)} for one in shared.records.decisions(found.id)]
    more = {
        "decisions": decisions,
        "reasons": REASONS,
        "pictures": pictures,
        "held_by": next(keepers, None),
        "manifest": shared.desk.manifest(found) if whole else None,
    }
    (shown,) = shared.views([found])
    return CaseDetail.model_validate(shown | more)


def _case(request: Request, person: Person, id: str, permission: Permission) -> CaseRow:
    """404 for one that does not exist, and for one whose camera the person is not granted."""
    missing = f"there is no evidence {id!r}"
    try:
        found = _shared(request).records.get(id)
    except KeyError:
        raise HTTPException(404, missing) from None
    check_at(request, person, permission, found.camera, found.place, missing)
    return found


def _check_owner(request: Request, person: Person, found: CaseRow) -> None:
    """403 where the owner of a shared camera shows its pictures to others only."""
    check_shown(request, person, Permission.EVIDENCE_SEE, found.camera, found.terms)


def _picture(data: bytes, name: str, blur: str) -> Response:
    media = MEDIA.get(Path(name).suffix, "application/octet-stream")
    return Response(data, media_type=media, headers={"Cache-Control": "no-store", "X-Hoaban-Blur": blur})


def _shared(request: Request) -> Evidence:
    shared: Evidence = request.app.state.evidence
    return shared
