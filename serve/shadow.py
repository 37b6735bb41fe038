"""Candidates beside the models that count: begun, ended, how often they disagree, and the pictures of that."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from actors.disagreements import MODEL, Disagreements, Kept, folder_beside
from actors.labels import files_of
from actors.models import ModelError
from actors.promotions import RegistryError, ShadowRegistry
from actors.proof.archive import to_zip
from actors.shadows import begin, end
from hoaban.access import Permission, Person
from hoaban.disagreements import Kind
from hoaban.fleet import Role
from hoaban.shadow import Sample, ShadowOrder, ShadowStep, Share, last_ends, running
from hoaban.shapes import Id
from serve.auditing import recorded
from serve.auth import cameras_for, may, may_look
from serve.places import Places
from serve.problems import Problem
from serve.settings import ApiSettings
from serve.times import Instant

MOST_EXPORTED = 1000
router = APIRouter(tags=["models"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Changer = Annotated[Person, may(Permission.MODEL_CHANGE)]
Seer = Annotated[Person, may(Permission.MODEL_SEE)]


class NewShadow(BaseModel):
    """Of cameras and role, what is left out does not limit. A camera shows one candidate, the one begun last."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    model: str = Field(min_length=3, max_length=200, pattern=MODEL.pattern, description="the candidate, NAME@VERSION")
    cameras: tuple[Id, ...] = Field((), max_length=1000)
    role: Role | None = None
    share: Share = 1.0
    sample: Sample = 0.1
    reason: str = Field("", max_length=500)


class ShadowCameraView(BaseModel):
    """A camera whose frames the candidate is shown. Counts begin anew with the camera's process and with each order.

    sampled: frames to be shown. looked: that it answered. dropped: that it had no time for: the model that counts goes
    first. failed: on which it failed. disagreeing: of those it looked at, with any difference; per_100_frames: the same
    of a hundred looked at, null before the first. stored: pictures kept. kinds: differences by kind. look_p50_s: what a
    look takes, from offer to answer. error: why it does not look, or null.
    """

    camera: str
    sampled: int
    looked: int
    dropped: int
    failed: int
    disagreeing: int
    per_100_frames: float | None
    stored: int
    kinds: dict[str, int]
    look_p50_s: float | None = None
    error: str | None = None


class ShadowView(BaseModel):
    """A candidate. state "ended": nobody shows it frames now; ended_by is "hoaban" where the system ended it.

    cameras: those it was ordered for by name, empty for all that role and share leave. at_cameras: those that show it
    frames now. Both: of which the one who asks may know; what was ordered for others alone is not told. The totals are
    of at_cameras.
    """

    model: str
    digest: str
    state: Literal["running", "ended"]
    cameras: list[str]
    role: str | None
    share: float
    sample: float
    begun: datetime
    by: str
    ended: datetime | None = None
    ended_by: str | None = None
    why: str = ""
    looked: int = 0
    dropped: int = 0
    failed: int = 0
    disagreeing: int = 0
    per_100_frames: float | None = None
    kinds: dict[str, int] = Field(default_factory=dict)
    at_cameras: list[ShadowCameraView] = Field(default_factory=list)


class SightView(BaseModel):
    """bbox: xyxy pixels of the kept picture."""

    model_config = ConfigDict(populate_by_name=True)
    label: str = Field(alias="class")
    score: float
    bbox: tuple[float, float, float, float]


class DifferenceView(BaseModel):
    kind: Kind
    primary: SightView | None
    candidate: SightView | None


class ModelRefView(BaseModel):
    name: str
    version: str
    digest: str


class DisagreementView(BaseModel):
    """A picture on which two models do not agree. width, height: of the kept picture, whose address `picture` is."""

    id: str
    camera: str
    role: str
    time: datetime
    primary: ModelRefView
    candidate: ModelRefView
    differences: list[DifferenceView]
    seq: int
    width: int
    height: int
    blur: str
    simulated: bool
    picture: str = Field(description="path below /api/v1, for who may look at the camera")


class Export(BaseModel):
    """Which disagreements, and why they leave and to whom."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reason: str = Field(min_length=10, max_length=500)
    model: str | None = Field(None, max_length=200, description="the candidate, NAME@VERSION")
    camera: str | None = Field(None, max_length=64)
    since: Instant | None = None
    limit: int = Field(500, ge=1, le=MOST_EXPORTED)


class DisagreementPage(BaseModel):
    disagreements: list[DisagreementView]
    next_cursor: str | None


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes."""
    data = settings.data_dir
    app.state.shadows = ShadowRegistry(Path(data)) if data else None
    url = settings.evidence_url or (str(Path(data) / "evidence") if data else None)
    app.state.disagreements = Disagreements(folder_beside(url)) if url else None
    app.include_router(router, prefix=prefix)


