"""A candidate beside a camera's detector: sampled pictures that this one saw are shown to it too, and compared.

Its answers make no track and no event. It has a link of its own, whose frames the inference actor serves when it has
time to spare; a picture for which there is none before the next is sampled is dropped, and counted.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import structlog

from actors import wire
from actors.analyser import Seen
from actors.blur import FaceBlur, anonymous
from actors.channel import SPARE
from actors.disagreements import Disagreements, name_of
from actors.link import LinkedModel, ModelLink, Peer
from hoaban.detections import Detections
from hoaban.disagreements import Disagreement, ShadowCount, compare
from hoaban.events import format_time, utc
from hoaban.fleet import Camera
from hoaban.frames import Letterbox
from hoaban.shadow import ShadowOrder

log = structlog.get_logger(__name__)

STORE_EVERY_S = 10.0
"""of the pictures on which the models disagree, one in so much time is kept"""
STORED_WIDTH = 1280
JPEG_QUALITY = 85
MOST_STORED = 100
"""of one camera and candidate; then none is kept until the retention (Purger) has made room, which knows of holds"""
COUNT_AGAIN_S = 300.0
MOST_FAILED = 3
"""pictures in a row on which a candidate may fail before it is shown no more"""


class ShadowWatcher:
    """Shows a camera's pictures to a candidate while there is an order to. folder: where disagreements are kept."""

    def __init__(self, camera: Camera, *, peers: Sequence[Peer], node: str, folder: Disagreements | None) -> None:
        self._camera, self._peers, self._node, self._folder = camera, peers, node, folder
        self._lock = threading.Lock()
        self._trial: _Trial | None = None
        self._blur: FaceBlur | None = None
        self._stored, self._counted_s = ("", 0), float("-inf")
        """the candidate, and how many pictures of this camera are kept for it; when they were counted"""
        self._stopped = self._given_up = False

    def order(self, order: ShadowOrder | None) -> None:
        """Begin with this candidate, or show none any more."""
        with self._lock:
            old = self._trial
            if self._stopped or (old is not None and old.order == order):
                return
            self._trial = None if order is None else _Trial(self, order)
            new = self._trial
        if old is not None:
            old.link.stop()
        if new is not None:
            new.link.start()

    def configure(self, camera: Camera) -> None:
        self._camera = camera

    def set_peers(self, peers: Sequence[Peer]) -> None:
        self._peers = peers
        if (trial := self._trial) is not None:
            trial.link.set_peers(peers)

    def saw(self, seen: Seen) -> None:
        """A picture that the camera's detector saw. Called on its link's thread: quick, and raises nothing."""
        if (trial := self._trial) is not None and not self._given_up:
            trial.offer(seen)

    def give_up(self, given_up: bool) -> None:
        """Show the candidate nothing while the camera's frames are late, or show it pictures again."""
        self._given_up = given_up

    def stop(self) -> None:
        self.order(None)
        self._stopped = True

    def status(self) -> dict[str, Any] | None:
        """For the camera's status; None without a candidate."""
        return None if (trial := self._trial) is None else trial.status()

    # --- what a trial needs of its camera

    @property
    def camera(self) -> Camera:
        return self._camera

    def link(self, order: ShadowOrder, on_result: Any) -> ModelLink:
        rate = max(0.01, self._camera.sweeps_per_s * order.sample)
        hello = {"camera": f"{self._camera.id}/shadow", "model": order.model, "rate": rate, SPARE: True}
        return ModelLink(hello, self._peers, self._node, on_result)

    def store(self, order: ShadowOrder, seen: Seen, found: list[Disagreement], both: tuple[Detections, ...]) -> bool:
        """Keep a picture with faces and plates hidden; whether it was."""
        if self._folder is None or not self._room(self._folder, order.model):
            return False
        meta, camera = seen.picture.meta, self._camera
        image = seen.picture.bgr(STORED_WIDTH)
        scale = np.float32(image.shape[1] / meta.width)
        self._blur = self._blur or FaceBlur()
        image, how = anonymous(image, [replace(one, boxes=one.boxes * scale) for one in both], self._blur)
        ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            raise ValueError("the picture could not be encoded as JPEG")
        id = name_of(camera.id, meta.captured_s, order.model)
        record = {
            "id": id,
            "camera": camera.id,
            "role": camera.role.value,
            "time": format_time(utc(meta.captured_s)),
            "primary": seen.model.ref.as_dict(),
            "candidate": {"name": order.candidate.name, "version": order.candidate.version}
            | {"digest": order.candidate.sha256, "card": order.candidate.card},
            "differences": [one.as_dict(float(scale)) for one in found],
            "sights": {
                name: sights(detections, float(scale))
                for name, detections in zip(("primary", "candidate"), both, strict=True)
            },
            "labels": {"primary": list(seen.model.labels), "candidate": list(order.candidate.labels)},
            "seq": meta.seq,
            "width": image.shape[1],
            "height": image.shape[0],
            "blur": how,
            "simulated": meta.simulated,
            "config": camera.digest(),
        }
        self._folder.put(order.model, id, jpeg.tobytes(), record)
        self._stored = order.model, self._stored[1] + 1
        return True

    def _room(self, folder: Disagreements, model: str) -> bool:
        """Whether one more may be kept. Nothing is taken out here: who does must know of legal holds."""
        known, count = self._stored
        full_for_long = count >= MOST_STORED and time.monotonic() - self._counted_s >= COUNT_AGAIN_S
        if known != model or full_for_long:
            self._stored = model, sum(one.camera == self._camera.id for one in folder.kept(model))
            self._counted_s = time.monotonic()
        return self._stored[1] < MOST_STORED


