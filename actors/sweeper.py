"""Spools of cameras that no longer run where they were: every node's are looked at, after a change and now and then."""

import secrets
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.bus import EventBus
from actors.publisher import IDLE_S, sweep

log = structlog.get_logger(__name__)

SOON_S = IDLE_S + 10.0
EVERY_S = 3600.0
MARK = ".head"
"""a file that tells the head's spools, and a folder that it shares with other nodes, from those of one node"""


# Each in a process of its own, which has the code that is installed now: one that waits idle may be from before.
@ray.remote(num_cpus=0, max_retries=0, max_calls=1)
def _sweep(spools: str, redis_url: str, idle_s: float) -> int:
    return sweep(Path(spools), EventBus(redis_url), idle_s).events


@ray.remote(num_cpus=0, max_retries=0, max_calls=1)
def _is_empty(spools: str, redis_url: str, mark: str) -> bool:
    return is_empty(Path(spools), EventBus(redis_url), mark)


def is_empty(spools: Path, bus: EventBus, mark: str) -> bool:
    """Send what is in a node's spools; whether nothing is left that would go with the node.

    Where the folder bears the mark of the head's, it goes with no other node, and what cameras elsewhere hold in it is
    theirs to send.
    """
    swept = sweep(spools, bus, idle_s=0.0)
    return swept.events == 0 and (swept.journals == 0 or _marked(spools, mark))


def _marked(spools: Path, mark: str) -> bool:
    try:
        return (spools / MARK).read_text() == mark
    except OSError:
        return False


class SpoolSweeper:
    """Part of the supervisor. The folder has the same name on every node, and is swept where it is: by a task there."""

    def __init__(self, spools: Path, redis_url: str, idle_s: float = IDLE_S, soon_s: float = SOON_S) -> None:
        self._spools, self._redis_url, self._idle_s, self._soon_s = spools, redis_url, idle_s, soon_s
        self._due_s = time.monotonic() + soon_s
        self._running: list[Any] = []
        self._emptying: dict[str, Any] = {}
        self._mark = secrets.token_hex(8)
        try:
            spools.mkdir(parents=True, exist_ok=True)
            (spools / MARK).write_text(self._mark)
        except OSError as error:
            log.warning("the head's spools are not marked; a drain waits for all in them", error=str(error))

    def due(self) -> None:
        """A camera has gone or died: what it left is to be looked at, once it had time to start again."""
        self._due_s = min(self._due_s, time.monotonic() + self._soon_s)

    def empty(self, nodes: Collection[str]) -> None:
        """The nodes that carry nothing: what was seen on another says nothing, its cameras may leave more there."""
        self._emptying = {node: asked for node, asked in self._emptying.items() if node in nodes}

    def emptied(self, node: str) -> bool:
        """Whether what dead cameras left on a node is with Redis, and stays there; asked again until it is."""
        reference = self._emptying.get(node)
        if reference is None:
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            look = _is_empty.options(scheduling_strategy=there)
            self._emptying[node] = look.remote(str(self._spools), self._redis_url, self._mark)
            return False
        if not ray.wait([reference], timeout=0)[0]:
            return False
        del self._emptying[node]
        try:
            return bool(ray.get(reference))
        except ray.exceptions.RayError as error:
            log.warning("a node's spools not emptied", node=node, error=str(error).split("\n")[0])
            return False

    def tick(self, nodes: Sequence[str]) -> None:
        """Begin what is due on these nodes and hear what was begun. Never waits."""
        ready, self._running = (
            ray.wait(self._running, num_returns=len(self._running), timeout=0) if self._running else ([], [])
        )
        for reference in ready:
            try:
                left = ray.get(reference)
            except ray.exceptions.RayError as error:
                log.warning("a node's spools not swept", error=str(error).split("\n")[0])
                left = 1
            if left:
                self.due()
        if self._running or time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + EVERY_S
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            task = _sweep.options(scheduling_strategy=there)
            self._running.append(task.remote(str(self._spools), self._redis_url, self._idle_s))
