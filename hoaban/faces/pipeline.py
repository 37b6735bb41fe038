"""What happens to a frame's faces: tracks, search, proposals. The same for live cameras and for replay."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hoaban.detections import Tracks
from hoaban.events import Event, ModelRef, Provenance, bind
from hoaban.faces.gallery import Gallery, WatchlistEntry
from hoaban.faces.quality import Refusal
from hoaban.faces.rows import Faces
from hoaban.faces.watch import FaceWatch, Look
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.geometry import iou, to_pixels
from hoaban.tracking import Tracker

Floats = NDArray[np.float32]

Pixels = NDArray[np.uint8]

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
        self._galleries: dict[str, Gallery] = {}
        self._outside: tuple[tuple[int, ...], Pixels] | None = None
        self._template: ModelRef | None = None
        self._tracker = Tracker(sure=0.6, enlarge=FACE_GROWTH, min_overlap=0.1, min_hits=1)
        self._size: tuple[int, int] | None = None
        self._captured_s: float | None = None
        self._seen = self._proposals = 0
        self._refused: Counter[str] = Counter()
        self.reconfigure(camera)

    def reconfigure(self, camera: Camera) -> None:
        """Another configuration of the same camera; votes begin anew."""
        self.camera, self._digest = camera, camera.digest()
        self._rules: list[FaceWatch] = []
        self._size = None
        self._galleries, self._outside = {}, None

    def set_watchlist(self, entries: Sequence[WatchlistEntry] | None) -> None:
        """Another watchlist from the next frame on."""
        self._entries = entries
        self._galleries = {}

    def wants(self, captured_s: float) -> bool:
        """Whether any rule may search a frame of this time: if not, no face is even looked for."""
        law_s = self._law_s(captured_s)
        for rule in self.camera.face_rules:
            lists = [one for one in self._entries or () if one.watchlist in rule.watchlist and one.expires_s > law_s]
            if lists and law_s <= rule.lawful_basis.valid_until.timestamp():
                return True
        return False

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
        self._refused.update(Refusal(int(code)).name.lower() for code in faces.refusals if code != Refusal.NONE)
        law_s = self._law_s(frame.captured_s)
        provenance = Provenance(model, self._digest, self._code)
        events = []
        for rule in self._rules:
            gallery = self._gallery(rule)
            if gallery is None or rule.silent_because(law_s, gallery) is not None:
                continue
            for finding in rule.update(look, gallery, template, law_s):
                events.append(bind(finding, frame, self.camera.role, provenance))
        self._proposals += len(events)
        return events

    def status(self, now_s: float) -> dict[str, Any]:
        """Faces seen and refused (by reason), and for each rule whether it searches, among how many, or why not."""
        law_s = self._law_s(now_s)
        rules: dict[str, Any] = {}
        for config in self.camera.face_rules:
            rule = next((rule for rule in self._rules if rule.name == config.name), None)
            if rule is None:
                rules[config.name] = {"silent": "no frame was searched for faces yet"}
                continue
            gallery = self._gallery(rule)
            rules[rule.name] = {
                "silent": rule.silent_because(law_s, gallery),
                "gallery_size": gallery.size(law_s) if gallery else 0,
                "entries_of_another_model": gallery.left_out if gallery else 0,
                "faces_searched": rule.searched,
            }
        return {
            "faces_seen": self._seen,
            "faces_refused": dict(sorted(self._refused.items())),
            "proposals": self._proposals,
            "rules": rules,
        }

    def _law_s(self, captured_s: float) -> float:
        return max(captured_s, self._law_not_before_s)

    def _gallery(self, rule: FaceWatch) -> Gallery | None:
        if self._entries is None or self._template is None:
            return None
        if rule.name not in self._galleries:
            lists = rule.config.watchlist
            self._galleries[rule.name] = Gallery.for_model(self._entries, lists, self._template.digest)
        return self._galleries[rule.name]

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
        self._captured_s = frame.captured_s


def track_of_each(boxes: Floats, tracks: Tracks) -> NDArray[np.int64]:
    """(n,) the track of each of (n, 4) boxes, -1 where none lies on it.

    The tracker gives filtered boxes, so each is matched to the box it overlaps most.
    """
    found = np.full(len(boxes), -1, np.int64)
    if len(boxes) and len(tracks):
        overlap = iou(boxes, tracks.boxes)
        for row, track in zip(*linear_sum_assignment(-overlap), strict=True):
            if overlap[row, track] > 0.1:
                found[row] = tracks.ids[track]
    return found
