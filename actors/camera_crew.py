"""The camera actors of a fleet."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors import NAMESPACE
from actors.board import Board
from actors.camera import CameraActor
from actors.crew import Crew
from actors.link import Peer
from hoaban.fleet import Camera
from hoaban.placement import SITE, share_out
from hoaban.shadow import ShadowOrder
from hoaban.status import CameraStatus, SourceState

CAMERA_CPUS = 0.01
"""what a camera asks of Ray's scheduler; how many fit a node is the capacity plan's business, not a guess here"""
MOST_STARTING = 8
NODE_ID = "ray.io/node-id"
"""a label that Ray gives each node"""
SHOWN_S = 120.0
"""how long a status that the supervisor gives in a camera's stead is shown"""
SHOWN_AGAIN_S = 30.0


class CameraCrew(Crew):
    """One actor a camera. What becomes of one that has no process is told in its stead, on the board.

    left: called when a process ended, since it may have left events in its spool.
    """

    def __init__(
        self, board: Board, redis_url: str, data_dir: str, evidence_url: str, *, left: Callable[[], None]
    ) -> None:
        self.configs: Mapping[str, Camera] = {}
        self.era = ""
        self.closed: Collection[str] = ()
        """ids of nodes on which none is started"""
        self._left = left
        self._board, self._redis_url, self._data_dir = board, redis_url, data_dir
        self._evidence_url = evidence_url or str(Path(data_dir) / "evidence")
        self._given: tuple[Mapping[str, Peer], Mapping[str, str | None]] | None = None
        self._peers: dict[str, list[Peer]] = {}
        self._shown: dict[str, tuple[str, float]] = {}
        self._shadows: Mapping[str, ShadowOrder] | None = None
        """None: what an earlier supervisor told them is not known"""
        super().__init__("camera", MOST_STARTING)

    def set_peers(self, peers: Sequence[Peer], nodes: Mapping[str, str]) -> None:
        """The inference actors that cameras turn to. nodes: camera -> where it runs, as far as that is known."""
        by_name = {peer.name: peer for peer in peers}
        given = by_name, {camera: nodes.get(camera) for camera in self.configs}
        if given == self._given:
            return
        self._given, before = given, self._peers
        orders = share_out(given[1], {peer.name: peer.node for peer in peers})
        self._peers = {camera: [by_name[name] for name in order] for camera, order in orders.items()}
        for name, actor in self.actors.items():
            if name in self._peers and self._peers[name] != before.get(name):
                actor.set_peers.remote(self._peers[name])

    def set_shadows(self, orders: Mapping[str, ShadowOrder]) -> None:
        """camera -> the candidate that it shows pictures to; the others show none."""
        before, self._shadows = self._shadows, orders
        for name, actor in self.actors.items():
            if before is None or before.get(name) != orders.get(name):
                actor.set_shadow.remote(orders.get(name))

    def start(self, name: str) -> Any:
        actor = self._started(name)
        if (order := (self._shadows or {}).get(name)) is not None:
            actor.set_shadow.remote(order)
        return actor

    def _started(self, name: str) -> Any:
        camera = self.configs[name]
        return CameraActor.options(
            name=self.ray_name(name),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=CAMERA_CPUS,
            resources={f"{SITE}{camera.site}": 0.001} if camera.site else {},
            scheduling_strategy="SPREAD",
            label_selector={NODE_ID: f"!in({','.join(sorted(self.closed))})"} if self.closed else {},
            max_concurrency=4,
        ).remote(
            camera,
            self._peers.get(name, []),
            self._redis_url,
            str(Path(self._data_dir) / "spool"),
            "live",
            self._data_dir,
            self._evidence_url,
            self.era,
        )

    def configure(self, name: str) -> Any:
        return self.actors[name].configure.remote(self.configs[name])

    def stop(self, name: str) -> Any:
        return self.actors[name].stop.remote()

    def read(self, name: str, answer: Any) -> tuple[str, str]:
        """Who stopped it was a supervisor that is no more: the one that adopted it is the one to end it."""
        return str(answer), "" if answer else "it was stopped, and nobody ended it"

    def died(self, name: str, deaths: int, why: str) -> None:
        self._left()
        self._show(name, f"the camera's process ended {deaths} time(s) in a row ({why}); it is started again")

    def not_started(self, name: str, times: int, why: str) -> None:
        self._show(
            name, f"the camera's process could not be started, {times} time(s) in a row ({why}); it is tried again"
        )

    def gone(self, name: str) -> None:
        self._left()
        with contextlib.suppress(Exception):
            self._board.drop_status(name)

    def show_held(self, held: Mapping[str, str]) -> None:
        """Tell of cameras that cannot be started, each with the reason."""
        now = time.monotonic()
        for name, why in held.items():
            shown, at_s = self._shown.get(name, ("", 0.0))
            if name not in self.actors and (why != shown or now - at_s > SHOWN_AGAIN_S):
                self._shown[name] = (why, now)
                self._show(name, why)
        self._shown = {name: shown for name, shown in self._shown.items() if name in held}

    def _show(self, name: str, error: str) -> None:
        now = time.time()
        status = CameraStatus(name, SourceState.FAILED, now, now, error=error)
        with contextlib.suppress(Exception):
            self._board.put_status(name, status.as_dict(), SHOWN_S)