class _Trial:
    """One candidate at one camera, from an order to the next."""

    def __init__(self, watcher: ShadowWatcher, order: ShadowOrder) -> None:
        self.order, self._watcher = order, watcher
        self._lock = threading.Lock()
        self._count = ShadowCount()
        self._share = 0.0
        self._pending: tuple[Seen, Letterbox, float] | None = None
        self._failed_in_a_row = 0
        self._took_s: deque[float] = deque(maxlen=128)
        self._stored_s = float("-inf")
        self._fault: str | None = None
        self.link = watcher.link(order, self._on_result)

    def offer(self, seen: Seen) -> None:
        self._share += self.order.sample
        if self._share < 1 - 1e-9:
            return
        self._share -= 1
        with self._lock:
            self._count.sampled += 1
            if self._failed_in_a_row >= MOST_FAILED:
                return
            self._count.dropped += self._pending is not None
            self._pending = None
        try:
            taken = self.link.offer(seen.picture.meta.seq, lambda into, model: self._fill(seen, into, model))
        except Exception as error:
            taken, self._fault = False, str(error)
        if not taken:
            with self._lock:
                self._count.dropped += 1

    def _fill(self, seen: Seen, into: Any, model: LinkedModel) -> None:
        if model.ref.digest != self.order.candidate.sha256:
            raise ValueError(f"{self.link.peer} has another file under the name {self.order.model}")
        if model.ref.card != self.order.candidate.card:
            raise ValueError(f"{self.link.peer} has another card under the name {self.order.model}")
        _, letterbox = seen.picture.model_input(model.shape.width, model.shape.height, into)
        with self._lock:
            self._pending = seen, letterbox, time.monotonic()

    def _on_result(self, result: wire.Result, model: LinkedModel) -> None:
        with self._lock:
            pending = self._pending
            if pending is None or pending[0].picture.meta.seq != result.seq:
                return  # one that was given up since
            self._pending = None
            if result.failed:
                self._count.failed += 1
                self._failed_in_a_row += 1
                self._fault = f"it failed on frame {result.seq}; see the log of {self.link.peer}"
                if self._failed_in_a_row >= MOST_FAILED:
                    self._fault = f"it failed on {MOST_FAILED} pictures in a row and is shown no more"
                return
            self._failed_in_a_row, self._fault = 0, None
            self._took_s.append(time.monotonic() - pending[2])
        try:
            self._compare(pending[0], pending[1], result, model)
        except Exception as error:  # the link goes on, and so does the camera
            log.exception("disagreement not kept", camera=self._watcher.camera.id, model=self.order.model)
            self._fault = f"disagreements are not kept: {type(error).__name__}: {error}; see the log"

    def _compare(self, seen: Seen, letterbox: Letterbox, result: wire.Result, model: LinkedModel) -> None:
        meta, whole = seen.picture.meta, seen.parts[0]
        both = (
            Detections.from_rows(whole.rows, whole.letterbox, seen.model.labels, meta.width, meta.height),
            Detections.from_rows(result.rows, letterbox, model.labels, meta.width, meta.height),
        )
        found = compare(*both)
        with self._lock:
            self._count.saw(found)
            due = bool(found) and time.monotonic() - self._stored_s >= STORE_EVERY_S
        if due and self._watcher.store(self.order, seen, found, both):
            self._stored_s = time.monotonic()
            with self._lock:
                self._count.stored += 1

    def status(self) -> dict[str, Any]:
        with self._lock:
            took = sorted(self._took_s)
            return {
                "model": self.order.model,
                **self._count.as_dict(),
                "look_p50_s": round(took[len(took) // 2], 4) if took else None,
                "error": self.link.error or self._fault,
            }


def sights(seen: Detections, scale: float) -> list[dict[str, Any]]:
    """What a model saw, in pixels of a picture scaled by `scale`."""
    return [
        {"class": seen.labels[int(number)], "score": round(float(score), 4)}
        | {"bbox": [round(float(v) * scale, 1) for v in box]}
        for box, score, number in zip(seen.boxes, seen.scores, seen.classes, strict=True)
    ]
