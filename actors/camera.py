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
from actors.link import LinkedModel, ModelLink, Peer
from actors.picture import Picture
from actors.preroll import PacketRing
from actors.source import SourceThread
from actors.tile import Tile, TileMaker
from hoaban import __version__
from hoaban.detections import Detections, Tracks
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.motion import MotionGate
from hoaban.pipeline import CameraPipeline
from hoaban.sampling import FrameSampler
from hoaban.status import CameraStatus, SourceState

log = structlog.get_logger(__name__)

REPORT_EVERY_S = 1.0
STATUS_LIVES_S = 10.0
MOST_PENDING = 8
STAGES = ("offered", "taken", "answered", "published")
"""the moments of a frame's way after its capture: model input ready, taken by a model, answered, events published"""
MOTION_WIDTH, MOTION_HEIGHT = 96, 54
PRE_ROLL_BYTES = 16 * 2**20
NO_MODEL = ModelRef("none", "0", "")
STREAM_STAYS = {
    "zones",
    "lines",
    "rules",
    "calibration",
    "name",
    "location",
    "min_score",
    "begin_score",
    "tile_width",
    "district",
    "owner",
}
"""fields of a camera that can change while its stream and its model link go on"""


class Publisher(Protocol):
    """Where events go; it never raises and never loses one."""

    @property
    def spooled(self) -> int: ...
    def publish(self, events: list[Event]) -> None: ...
    def drain(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Analysed:
    """The newest analysed frame and what was found in it."""

    picture: Picture
    detections: Detections
    tracks: Tracks


@dataclass(frozen=True, slots=True)
class _Pending:
    picture: Picture
    letterbox: Letterbox
    offered_s: float


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
    ) -> None:
        cv2.setNumThreads(1)  # a camera's process has one decode thread's worth of work; OpenCV's pool only costs
        self.camera = camera
        self._peers, self._node, self._publisher, self._board, self._pacing = peers, node, publisher, board, pacing
        self._pipeline = CameraPipeline(camera, NO_MODEL, __version__)
        self._lock = threading.Lock()
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._latest: Picture | None = None
        self._analysed: Analysed | None = None
        self._tiles = TileMaker()
        self._model: LinkedModel | None = None
        self._analysed_count = self._replaced = self._gated = self._events = 0
        self._latencies: deque[float] = deque(maxlen=256)
        self._stages: deque[tuple[float, ...]] = deque(maxlen=256)
        self._rate_mark = (time.monotonic(), 0)
        self._analysed_fps = 0.0
        self._reported_state: SourceState | None = None
        self._saved_counts: dict[str, Any] | None = None
        self._stopping = threading.Event()
        self._reporter = threading.Thread(target=self._report_forever, name="report", daemon=True)
        self._open(first_seq=0)

    def _open(self, first_seq: int) -> None:
        camera = self.camera
        self._sampler = FrameSampler(camera.analysis_fps)
        self._gate = MotionGate() if camera.motion_gate and self._pacing == "live" else None
        self._ring = PacketRing(camera.pre_roll_s, PRE_ROLL_BYTES) if camera.pre_roll_s > 0 else None
        self._source = SourceThread(camera, self._on_picture, ring=self._ring, pacing=self._pacing, first_seq=first_seq)
        hello = {
            "camera": camera.id,
            "model": camera.model,
            "rate": camera.analysis_fps,
            "guaranteed_rate": camera.guaranteed_fps,
        }
        self._link = ModelLink(hello, self._peers, self._node, self._on_result)

    def start(self) -> None:
        if self._board is not None and (saved := self._board.load_checkpoint(self.camera.id)):
            self._pipeline.restore(saved)
        self._link.start()
        self._source.start()
        self._reporter.start()

    def stop(self) -> None:
        """Stop the threads; the counters are saved first."""
        self._stopping.set()
        self._source.stop()
        self._link.stop()
        if self._reporter.is_alive():
            self._reporter.join(timeout=3)
        self._save()

    def configure(self, camera: Camera) -> None:
        """Take over an edited configuration; the stream and the model link go on where the edit leaves them alone."""
        old, self.camera = self.camera, camera
        with self._lock:
            self._pipeline.reconfigure(camera)
        if camera.model_dump(exclude=STREAM_STAYS) != old.model_dump(exclude=STREAM_STAYS):
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

    # --- a frame's way: decode thread, model, link thread

    def _on_picture(self, picture: Picture) -> None:
        self._latest = picture
        meta = picture.meta
        if self._pacing == "live" and not self._sampler.due(meta.captured_s):
            return
        if self._gate is not None and not self._gate.admit(picture.luma(MOTION_WIDTH, MOTION_HEIGHT), meta.captured_s):
            self._gated += 1
            return
        while not self._link.offer(meta.seq, lambda into, model: self._fill(picture, into, model)):
            # In demand pacing the next picture comes only when this one was answered, so it must not be dropped.
            if self._pacing == "live" or self._stopping.wait(0.05):
                return

    def _fill(self, picture: Picture, into: NDArray[np.uint8], model: LinkedModel) -> None:
        _, letterbox = picture.model_input(model.shape.width, model.shape.height, into)
        with self._lock:
            self._pending[picture.meta.seq] = _Pending(picture, letterbox, time.time())
            while len(self._pending) > MOST_PENDING:
                self._pending.popitem(last=False)
                self._replaced += 1

    def _on_result(self, result: wire.Result, model: LinkedModel) -> None:
        try:
            self._take_result(result, model)
        finally:
            if self._pacing == "demand":
                self._source.ready()

    def _take_result(self, result: wire.Result, model: LinkedModel) -> None:
        with self._lock:
            pending = self._pending.pop(result.seq, None)
            for seq in [seq for seq in self._pending if seq < result.seq]:
                del self._pending[seq]
                self._replaced += 1
            if pending is None or result.failed:
                return
            if model is not self._model:
                self._pipeline.model = model.ref
                self._model = model
            meta = pending.picture.meta
            views = pending.picture.views(self._pipeline.views(meta.width, meta.height))
            step = self._pipeline.step_rows(meta, result.rows, pending.letterbox, model.labels, views)
            self._analysed = Analysed(pending.picture, step.detections, step.tracks)
            self._analysed_count += 1
        if step.events:
            self._publish(step.events)
        now_s = time.time()
        marks = (meta.captured_s, pending.offered_s, result.taken_s, result.done_s, now_s)
        self._stages.append(tuple(after - before for before, after in itertools.pairwise(marks)))
        self._latencies.append(now_s - meta.captured_s)

    def _publish(self, events: list[Event]) -> None:
        self._publisher.publish(events)
        self._events += len(events)

    # --- what others ask

    def tile(self, max_width: int | None = None) -> Tile | None:
        """The newest picture as a JPEG with faces blurred and tracks drawn, or None before the first frame."""
        latest, analysed = self._latest, self._analysed
        if latest is None:
            return None
        return self._tiles.make(self.camera, latest, analysed, max_width or self.camera.tile_width)

    def clip(self, from_s: float, to_s: float) -> bytes:
        """The encoded stream between two capture times as MP4, as far as the pre-roll ring reaches back.

        Unblurred: for evidence, never for a route that does not audit.
        """
        return b"" if self._ring is None else self._ring.clip(from_s, to_s)

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
            error=source.error or (f"model: {model_error}" if model_error else None),
            width=source.width,
            height=source.height,
            codec=source.codec,
            decoded_fps=round(source.decoded_fps, 2),
            analysed_fps=round(self._analysed_fps, 2),
            target_fps=self.camera.analysis_fps,
            frames_decoded=source.frames_decoded,
            frames_analysed=self._analysed_count,
            frames_replaced=self._replaced,
            frames_gated=self._gated,
            decode_errors=source.decode_errors,
            reconnects=source.reconnects,
            events=self._events,
            events_spooled=self._publisher.spooled,
            tracks=0 if analysed is None else len(analysed.tracks),
            latency_p50_s=latencies[len(latencies) // 2] if latencies else None,
            latency_p95_s=latencies[int(len(latencies) * 0.95)] if latencies else None,
            counts=self._pipeline.counts,
            zones=self._pipeline.zones,
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
                status = self.status()
                self._tell_health(status)
                if self._board is not None:
                    self._board.put_status(self.camera.id, status.as_dict(), STATUS_LIVES_S)
                self._save()
            except Exception:  # a board that is away must not end the reporting
                log.warning("status not reported", camera=self.camera.id, exc_info=True)

    def _tell_health(self, status: CameraStatus) -> None:
        before, self._reported_state = self._reported_state, status.state
        if before in (None, status.state) or not any(rule.type == "camera_health" for rule in self.camera.rules):
            return
        finding = Finding(
            kind="camera_health",
            rule="camera_health",
            extra={"state": status.state.value, "was": before.value, "error": status.error},
        )
        frame = FrameMeta(
            self.camera.id,
            status.frames_decoded,
            status.state_since_s,
            status.width or 0,
            status.height or 0,
            status.simulated,
        )
        model = self._model.ref if self._model else NO_MODEL
        self._publish([bind(finding, frame, self.camera.role, Provenance(model, self.camera.digest(), __version__))])

    def _save(self) -> None:
        if self._board is None:
            return
        with self._lock:
            checkpoint = self._pipeline.checkpoint()
        if checkpoint != self._saved_counts:
            self._board.save_checkpoint(self.camera.id, checkpoint)
            self._saved_counts = checkpoint


@ray.remote
class CameraActor:
    """A camera with a name in the cluster, `camera:ID`."""

    def __init__(
        self, camera: Camera, peers: list[Peer], redis_url: str, spool_dir: str, pacing: Literal["live", "demand"]
    ) -> None:
        self._runtime = CameraRuntime(
            camera,
            peers=peers,
            node=ray.get_runtime_context().get_node_id(),
            publisher=SpoolingPublisher(EventBus(redis_url), Path(spool_dir) / camera.id),
            board=Board(redis_url),
            pacing=pacing,
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

    def clip(self, from_s: float, to_s: float) -> bytes:
        return self._runtime.clip(from_s, to_s)

    def stop(self) -> None:
        self._runtime.stop()
