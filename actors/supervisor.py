"""The fleet supervisor: reads the fleet file, looks at what runs, takes one small step each tick.

What to do is decided in hoaban/reconcile.py and hoaban/placement.py; here it is only carried out. Actors are
detached, so a supervisor that died finds them again by name and goes on.
"""

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import NAMESPACE
from actors.board import Board
from actors.bus import EventBus, SpoolingPublisher
from actors.camera import CameraActor
from actors.fleet_file import load_fleet
from actors.inference import InferenceActor
from actors.link import Peer
from hoaban import __version__
from hoaban.events import ModelRef, Provenance, bind
from hoaban.fleet import Camera, Fleet
from hoaban.fleet_text import FleetErrors, redact
from hoaban.frames import FrameMeta
from hoaban.placement import Node, Place, inference_places, peers_in_order
from hoaban.reconcile import Action, Observed, Phase, Step, after_answer, after_death, plan_steps
from hoaban.status import CameraStatus, SourceState
from hoaban.stream_health import Change, SilenceWatch

log = structlog.get_logger(__name__)

TICK_S = 1.0
NODES_EVERY_S = 5.0
SILENCE_EVERY_S = 5.0
CAMERA_CPUS = 0.01
"""what a camera asks of Ray's scheduler; how many fit a node is the capacity plan's business, not a guess here"""


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What every part of a running system must know."""

    session: str
    redis_url: str
    data_dir: str
    fleet_files: tuple[str, ...]
    evidence_url: str = ""
    """where evidence candidates go: a folder or a URL that fsspec knows; by default evidence in data_dir"""


class Supervisor:
    """The reconcile loop. `tick` is one step of it."""

    def __init__(self, settings: SystemSettings) -> None:
        self._settings = settings
        self._board = Board(settings.redis_url)
        self._fleet: Fleet | None = None
        self._stamp: tuple[tuple[int, int], ...] = ()
        self._errors: list[str] = []
        self._cameras: dict[str, Any] = {}
        self._observed: dict[str, Observed] = {}
        self._configs: dict[str, Camera] = {}
        self._desired: dict[str, str] = {}
        self._asked: dict[Any, str] = {}
        self._ending: dict[Any, str] = {}
        self._pool: dict[str, Any] = {}
        self._peers: list[Peer] = []
        self._nodes_checked_s = self._silence_checked_s = float("-inf")
        self._silence: SilenceWatch | None = None
        self._reported: dict[str, float] = {}
        spool = Path(settings.data_dir) / "spool" / ".supervisor"
        self._publisher = SpoolingPublisher(EventBus(settings.redis_url), spool)
        self._adopt()

    def tick(self) -> list[Step]:
        """Look, and take the steps that are due; returns them."""
        self._read_fleet()
        self._tend_pool()
        self._hear()
        self._hear_endings()
        self._watch_silence()
        if self._fleet is None or not self._peers:
            return []
        steps = plan_steps(self._desired, self._observed, time.monotonic())
        for step in steps:
            log.info("step", action=step.action.value, camera=step.camera, why=step.why)
            self._take(step)
        self._ask()
        return steps

    # --- the fleet file

    def _read_fleet(self) -> None:
        paths = [Path(name) for name in self._settings.fleet_files]
        try:
            stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
        except OSError as error:
            self._refuse([str(error)])
            self._stamp = ()  # the same file that comes back is read again, and the error goes
            return
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._fleet, self._errors = load_fleet(paths), []
        except FleetErrors as errors:
            self._refuse([str(error) for error in errors.errors])
            return
        self._configs = {camera.id: camera for camera in self._fleet.cameras if camera.enabled}
        self._desired = {name: camera.digest() for name, camera in self._configs.items()}
        log.info("fleet read", cameras=len(self._fleet.cameras))
        self._show_fleet()

    def _refuse(self, errors: list[str]) -> None:
        """Keep the last good fleet and say why the edit was not taken."""
        if errors != self._errors:
            self._errors = errors
            log.error("fleet file refused; the last good one stays", errors=errors)
            self._show_fleet()

    def _show_fleet(self) -> None:
        fleet = self._fleet
        view: dict[str, Any] = {"errors": self._errors, "cameras": []}
        if fleet is not None:
            view |= fleet.model_dump(
                mode="json", by_alias=True, include={"province", "districts", "agencies", "models", "incidents"}
            )
            view["digest"] = fleet.digest()
            for camera in fleet.cameras:
                document = camera.model_dump(mode="json", by_alias=True)
                view["cameras"].append(document | {"source": redact(camera.source)})
        try:
            self._board.put_json("fleet", view)
        except Exception:
            log.warning("fleet not shown", exc_info=True)
            self._stamp = ()  # read and show again at the next tick

    # --- inference actors

    def _tend_pool(self) -> None:
        now = time.monotonic()
        if now - self._nodes_checked_s < NODES_EVERY_S:
            return
        self._nodes_checked_s = now
        nodes = [
            Node(node["NodeID"], int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
            for node in ray.nodes()
            if node["Alive"]
        ]
        places = {place.name: place for place in inference_places(nodes)}
        for name in set(self._pool) - set(places):
            with contextlib.suppress(Exception):
                ray.kill(self._pool.pop(name))
        for name, place in places.items():
            if name not in self._pool:
                self._pool[name] = self._start_inference(place)
        peers = [Peer(place.name, place.node, self._settings.session) for place in places.values()]
        if peers != self._peers:
            self._peers = peers
            for camera, actor in self._cameras.items():
                actor.set_peers.remote(self._peers_of(camera))

    def _start_inference(self, place: Place) -> Any:
        models = sorted({camera.model for camera in self._fleet.cameras if camera.model}) if self._fleet else []
        device = "auto" if place.gpus else "cpu"  # auto: without a GPU build of the back end, the processor
        log.info("inference actor starts", name=place.name, threads=place.threads, device=device)
        return InferenceActor.options(
            name=place.name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            num_cpus=0,
            num_gpus=place.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
        ).remote(place.name, self._settings.session, models, place.threads, device)

    def _peers_of(self, camera: str) -> list[Peer]:
        by_name = {peer.name: peer for peer in self._peers}
        return [by_name[name] for name in peers_in_order(camera, list(by_name))]

    # --- cameras

    def _adopt(self) -> None:
        """Find the cameras that an earlier supervisor started."""
        for entry in ray.util.list_named_actors(all_namespaces=True):
            if entry["namespace"] == NAMESPACE and entry["name"].startswith("camera:"):
                camera = entry["name"].removeprefix("camera:")
                with contextlib.suppress(ValueError):
                    self._cameras[camera] = ray.get_actor(entry["name"], namespace=NAMESPACE)
                    self._observed[camera] = Observed(Phase.STARTING, time.monotonic())

    def _ask(self) -> None:
        waiting = set(self._asked.values())
        for camera, actor in self._cameras.items():
            if camera not in waiting and self._observed[camera].phase is not Phase.ENDING:
                self._asked[actor.ping.remote()] = camera

    def _hear(self) -> None:
        if not self._asked:
            return
        ready, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        now = time.monotonic()
        for reference in ready:
            camera = self._asked.pop(reference)
            seen = self._observed.get(camera)
            if seen is None or seen.phase is Phase.ENDING:
                continue
            try:
                self._observed[camera] = after_answer(seen, ray.get(reference), now)
            except RayActorError as error:
                self._bury(camera, after_death(seen, now), str(error).splitlines()[0])

    def _hear_endings(self) -> None:
        """Cameras that stopped are ended for good and forgotten; their names are free again."""
        ready, _ = ray.wait(list(self._ending), num_returns=len(self._ending), timeout=0) if self._ending else ([], [])
        for reference in ready:
            self._forget(self._ending.pop(reference))

    def _forget(self, camera: str) -> None:
        self._observed.pop(camera, None)
        self._ending = {ref: name for ref, name in self._ending.items() if name != camera}
        if (actor := self._cameras.pop(camera, None)) is not None:
            with contextlib.suppress(Exception):
                ray.kill(actor)
        with contextlib.suppress(Exception):
            self._board.drop_status(camera)

    def _bury(self, camera: str, record: Observed, why: str) -> None:
        self._cameras.pop(camera, None)
        self._observed[camera] = record
        log.error("camera actor died", camera=camera, deaths=record.deaths, why=why)
        error = f"the camera's process ended {record.deaths} time(s) in a row; it is started again"
        status = CameraStatus(camera, SourceState.FAILED, time.time(), time.time(), error=error)
        with contextlib.suppress(Exception):
            self._board.put_status(camera, status.as_dict(), 120.0)

    def _watch_silence(self) -> None:
        """Tell of cameras whose process, or whose whole node, reports nothing: nobody else is left to tell."""
        if self._fleet is None or time.monotonic() - self._silence_checked_s < SILENCE_EVERY_S:
            return
        self._silence_checked_s = time.monotonic()
        self._publisher.drain()
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

    def _take(self, step: Step) -> None:
        camera, now = step.camera, time.monotonic()
        match step.action:
            case Action.START:
                deaths = self._observed[camera].deaths if camera in self._observed else 0
                try:
                    self._cameras[camera] = self._start_camera(self._configs[camera])
                except ValueError:  # Ray still holds the name of one that was just killed; the next tick tries again
                    return
                self._observed[camera] = Observed(Phase.STARTING, now, deaths=deaths)
            case Action.CONFIGURE:
                self._asked[self._cameras[camera].configure.remote(self._configs[camera])] = camera
            case Action.KILL:
                with contextlib.suppress(Exception):
                    ray.kill(self._cameras[camera])
                self._bury(camera, after_death(self._observed[camera], now), step.why)
            case Action.STOP:
                self._asked = {ref: name for ref, name in self._asked.items() if name != camera}
                if (actor := self._cameras.get(camera)) is None:
                    self._forget(camera)
                else:
                    self._observed[camera] = Observed(Phase.ENDING, now)
                    self._ending[actor.stop.remote()] = camera
            case Action.END:
                self._forget(camera)

    def _start_camera(self, camera: Camera) -> Any:
        resources = {f"site_{camera.site}": 0.001} if camera.site else {}
        return CameraActor.options(
            name=f"camera:{camera.id}",
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=CAMERA_CPUS,
            resources=resources,
            scheduling_strategy="SPREAD",
            max_concurrency=4,
        ).remote(
            camera,
            self._peers_of(camera.id),
            self._settings.redis_url,
            str(Path(self._settings.data_dir) / "spool"),
            "live",
            self._settings.data_dir,
            self._settings.evidence_url or str(Path(self._settings.data_dir) / "evidence"),
        )

    def shutdown(self) -> None:
        """End every camera and inference actor, the counters saved."""
        stopping = [actor.stop.remote() for actor in self._cameras.values()]
        ray.wait(stopping, num_returns=len(stopping), timeout=8) if stopping else None
        for actor in [*self._cameras.values(), *self._pool.values()]:
            with contextlib.suppress(Exception):
                ray.kill(actor)
        self._cameras, self._pool = {}, {}


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

    def shutdown(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)
        self._supervisor.shutdown()
