"""The models: which are known, which stand for the names of the fleet file, promotions and their taking back."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from actors.models import ModelError, find_model
from actors.models.files import readable_models
from actors.promotions import PromotionRegistry, RegistryError
from hoaban.access import Permission, Person
from hoaban.evaluation.report import ModelIdentity, Report
from hoaban.models.promotion import PromotionError, Step, in_force, model_of, promotion, rollback
from serve import schemas
from serve.auditing import recorded
from serve.auth import may, visible
from serve.problems import Problem
from serve.settings import ApiSettings

router = APIRouter(prefix="/models", tags=["models"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Seer = Annotated[Person, may(Permission.MODEL_SEE)]
Changer = Annotated[Person, may(Permission.MODEL_CHANGE)]
REFUSED: dict[int | str, dict[str, Any]] = {409: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}}


class StepView(BaseModel):
    """A promotion or its taking back. by "hoaban": of a model on probation. report: digest of what was judged."""

    kind: str
    place: str
    before: str
    after: str
    at: datetime
    by: str
    why: str
    report: str | None


class StandsForView(BaseModel):
    """What a name of the fleet file is now. since: of the step that made it so; null for a name that is itself.

    answers: model@version that cameras report -> those cameras. Right after a promotion some still report the old one.
    """

    name: str
    model: str
    since: datetime | None
    answers: dict[str, list[str]]


class CurrentView(BaseModel):
    places: list[StandsForView]
    steps: list[StepView] = Field(description="newest first")


class Promotion(BaseModel):
    """report: what `hoaban models evaluate --out` wrote for this candidate. place: by default the present model's."""

    model_config = ConfigDict(extra="forbid")
    report: Report
    place: str | None = Field(None, max_length=100)


class Rollback(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    place: str = Field(max_length=100)
    why: str = Field(min_length=5, max_length=500)


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes."""
    app.state.promotions = PromotionRegistry(Path(settings.data_dir)) if settings.data_dir else None
    app.include_router(router, prefix=prefix)


@router.get("")
def models(_: Seer) -> list[schemas.ModelView]:
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
        for package in readable_models()
    ]


@router.get("/current", responses={503: {"model": Problem}})
def current(request: Request, person: Seer) -> CurrentView:
    """What the names of the fleet file stand for, what the cameras say they run, and all steps so far."""
    steps = _steps(request)
    fleet = request.app.state.board.get_json("fleet") or {}
    detect = (fleet.get("models") or {}).get("detect")
    listed = visible(request, person, Permission.MODEL_SEE, fleet.get("cameras", []), lambda one: str(one["id"]))
    wanted = {one["id"]: one.get("model") or detect for one in listed if one.get("enabled")}
    statuses = request.app.state.board.statuses()
    names = sorted({name for name in wanted.values() if name} | {step.place for step in steps})
    stands = in_force(steps)
    places = []
    for name in names:
        answers: dict[str, list[str]] = {}
        for camera in (camera for camera, model in wanted.items() if model == name):
            model = (statuses.get(camera) or {}).get("model")
            if model is not None:
                answers.setdefault(f"{model['name']}@{model['version']}", []).append(camera)
        since = next((step.at for step in reversed(steps) if step.place == name), None)
        ref = stands[name].ref if name in stands else _itself(name)
        places.append(StandsForView(name=name, model=ref, since=since, answers=answers))
    return CurrentView(places=places, steps=[_view(step) for step in reversed(steps)])


@router.post("/promote", status_code=201, responses=REFUSED)
def promote(request: Request, wanted: Promotion, person: Changer) -> StepView:
    """Let a name stand for a candidate that was judged better; a running system swaps within seconds."""
    report = wanted.report
    try:
        candidate = ModelIdentity.of(find_model(report.candidate.ref).card)
    except ModelError as error:
        raise HTTPException(422, str(error)) from None
    name = wanted.place or _place_of(report.present.ref, _steps(request))

    def make(steps: Sequence[Step]) -> Step:
        present = ModelIdentity.of(find_model(model_of(name, in_force(steps))).card)
        return promotion(report, candidate, present, place=name, at=datetime.now(UTC), by=person.name)

    with recorded(request, person, "model.promote", candidate.ref, place=name, report=report.digest()):
        return _added(request, make)


@router.post("/rollback", status_code=201, responses=REFUSED)
def take_back(request: Request, wanted: Rollback, person: Changer) -> StepView:
    """Take the last promotion of a name back."""

    def make(steps: Sequence[Step]) -> Step:
        return rollback(steps, place=wanted.place, at=datetime.now(UTC), by=person.name, why=wanted.why)

    with recorded(request, person, "model.rollback", wanted.place, reason=wanted.why):
        return _added(request, make)


def _registry(request: Request) -> PromotionRegistry:
    registry: PromotionRegistry | None = request.app.state.promotions
    if registry is None:
        raise HTTPException(503, "this API was started without a data folder, where promotions are kept")
    return registry


def _steps(request: Request) -> list[Step]:
    try:
        return _registry(request).steps()
    except RegistryError as error:
        raise HTTPException(503, str(error)) from None


def _added(request: Request, make: Callable[[Sequence[Step]], Step]) -> StepView:
    try:
        return _view(_registry(request).add(make))
    except PromotionError as error:
        raise HTTPException(409, str(error)) from None
    except ModelError as error:
        raise HTTPException(422, str(error)) from None
    except RegistryError as error:
        raise HTTPException(503, str(error)) from None


def _place_of(present: str, steps: Sequence[Step]) -> str:
    names = [name for name, identity in in_force(steps).items() if identity.ref == present]
    if len(names) > 1:
        raise HTTPException(
            422, f"{present} has the place of {', '.join(names)}; say with place which of them is meant"
        )
    return names[0] if names else present.partition("@")[0]


def _itself(name: str) -> str:
    try:
        return ModelIdentity.of(find_model(name).card).ref
    except ModelError:
        return name


def _view(step: Step) -> StepView:
    return StepView(
        kind=step.kind,
        place=step.place,
        before=step.before.ref,
        after=step.after.ref,
        at=step.at,
        by=step.by,
        why=step.why,
        report=step.report,
    )
