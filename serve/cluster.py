"""What the system runs on now, and what a fleet would need."""

from dataclasses import asdict
from importlib.resources import files
from typing import Annotated, Any, Literal

import psutil
import ray
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field, ValidationError

from actors.board import NODES, POOL
from actors.evidence import ring_seconds
from hoaban import capacity
from hoaban.access import Permission, Person
from hoaban.fleet import Fleet
from serve.auth import may, visible
from serve.problems import Problem
from serve.settings import ApiSettings

router = APIRouter(tags=["cluster"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Reader = Annotated[Person, may(Permission.METRICS_READ)]
ANSWER_LIMIT_S = 2.0
GB = 1024.0**3
LOOK_S = 0.1
"""the load is measured for so long: psutil keeps what it saw last for each thread, and these change"""


class NodeView(BaseModel):
    """A machine. cpus, gpus: what it offers. load and memory are known of the API's own machine alone, else null."""

    id: str
    address: str
    alive: bool
    cpus: float
    gpus: float
    memory_gb: float | None
    load: float | None = Field(None, description="share of its processors in use, 0..1")
    memory_used: float | None = Field(None, description="share of its memory in use, 0..1")
    state: Literal["serving", "draining", "drained"] = Field("serving", description="see `hoaban drain`")


class ModelSeatView(BaseModel):
    """An inference actor. seats: cameras whose frames it answers. models: what it holds and how that runs. swaps: the
    models that were put in others' places since it started, and how they do on probation."""

    name: str
    node: str | None
    answers: bool
    seats: list[str]
    models: dict[str, Any]
    swaps: Any = None


class PoolView(BaseModel):
    """The size of an inference pool that follows its load. lag: periods of their cameras that due frames wait.
    busy: share of their time that actors work. room: how many the nodes can hold. why: of the last change."""

    least: int
    most: int
    wanted: int
    ready: int
    room: int
    lag: float
    busy: float
    why: str


class ClusterView(BaseModel):
    """ray: whether this API is part of a Ray cluster; without one only its own machine is known."""

    ray: bool
    nodes: list[NodeView]
    inference: list[ModelSeatView]
    actors: dict[str, int] = Field(description="kind -> how many have a name in the cluster")
    pool: PoolView | None = Field(None, description="null: the number of inference actors is fixed")


class PlanView(BaseModel):
    """As `hoaban plan --json`. costs: on which machine and when they were measured."""

    cameras: int
    what_if: list[str]
    node: dict[str, Any]
    stream: dict[str, Any]
    costs: dict[str, str]
    nodes: int
    head: dict[str, float]
    sites: list[dict[str, Any]]


@router.get("/cluster")
def cluster(request: Request, person: Reader) -> ClusterView:
    """The machines, the actors that have a name, and the inference actors with the cameras that they serve."""
    settings: ApiSettings = request.app.state.settings
    statuses = request.app.state.board.statuses()
    shown = visible(request, person, Permission.METRICS_READ, statuses, str)
    view = _look(settings.ray_namespace, {camera: statuses[camera] for camera in shown})
    board = request.app.state.board
    states = (board.get_json(NODES) or {}).get("nodes", {})
    for node in view.nodes:
        node.state = states.get(node.id, {}).get("state", "serving")
    pool = board.get_json(POOL)
    return view.model_copy(update={"pool": PoolView.model_validate(pool) if pool else None})


def _look(namespace: str, statuses: dict[str, dict[str, Any]]) -> ClusterView:
    if not ray.is_initialized():
        return ClusterView(ray=False, nodes=[_own("", "127.0.0.1")], inference=_told(statuses), actors={})
    own = ray.get_runtime_context().get_node_id()
    nodes = []
    for node in ray.nodes():
        offers = node["Resources"]
        if node["NodeID"] == own:
            nodes.append(_own(own, node["NodeManagerAddress"], offers))
            continue
        memory = offers.get("memory")
        nodes.append(
            NodeView(
                id=node["NodeID"],
                address=node["NodeManagerAddress"],
                alive=node["Alive"],
                cpus=offers.get("CPU", 0),
                gpus=offers.get("GPU", 0),
                memory_gb=round(memory / GB, 1) if memory else None,
            )
        )
    names = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if one["namespace"] == namespace]
    kinds: dict[str, int] = {}
    for name in names:
        kinds[name.partition(":")[0]] = kinds.get(name.partition(":")[0], 0) + 1
    told = {one.name: one for one in _told(statuses)}
    for name in sorted(name for name in names if name.startswith("inference:")):
        told[name] = _asked(name, namespace, told.get(name))
    return ClusterView(ray=True, nodes=nodes, inference=list(told.values()), actors=kinds)


def _own(id: str, address: str, offers: dict[str, float] | None = None) -> NodeView:
    memory = psutil.virtual_memory()
    return NodeView(
        id=id,
        address=address,
        alive=True,
        cpus=(offers or {}).get("CPU", psutil.cpu_count() or 1),
        gpus=(offers or {}).get("GPU", 0),
        memory_gb=round(memory.total / GB, 1),
        load=round(psutil.cpu_percent(LOOK_S) / 100, 3),
        memory_used=round(memory.percent / 100, 3),
    )


def _told(statuses: dict[str, dict[str, Any]]) -> list[ModelSeatView]:
    """The inference actors as the cameras name them."""
    seats: dict[str, list[str]] = {}
    for camera, status in sorted(statuses.items()):
        if status.get("inference"):
            seats.setdefault(status["inference"], []).append(camera)
    return [
        ModelSeatView(name=name, node=None, answers=False, seats=cameras, models={}) for name, cameras in seats.items()
    ]


def _asked(name: str, namespace: str, told: ModelSeatView | None) -> ModelSeatView:
    """What an inference actor says of itself; only what cameras say of one that does not answer in time."""
    view = told or ModelSeatView(name=name, node=None, answers=False, seats=[], models={})
    try:
        answer = ray.get(ray.get_actor(name, namespace).where.remote(), timeout=ANSWER_LIMIT_S)
    except (ValueError, ray.exceptions.RayError, ray.exceptions.GetTimeoutError):
        return view
    told_by_it = {"node": answer["node"], "models": answer["models"], "swaps": answer["swaps"]}
    return view.model_copy(update={"answers": True, **told_by_it})


@router.get("/plan", responses={422: {"model": Problem}, 503: {"model": Problem}})
def plan(
    request: Request,
    _: Reader,
    what_if: Annotated[
        list[str] | None, Query(max_length=20, description="'+20 face_crowd', 'analysis_fps=10 overview'")
    ] = None,
    cpus: Annotated[float, Query(gt=0, le=1024)] = 16,
    memory_gb: Annotated[float, Query(gt=0, le=65536)] = 64,
    gpus: Annotated[int, Query(ge=0, le=64)] = 0,
    spare: Annotated[bool, Query(description="one machine of each site may fail")] = True,
) -> PlanView:
    """How many machines the running fleet needs, by measured costs; with changes, if any (see `hoaban plan`)."""
    view = request.app.state.board.get_json("fleet") or {}
    known = capacity.Costs.model_validate_json(files("benchmarks").joinpath("costs.json").read_text())
    machine, guess = (
        capacity.NodeKind(cpus, memory_gb, gpus, 1.0),
        capacity.StreamGuess(fps=25, width=1920, height=1080, mbit=4),
    )
    try:
        fleet = Fleet.model_validate({key: value for key, value in view.items() if key in Fleet.model_fields})
    except ValidationError:
        raise HTTPException(503, "no fleet runs yet; look again when it does") from None
    try:
        for change in what_if or ():
            fleet = capacity.what_if(fleet, change)
        found = capacity.plan(fleet, known, machine, guess=guess, ring_s=ring_seconds, spare=spare)
    except (capacity.WhatIfError, capacity.UnknownCostError, capacity.NoRoomError) as error:
        raise HTTPException(422, str(error)) from None
    return PlanView(
        cameras=sum(site.cameras for site in found.sites),
        what_if=what_if or [],
        node=asdict(machine),
        stream=guess.model_dump(),
        costs={"machine": known.machine, "date": str(known.date)},
        nodes=found.nodes,
        head={"cpus": found.head_cpus, "memory_mb": found.head_mb},
        sites=[asdict(site) for site in found.sites],
    )
