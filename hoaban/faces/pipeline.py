"""What happens to a frame's faces: tracks, search, proposals. The same for live cameras and for replay."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.assignment import cheapest_pairs
from hoaban.detections import Tracks
from hoaban.events import Event, ModelRef, Provenance, bind
from hoaban.faces.gallery import Gallery, WatchlistEntry
from hoaban.faces.quality import REASONS, Refusal
from hoaban.faces.rows import Faces
from hoaban.faces.watch import FaceWatch, Look
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.geometry import iou, to_pixels
from hoaban.rules.face_watchlist import FaceWatchlistRule
from hoaban.rules.lawful import why_silent
from hoaban.tracking import Tracker

Floats = NDArray[np.float32]

Pixels = NDArray[np.uint8]

NOT_YET = "no frame was searched yet"
HIDDEN = 114
EDGE = 0.04
"""of the input's width is shown around a zone, so that a face on its edge is whole; who stands there is not searched"""
FACE_GROWTH = 1.5
"""a face moves further than its own width between two frames, a body does not: its box is enlarged more"""


class FacePipeline:
    """The state beside one camera's faces: tracks and votes, never a template. Not thread-safe: one caller at a time.

    entries: the watchlist, None until one was handed out. law_not_before_s: the law is judged by a frame's capture
    time, and in a replay, whose clock is the recording's, by this later time.
    """

    def __init__(self, camera: Camera, code: str, *, law_not_before_s: float = 0.0) -> None:
        self._code, self._law_not_before_s = code, law_not_before_s
        self._entries: Sequence[WatchlistEntry] | None = None
        self._ends_s: dict[str, float] = {}  # watchlist -> when its last entry is over
        self._galleries: dict[str, Gallery] = {}
        self._outside: tuple[tuple[int, ...], Pixels] | None = None
        self._template: ModelRef | None = None
        rate = max((rule.fps for rule in camera.face_rules), default=5.0)
        self._tracker = Tracker(sure=0.6, enlarge=FACE_GROWTH, min_overlap=0.1, min_hits=1, rate=rate)
        self._size: tuple[int, int] | None = None
        self._captured_s: float | None = None
        self._seen = self._proposals = 0
        self._refused: Counter[str] = Counter()
        self.camera, self._digest = camera, camera.digest()
        self._once: list[Event] = []
        self._begin()

    def resume(self, once: Sequence[Event]) -> None:
        """What an earlier process proposed: not again within the rules' cooldown."""
        self._once = list(once)
        for rule in self._rules:
            rule.resume(self._once)

    def reconfigure(self, camera: Camera) -> None:
        """Another configuration of the same camera; votes begin anew where the rules do."""
        before, self.camera, self._digest = self.camera, camera, camera.digest()
        if camera.rules_rest_on != before.rules_rest_on:
            self._begin()

    def _begin(self) -> None:
        self._rules: list[FaceWatch] = []
        self._size = None
        self._galleries, self._outside = {}, None

    def set_watchlist(self, entries: Sequence[WatchlistEntry] | None) -> None:
        """Another watchlist from the next frame on."""
        self._entries, self._galleries, self._ends_s = entries, {}, {}
        self._template = None  # told anew by the next frame: the list may be enrolled anew for a model that was swapped
        for entry in entries or ():
            self._ends_s[entry.watchlist] = max(entry.expires_s, self._ends_s.get(entry.watchlist, entry.expires_s))

    def wants(self, captured_s: float) -> bool:
        """Whether any rule may search a frame of this time: if not, no face is even looked for."""
        law_s = self._law_s(captured_s)
        return any(self._silent(rule, law_s) in (None, NOT_YET) for rule in self.camera.face_rules)

    def hide_outside(self, pixels: Pixels, letterbox: Letterbox, width: int, height: int) -> None:
        """Grey out, in place, what of a face model's (h, w, 3) input lies outside the face rules' zones.

        width, height: of the source frame. Who stands outside is not seen by the face model at all.
        """
        key = (*pixels.shape, width, height)
        if self._outside is None or self._outside[0] != key:
            mask = np.full(pixels.shape[:2], 255, np.uint8)
            zones = {zone.id: zone for zone in self.camera.zones}
            for rule in self.camera.face_rules:
                corners = to_pixels(zones[rule.zone].polygon, width, height) * letterbox.scale
                cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 0)
                cv2.polylines(mask, [np.rint(corners).astype(np.int32)], True, 0, round(2 * EDGE * pixels.shape[1]))
            self._outside = (key, mask)
        mask = self._outside[1]
        cv2.copyTo(np.full_like(pixels, HIDDEN), mask, pixels)

    def step_rows(
        self, frame: FrameMeta, rows: Floats, letterbox: Letterbox, model: ModelRef, template: ModelRef
    ) -> list[Event]:
        """Take a face model's rows for a frame in.

        rows: (n, k) float32, see hoaban/faces/rows.py. model: the whole face model, template: what made the templates.
        """
        faces = Faces.from_rows(rows, letterbox, frame.width, frame.height)
        self._fit(frame)
        if template != self._template:
            self._template, self._galleries = template, {}
        tracks = self._tracker.update(faces.detections(), frame.captured_s)
        look = Look(frame.seq, frame.captured_s, faces, track_of_each(faces.boxes, tracks))
        self._seen += len(faces)
        self._refused.update(REASONS[code] for code in faces.refusals.tolist() if code != Refusal.NONE)
        law_s = self._law_s(frame.captured_s)
        provenance = Provenance(model, self._digest, self._code)
        events = []
        for rule in self._rules:
            gallery = self._gallery(rule.config)
            if gallery is None or self._silent(rule.config, law_s) is not None:
                continue
            for finding in rule.update(look, gallery, template, law_s):
                events.append(bind(finding, frame, self.camera.role, provenance))
        self._proposals += len(events)
        return events

    def status(self, now_s: float) -> dict[str, Any]:
        """Faces seen and refused (by reason), and for each rule whether it searches, among how many, or why not."""
        law_s = self._law_s(now_s)
        searched = {rule.name: rule.searched for rule in self._rules}
        rules: dict[str, Any] = {}
        for config in self.camera.face_rules:
            gallery = self._gallery(config)
            rules[config.name] = {
                "silent": self._silent(config, law_s),
                "gallery_size": gallery.size(law_s) if gallery else 0,
                "entries_of_another_model": gallery.left_out if gallery else 0,
                "faces_searched": searched.get(config.name, 0),
            }
        return {
            "faces_seen": self._seen,
            "faces_refused": dict(sorted(self._refused.items())),
            "proposals": self._proposals,
            "rules": rules,
        }

    def _law_s(self, captured_s: float) -> float:
        return max(captured_s, self._law_not_before_s)

    def _forbidden(self, config: FaceWatchlistRule, law_s: float) -> str | None:
        """Why a rule may search nothing at this time, or has nobody to search for; None when it may."""
        ends_s = None if self._entries is None else self._ends_s
        return why_silent(config.lawful_basis, config.watchlist, ends_s, law_s)

    def _silent(self, config: FaceWatchlistRule, law_s: float) -> str | None:
        """Why a rule proposes nobody now, or None."""
        if (why := self._forbidden(config, law_s)) is not None:
            return why
        gallery = self._gallery(config)
        if gallery is None:
            return NOT_YET
        if gallery.size(law_s) == 0:
            lists = ", ".join(config.watchlist)
            return f"every entry in {lists} was made by another model than the one that runs; enrol them again"
        return None

    def _gallery(self, config: FaceWatchlistRule) -> Gallery | None:
        if self._entries is None or self._template is None:
            return None
        if config.name not in self._galleries:
            self._galleries[config.name] = Gallery.for_model(self._entries, config.watchlist, self._template.digest)
        return self._galleries[config.name]

    def _fit(self, frame: FrameMeta) -> None:
        """Another frame size, or a clock that went back, begins tracks and rules anew."""
        went_back = self._captured_s is not None and frame.captured_s < self._captured_s
        if (frame.width, frame.height) != self._size or went_back:
            self._size = (frame.width, frame.height)
            self._tracker.reset()
            zones = {zone.id: zone for zone in self.camera.zones}
            self._rules = [
                FaceWatch(config, zones[config.zone], frame.width, frame.height) for config in self.camera.face_rules
            ]
            for rule in self._rules:
                rule.resume(self._once)
        self._captured_s = frame.captured_s


def track_of_each(boxes: Floats, tracks: Tracks) -> NDArray[np.int64]:
    """(n,) the track of each of (n, 4) boxes, -1 where none lies on it.

    The tracker gives filtered boxes, so each is matched to the box it overlaps most.
    """
    found = np.full(len(boxes), -1, np.int64)
    if len(boxes) and len(tracks):
        overlap = iou(boxes, tracks.boxes)
        for row, track in zip(*cheapest_pairs(-overlap), strict=True):
            if overlap[row, track] > 0.1:
                found[row] = tracks.ids[track]
    return found