def _registry(request: Request) -> ShadowRegistry:
    registry: ShadowRegistry | None = request.app.state.shadows
    if registry is None:
        raise HTTPException(503, "this API was started without a data folder, where shadows are kept")
    return registry


def _kept(request: Request) -> Disagreements:
    kept: Disagreements | None = request.app.state.disagreements
    if kept is None:
        raise HTTPException(503, "this API was started without a place for disagreements")
    return kept


@router.get("/models/shadow", responses={503: {"model": Problem}})
def shadows(request: Request, person: Seer) -> list[ShadowView]:
    """The candidates that look at live frames, the last one begun first, and those whose shadow was ended."""
    steps = _steps(_registry(request))
    orders, begun = running(steps), {step.order.model: step.order for step in steps if step.order is not None}
    told = _told(request, person)
    views = [_view(order, told.get(model, [])) for model, order in reversed(orders.items())]
    for model, step in reversed(last_ends(steps).items()):
        if model in begun:
            ended = {"state": "ended", "ended": step.at, "ended_by": step.by, "why": step.why}
            views.append(_view(begun[model], []).model_copy(update=ended))
    seen = cameras_for(request, person, Permission.CAMERA_SEE)
    return [part for view in views if (part := _seen(view, seen)) is not None]


@router.post("/models/shadow", status_code=201, responses={422: {"model": Problem}, 503: {"model": Problem}})
def begin_shadow(request: Request, wanted: NewShadow, person: Changer) -> ShadowView:
    """Show a candidate sampled frames of live cameras; what it finds makes no event. Cameras take it up in seconds."""
    registry = _registry(request)
    try:
        order = begin(
            wanted.model,
            cameras=wanted.cameras,
            role=wanted.role,
            share=wanted.share,
            sample=wanted.sample,
            by=person.name,
        )
    except ModelError as error:
        raise HTTPException(422, str(error)) from None
    fleet = {camera["id"] for camera in (request.app.state.board.get_json("fleet") or {}).get("cameras", [])}
    if unknown := sorted(set(wanted.cameras) - fleet):
        raise HTTPException(422, f"there is no camera {', '.join(unknown)}")
    detail = order.model_dump(mode="json", include={"cameras", "role", "share", "sample"})
    with recorded(request, person, "model.shadow", order.model, reason=wanted.reason or None, **detail):
        _add(registry, ShadowStep(order=order, at=order.at, by=person.name, why=wanted.reason))
    return _view(order, [])


@router.delete("/models/shadow/{model}", status_code=204, responses={404: {"model": Problem}, 503: {"model": Problem}})
def end_shadow(
    request: Request, model: str, person: Changer, why: Annotated[str, Query(max_length=500)] = ""
) -> Response:
    """Show a candidate no more frames. What it disagreed on stays for its term."""
    registry = _registry(request)
    if model not in running(_steps(registry)):
        raise HTTPException(404, f"no shadow of {model!r} runs")
    with recorded(request, person, "model.shadow.end", model, reason=why or None):
        _add(registry, end(model, by=person.name, why=why))
    return Response(status_code=204)


