"""A camera's second model: faces, at their own rate, for the time of a search and no longer.

It stands beside the camera's detector link and shares its pictures. Cameras without a face rule have none of it.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.board import Board
from actors.link import LinkedModel, ModelLink, Peer
from actors.picture import Picture
from actors.watchlist import GalleryFeed
from hoaban import __version__
from hoaban.events import Event
from hoaban.faces.pipeline import FacePipeline
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.motion import MotionGate
from hoaban.sampling import FrameSampler

log = structlog.get_logger(__name__)

MOST_PENDING = 8
MOTION_WIDTH, MOTION_HEIGHT = 96, 54


class FaceWatcher:
    """Runs while its camera has face rules. publish: takes events; called on the link's thread."""

    def __init__(
        self,
        camera: Camera,
        *,
        peers: list[Peer],
        node: str,
        publish: Callable[[list[Event]], None],
        board: Board | None,
        data_dir: Path | None,
        pacing: Literal["live", "demand"],
    ) -> None:
        self._peers, self._node, self._publish, self._pacing = peers, node, publish, pacing
        self._feed = None if board is None else GalleryFeed(board, data_dir)
        self._pipeline = FacePipeline(camera, __version__)
        self._lock = threading.Lock()
        self._pending: OrderedDict[int, tuple[FrameMeta, Letterbox]] = OrderedDict()
        self._analysed = 0
        self._link: ModelLink | None = None
        self._camera = camera
        self._open()

    def _open(self) -> None:
        camera = self._camera
        self._gate = MotionGate() if camera.motion_gate and self._pacing == "live" else None
        if not camera.face_rules:
            self._link = None
            return
        rate = max(rule.fps for rule in camera.face_rules)
        self._sampler = FrameSampler(rate)
        # A name of its own: the inference actor seats each link of a camera by itself.
        hello = {"camera": f"{camera.id}/faces", "model": camera.face_model or "faces", "rate": rate}
        self._link = ModelLink(hello, self._peers, self._node, self._on_result)

    def start(self) -> None:
        if self._link is not None:
            self._link.start()

    def stop(self) -> None:
        if self._link is not None:
            self._link.stop()

    def configure(self, camera: Camera) -> None:
        """Take over an edited configuration."""
        same_link = _link_part(camera) == _link_part(self._camera)
        with self._lock:
            self._camera = camera
            self._pipeline.reconfigure(camera)
        if not same_link:
            self.stop()
            self._open()
            self.start()

    def set_peers(self, peers: list[Peer]) -> None:
        self._peers = peers
        if self._link is not None:
            self._link.set_peers(peers)

    def offer(self, picture: Picture) -> None:
        """A decoded picture; taken when a face rule's frame is due and something moved."""
        link, meta = self._link, picture.meta
        if link is None or not self._pipeline.wants(meta.captured_s) or not self._sampler.due(meta.captured_s):
            return
        if self._gate is not None and not self._gate.admit(picture.luma(MOTION_WIDTH, MOTION_HEIGHT), meta.captured_s):
            return

        def fill(into: NDArray[np.uint8], model: LinkedModel) -> None:
            _, letterbox = picture.model_input(model.shape.width, model.shape.height, into)
            with self._lock:
                self._pipeline.hide_outside(into, letterbox, meta.width, meta.height)
                self._pending[meta.seq] = (meta, letterbox)
                while len(self._pending) > MOST_PENDING:
                    self._pending.popitem(last=False)

        link.offer(meta.seq, fill)

    def refresh(self) -> None:
        """Take over another watchlist, if there is one. Called once a second. Raises redis.RedisError."""
        if self._feed is not None and self._link is not None and (entries := self._feed.refresh()) is not None:
            with self._lock:
                self._pipeline.set_watchlist(entries)
            log.info("watchlist taken over", camera=self._camera.id, entries=len(entries))

    def status(self) -> dict[str, Any] | None:
        """For the camera's status: what is searched, or why not; None without a face rule."""
        link = self._link
        if link is None:
            return None
        with self._lock:
            status = self._pipeline.status(time.time())
        feed_error = None if self._feed is None else self._feed.error
        return status | {"frames_searched": self._analysed, "error": link.error or feed_error}

    def _on_result(self, result: wire.Result, model: LinkedModel) -> None:
        with self._lock:
            pending = self._pending.pop(result.seq, None)
            for seq in [seq for seq in self._pending if seq < result.seq]:
                del self._pending[seq]
            if pending is None or result.failed:
                return
            if model.template is None:
                raise wire.WireError(f"model {model.ref.name} carries no templates; name a face model in models.faces")
            meta, letterbox = pending
            events = self._pipeline.step_rows(meta, result.rows, letterbox, model.ref, model.template)
            self._analysed += 1
        if events:
            self._publish(events)


def _link_part(camera: Camera) -> tuple[Any, ...]:
    return camera.face_model, camera.motion_gate, tuple(rule.fps for rule in camera.face_rules)
