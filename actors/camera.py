"""One camera: its stream, its newest frame, its tracks and rules, its events.

`CameraRuntime` is the whole of it without Ray; it ties the parts together. The source decodes on a thread of its own,
each of two watchers (what happens, and whose faces) shows pictures to a model, the reporter says how it goes.
`CameraActor` gives it a name and a process of its own, so that a stream which brings its decoder down takes nothing
else with it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import cv2
import ray
import structlog

from actors.board import Board
from actors.bus import EventBus
from actors.disagreements import Disagreements, folder_beside
from actors.evidence import EvidenceKeeper, ring_seconds
from actors.face_watch import FaceWatcher
from actors.link import Peer
from actors.picture import Picture
from actors.plate_watch import PlateWatcher
from actors.preroll import Clip, PacketRing
from actors.preview import Recent
from actors.privacy import PrivacyMask
from actors.publisher import SpoolingPublisher
from actors.recorder import LATE_S, LONGEST_CLIP_S
from actors.reporter import Publisher, Reporter
from actors.scene_watch import SceneWatcher
from actors.shadow_watch import ShadowWatcher
from actors.side_by_side import at_once
from actors.source import SourceThread
from actors.tile import Tile, TileMaker, plain_tile, with_heat
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.reconcile import END_LIMIT_S
from hoaban.shadow import ShadowOrder
from hoaban.shapes import Zone
from hoaban.status import CameraStatus

log = structlog.get_logger(__name__)

PRE_ROLL_BYTES = 32 * 2**20
STOP_S = END_LIMIT_S - 0.5
"""the supervisor ends who takes longer than END_LIMIT_S"""
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
    "latency_budget_s",
    "district",
    "owner",
    "face_model",
    "pre_roll_s",
    "post_roll_s",
    "resume_s",
}
"""fields of a camera that can change while its stream and its model link go on"""
LINK_RESTS_ON = {"model", "analysis_fps", "guaranteed_fps", "motion_gate", "tiles"}
"""fields that begin the model link anew and leave the stream, and what is kept of it for evidence, as they are"""
OLD_STREAM_S = LONGEST_CLIP_S + LATE_S
"""how long what is kept of a stream that was left is there yet: evidence may be in its post-roll"""


class CameraRuntime:
    """A running camera. `start` and `stop` once each; `configure` any time between.

    pacing "live": frames are analysed as they come, the newest first. "demand": the next frame comes when the last one
    was analysed, for tests and benchmarks.
    """

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
        era: str = "",
    ) -> None:
        cv2.setNumThreads(1)  # a camera's process has one decode thread's worth of work; OpenCV's pool only costs
        self.camera, self._pacing = camera, pacing
        self.revision = camera.revision()
        """of the configuration that was taken over whole"""
        self._changing, self._stopped = threading.Lock(), False
        self._over_s = float("inf")
        """when `stop` is through, at the latest"""
        self._evidence = None if evidence_url is None else EvidenceKeeper(camera, evidence_url, self._cut, live=True)
        self._plates = PlateWatcher(camera, live=pacing == "live", board=board, data_dir=data_dir)
        folder = None if evidence_url is None else Disagreements(folder_beside(evidence_url))
        self._shadow = ShadowWatcher(camera, peers=peers, node=node, folder=folder)
        self._scene = SceneWatcher(
            camera,
            peers=peers,
            node=node,
            publish=self._publish,
            evidence=self._evidence,
            plates=self._plates,
            pacing=pacing,
            saw=self._shadow.saw,
        )
        self._faces = FaceWatcher(
            camera, peers=peers, node=node, publish=self._publish, board=board, data_dir=data_dir, pacing=pacing
        )
        self._tiles = TileMaker()
        self._left: tuple[PacketRing, Sequence[Zone]] | None = None
        """what is kept of the stream before, and what was hidden in it"""
        self._forgetting = threading.Timer(0, lambda: None)
        self._open(first_seq=0)
        self._reporter = Reporter(
            camera,
            stream=lambda: (self._source.status(), self._ring),
            scene=self._scene,
            faces=self._faces,
            plates=self._plates,
            shadow=self._shadow,
            publisher=publisher,
            board=board,
            node=node,
            degrade=pacing == "live",
            era=era,
        )

    def _open(self, first_seq: int) -> None:
        camera, seconds = self.camera, ring_seconds(self.camera)
        self._latest: Picture | None = None
        ring = PacketRing(seconds, PRE_ROLL_BYTES, camera.id) if seconds > 0 else None
        self._kept: tuple[PacketRing, Sequence[Zone]] | None = None if ring is None else (ring, camera.privacy_zones)
        """what is kept of the stream, and what is hidden in it: one value, so that no reader pairs old and new"""
        self._source = SourceThread(camera, self._on_picture, ring=ring, pacing=self._pacing, first_seq=first_seq)

    @property
    def _ring(self) -> PacketRing | None:
        kept = self._kept
        return None if kept is None else kept[0]

    def start(self) -> None:
        import scipy.optimize  # noqa: F401  (so that the first picture with things to pair need not wait for it)

        self._reporter.start()
        self._scene.start()
        self._faces.start()
        self._plates.start()
        self._source.start()
        if self._evidence is not None:
            self._evidence.start()

    def stop(self) -> None:
        """Stop the threads; the counters are saved first."""
        with self._changing:
            if not self._stopped:
                self._stopped = True
                self._over_s = time.monotonic() + END_LIMIT_S
                try:
                    self._stop()
                finally:
                    self._over_s = time.monotonic()

    @property
    def over(self) -> bool:
        """It was stopped, and had the time to save what it saves: it never runs again."""
        return time.monotonic() >= self._over_s

    def _stop(self) -> None:
        """All within STOP_S: whoever waits ends the process soon after. What is not done then, the next start does."""
        self._reporter.save_if_possible()
        # None waits for another: the source's thread may wait for an answer that the scene's end gives it.
        parts = {"shadow": self._shadow, "scene": self._scene, "faces": self._faces, "plates": self._plates}
        self._end([*((name, part.stop) for name, part in parts.items()), ("source", self._source.stop)])
        if self._evidence is not None:
            self._end([("evidence", self._evidence.stop)])
        self._end([("report", self._reporter.stop)])

    def _end(self, parts: list[tuple[str, Callable[[], object]]]) -> None:
        for part, why in at_once(parts, STOP_S / 3).items():
            log.warning("a part of the camera does not stop", camera=self.camera.id, part=part, why=why)

    def configure(self, camera: Camera) -> None:
        """Take over an edited configuration; the stream and the model link go on where the edit leaves them alone."""
        with self._changing:
            if not self._stopped:
                self._configure(camera)
                self.revision = camera.revision()

    def _configure(self, camera: Camera) -> None:
        old, self.camera = self.camera, camera
        self._reporter.camera = camera
        self._scene.configure(camera)
        self._faces.configure(camera)
        self._plates.configure(camera)
        self._shadow.configure(camera)
        stays = STREAM_STAYS | LINK_RESTS_ON
        other_stream = camera.model_dump(exclude=stays) != old.model_dump(exclude=stays)
        if other_stream or (ring_seconds(camera) > 0) != (self._ring is not None):
            self._scene.stop()
            self._source.stop()
            self._leave_stream()
            self._scene.begin_anew()
            self._open(first_seq=self._source.next_seq)
            self._scene.start()
            self._source.start()
        else:
            if (ring := self._ring) is not None:
                ring.resize(ring_seconds(camera))
            same_link = camera.model_dump(include=LINK_RESTS_ON) == old.model_dump(include=LINK_RESTS_ON)
            if not same_link or bool(camera.signals) != bool(old.signals):  # signals: see Admission.of_scene
                self._scene.stop()
                self._scene.begin_anew()
                self._scene.start()
        log.info("camera configured", camera=camera.id, digest=camera.digest()[:12])

    def _leave_stream(self) -> None:
        """Keep what there is of the stream for OLD_STREAM_S, and no longer, whether or not another one comes."""
        self._left = left = self._kept

        def forget() -> None:
            if self._left is left:
                self._left = None

        self._forgetting.cancel()  # one that waits holds a thread, and what it is to forget
        self._forgetting = threading.Timer(OLD_STREAM_S, forget)
        self._forgetting.daemon = True
        self._forgetting.start()

    def set_peers(self, peers: list[Peer]) -> None:
        self._scene.set_peers(peers)
        self._faces.set_peers(peers)
        self._shadow.set_peers(peers)

    def set_shadow(self, order: ShadowOrder | None) -> None:
        """Show sampled pictures to this candidate from now on, or to none."""
        self._shadow.order(order)

    def _on_picture(self, picture: Picture) -> None:
        """On the decode thread. In demand pacing both watchers return when they are done with the picture."""
        self._latest = picture
        try:
            self._faces.offer(picture)
            self._scene.analyser.offer(picture)
        finally:
            if self._pacing == "demand":
                self._source.ready()

    def _publish(self, events: list[Event]) -> None:
        self._reporter.publish(events)

    # --- what others ask

    def tile(self, max_width: int | None = None) -> Tile | None:
        """The newest picture as a JPEG with faces blurred and tracks drawn, or None before the first frame."""
        latest, analysed = self._latest, self._scene.analysed
        if latest is None or self._source.closed:
            return None
        return self._tiles.make(self.camera, latest, analysed, max_width or self.camera.tile_width)

    def unblurred(self, max_width: int | None = None) -> Tile | None:
        """The newest picture with nothing hidden but the privacy zones. Only for who holds a permit to unmask."""
        latest = self._latest
        if latest is None or self._source.closed:
            return None
        return plain_tile(self.camera, latest, max_width or self.camera.tile_width)

    def heat_map(self) -> dict[str, Any] | None:
        """See SceneWatcher.heat_map."""
        return self._scene.heat_map()

    def heat_tile(self, max_width: int | None = None) -> Tile | None:
        """The newest picture, faces blurred, under its heat map; None before the first frame and without a map."""
        tile, seconds = self.tile(max_width), self._scene.heat_seconds()
        return None if tile is None or seconds is None else with_heat(tile, seconds)

    def _cut(self, from_s: float, to_s: float) -> Clip:
        """The encoded stream between two capture times, as far as it is kept. Unblurred: for evidence alone."""
        now = self.camera.privacy_zones
        kept = [pair for pair in (self._left, self._kept) if pair is not None]
        clips = [(ring.cut(from_s, to_s), zones) for ring, zones in kept]
        clip, hidden = max(clips, key=lambda one: one[0].to_s - one[0].from_s, default=(Clip(b""), ()))
        # What was private when it was recorded stays hidden, whatever an edit says since; so does what is private now.
        return PrivacyMask((*hidden, *now)).clip(clip)

    def recent(self) -> Recent | None:
        """All that is kept of the encoded stream, for a preview that hides what is to be hidden; None: nothing.

        Unblurred, and nothing blacked out: that would be decoding, which is not this process's to do for that.
        """
        kept = self._kept
        if kept is None or self._source.closed:
            return None
        ring, zones = kept
        clip = ring.cut(float("-inf"), float("inf"))
        # An edit may land meanwhile: the zones that the clip was recorded under, and those of now.
        hidden = [zone.model_dump(mode="json") for zone in (*zones, *self.camera.privacy_zones)]
        return Recent(clip.data, clip.from_s, hidden) if clip.data else None

    def latencies(self) -> list[tuple[float, ...]]:
        """Seconds that the last analysed frames spent in each of hoaban.latency.STAGES."""
        return self._scene.stages()

    def status(self) -> CameraStatus:
        """The camera's state now."""
        return self._reporter.status()


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
        era: str = "",
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
            era=era,
        )
        self._runtime.start()

    def ping(self) -> str:
        """Alive; the revision of the configuration it runs, "" once it was stopped."""
        return "" if self._runtime.over else self._runtime.revision

    def configure(self, camera: Camera) -> str:
        self._runtime.configure(camera)
        return "" if self._runtime.over else self._runtime.revision

    def set_peers(self, peers: list[Peer]) -> None:
        self._runtime.set_peers(peers)

    def set_shadow(self, order: ShadowOrder | None) -> None:
        self._runtime.set_shadow(order)

    def status(self) -> dict[str, Any]:
        return self._runtime.status().as_dict()

    def latencies(self) -> list[tuple[float, ...]]:
        return self._runtime.latencies()

    def tile(self, max_width: int | None = None) -> dict[str, Any] | None:
        """The newest picture: {jpeg, seq, captured_s, blur}, faces blurred; None before the first frame."""
        tile = self._runtime.tile(max_width)
        return None if tile is None else tile.as_dict()

    def unblurred(self, who: str, reason: str) -> dict[str, Any] | None:
        """The newest picture unblurred, for who was let by a permit: it is in the audit chain already."""
        log.warning("unblurred picture given out", camera=self._runtime.camera.id, who=who, reason=reason)
        tile = self._runtime.unblurred()
        return None if tile is None else tile.as_dict()

    def recent(self) -> dict[str, Any] | None:
        """What is kept of the stream (actors.preview.Recent), for the API, which shows nothing of it unblurred."""
        recent = self._runtime.recent()
        return None if recent is None else asdict(recent)

    def heat_map(self) -> dict[str, Any] | None:
        return self._runtime.heat_map()

    def heat_tile(self, max_width: int | None = None) -> dict[str, Any] | None:
        """The newest picture under its heat map, as `tile` gives one."""
        tile = self._runtime.heat_tile(max_width)
        return None if tile is None else tile.as_dict()

    def stop(self) -> None:
        self._runtime.stop()