@router.get("/models/disagreements", responses={503: {"model": Problem}})
def disagreements(
    request: Request,
    person: Seer,
    model: Annotated[str | None, Query(max_length=200, description="the candidate, NAME@VERSION")] = None,
    camera: Annotated[str | None, Query(max_length=64)] = None,
    kind: Annotated[Kind | None, Query(description="with a difference of this kind")] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DisagreementPage:
    """Pictures on which a candidate and the model that counts do not agree, the newest first."""
    kept, found = _kept(request), []
    seen = cameras_for(request, person, Permission.CAMERA_SEE)
    for one in kept.kept(model):
        if (cursor is not None and one.id >= cursor) or (camera is not None and one.camera != camera):
            continue
        if seen is not None and one.camera not in seen:
            continue
        record = kept.record(one)
        if record is None or (kind is not None and all(d["kind"] != kind for d in record["differences"])):
            continue
        if len(found) == limit:
            return DisagreementPage(disagreements=found, next_cursor=found[-1].id)
        found.append(_disagreement(record))
    return DisagreementPage(disagreements=found, next_cursor=None)


@router.post(
    "/models/disagreements/export",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 404: {"model": Problem}, 503: {"model": Problem}},
)
def export(request: Request, wanted: Export, person: Changer) -> Response:
    """Pictures and COCO JSON of disagreements, the newest first, for people who correct labels; on record.

    Only of cameras that the person may look at, whose owner shows them the pictures and lets models be tried on them.
    """
    kept, places = _kept(request), request.app.state.places
    since_s = wanted.since.timestamp() if wanted.since else 0.0
    chosen: list[Kept] = []
    for one in kept.kept(wanted.model):
        if one.captured_s < since_s or wanted.camera not in (None, one.camera) or len(chosen) == wanted.limit:
            continue
        if places.sees(one.camera, person) and places.shows_to(one.camera, person) and places.trials_at(one.camera):
            chosen.append(one)
    if not chosen:
        raise HTTPException(404, "no disagreement is there that you may have; ask for others, or wait for some")
    cameras = sorted({one.camera for one in chosen})
    detail = {"model": wanted.model, "pictures": len(chosen), "cameras": cameras}
    with recorded(request, person, "model.export", wanted.model or "all", reason=wanted.reason, **detail):
        pictures = [(kept.record(one), kept.picture(one)) for one in chosen]
        whole = [(record, jpeg) for record, jpeg in pictures if record is not None and jpeg is not None]
        return Response(to_zip("disagreements", files_of(whole)), media_type="application/zip")


@router.get(
    "/cameras/{camera}/disagreements/{id}.jpg",
    dependencies=[may_look()],
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, 404: {"model": Problem}, 503: {"model": Problem}},
)
async def picture(request: Request, camera: str, id: str) -> Response:
    """The picture of a disagreement, faces and plates hidden, as it was kept: for who may look at the camera."""
    kept = _kept(request)

    def read() -> bytes | None:
        one = kept.find(id)
        return None if one is None or one.camera != camera else kept.picture(one)

    jpeg = await run_in_threadpool(read)
    if jpeg is None:
        raise HTTPException(404, f"camera {camera!r} has no disagreement {id!r}; it may be over its term")
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _steps(registry: ShadowRegistry) -> list[ShadowStep]:
    try:
        return registry.steps()
    except RegistryError as error:
        raise HTTPException(503, str(error)) from None


def _add(registry: ShadowRegistry, step: ShadowStep) -> None:
    try:
        registry.add(lambda _: step)
    except RegistryError as error:
        raise HTTPException(503, str(error)) from None


def _told(request: Request, person: Person) -> dict[str, list[ShadowCameraView]]:
    """candidate -> what the cameras that the person may see say of it."""
    places: Places = request.app.state.places
    told: dict[str, list[ShadowCameraView]] = {}
    for camera, status in sorted(request.app.state.board.statuses().items()):
        shadow: dict[str, Any] | None = status.get("shadow")
        if shadow is not None and places.sees(camera, person):
            told.setdefault(shadow["model"], []).append(ShadowCameraView(camera=camera, **_but_model(shadow)))
    return told


def _but_model(shadow: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shadow.items() if name != "model"}


def _view(order: ShadowOrder, cameras: Iterable[ShadowCameraView]) -> ShadowView:
    at = list(cameras)
    looked, disagreeing = sum(one.looked for one in at), sum(one.disagreeing for one in at)
    return ShadowView(
        model=order.model,
        digest=order.candidate.sha256,
        state="running",
        cameras=list(order.cameras),
        role=order.role,
        share=order.share,
        sample=order.sample,
        begun=order.at.astimezone(UTC),
        by=order.by,
        looked=looked,
        dropped=sum(one.dropped for one in at),
        failed=sum(one.failed for one in at),
        disagreeing=disagreeing,
        per_100_frames=round(100 * disagreeing / looked, 2) if looked else None,
        kinds={kind.value: sum(one.kinds.get(kind.value, 0) for one in at) for kind in Kind},
        at_cameras=at,
    )


def _seen(view: ShadowView, cameras: Collection[str] | None) -> ShadowView | None:
    """A view with those of its cameras that the person may see (None: all); None when it is for others alone."""
    if cameras is None or not view.cameras:
        return view
    named = [camera for camera in view.cameras if camera in cameras]
    return view.model_copy(update={"cameras": named}) if named else None


def _disagreement(record: dict[str, Any]) -> DisagreementView:
    return DisagreementView.model_validate(
        {name: record[name] for name in DisagreementView.model_fields if name in record}
        | {"picture": f"/cameras/{record['camera']}/disagreements/{record['id']}.jpg"}
    )
