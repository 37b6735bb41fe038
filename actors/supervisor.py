"""The fleet supervisor: reads the fleet file, looks at what runs, takes one small step each tick.

What to do is decided in hoaban/reconcile.py and hoaban/placement.py; here it is only carried out. Actors are
detached, so a supervisor that died finds them again by name and goes on.
"""

import os
import threading
import time
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import structlog
from pydantic import SecretStr

from actors.board import Board
from actors.bus import EventBus
from actors.camera_crew import CameraCrew
from actors.cluster import HEAD_NODE
from actors.configs import ConfigArchive
from actors.fleet_in_force import FleetInForce
from actors.link import Peer
from actors.moves import Moves
from actors.pool import PoolCrew
from actors.pool_scaler import PoolScaler
from actors.promotions import PromotionRegistry
from actors.publisher import SpoolingPublisher
from actors.shadows import ShadowKeeper
from actors.sweeper import SpoolSweeper
from actors.turns import ModelTurns
from hoaban import __version__
from hoaban.events import ModelRef, Provenance, bind
from hoaban.fleet import Camera, Fleet
from hoaban.frames import FrameMeta
from hoaban.placement import SITE, Node, without_a_place
from hoaban.reconcile import END_LIMIT_S, Step
from hoaban.stream_health import Change, SilenceWatch

log = structlog.get_logger(__name__)

