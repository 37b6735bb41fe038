"""Plates of passing vehicles against a list, read beside the frames. Cameras without a plate rule have none of it."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from actors.board import Board
from actors.picture import Picture
from actors.plates import PlateReader, reader_or_reason
from actors.watchlist.feed import PlateFeed
from hoaban import __version__
from hoaban.detections import Tracks
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.plate_watch import ListedPlate, Look, PlateWatch
from hoaban.scene import Pixels, View

log = structlog.get_logger(__name__)

MOST_WAITING = 4
"""crops; a newer one replaces the oldest"""
MARGIN = 0.05
"""of a vehicle's box, on each side: the plate of one that is cut tightly lies on the edge"""
LATE_S = 2.0


class PlateWatcher:
    """Live it reads on a thread of its own, and what was found comes with a later picture; in a replay at once."""

    def __init__(
        self,
        camera: Camera,
        *,
        live: bool,
        board: Board | None = None,
        data_dir: Path | None = None,
        law_not_before_s: float = 0.0,
    ) -> None:
        self._watch = PlateWatch(camera, __version__, law_not_before_s=law_not_before_s)
        self._camera, self._live = camera, live
        self._feed = None if board is None else PlateFeed(board, data_dir)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Look, Pixels]] = deque()
        self._found: list[Event] = []
        self._found_s = 0.0
        self._dropped = 0
        self._reader: PlateReader | str | None = None
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._live and self._thread is None and self._camera.plate_rules:
            self._thread = threading.Thread(target=self._read_forever, name="plates", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def configure(self, camera: Camera) -> None:
        with self._lock:
            self._camera = camera
            self._watch.reconfigure(camera)
            self._waiting.clear()
        self.start()

    def set_watchlist(self, entries: tuple[ListedPlate, ...] | None) -> None:
        with self._lock:
            self._watch.set_watchlist(entries)

    def resume(self, once: Sequence[Event]) -> None:
        """Go on with what an earlier process proposed."""
        with self._lock:
            self._watch.resume(once)

    def refresh(self) -> None:
        """Take over another list, if there is one. Called once a second. Raises redis.RedisError."""
        if self._feed is not None and self._camera.plate_rules and (entries := self._feed.refresh()) is not None:
            self.set_watchlist(entries)
            log.info("plate watchlist taken over", camera=self._camera.id, entries=len(entries))

    def see(self, picture: Picture, tracks: Tracks, model: ModelRef) -> list[Event]:
        """An analysed picture; what was found since the last one, live of earlier pictures, in a replay of this one."""
        if not self._camera.plate_rules:
            return []
        with self._lock:
            looks = self._watch.choose(picture.meta, tracks, model)
        for look, crop in _cut(picture, looks):
            if self._live:
                with self._lock:
                    self._waiting.append((look, crop))
                    if len(self._waiting) > MOST_WAITING:
                        unread, _ = self._waiting.popleft()
                        self._watch.give_back(unread)
                        self._dropped += 1
                self._wake.set()
            else:
                self._read(look, crop)
        return self._taken()

    def late(self) -> list[Event]:
        """What was found a while ago and waits for a picture that does not come."""
        return self._taken() if self._found and time.monotonic() - self._found_s > LATE_S else []

    def pins(self) -> set[int]:
        """Numbers of the frames that a proposal may yet need as stills."""
        with self._lock:
            waiting = {look.moment.seq for look, _ in self._waiting}
            found = {m["seq"] for event in self._found for m in event.data["frames"].values()}
            return self._watch.pins() | waiting | found

    def status(self) -> dict[str, Any] | None:
        """For the camera's status; None without a plate rule."""
        if not self._camera.plate_rules:
            return None
        error = self._reader if isinstance(self._reader, str) else None
        with self._lock:
            status = self._watch.status(time.time())
        return status | {"crops_dropped": self._dropped, "error": error or (self._feed.error if self._feed else None)}

    def _taken(self) -> list[Event]:
        with self._lock:
            found, self._found = self._found, []
        return found

    def _read_forever(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                job = self._waiting.popleft() if self._waiting else None
                if job is None:
                    self._wake.clear()
            if job is None:
                if not self._stopping.is_set():  # set before the wake-up that was just cleared
                    self._wake.wait()
                continue
            try:
                self._read(*job)
            except Exception:  # a reader may raise anything: the crop is lost, the next one is not
                log.exception("plate not read", camera=self._camera.id)

    def _read(self, look: Look, crop: Pixels) -> None:
        if self._reader is None:
            self._reader = reader_or_reason()
        if isinstance(self._reader, str):
            return
        plate = self._reader.read(crop).plate
        with self._lock:
            self._found += self._watch.take(look, plate)
            self._found_s = time.monotonic()


def _cut(picture: Picture, looks: list[Look]) -> list[tuple[Look, Pixels]]:
    """Each vehicle's piece of the picture."""
    width, height = picture.meta.width, picture.meta.height
    views = {}
    for look in looks:
        x1, y1, x2, y2 = look.moment.bbox
        wide, high = (x2 - x1) * MARGIN, (y2 - y1) * MARGIN
        box = max(x1 - wide, 0) / width, max(y1 - high, 0) / height, (x2 + wide) / width, (y2 + high) / height
        views[look.track] = View((box[0], box[1], min(box[2], 1.0), min(box[3], 1.0)))
    pixels = picture.views(views.values())
    return [(look, crop) for look in looks if (crop := pixels.get(views[look.track])) is not None]
