"""What a camera does once a second beside its frames: it says how it is, hears its signals and saves its counters."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import structlog

from actors.board import Board
from actors.face_watch import FaceWatcher
from actors.plate_watch import PlateWatcher
from actors.preroll import PacketRing
from actors.scene_watch import SceneWatcher
from actors.shadow_watch import ShadowWatcher
from actors.source import SourceStatus
from hoaban import __version__
from hoaban.analysis_health import NOT_ANALYSED, not_analysed
from hoaban.events import Event, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.latency import LatencyWatch, Rung, rungs
from hoaban.status import CameraStatus, SourceState
from hoaban.stream_health import Change, StreamHealth

log = structlog.get_logger(__name__)

REPORT_EVERY_S = 1.0
STATUS_LIVES_S = 10.0
RATE_OVER_S = 2.0


class Publisher(Protocol):
    """Where events go; it neither waits nor raises, and loses none."""

    @property
    def spooled(self) -> int: ...
    @property
    def error(self) -> str | None: ...
    def publish(self, events: list[Event]) -> None: ...
    def close(self) -> None: ...


class Reporter:
    """Reports on a camera's parts; the counters are saved before it starts to stop and again at the end.

    stream: the state of the camera's stream and what it keeps of it. board: None for a camera that reports to nobody.
    degrade: give things up to keep the camera's latency budget.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        stream: Callable[[], tuple[SourceStatus, PacketRing | None]],
        scene: SceneWatcher,
        faces: FaceWatcher,
        plates: PlateWatcher,
        shadow: ShadowWatcher,
        publisher: Publisher,
        board: Board | None,
        node: str,
        degrade: bool,
        era: str = "",
    ) -> None:
        self.camera = camera
        self._stream, self._scene, self._faces, self._plates = stream, scene, faces, plates
        self._shadow = shadow
        self._publisher, self._board, self._node = publisher, board, node
        self._health = StreamHealth()
        self._degrade, self._era = degrade, era
        self._latency = LatencyWatch(None, ())
        self._watched: tuple[object, ...] = ()
        self._events = 0
        self._rate_mark, self._analysed_fps = (time.monotonic(), 0), 0.0
        self._saved: dict[str, dict[str, Any]] = {}
        self._restored = self._resumed = False
        self._heard = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        self._restore()
        self._resume()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3)
        self.save_if_possible()
        self._publisher.close()

    def publish(self, events: list[Event]) -> None:
        self._publisher.publish(events)
        self._events += len(events)
        for event in events:
            seq = event.data.get("frame", {}).get("seq")
            log.debug("event told", camera=event.camera, event_id=event.id, type=event.type, seq=seq)

    def save_if_possible(self) -> None:
        try:
            self._save()
        except Exception as error:
            log.warning("counters not saved", camera=self.camera.id, error=str(error))

    def status(self) -> CameraStatus:
        """The camera's state now."""
        (source, ring), now_s = self._stream(), time.time()
        scene, analyser = self._scene.status(), self._scene.analyser
        live_for_s = now_s - source.state_since_s if source.state is SourceState.LIVE else None
        waiting_s = analyser.link.waiting_s
        target_fps, timing = self.camera.sweeps_per_s * self._latency.timing.rung.rate, self._latency.timing
        unseen = not_analysed(live_for_s, analyser.idle_s, target_fps, analyser.trouble, waiting_s)
        last_s = scene["last_analysed_s"]
        faults = self._health.faults | self._latency.faults | scene.pop("faults")
        return CameraStatus(
            camera=self.camera.id,
            state=source.state,
            state_since_s=source.state_since_s,
            reported_s=now_s,
            last_frame_s=source.last_frame_s,
            analysis_age_s=None if last_s is None else round(max(0.0, now_s - last_s), 3),
            not_analysed=unseen,
            error=self._publisher.error or source.error or analyser.trouble,
            width=source.width,
            height=source.height,
            codec=source.codec,
            decoded_fps=round(source.decoded_fps, 2),
            analysed_fps=round(self._fps(scene["frames_analysed"]), 2),
            target_fps=round(target_fps, 2),
            latency=asdict(timing),
            frames_decoded=source.frames_decoded,
            decode_errors=source.decode_errors,
            reconnects=source.reconnects,
            faults=faults if unseen is None else faults | {NOT_ANALYSED: unseen},
            events=self._events,
            events_spooled=self._publisher.spooled,
            pre_roll_short=None if ring is None else ring.short,
            faces=self._faces.status(),
            plates=self._plates.status(),
            shadow=self._shadow.status(),
            node=self._node,
            era=self._era,
            code=__version__,
            pid=os.getpid(),
            simulated=source.simulated,
            **scene,
        )

    def _fps(self, analysed: int) -> float:
        mark_s, before = self._rate_mark
        now_s = time.monotonic()
        if now_s - mark_s >= RATE_OVER_S:
            self._analysed_fps = (analysed - before) / (now_s - mark_s)
            self._rate_mark = now_s, analysed
        return self._analysed_fps

    # --- once a second

    def _run(self) -> None:
        while not self._stopping.wait(REPORT_EVERY_S):
            try:
                self._hear_signals()
                status = self.status()
                self._tell_health(status)
                if self._board is not None:
                    self._board.put_status(self.camera.id, status.as_dict(), STATUS_LIVES_S)
                self._restore()
                self._resume()
                if self._board is not None and self._resumed and status.last_analysed_s is not None:
                    self._board.put_watched(self.camera.id, status.last_analysed_s)
                self._save()
                self._faces.refresh()
                self._plates.refresh()
                if late := self._plates.late():
                    self.publish(late)
            except Exception:  # a board that is away must not end the reporting
                log.warning("status not reported", camera=self.camera.id, exc_info=True)

    def _hear_signals(self) -> None:
        """Take what the controllers of the camera's signals told since the last look."""
        if self._board is None or not any(signal.feed for signal in self.camera.signals):
            return
        self._heard, readings = self._board.readings(self.camera.id, self._heard)
        self._scene.hear(readings)

    def _tell_health(self, status: CameraStatus) -> None:
        camera = self.camera
        changes = self._health.update(status.state, status.state_since_s, status.error, status.reported_s)
        changes += self._keep_budget(status.reported_s)
        if not changes or not any(rule.type == "camera_health" for rule in camera.rules):
            return
        retention = camera.terms.retention_days if camera.terms else None
        provenance = Provenance(self._scene.model, camera.digest(), __version__, retention_days=retention)
        size = status.width or 0, status.height or 0
        self.publish(
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

    def _keep_budget(self, now_s: float) -> Sequence[Change]:
        """Look at the ages of the newest frames, and give up or give again what the ladder says."""
        camera = self.camera
        shadow = self._shadow.status() is not None
        watched = camera.latency_budget_s, camera.tiles is not None, self._faces.optional, shadow
        if watched != self._watched:
            self._watched = watched
            budget_s = camera.latency_budget_s if self._degrade else None
            self._latency = LatencyWatch(budget_s, rungs(shadow=shadow, optional_models=watched[2], tiles=watched[1]))
        changes = self._latency.update(self._scene.marks(), now_s)
        rung = self._latency.timing.rung
        self._scene.degrade(rung)
        self._shadow.give_up(rung.gives_up(Rung.NO_SHADOW))
        self._faces.give_up(rung.gives_up(Rung.NO_OPTIONAL_MODELS))
        return changes

    def _restore(self) -> None:
        """Go on from what an earlier process saved; where Redis is away, later: counted so far is added to it."""
        if self._board is None or self._restored:
            return
        try:
            counted, health = (self._board.load_checkpoint(name) or {} for name in self._names)
        except Exception as error:
            log.warning("counters not restored yet", camera=self.camera.id, error=str(error))
            return
        self._scene.restore(counted, health)
        self._restored = True

    def _resume(self) -> None:
        """Go on with what an earlier process left open, once Redis has all that it told."""
        if self._board is None or self._resumed:
            return
        if self._publisher.spooled:  # it may be the end of what the board holds for open
            return
        try:
            happenings, watched_s = self._board.open_happenings(self.camera.id)
            once = self._board.told_once(self.camera.id)
        except Exception as error:
            log.warning("what was open is not known yet", camera=self.camera.id, error=str(error))
            return
        self._scene.resume(happenings, watched_s, once)
        self._faces.resume(once)
        self._plates.resume(once)
        self._resumed = True

    def _save(self) -> None:
        if self._board is None or not self._restored:  # what was not read yet must not be written over
            return
        for name, checkpoint in zip(self._names, self._scene.memory(), strict=True):
            if checkpoint != self._saved.get(name):
                self._board.save_checkpoint(name, checkpoint)
                self._saved[name] = checkpoint

    @property
    def _names(self) -> tuple[str, str]:
        """Of the two checkpoints: what was counted, and what is remembered of the camera's health."""
        return self.camera.id, f"{self.camera.id}:health"
