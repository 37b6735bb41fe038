"""A camera's second model: faces, at their own rate, for the time of a search and no longer.

It stands beside the camera's detector and shares its pictures. Cameras without a face rule have none of it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.analyser import Analyser, Pacing, Seen
from actors.board import Board
from actors.link import Peer
from actors.picture import Picture
from actors.watchlist.feed import GalleryFeed
from hoaban import __version__
from hoaban.admission import Admission
from hoaban.events import Event
from hoaban.faces.pipeline import FacePipeline
from hoaban.fleet import Camera, Role
from hoaban.frames import FrameMeta, Letterbox

log = structlog.get_logger(__name__)


class FaceWatcher:
    """Runs while its camera has face rules. publish: takes events; called on the link's thread."""

    def __init__(
        self,
        camera: Camera,
        *,
        peers: Sequence[Peer],
        node: str,
        publish: Callable[[list[Event]], None],
        board: Board | None,
        data_dir: Path | None,
        pacing: Pacing,
    ) -> None:
        self._camera, self._peers, self._node, self._pacing = camera, peers, node, pacing
        self._publish = publish
        self._feed = None if board is None else GalleryFeed(board, data_dir)
        self._pipeline = FacePipeline(camera, __version__)
        self._lock = threading.Lock()
        self._searched = 0
        self._given_up = False
        self._analyser = self._new_analyser()

    def _new_analyser(self) -> Analyser | None:
        camera = self._camera
        if not camera.face_rules:
            return None
        rate = max(rule.fps for rule in camera.face_rules)
        # A name of its own: the inference actor seats each link of a camera by itself.
        hello = {"camera": f"{camera.id}/faces", "model": camera.face_model or "faces", "rate": rate}
        return Analyser(
            Admission.of_faces(camera), hello, peers=self._peers, node=self._node, take=self._take,
            pacing=self._pacing, prepare=self._hide_outside,
        )  # fmt: skip

    def start(self) -> None:
        if self._analyser is not None:
            self._analyser.start()

    def stop(self) -> None:
        if self._analyser is not None:
            self._analyser.stop()

    def configure(self, camera: Camera) -> None:
        """Take over an edited configuration."""
        same_link = _link_part(camera) == _link_part(self._camera)
        with self._lock:
            self._camera = camera
            self._pipeline.reconfigure(camera)
        if not same_link:
            self.stop()
            self._analyser = self._new_analyser()
            self.start()

    def set_peers(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        if self._analyser is not None:
            self._analyser.link.set_peers(peers)

    def offer(self, picture: Picture) -> None:
        """A decoded picture; taken when a face rule may search it, it is due and something moved."""
        analyser = self._analyser  # an edit that comes now may take it away
        if analyser is not None and not self._given_up and self._pipeline.wants(picture.meta.captured_s):
            analyser.offer(picture)

    @property
    def optional(self) -> bool:
        """Whether the camera is there for something else, and may leave faces out while its frames are late."""
        return self._analyser is not None and self._camera.role is not Role.FACE_CROWD

    def give_up(self, given_up: bool) -> None:
        """Search no face, or search again."""
        self._given_up = given_up and self.optional

    def resume(self, once: Sequence[Event]) -> None:
        """Go on with what an earlier process proposed."""
        with self._lock:
            self._pipeline.resume(once)

    def refresh(self) -> None:
        """Take over another watchlist, if there is one. Called once a second. Raises redis.RedisError."""
        if self._feed is not None and self._analyser is not None and (entries := self._feed.refresh()) is not None:
            with self._lock:
                self._pipeline.set_watchlist(entries)
            log.info("watchlist taken over", camera=self._camera.id, entries=len(entries))

    def status(self) -> dict[str, Any] | None:
        """For the camera's status: what is searched, or why not; None without a face rule."""
        analyser = self._analyser
        if analyser is None:
            return None
        with self._lock:
            status = self._pipeline.status(time.time())
        feed_error = None if self._feed is None else self._feed.error
        late = "not searched while the camera's frames are late" if self._given_up else None
        return status | {"frames_searched": self._searched, "error": late or analyser.trouble or feed_error}

    def _hide_outside(self, pixels: NDArray[np.uint8], letterbox: Letterbox, meta: FrameMeta) -> None:
        with self._lock:
            self._pipeline.hide_outside(pixels, letterbox, meta.width, meta.height)

    def _take(self, seen: Seen) -> None:
        model, (part,) = seen.model, seen.parts
        if model.template is None:
            raise wire.WireError(f"model {model.ref.name} carries no templates; name a face model in models.faces")
        with self._lock:
            events = self._pipeline.step_rows(seen.picture.meta, part.rows, part.letterbox, model.ref, model.template)
            self._searched += 1
        if events:
            self._publish(events)


def _link_part(camera: Camera) -> tuple[Any, ...]:
    return camera.face_model, camera.motion_gate, tuple(rule.fps for rule in camera.face_rules)
