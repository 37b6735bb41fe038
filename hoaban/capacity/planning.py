"""The plan: nodes for each site, with one to spare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hoaban.capacity.costs import Assumed, Costs, StreamGuess
from hoaban.capacity.demand import Demand, demand
from hoaban.capacity.placing import Limits, NodeKind, NoRoomError, Placed, nodes_needed
from hoaban.fleet import Camera, Fleet


@dataclass(frozen=True, slots=True)
class SitePlan:
    """One site. site: None for cameras that may run anywhere. Shares are of a node, by its fullest measure."""

    site: str | None
    cameras: int
    nodes: int
    cpus: float
    memory_mb: float
    gpus: float
    network_mbit: float
    busiest: float
    busiest_after_loss: float | None
    """None: no node to spare was asked for"""
    node_of: dict[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """head_cpus, head_mb: what the head's services take, beside the nodes."""

    sites: tuple[SitePlan, ...]
    head_cpus: float
    head_mb: float

    @property
    def nodes(self) -> int:
        return sum(site.nodes for site in self.sites)


def plan(
    fleet: Fleet,
    costs: Costs,
    kind: NodeKind,
    *,
    guess: StreamGuess,
    ring_s: Callable[[Camera], float],
    limits: Limits | None = None,
    spare: bool = True,
    assumed: Assumed | None = None,
) -> Plan:
    """Nodes of one kind for every enabled camera of a fleet. A site that may lose no node needs one more.

    Raises UnknownCostError for what was not measured, NoRoomError for what no such node can carry.
    """
    limits, assumed = limits or Limits(), assumed or Assumed()
    cameras = [camera for camera in fleet.with_defaults().cameras if camera.enabled]
    demands = [demand(c, costs, guess, ring_s=ring_s(c), on_gpu=kind.gpus > 0, assumed=assumed) for c in cameras]
    sites: dict[str | None, list[Demand]] = {}
    for asked in demands:
        sites.setdefault(asked.site, []).append(asked)
    _fit_gpu(kind, len(_models(cameras)), assumed)
    models_mb = sum(model.mb for name, model in costs.models.items() if name in _models(cameras))
    found = [
        _site(site, here, costs, kind, models_mb, limits, spare=spare)
        for site, here in sorted(sites.items(), key=lambda item: item[0] or "")
    ]
    return Plan(tuple(found), costs.control_s * len(cameras), costs.control_mb)


def _fit_gpu(kind: NodeKind, models: int, assumed: Assumed) -> None:
    """Each GPU holds every model, and beside them one that is about to take another's place."""
    if kind.gpus and (models + 1) * assumed.gpu_model_mb > kind.gpu_gb * 1024:
        raise NoRoomError(
            f"a GPU of {kind.gpu_gb:g} GB does not hold the fleet's {models} models and one that is swapped in, at "
            f"{assumed.gpu_model_mb:g} MB each; plan with larger GPUs, or say --assume gpu_model_mb= if they take less"
        )


def _models(cameras: Sequence[Camera]) -> set[str]:
    return {name.partition("@")[0] for camera in cameras for name in (camera.model, camera.face_model) if name}


def _site(
    site: str | None,
    demands: list[Demand],
    costs: Costs,
    kind: NodeKind,
    models_mb: float,
    limits: Limits,
    *,
    spare: bool,
) -> SitePlan:
    room = kind.room(costs.node_cpus, costs.node_mb + models_mb)
    if room[0] <= 0 or room[1] <= 0:
        raise NoRoomError(
            f"a node of {kind.cpus:g} processors and {kind.memory_gb:g} GB is filled by its own services and models; "
            "plan with larger nodes"
        )
    usual = nodes_needed(demands, room, limits.usual, limits.memory)
    after: Placed | None = None
    if spare:
        after = nodes_needed(demands, room, limits.after_loss, max(limits.memory, limits.after_loss))
        if after.nodes + 1 > usual.nodes:
            usual = nodes_needed(demands, room, limits.usual, limits.memory, least=after.nodes + 1)
        elif after.nodes + 1 < usual.nodes:
            most = max(limits.memory, limits.after_loss)
            after = nodes_needed(demands, room, limits.after_loss, most, least=usual.nodes - 1)
    return SitePlan(
        site=site,
        cameras=len(demands),
        nodes=usual.nodes,
        cpus=sum(d.cpus for d in demands),
        memory_mb=sum(d.memory_mb for d in demands),
        gpus=sum(d.gpus for d in demands),
        network_mbit=sum(d.network_mbit for d in demands),
        busiest=float(usual.load.max()),
        busiest_after_loss=None if after is None else float(after.load.max()),
        node_of={d.camera: int(node) for d, node in zip(demands, usual.node_of, strict=True)},
    )
