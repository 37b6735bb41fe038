"""One camera: its stream, its newest frame, its tracks and rules, its events.

`CameraRuntime` is the whole of it without Ray: threads for decoding, for the model's answers and for reporting,
around the pure `CameraPipeline`. `CameraActor` gives it a name and a process of its own, so that a stream which
brings its decoder down takes nothing else with it.
"""

import itertools
import os
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import ray
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.board import Board
from actors.bus import EventBus, SpoolingPublisher
from actors.evidence import EvidenceKeeper, ring_seconds
from actors.face_watch import FaceWatcher
from actors.link import LinkedModel, ModelLink, Peer
from actors.picture import Picture
from actors.plate_watch import PlateWatcher
from actors.preroll import Clip, PacketRing
from actors.source import SourceThread
from actors.tile import Tile, TileMaker, with_heat
from hoaban import __version__
from hoaban.detections import Floats, Tracks
from hoaban.events import Event, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.motion import MotionGate
from hoaban.phase import PhaseSeeker
from hoaban.pipeline import CameraPipeline
from hoaban.sampling import FrameSampler
from hoaban.status import CameraStatus
from hoaban.stream_health import StreamHealth
from hoaban.tiling import INPUTS, Part, Sweep, Sweeps, merge

log = structlog.get_logger(__name__)

REPORT_EVERY_S = 1.0
STATUS_LIVES_S = 10.0
MOST_PENDING = 8
STAGES = ("offered", "taken", "answered", "published")
"""the moments of a frame's way after its capture: model input ready, taken by a model, answered, events published"""
MOTION_WIDTH, MOTION_HEIGHT = 96, 54
PRE_ROLL_BYTES = 32 * 2**20
NO_MODEL = ModelRef("none", "0", "")
STREAM_STAYS = {
    "zones",
    "lines",
    "rules",
    "signals",
    "calibration",
    "name",
    "location",
    "min_score",
    "begin_score",
    "tile_width",
    "heat_map",
    "district",
    "owner",
    "face_model",
}
"""fields of a camera that can change while its stream and its model link go on"""


class Publisher(Protocol):
    """Where events go; it never raises and never loses one."""

    @property
    def spooled(self) -> int: ...
    def publish(self, events: list[Event]) -> None: ...
    def drain(self) -> int: ...


@dataclass(frozen=True)
class Analysed:
    """The newest analysed frame and what was found in it."""

    picture: Picture
    parts: tuple[Part, ...]
    labels: tuple[str, ...]
    tracks: Tracks

    @cached_property
    def people(self) -> Floats:
        """(n, 4) float32 xyxy pixels of all that may be a person, below the camera's min_score too.

        To hide a face that is none costs nothing. Worked out when a tile is wanted, which few frames become.
        """
        meta = self.picture.meta
        return merge(self.parts, self.labels, meta.width, meta.height).of("person").boxes


@dataclass(slots=True)
class _Pending:
    """A picture on its way through the model, piece by piece where the camera has tiles."""

    picture: Picture
    sweep: Sweep
    letterbox: Letterbox | None = None
    """of the piece that is with the model"""
    model: LinkedModel | None = None
    offered_s: float | None = None
    taken_s: float | None = None
    """of the first piece"""
    done_s: float = 0.0
    """of the newest"""


class _OvertakenError(Exception):
    """A newer picture waits for the model: this one's other pieces are left out."""


