"""Where inference actors stand in a cluster, and which of them a camera turns to first."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster as Ray reports it."""

    id: str
    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True)
class Place:
    """An inference actor to run. threads: frames it works on at once."""

    name: str
    node: str
    gpus: int
    threads: int


def inference_places(nodes: Sequence[Node]) -> list[Place]:
    """One actor per GPU; in a cluster without any, one per node with as many threads as the node has processors.

    Nodes without processors (a head that only governs) get none. Names are stable while the node lives.
    """
    on_gpus = [Place(f"inference:{node.id[:8]}:{index}", node.id, 1, 1) for node in nodes for index in range(node.gpus)]
    if on_gpus:
        return on_gpus
    return [Place(f"inference:{node.id[:8]}:0", node.id, 0, node.cpus) for node in nodes if node.cpus > 0]


def peers_in_order(camera: str, names: Sequence[str]) -> list[str]:
    """The inference actors a camera tries, first choice first: spread evenly over cameras, the same on every call."""
    ordered = sorted(names)
    if not ordered:
        return []
    first = zlib.crc32(camera.encode()) % len(ordered)
    return ordered[first:] + ordered[:first]