TICK_S = 1.0
NODES_EVERY_S = 5.0
SILENCE_EVERY_S = 5.0
SHOWN_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What every part of a running system must know."""

    session: str
    redis_url: str = field(repr=False)
    data_dir: str
    fleet_files: tuple[str, ...]
    evidence_url: str = ""
    """where evidence candidates go: a folder or a URL that fsspec knows; by default evidence in data_dir"""
    secrets: Mapping[str, SecretStr] = field(default_factory=dict)
    """of the fleet files, by the names they have there: from where the system was started, and kept in memory alone"""

    @property
    def env(self) -> Mapping[str, str]:
        """What fleet files are filled in from: an edit may name what this process has and no file named before."""
        return ChainMap({name: value.get_secret_value() for name, value in self.secrets.items()}, os.environ)


class Supervisor:
    """The reconcile loop. `tick` is one step of it."""

    def __init__(self, settings: SystemSettings) -> None:
        self._settings = settings
        self._board = Board(settings.redis_url)
        self._in_force = FleetInForce(settings.fleet_files, settings.env, Path(settings.data_dir))
        self._shown_s: float | None = None
        self._configs: dict[str, Camera] = {}
        self._desired: dict[str, str] = {}
        self._nodes: list[Node] = []
        self._nodes_checked_s = self._silence_checked_s = float("-inf")
        self._silence: SilenceWatch | None = None
        self._reported: dict[str, float] = {}
        self._whereabouts: dict[str, str] = {}
        self._taken: Fleet | None = None
        spools = Path(settings.data_dir) / "spool"
        self._publisher = SpoolingPublisher(EventBus(settings.redis_url), spools / ".supervisor")
        self._sweeper = SpoolSweeper(spools, settings.redis_url)
        data = Path(settings.data_dir)
        self._shadows, self._archive = ShadowKeeper(data), ConfigArchive(data)
        self._pool = PoolCrew(settings.session, ModelTurns(PromotionRegistry(data)), self._shadows)
        self._cameras = CameraCrew(
            self._board, settings.redis_url, settings.data_dir, settings.evidence_url, left=self._sweeper.due
        )
        self._moves = Moves(self._board, self._cameras, self._sweeper)
        self._scaler = PoolScaler(self._board)

    def tick(self) -> list[Step]:
        """Look, and take the steps that are due; returns them."""
        self._read_fleet()
        self._show_fleet()
        self._look_at_nodes()
        self._pool.hear()
        self._cameras.hear()
        self._watch_silence()
        nodes = self._moves.look(self._nodes)
        fleet = self._in_force.fleet
        if fleet is None or not self._moves.begun:  # what runs may be just right
            self._pool.ask()
            self._cameras.ask()
            return []
        pool, running = fleet.models.pool, len(self._pool.actors)
        places = self._scaler.places(nodes, self._moves.era, pool, self._pool.loads, running)
        models = sorted({camera.model for camera in fleet.cameras if camera.model})
        steps = self._pool.keep(places, self._nodes, models, fleet.models.unload_after_s)
        if not self._pool.peers:
            self._moves.tick({}, self._nodes, self._pool.nodes)
            return steps
        peers = [Peer(place.name, place.node, self._settings.session) for place in self._pool.peers]
        self._cameras.set_peers(peers, self._whereabouts)
        sites = {name: camera.site for name, camera in self._configs.items()}
        held = without_a_place(sites, nodes)
        self._cameras.show_held(held)
        self._cameras.set_shadows(self._shadows.assigned(self._configs.values()))
        self._moves.tick(sites, self._nodes, self._pool.nodes)
        return steps + self._cameras.tick(self._desired, held)

    # --- the fleet file

    def _read_fleet(self) -> None:
        if self._in_force.look():
            self._shown_s = None
        fleet = self._in_force.fleet
        if fleet is not None and fleet is not self._taken:
            self._take(fleet)
            self._taken = fleet

    def _take(self, fleet: Fleet) -> None:
        self._configs = {camera.id: camera for camera in fleet.cameras if camera.enabled}
        try:  # before a camera runs with it: no event names a configuration that is not kept
            self._archive.keep(self._configs.values())
        except OSError as error:
            log.error("configurations not kept; events of this fleet cannot be given again", error=str(error))
        self._desired = {name: camera.revision() for name, camera in self._configs.items()}
        self._cameras.configs = self._configs
        log.info("fleet read", cameras=len(fleet.cameras))

    def _show_fleet(self) -> None:
        """What is new of it at once, and all of it now and then: a live store may come back without what it had."""
        now = time.monotonic()
        if self._shown_s is not None and now - self._shown_s < SHOWN_EVERY_S:
            return
        try:
            self._board.put_json("fleet", self._in_force.view())
            self._shown_s = now
        except Exception:
            log.warning("fleet not shown", exc_info=True)

    def _look_at_nodes(self) -> None:
        now = time.monotonic()
        if now - self._nodes_checked_s < NODES_EVERY_S:
            return
        self._nodes_checked_s = now
        self._nodes = [_node(node) for node in ray.nodes() if node["Alive"]]
        self._sweeper.tick([node.id for node in self._nodes])
        if self._cameras.starting:
            return  # each would be told of another order as its neighbours come to be known
        try:
            self._whereabouts |= self._board.whereabouts()
        except Exception:  # cameras stay with the models they have
            log.warning("where cameras run is not known", exc_info=True)

    # --- cameras that nobody hears of

    def _watch_silence(self) -> None:
        """Tell of cameras whose process, or whose whole node, reports nothing: nobody else is left to tell."""
        if self._in_force.fleet is None or time.monotonic() - self._silence_checked_s < SILENCE_EVERY_S:
            return
        self._silence_checked_s = time.monotonic()
        try:
            if self._silence is None:
                self._silence = SilenceWatch(self._board.get_json("silent"))
            self._reported |= self._board.reported()
            changes = self._silence.update(self._configs, self._reported, time.time())
            if changes:
                self._publish_changes(changes)
                self._board.put_json("silent", self._silence.silent)
        except Exception:
            log.warning("silence not watched", exc_info=True)

    def _publish_changes(self, changes: dict[str, Change]) -> None:
        events = []
        for name, change in changes.items():
            camera = self._configs.get(name)
            if camera is None or not any(rule.type == "camera_health" for rule in camera.rules):
                continue
            retention = camera.terms.retention_days if camera.terms else None
            provenance = Provenance(ModelRef("none", "0", ""), camera.digest(), __version__, retention_days=retention)
            events.append(bind(change.finding(), FrameMeta(name, 0, change.since_s, 0, 0), camera.role, provenance))
            log.info("silence", camera=name, phase=change.phase, since_s=change.since_s)
        self._publisher.publish(events)

    def shutdown(self, limit_s: float = END_LIMIT_S) -> None:
        """End every camera and inference actor, the counters saved; those that do not stop within limit_s by force."""
        self._cameras.end_all(limit_s)
        self._pool.end_all(0)
        self._publisher.close()


def _node(told: dict[str, Any]) -> Node:
    resources = told["Resources"]
    sites = frozenset(name.removeprefix(SITE) for name in resources if name.startswith(SITE))
    return Node(
        told["NodeID"],
        int(resources.get("CPU", 0)),
        int(resources.get("GPU", 0)),
        sites,
        told["NodeManagerAddress"],
        told["NodeManagerHostname"],
        HEAD_NODE in resources,
    )


@ray.remote
class SupervisorActor:
    """The supervisor in the cluster, named `supervisor`."""

    def __init__(self, settings: SystemSettings) -> None:
        self._supervisor = Supervisor(settings)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._supervisor.tick()
            except Exception:  # the loop outlives any one tick's trouble and looks again
                log.exception("tick failed")
            self._stopping.wait(TICK_S)

    def ready(self) -> bool:
        return True

    def shutdown(self, limit_s: float = END_LIMIT_S) -> None:
        """See Supervisor.shutdown; a tick that is under way may take a second more."""
        self._stopping.set()
        self._thread.join(timeout=1)
        self._supervisor.shutdown(limit_s)
