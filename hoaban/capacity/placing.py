"""Cameras on nodes: which node carries which camera, and how full each gets.

Cameras go largest first, each to the node that stays emptiest by its fullest measure (processors, memory, GPUs,
network): longest processing time first (Graham: Bounds on Multiprocessing Timing Anomalies, SIAM J. Appl. Math. 17,
1969) in four dimensions. Ray places by the resources that an actor asks for, in much the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.capacity.demand import Demand

Floats = NDArray[np.float64]


class NoRoomError(ValueError):
    """A camera that no node of this kind can carry."""


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A kind of machine. speed: of its processors, against those of the machine that the costs were measured on.

    gpu_gb: memory of each GPU. nic_mbit: what its network card takes in, million bits a second.
    """

    cpus: float
    memory_gb: float
    gpus: int = 0
    speed: float = 1.0
    gpu_gb: float = 16.0
    nic_mbit: float = 1000.0

    def room(self, node_cpus: float, node_mb: float) -> Floats:
        """(4,) what is left for cameras: processors of the measured machine, MB, GPUs, Mbit/s."""
        cpus, memory_mb = self.cpus * self.speed - node_cpus, self.memory_gb * 1024 - node_mb
        return np.array([cpus, memory_mb, float(self.gpus), self.nic_mbit])


@dataclass(frozen=True, slots=True)
class Limits:
    """How full a node may be planned. after_loss: when a node of the site is gone and the others have its cameras."""

    usual: float = 0.7
    after_loss: float = 0.9
    memory: float = 0.8


@dataclass(frozen=True, slots=True)
class Placed:
    """node_of: (n,) the node of each demand. load: (nodes, 4) share of processors, memory, GPUs, network in use."""

    node_of: NDArray[np.intp]
    load: Floats

    @property
    def nodes(self) -> int:
        return len(self.load)


def as_rows(demands: Sequence[Demand]) -> Floats:
    """(n, 4) processors, MB, GPUs, Mbit/s."""
    rows = [(d.cpus, d.memory_mb, d.gpus, d.network_mbit) for d in demands]
    return np.array(rows, np.float64).reshape(-1, 4)


def place(demands: Sequence[Demand], room: Floats, nodes: int, limit: float, memory_limit: float) -> Placed | None:
    """The demands on so many nodes, or None when they do not fit."""
    rows = as_rows(demands)
    may = room * _limits(limit, memory_limit)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(rows > 0, rows / may, 0.0)
    used, node_of = np.zeros((nodes, 4)), np.zeros(len(rows), np.intp)
    for row in np.argsort(-shares.max(axis=1), kind="stable"):
        fullest = (used + shares[row]).max(axis=1)
        node = int(np.argmin(fullest))
        if not fullest[node] <= 1 + 1e-9:
            return None
        used[node] += shares[row]
        node_of[row] = node
    return Placed(node_of, used * _limits(limit, memory_limit))


def _limits(limit: float, memory_limit: float) -> Floats:
    return np.array([limit, memory_limit, limit, limit])


def nodes_needed(
    demands: Sequence[Demand], room: Floats, limit: float, memory_limit: float, *, least: int = 1
) -> Placed:
    """The demands on the fewest nodes, `least` or more, on which they fit.

    Raises NoRoomError for a camera larger than a node.
    """
    rows, may = as_rows(demands), room * _limits(limit, memory_limit)
    names = ("processors", "MB of memory", "GPUs", "Mbit/s of network")
    for row, measure in zip(*np.nonzero(rows > may + 1e-9), strict=True):
        raise NoRoomError(
            f"camera {demands[row].camera} alone needs {rows[row, measure]:.2f} {names[measure]}; "
            f"a node may give {max(0.0, may[measure]):.2f} of them; plan with larger nodes"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = np.where(rows.sum(axis=0) > 0, rows.sum(axis=0) / may, 0.0).max()
    nodes = max(least, int(np.ceil(bound - 1e-9)))
    while (placed := place(demands, room, nodes, limit, memory_limit)) is None:
        nodes += 1
    return placed