class CameraRuntime:
    """A running camera. `start` and `stop` once each; `configure` any time between."""

    def __init__(
        self,
        camera: Camera,
        *,
        peers: list[Peer],
        node: str,
        publisher: Publisher,
        board: Board | None,
        pacing: Literal["live", "demand"] = "live",
        data_dir: Path | None = None,
        evidence_url: str | None = None,
    ) -> None:
        cv2.setNumThreads(1)  # a camera's process has one decode thread's worth of work; OpenCV's pool only costs
        self.camera = camera
        self._peers, self._node, self._publisher, self._board, self._pacing = peers, node, publisher, board, pacing
        self._pipeline = CameraPipeline(camera, NO_MODEL, __version__)
        self._faces = FaceWatcher(
            camera, peers=peers, node=node, publish=self._publish, board=board, data_dir=data_dir, pacing=pacing
        )
        self._plates = PlateWatcher(camera, live=pacing == "live", board=board, data_dir=data_dir)
        self._lock = threading.Lock()
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._latest: Picture | None = None
        self._analysed: Analysed | None = None
        self._tiles = TileMaker()
        self._model: LinkedModel | None = None
        self._analysed_count = self._replaced = self._gated = self._events = self._tiles_skipped = 0
        self._latencies: deque[float] = deque(maxlen=256)
        self._stages: deque[tuple[float, ...]] = deque(maxlen=256)
        self._rate_mark = (time.monotonic(), 0)
        self._analysed_fps = 0.0
        self._stream_health = StreamHealth()
        self._saved: dict[str, dict[str, Any]] = {}
        self._evidence = None if evidence_url is None else EvidenceKeeper(camera, evidence_url, self._cut, live=True)
        self._heard = ""
        self._fault: str | None = None
        self._restored = False
        self._held: int | None = None
        self._stopping = threading.Event()
        self._reporter = threading.Thread(target=self._report_forever, name="report", daemon=True)
        self._open(first_seq=0)

    def _open(self, first_seq: int) -> None:
        camera = self.camera
        self._sampler, self._sweeps = FrameSampler(camera.sweeps_per_s), Sweeps(camera.tiles)
        self._phase = PhaseSeeker(camera.id, 1 / camera.sweeps_per_s)
        # A lamp that changes is too small a motion for the gate, so who watches signals sees every frame.
        gated = camera.motion_gate and not camera.signals and self._pacing == "live"
        self._gate = MotionGate() if gated else None
        seconds = ring_seconds(camera)
        self._ring = PacketRing(seconds, PRE_ROLL_BYTES) if seconds > 0 else None
        self._source = SourceThread(camera, self._on_picture, ring=self._ring, pacing=self._pacing, first_seq=first_seq)
        hello = {
            "camera": camera.id,
            "model": camera.model,
            "rate": camera.inputs_per_s,
            "guaranteed_rate": camera.guaranteed_fps,
        }
        self._link = ModelLink(hello, self._peers, self._node, self._on_result)

    def start(self) -> None:
        self._restore()
        self._link.start()
        self._faces.start()
        self._plates.start()
        self._source.start()
        self._reporter.start()
        if self._evidence is not None:
            self._evidence.start()

    def _restore(self) -> None:
        """Go on from what an earlier process saved; where Redis is away, later: counted so far is added to it."""
        if self._board is None or self._restored:
            return
        try:
            counted = self._board.load_checkpoint(self.camera.id) or {}
            health = self._board.load_checkpoint(f"{self.camera.id}:health") or {}
        except Exception as error:
            log.warning("counters not restored yet", camera=self.camera.id, error=str(error))
            return
        with self._lock:
            self._pipeline.restore(counted)
            self._pipeline.remember_health(health)
        self._restored = True

    def stop(self) -> None:
        """Stop the threads; the counters are saved first."""
        self._stopping.set()
        self._save_if_possible()
        self._source.stop()
        self._link.stop()
        self._faces.stop()
        self._plates.stop()
        if self._reporter.is_alive():
            self._reporter.join(timeout=3)
        if self._evidence is not None:
            self._evidence.stop()
        self._save_if_possible()

    def configure(self, camera: Camera) -> None:
        """Take over an edited configuration; the stream and the model link go on where the edit leaves them alone."""
        old, self.camera = self.camera, camera
        with self._lock:
            self._pipeline.reconfigure(camera)
            if self._evidence is not None:
                self._evidence.configure(camera)
        self._faces.configure(camera)
        self._plates.configure(camera)
        stays = camera.model_dump(exclude=STREAM_STAYS) == old.model_dump(exclude=STREAM_STAYS)
        if not stays or ring_seconds(camera) != ring_seconds(old) or bool(camera.signals) != bool(old.signals):
            self._source.stop()
            self._link.stop()
            with self._lock:  # what is left of the old stream is neither shown nor analysed
                self._pending.clear()
                self._latest = self._analysed = None
            self._open(first_seq=self._source.next_seq)
            self._link.start()
            self._source.start()
        log.info("camera configured", camera=camera.id, digest=camera.digest()[:12])

    def set_peers(self, peers: list[Peer]) -> None:
        self._peers = peers
        self._link.set_peers(peers)
        self._faces.set_peers(peers)

    # --- a frame's way: decode thread, model, link thread

    def _on_picture(self, picture: Picture) -> None:
        self._latest = picture
        self._faces.offer(picture)
        meta = picture.meta
        if self._pacing == "live" and not self._sampler.due(meta.captured_s):
            return
        if self._gate is not None and not self._gate.admit(picture.luma(MOTION_WIDTH, MOTION_HEIGHT), meta.captured_s):
            self._gated += 1
            return
        with self._lock:
            pending = _Pending(picture, self._sweeps.begin(meta.width, meta.height))
        while not self._offer(pending):
            # In demand pacing the next picture comes only when this one was answered, so it must not be dropped.
            if self._pacing == "live" or self._stopping.wait(0.05):
                return

    def _offer(self, pending: _Pending) -> bool:
        """Offer a picture's next piece to the model; False when none is linked, or a newer picture waits for it."""
        piece = pending.sweep.next()
        if piece is None:
            return False
        number = pending.picture.meta.seq * INPUTS + piece
        try:
            return self._link.offer(number, lambda into, model: self._fill(number, pending, into, model))
        except _OvertakenError:
            return False

    def _fill(self, number: int, pending: _Pending, into: NDArray[np.uint8], model: LinkedModel) -> None:
        # The link lets one offer at a time through, so nothing newer comes in between these two locks.
        with self._lock:
            if pending.sweep.parts and (pending.model is not model or any(other > number for other in self._pending)):
                raise _OvertakenError
        crop = pending.sweep.pieces[number % INPUTS]
        _, pending.letterbox = pending.picture.model_input(model.shape.width, model.shape.height, into, crop)
        pending.model, pending.offered_s = model, pending.offered_s or time.time()
        with self._lock:
            self._pending[number] = pending
            self._held = number if self._held is None else self._held
            if len(self._pending) > MOST_PENDING:
                del self._pending[self._spare()]
                self._replaced += 1

    def _spare(self) -> int:
        """The oldest pending input that the model can hardly hold: it took the newest one when it was last free.

        Two threads meet there, so the neighbours of that one are kept too, and the newest of all.
        """
        numbers = sorted(self._pending)
        held = next((i for i, number in enumerate(numbers) if number >= (self._held or 0)), 0)
        return next(number for i, number in enumerate(numbers[:-1]) if abs(i - held) > 1)

    def _on_result(self, result: wire.Result, model: LinkedModel) -> None:
        done = True
        try:
            done = self._take_result(result)
            self._fault = None
        except Exception as error:  # of a rule, say: the frame is lost, the link and the next frame are not
            log.exception("frame not analysed", camera=self.camera.id, seq=result.seq // INPUTS)
            self._fault = f"frames are not analysed: {type(error).__name__}: {error}; see the log"
        finally:
            if self._pacing == "demand" and done:
                self._source.ready()

    def _take_result(self, result: wire.Result) -> bool:
        """Take the answer to one piece in; whether its picture is done."""
        with self._lock:
            pending = self._pending.pop(result.seq, None)
            overtaken = [self._pending.pop(number) for number in sorted(self._pending) if number < result.seq]
            self._replaced += sum(not older.sweep.parts for older in overtaken)
            self._held = max(self._pending, default=None)
        for older in overtaken:
            self._analyse(older)
        if pending is None:
            return True
        if pending.taken_s is None and pending.offered_s is not None:
            # Each difference is of one node's clock; the two may differ.
            wait_s = time.time() - pending.offered_s - (result.done_s - result.taken_s)
            if delay_s := self._phase.waited(wait_s, time.monotonic()):
                self._sampler.delay(delay_s)
        if not result.failed and pending.letterbox is not None:
            pending.sweep.parts.append(Part(result.rows, pending.letterbox))
            pending.taken_s, pending.done_s = pending.taken_s or result.taken_s, result.done_s
            if self._offer(pending):
                return False
        self._analyse(pending)
        return True

    def _analyse(self, pending: _Pending) -> None:
        """Tracks, rules and events from what the model saw of a picture."""
        picture, sweep, model = pending.picture, pending.sweep, pending.model
        meta = picture.meta
        if not sweep.parts or model is None or pending.offered_s is None or pending.taken_s is None:
            return
        with self._lock:
            self._sweeps.end(sweep)
            self._tiles_skipped += len(sweep.pieces) - len(sweep.parts)
            if model is not self._model:
                self._pipeline.model = model.ref
                self._model = model
            views = picture.views(self._pipeline.views(meta))
            step = self._pipeline.step_parts(meta, sweep.parts, model.labels, views)
            self._analysed = Analysed(picture, tuple(sweep.parts), model.labels, step.tracks)
            self._analysed_count += 1
            events = step.events + self._plates.see(picture, step.tracks, model.ref)
            if self._evidence is not None:
                events = self._evidence.take(picture, events, self._pipeline.pins() | self._plates.pins())
        if events:
            self._publish(events)
        now_s = time.time()
        marks = (meta.captured_s, pending.offered_s, pending.taken_s, pending.done_s, now_s)
        self._stages.append(tuple(after - before for before, after in itertools.pairwise(marks)))
        self._latencies.append(now_s - meta.captured_s)

    def _publish(self, events: list[Event]) -> None:
        self._publisher.publish(events)
        self._events += len(events)

    # --- what others ask

    def tile(self, max_width: int | None = None) -> Tile | None:
        """The newest picture as a JPEG with faces blurred and tracks drawn, or None before the first frame."""
        latest, analysed = self._latest, self._analysed
        if latest is None or self._source.closed:
            return None
        return self._tiles.make(self.camera, latest, analysed, max_width or self.camera.tile_width)

    def heat_map(self) -> dict[str, Any] | None:
        """Where people and things have been lately (see hoaban.heatmap); None for a camera that keeps no such map."""
        with self._lock:
            return None if self._pipeline.heat_map is None else self._pipeline.heat_map.as_dict()

    def heat_tile(self, max_width: int | None = None) -> Tile | None:
        """The newest picture, faces blurred, under its heat map; None before the first frame and without a map."""
        tile = self.tile(max_width)
        with self._lock:
            seconds = None if self._pipeline.heat_map is None else self._pipeline.heat_map.seconds
        return None if tile is None or seconds is None else with_heat(tile, seconds)

    def clip(self, from_s: float, to_s: float) -> bytes:
        """The encoded stream between two capture times as MP4, as far as the pre-roll ring reaches back.

        Unblurred: for evidence, never for a route that does not audit.
        """
        return self._cut(from_s, to_s).data

    def _cut(self, from_s: float, to_s: float) -> Clip:
        return Clip(b"") if self._ring is None else self._ring.cut(from_s, to_s)

    def latencies(self) -> list[tuple[float, ...]]:
        """Seconds that the last analysed frames spent in each of STAGES."""
        return list(self._stages)

    def status(self) -> CameraStatus:
        """The camera's state now."""
        source, now = self._source.status(), time.time()
        latencies = sorted(self._latencies)
        mark_s, mark_count = self._rate_mark
        elapsed_s = time.monotonic() - mark_s
        if elapsed_s >= 2.0:
            self._analysed_fps = (self._analysed_count - mark_count) / elapsed_s
            self._rate_mark = (time.monotonic(), self._analysed_count)
        analysed = self._analysed
        model_error = self._link.error
        return CameraStatus(
            camera=self.camera.id,
            state=source.state,
            state_since_s=source.state_since_s,
            reported_s=now,
            last_frame_s=source.last_frame_s,
            last_analysed_s=None if analysed is None else analysed.picture.meta.captured_s,
            error=source.error or (f"model: {model_error}" if model_error else self._fault),
            width=source.width,
            height=source.height,
            codec=source.codec,
            decoded_fps=round(source.decoded_fps, 2),
            analysed_fps=round(self._analysed_fps, 2),
            target_fps=round(self.camera.sweeps_per_s, 2),
            frames_decoded=source.frames_decoded,
            frames_analysed=self._analysed_count,
            frames_replaced=self._replaced,
            frames_gated=self._gated,
            decode_errors=source.decode_errors,
            reconnects=source.reconnects,
            faults=self._stream_health.faults | self._pipeline.faults,
            events=self._events,
            events_spooled=self._publisher.spooled,
            tracks=0 if analysed is None else len(analysed.tracks),
            latency_p50_s=latencies[len(latencies) // 2] if latencies else None,
            latency_p95_s=latencies[int(len(latencies) * 0.95)] if latencies else None,
            counts=self._pipeline.counts,
            turns=self._pipeline.turns,
            zones=self._pipeline.zones,
            measures=self._pipeline.measures(),
            tiles_skipped=self._tiles_skipped,
            faces=self._faces.status(),
            plates=self._plates.status(),
            model=None if self._model is None else self._model.ref.as_dict(),
            inference=self._link.peer,
            node=self._node,
            pid=os.getpid(),
            simulated=source.simulated,
        )

    # --- reporting

    def _report_forever(self) -> None:
        while not self._stopping.wait(REPORT_EVERY_S):
            try:
                self._publisher.drain()
                self._hear_signals()
                status = self.status()
                self._tell_health(status)
                if self._board is not None:
                    self._board.put_status(self.camera.id, status.as_dict(), STATUS_LIVES_S)
                self._restore()
                self._save()
                self._faces.refresh()
                self._plates.refresh()
                if late := self._plates.late():
                    self._publish(late)
            except Exception:  # a board that is away must not end the reporting
                log.warning("status not reported", camera=self.camera.id, exc_info=True)

    def _hear_signals(self) -> None:
        """Take what the controllers of the camera's signals told since the last look."""
        if self._board is None or not any(signal.feed for signal in self.camera.signals):
            return
        self._heard, readings = self._board.readings(self.camera.id, self._heard)
        with self._lock:
            for reading in readings:
                self._pipeline.take_reading(reading)

    def _tell_health(self, status: CameraStatus) -> None:
        camera = self.camera
        changes = self._stream_health.update(status.state, status.state_since_s, status.error, status.reported_s)
        if not changes or not any(rule.type == "camera_health" for rule in camera.rules):
            return
        retention = camera.terms.retention_days if camera.terms else None
        model = self._model.ref if self._model else NO_MODEL
        provenance = Provenance(model, camera.digest(), __version__, retention_days=retention)
        size = status.width or 0, status.height or 0
        self._publish(
            [
                bind(
                    change.finding(state=status.state.value),
                    FrameMeta(camera.id, status.frames_decoded, change.since_s, *size, status.simulated),
                    camera.role,
                    provenance,
                )
                for change in changes
            ]
        )

    def _save_if_possible(self) -> None:
        try:
            self._save()
        except Exception as error:
            log.warning("counters not saved", camera=self.camera.id, error=str(error))

    def _save(self) -> None:
        if self._board is None or not self._restored:  # what was not read yet must not be written over
            return
        with self._lock:
            checkpoints = {
                self.camera.id: self._pipeline.checkpoint(),
                f"{self.camera.id}:health": self._pipeline.health_memory(),
            }
        for name, checkpoint in checkpoints.items():
            if checkpoint != self._saved.get(name):
                self._board.save_checkpoint(name, checkpoint)
                self._saved[name] = checkpoint


@ray.remote
class CameraActor:
    """A camera with a name in the cluster, `camera:ID`."""

    def __init__(
        self,
        camera: Camera,
        peers: list[Peer],
        redis_url: str,
        spool_dir: str,
        pacing: Literal["live", "demand"],
        data_dir: str | None = None,
        evidence_url: str | None = None,
    ) -> None:
        self._runtime = CameraRuntime(
            camera,
            peers=peers,
            node=ray.get_runtime_context().get_node_id(),
            publisher=SpoolingPublisher(EventBus(redis_url), Path(spool_dir) / camera.id),
            board=Board(redis_url),
            pacing=pacing,
            data_dir=Path(data_dir) if data_dir else None,
            evidence_url=evidence_url,
        )
        self._runtime.start()

    def ping(self) -> str:
        """Alive; the digest of the configuration it runs."""
        return self._runtime.camera.digest()

    def configure(self, camera: Camera) -> str:
        self._runtime.configure(camera)
        return camera.digest()

    def set_peers(self, peers: list[Peer]) -> None:
        self._runtime.set_peers(peers)

    def status(self) -> dict[str, Any]:
        return self._runtime.status().as_dict()

    def latencies(self) -> list[tuple[float, ...]]:
        return self._runtime.latencies()

    def tile(self, max_width: int | None = None) -> dict[str, Any] | None:
        """The newest picture: {jpeg, seq, captured_s, blur}, faces blurred; None before the first frame."""
        tile = self._runtime.tile(max_width)
        return None if tile is None else tile.as_dict()

    def heat_map(self) -> dict[str, Any] | None:
        return self._runtime.heat_map()

    def heat_tile(self, max_width: int | None = None) -> dict[str, Any] | None:
        """The newest picture under its heat map, as `tile` gives one."""
        tile = self._runtime.heat_tile(max_width)
        return None if tile is None else tile.as_dict()

    def clip(self, from_s: float, to_s: float) -> bytes:
        return self._runtime.clip(from_s, to_s)

    def stop(self) -> None:
        self._runtime.stop()
