"""A camera's first model: what it saw in a picture becomes tracks, what rules find in those becomes events."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.analyser import Analyser, Pacing, Seen
from actors.evidence import EvidenceKeeper
from actors.link import LinkedModel, Peer
from actors.plate_watch import PlateWatcher
from actors.traces import tracer
from hoaban import __version__
from hoaban.admission import Admission
from hoaban.detections import Tracks
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.latency import Marks, Rung
from hoaban.pipeline import CameraPipeline
from hoaban.signals import Reading

NO_MODEL = ModelRef("none", "0", "")


@dataclass(frozen=True, slots=True)
class Analysed:
    """The newest analysed picture, what the model saw in it and what the tracker made of that."""

    seen: Seen
    tracks: Tracks


class SceneWatcher:
    """A camera's detector and the pipeline behind it.

    publish: takes events; called on the link's thread. evidence: keeps what may become evidence; None for none.
    plates: reads plates of the tracked vehicles. saw: hears of each picture when all else is done with it.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        peers: Sequence[Peer],
        node: str,
        publish: Callable[[list[Event]], None],
        evidence: EvidenceKeeper | None,
        plates: PlateWatcher,
        pacing: Pacing,
        saw: Callable[[Seen], None] = lambda _: None,
    ) -> None:
        self._camera, self._peers, self._node, self._pacing = camera, peers, node, pacing
        self._publish, self._evidence, self._plates, self._saw = publish, evidence, plates, saw
        self._pipeline = CameraPipeline(camera, NO_MODEL, __version__)
        self._lock = threading.Lock()
        """of the pipeline"""
        self._model: LinkedModel | None = None
        self._count = 0
        self._marks: deque[Marks] = deque(maxlen=256)
        self._rung = Rung.FULL
        self._before = dict.fromkeys(("frames_replaced", "frames_gated", "frames_failed", "tiles_skipped"), 0)
        self.analysed: Analysed | None = None
        self.analyser = self._new_analyser()

    def _new_analyser(self) -> Analyser:
        camera = self._camera
        hello = {
            "camera": camera.id,
            "model": camera.model,
            "rate": camera.inputs_per_s,
            "guaranteed_rate": camera.guaranteed_fps,
        }
        return Analyser(
            Admission.of_scene(camera), hello, peers=self._peers, node=self._node, take=self._take,
            pacing=self._pacing, tiles=camera.tiles,
        )  # fmt: skip

    def start(self) -> None:
        self.analyser.start()

    def stop(self) -> None:
        self.analyser.stop()

    def configure(self, camera: Camera) -> None:
        """Take over an edited configuration; the link goes on."""
        self._camera = camera
        with self._lock:
            self._pipeline.reconfigure(camera)
            if self._evidence is not None:
                self._evidence.configure(camera)

    def begin_anew(self) -> None:
        """For another stream, after `stop`: a new link, and what is left of the old stream is not shown."""
        self._before = self._counters()
        self.analysed = None
        self.analyser = self._new_analyser()
        self.degrade(self._rung)

    def degrade(self, rung: Rung) -> None:
        """Give up what this rung of the ladder gives up, until another one is told."""
        self._rung = rung
        self.analyser.degrade(rung.rate, whole=rung.gives_up(Rung.NO_TILES))

    def set_peers(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        self.analyser.link.set_peers(peers)

    def _take(self, seen: Seen) -> None:
        """Tracks, rules and events from what the model saw of a picture."""
        meta = seen.picture.meta
        with self._lock:
            if seen.model is not self._model:
                self._pipeline.model = seen.model.ref
                self._model = seen.model
            views = seen.picture.views(self._pipeline.views(meta))
            step = self._pipeline.step_parts(meta, seen.parts, seen.model.labels, views)
            self.analysed = Analysed(seen, step.tracks)
            self._count += 1
            events = step.events + self._plates.see(seen.picture, step.tracks, seen.model.ref)
            if self._evidence is not None:
                events = self._evidence.take(seen.picture, events, self._pipeline.pins() | self._plates.pins())
        analysed_s = time.time()
        if events:
            self._publish(events)
        times = seen.decoded_s, seen.offered_s, seen.taken_s, seen.done_s, seen.received_s
        marks = (meta.captured_s, *times, analysed_s, time.time())
        self._marks.append(marks)
        if events and (traces := tracer()) is not None:
            traces.frame(events, meta.seq, marks)
        self._saw(seen)

    # --- what others ask

    @property
    def model(self) -> ModelRef:
        """The model that saw the newest picture."""
        return NO_MODEL if self._model is None else self._model.ref

    def marks(self) -> list[Marks]:
        """When the last analysed frames went through the stages (hoaban/latency.py), the oldest first."""
        return list(self._marks)

    def stages(self) -> list[tuple[float, ...]]:
        """Seconds that the last analysed frames spent in each of hoaban.latency.STAGES."""
        return [tuple(after - before for before, after in itertools.pairwise(marks)) for marks in self.marks()]

    def heat_map(self) -> dict[str, Any] | None:
        """Where people and things have been lately (see hoaban.heatmap); None for a camera that keeps no such map."""
        with self._lock:
            return None if self._pipeline.heat_map is None else self._pipeline.heat_map.as_dict()

    def heat_seconds(self) -> NDArray[np.float64] | None:
        """(rows, columns) of the heat map; None without one."""
        with self._lock:
            return None if self._pipeline.heat_map is None else self._pipeline.heat_map.seconds

    def status(self) -> dict[str, Any]:
        """For the camera's status (see hoaban.status.CameraStatus)."""
        latencies, analysed = sorted(marks[-1] - marks[0] for marks in self.marks()), self.analysed
        with self._lock:
            counted = self._pipeline.checkpoint()
            found = {
                "counts": counted["counts"],
                "turns": counted["turns"],
                "zones": self._pipeline.zones,
                "measures": self._pipeline.measures(),
                "faults": dict(self._pipeline.faults),
            }
        return found | self._counters() | {
            "frames_analysed": self._count,
            "last_analysed_s": None if analysed is None else analysed.seen.picture.meta.captured_s,
            "tracks": 0 if analysed is None else len(analysed.tracks),
            "latency_p50_s": latencies[len(latencies) // 2] if latencies else None,
            "latency_p95_s": latencies[int(len(latencies) * 0.95)] if latencies else None,
            "model": None if self._model is None else self._model.ref.as_dict(),
            "inference": self.analyser.link.peer,
        }  # fmt: skip

    def _counters(self) -> dict[str, int]:
        now = self.analyser
        counted = (now.replaced, now.gated, now.failed, now.skipped)
        return {name: before + n for (name, before), n in zip(self._before.items(), counted, strict=True)}

    # --- what a successor goes on from, and what signals tell

    def restore(self, counted: dict[str, Any], health: dict[str, Any]) -> None:
        """Go on from what an earlier process saved; what was counted so far is added to it."""
        with self._lock:
            self._pipeline.restore(counted)
            self._pipeline.remember_health(health)

    def resume(self, happenings: Sequence[Event], watched_s: float) -> None:
        """Go on with what an earlier process told the beginning of."""
        with self._lock:
            self._pipeline.resume(happenings, watched_s)

    def memory(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `restore` takes."""
        with self._lock:
            return self._pipeline.checkpoint(), self._pipeline.health_memory()

    def hear(self, readings: Sequence[Reading]) -> None:
        """What controllers of the camera's signals say, for the next frame."""
        with self._lock:
            for reading in readings:
                self._pipeline.take_reading(reading)
