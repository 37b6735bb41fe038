"""Nodes that are drained and processes that are replaced, as commands ask for it on the board, and how far it is.

Part of the supervisor. Who moves when is decided in hoaban/moves.py. What was asked for is on the board, so that a
supervisor that died goes on with it.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from actors.board import DRAINS, ERA, NODES, Board
from actors.camera_crew import CameraCrew
from actors.cluster import end_node
from actors.sweeper import SpoolSweeper
from hoaban.moves import Leaving, Mover, Seat, leaving
from hoaban.placement import Node, era_named
from hoaban.status import SourceState

log = structlog.get_logger(__name__)

SHOWN_EVERY_S = 5.0
HAVE_PICTURES = (SourceState.LIVE, SourceState.ENDED, SourceState.PAUSED)


class Moves:
    """`look` at each tick before anything is placed, `tick` when cameras were heard."""

    def __init__(self, board: Board, cameras: CameraCrew, sweeper: SpoolSweeper) -> None:
        self._board, self._cameras, self._sweeper = board, cameras, sweeper
        self._mover = Mover()
        self._asked: Mapping[str, Mapping[str, Any]] = {}
        self._moved: dict[str, dict[str, None]] = {}
        """node, "" for those replaced where they were allowed to stay -> the cameras that left it"""
        self._drained: set[str] = set()
        self._ended: dict[str, None] = {}
        """nodes that were drained to their end"""
        self._left = Leaving({}, {})
        self._seats: dict[str, Seat] = {}
        self._settled_era: str | None = None
        self._shown: dict[str, Any] = {}
        self._shown_s = float("-inf")
        self.era = ""
        self.begun = False
        """whether it is known what is to be drained, and what era it is"""

    def look(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes that may carry something."""
        try:
            asked = self._board.get_json(DRAINS) or {}
            era = str((self._board.get_json(ERA) or {}).get("era", ""))
        except Exception:
            log.warning("what is to be drained is not known", exc_info=True)
        else:
            alive = {node.id for node in nodes}
            self._asked = {node: how for node, how in asked.items() if node in alive}
            if era != self.era and self.begun:
                log.info("processes are replaced", era=era)
                self._moved.pop("", None)
            self.era, self.begun = era, True
        self._moved = {node: cameras for node, cameras in self._moved.items() if node in {"", *self._asked}}
        self._drained &= self._asked.keys()
        self._sweeper.empty(self._asked)
        self._cameras.era, self._cameras.closed = self.era, self._asked.keys()
        return [node for node in nodes if node.id not in self._asked]

    def tick(self, sites: Mapping[str, str | None], nodes: Sequence[Node], on: Mapping[str, str]) -> None:
        """Move who is due. sites: of the cameras that should run. on: inference actors that run -> their nodes."""
        if not (self._asked or self._settled_era != self.era or self._mover.moving or self._mover.lost):
            self._left = Leaving({}, {})
            self._show(nodes)
            return
        try:
            self._seats = {name: _seat(status) for name, status in self._board.statuses().items() if status.get("pid")}
        except Exception:
            log.warning("where cameras are is not known", exc_info=True)
            return
        self._left = leaving(self._seats, sites, nodes, self._asked.keys(), self.era)
        fleet = self._cameras.configs.keys()  # `sites` are none while nothing can be moved
        for camera in self._mover.due(self._left.why, self._seats, fleet, time.monotonic()):
            node = self._seats[camera].node
            self._moved.setdefault(node if node in self._asked and node is not None else "", {})[camera] = None
            self._cameras.move(camera, self._left.why[camera])
        waited_for = [name for name in self._cameras.actors if name not in self._seats]
        old_models = [name for name in on if era_named(name) != self.era]
        unseen = fleet - sites.keys()
        if not (self._left.why or self._left.stuck or self._mover.moving or waited_for or old_models or unseen):
            self._settled_era = self.era
        empty = [] if waited_for else [node for node in self._asked if not self._carries(node, on)]
        self._drained &= set(empty)
        self._sweeper.empty(empty)
        for node in empty:
            self._end(node)
        self._show(nodes)

    def _carries(self, node: str, on: Mapping[str, str]) -> bool:
        """Whether something runs on a node, or is on its way from there and seen nowhere yet."""
        on_their_way = self._mover.moving & self._moved.get(node, {}).keys()
        return bool(on_their_way) or node in on.values() or any(seat.node == node for seat in self._seats.values())

    def _end(self, node: str) -> None:
        """See whether an empty node has nothing on its disk either, and have it ended then if that was asked for."""
        if node not in self._drained and self._sweeper.emptied(node):
            self._drained.add(node)
            log.info("node drained", node=node)
            if self._asked[node].get("end"):
                self._ended[node] = None
                end_node(node)

    # --- how far it is

    def _show(self, nodes: Sequence[Node]) -> None:
        view = {"era": self.era, "upgrade": self._upgrade(), "nodes": {node.id: self._node(node) for node in nodes}}
        view |= {"ended": list(self._ended)}
        now = time.monotonic()
        if view == self._shown and now - self._shown_s < SHOWN_EVERY_S:
            return
        try:
            self._board.put_json(NODES, view | {"at_s": time.time()})
            self._shown, self._shown_s = view, now
        except Exception:
            log.warning("nodes not shown", exc_info=True)

    def _upgrade(self) -> dict[str, Any]:
        left = [camera for camera in self._left.why if self._seats[camera].node not in self._asked]
        done = self._settled_era == self.era
        replaced = list(self._moved.get("", ()))
        return {"done": done, "replaced": replaced, "left": left, "lost": self._lost(""), "halted": self._mover.halted}

    def _node(self, node: Node) -> dict[str, Any]:
        view: dict[str, Any] = {name: getattr(node, name) for name in ("address", "host", "head", "cpus", "gpus")}
        view |= {"sites": sorted(node.sites), "state": "serving"}
        if node.id not in self._asked:
            return view
        there = sorted(name for name, seat in self._seats.items() if seat.node == node.id)
        moved = {name: self._seats[name].node if name in self._seats else None for name in self._moved.get(node.id, ())}
        return view | {
            "state": "drained" if node.id in self._drained else "draining",
            "left": there,
            "moved": moved,
            "stuck": {name: why for name, why in self._left.stuck.items() if name in there},
            "lost": self._lost(node.id),
            "halted": self._mover.halted,
        }

    def _lost(self, left: str) -> list[str]:
        """Of those that left a node, see _moved, the ones that give no picture any more."""
        return [camera for camera in self._mover.lost if camera in self._moved.get(left, ())]


def _seat(status: Mapping[str, Any]) -> Seat:
    settled = status["state"] in HAVE_PICTURES and status.get("not_analysed") is None
    return Seat(status.get("node"), status.get("era", ""), settled)
