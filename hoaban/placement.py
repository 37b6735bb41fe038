"""Where inference actors stand in a cluster, and which of them a camera turns to first."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SITE = "site_"
"""a node offers a site by a Ray resource of this name and the site's"""
GPU_THREADS = 2
"""one gathers the next batch and answers the last while the other's batch is on the GPU"""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster as Ray reports it. sites: those it offers, by their resource site_NAME."""

    id: str
    cpus: int
    gpus: int
    sites: frozenset[str] = frozenset()
    address: str = ""
    host: str = ""
    head: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """An inference actor to run. threads: frames it works on at once."""

    name: str
    node: str
    gpus: int
    threads: int


def inference_places(nodes: Sequence[Node], era: str = "", threads: int | None = None) -> list[Place]:
    """One actor per GPU; in a cluster without any, one per node with as many threads as the node has processors.

    Nodes without processors (a head that only governs) get none. Names are stable while the node lives. era: part of
    the names, as an actor's threads are: those of another era or size are replaced. threads: in a cluster without GPUs,
    so many processors for one actor, and as many actors on a node as it has room for; those that come first are spread
    over the nodes.
    """
    tail = f".{era}" if era else ""
    on_gpus = [
        Place(f"inference:{node.id[:8]}:{index}x{GPU_THREADS}{tail}", node.id, 1, GPU_THREADS)
        for node in nodes
        for index in range(node.gpus)
    ]
    if on_gpus:
        return _spread(on_gpus) if threads else on_gpus
    return _spread(
        [
            Place(f"inference:{node.id[:8]}:{index}x{each}{tail}", node.id, 0, each)
            for node in nodes
            if node.cpus > 0
            for each in [min(threads or node.cpus, node.cpus)]
            for index in range(node.cpus // each)
        ]
    )


NAMED = re.compile(r"inference:([^:]+):\d+(?:x(\d+))?(?:\.(.*))?")


def era_named(name: str) -> str:
    """The era in an inference actor's name; "" where it has none."""
    found = NAMED.fullmatch(name)
    return (found[3] or "") if found else ""


def place_named(name: str, nodes: Sequence[Node]) -> Place | None:
    """The place of an actor that runs, by its name; None where none of the nodes has it.

    Names of before threads were part of them are known too, so that what runs since then is replaced in order.
    """
    found = NAMED.fullmatch(name)
    node = next((node for node in nodes if node.id[:8] == found[1]), None) if found else None
    if found is None or node is None:
        return None
    return Place(name, node.id, min(node.gpus, 1), int(found[2] or (GPU_THREADS if node.gpus else node.cpus)))


def _spread(places: Sequence[Place]) -> list[Place]:
    """The first of each node, then the second of each."""
    seen: dict[str, int] = {}
    ranked = []
    for place in places:
        ranked.append((seen.get(place.node, 0), place))
        seen[place.node] = seen.get(place.node, 0) + 1
    return [place for _, place in sorted(ranked, key=lambda item: item[0])]


def without_a_place(sites: Mapping[str, str | None], nodes: Sequence[Node]) -> dict[str, str]:
    """Cameras that no node of the cluster may run, each with the reason in words.

    sites: camera -> the site it is bound to, None for one that may run anywhere.
    """
    offered = frozenset[str]().union(*(node.sites for node in nodes))
    return {
        camera: f"no node offers the site {site}; start a Ray node there with the resource {SITE}{site}"
        for camera, site in sites.items()
        if site is not None and site not in offered
    }


def share_out(cameras: Mapping[str, str | None], actors: Mapping[str, str]) -> dict[str, list[str]]:
    """camera -> the inference actors it tries, first choice first.

    cameras: id -> the node where it runs, None where that is not known. actors: name -> node.

    First choices are on the camera's node where that has any, and no actor has more of them than an even division gives
    the fullest one. Otherwise a camera's order is its own (rendezvous hashing, Thaler and Ravishankar 1998, here with
    room for so many: Mirrokni et al. 2016), so one camera or actor more or less moves few others, and the cameras of an
    actor that dies go to many. The same on every call: a supervisor that starts anew moves none.
    """
    wishes = {camera: {actor: _wish(camera, actor) for actor in actors} for camera in cameras}
    here: dict[str | None, list[str]] = {}
    nodes = set(actors.values())
    only = next(iter(nodes)) if len(nodes) == 1 else None
    for camera, node in cameras.items():
        here.setdefault(node if node in nodes else only, []).append(camera)
    first: dict[str, str] = {}
    for node in sorted(nodes):
        first |= _first_choices(here.get(node, ()), wishes, dict.fromkeys(_of(actors, node), 0))
    loads = dict.fromkeys(actors, 0)
    for actor in first.values():
        loads[actor] += 1
    first |= _first_choices(here.get(None, ()), wishes, loads)

    def order(camera: str) -> list[str]:
        def nearness(actor: str) -> tuple[bool, bool, int]:
            return actor != first[camera], actors[actor] != cameras[camera], -wishes[camera][actor]

        return sorted(actors, key=nearness)

    return {camera: order(camera) for camera in cameras}


def _first_choices(
    cameras: Sequence[str], wishes: Mapping[str, Mapping[str, int]], loads: Mapping[str, int]
) -> dict[str, str]:
    """camera -> an actor of `loads`, which says how many cameras each has already: the strongest wish that has room."""
    if not cameras or not loads:
        return {}
    level = -(-(len(cameras) + sum(loads.values())) // len(loads))
    while sum(max(0, level - load) for load in loads.values()) < len(cameras):
        level += 1
    room = {actor: level - load for actor, load in loads.items()}
    chosen: dict[str, str] = {}
    for _, camera, actor in sorted(((wishes[c][a], c, a) for c in cameras for a in loads), reverse=True):
        if camera not in chosen and room[actor] > 0:
            chosen[camera] = actor
            room[actor] -= 1
    return chosen


def _of(actors: Mapping[str, str], node: str) -> list[str]:
    return [actor for actor, where in actors.items() if where == node]


def _wish(camera: str, actor: str) -> int:
    """How much a camera wishes for an actor: a number of its own for each pair, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(f"{camera} {actor}".encode(), digest_size=8).digest())
