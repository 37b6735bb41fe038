"""Stills and clips of a violation with everybody else hidden (hoaban/evidence/redaction.py says who that is).

A picture in which nobody can look for faces is shown as a mosaic, but for the vehicle it is about.
"""

import io
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import structlog

from actors.blur import FACE_GROWTH, mosaic, pixelated
from actors.faces import FaceDetector
from actors.models import ModelError, find_model, load_detector
from hoaban.detections import Detections, Floats
from hoaban.evidence.redaction import Box, Hidden, Subject, as_box, to_hide
from hoaban.frames import Letterbox
from hoaban.models.backend import Detector
from hoaban.privacy import VEHICLE_WORDS, named
from hoaban.rules.enforcement import VEHICLES
from hoaban.scene import Pixels

log = structlog.get_logger(__name__)

AROUND = 3
"""frames of a clip before and after one, of which what was found is hidden in that one too"""
SUBJECT_SLACK_S = 0.1
STILL_QUALITY, CLIP_CRF = 92, "23"
STILLS = ("before", "at", "past")
FACES, MOSAIC = "faces and other vehicles", "mosaic"


class Redactor:
    """Hides everybody but the subject. model: the detector that found it, by name; loaded when first needed."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._detectors: dict[str, Detector | None] = {}
        self._faces: FaceDetector | None = None
        try:
            self._faces = FaceDetector(find_model("yunet"), threads=threads)
        except ModelError as error:
            log.warning("no face detector: evidence is shown as a mosaic", reason=str(error))

    def package(self, files: Mapping[str, bytes], candidate: Mapping[str, Any]) -> tuple[dict[str, bytes], str]:
        """The pictures of a candidate with others hidden, and how: FACES or MOSAIC.

        The plate's crop is the subject's own and stays. A clip that cannot be decoded is left out.
        """
        detector = self._detector(candidate["event"]["data"].get("model") or {})
        how = FACES if detector is not None else MOSAIC
        subject = Subject.of(candidate["frames"])
        done: dict[str, bytes] = {}
        for name in STILLS:
            if (data := files.get(f"{name}.jpg")) is not None:
                done[f"{name}.jpg"] = self._still(data, as_box(candidate["frames"][name]["bbox"]), detector)
        if "plate.jpg" in files:
            done["plate.jpg"] = files["plate.jpg"]
        if "clip.mp4" in files and candidate["clip"]:
            try:
                done["clip.mp4"] = self._clip(files["clip.mp4"], candidate["clip"]["from_s"], subject, detector)
            except (av.error.FFmpegError, ValueError) as error:
                log.warning("a clip is not shown: it cannot be decoded", reason=str(error))
        return done, how

    def _still(self, jpeg: bytes, box: Box, detector: Detector | None) -> bytes:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        shown = _without(picture, self._find(picture, box, detector), blind=detector is None)
        return cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, STILL_QUALITY])[1].tobytes()

    def _clip(self, data: bytes, from_s: float, subject: Subject, detector: Detector | None) -> bytes:
        """Two passes: what is in each frame, then each frame without what was in it and in those around it."""
        found = [
            self._find(picture, subject.at(at_s, SUBJECT_SLACK_S), detector) for picture, at_s in _frames(data, from_s)
        ]
        out = io.BytesIO()
        with av.open(out, "w", format="mp4") as container:
            track = None
            for i, (picture, at_s) in enumerate(_frames(data, from_s)):
                height, width = (side - side % 2 for side in picture.shape[:2])
                if track is None:
                    track = container.add_stream("libx264", options={"crf": CLIP_CRF, "preset": "veryfast"})
                    track.width, track.height, track.pix_fmt = width, height, "yuv420p"
                    track.time_base = track.codec_context.time_base = Fraction(1, 90000)
                around = found[max(0, i - AROUND) : i + AROUND + 1]
                shown = _without(picture, found[i].joined(around), blind=detector is None)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown[:height, :width]), "bgr24")
                frame.pts, frame.time_base = round((at_s - from_s) * 90000), Fraction(1, 90000)
                container.mux(track.encode(frame))
            if track is None:
                raise ValueError("it has no pictures")
            container.mux(track.encode())
        return out.getvalue()

    def _find(self, picture: Pixels, subject: Box | None, detector: Detector | None) -> Hidden:
        none = np.zeros((0, 4), np.float32)
        if detector is None or self._faces is None:
            return Hidden(none, none, subject)
        seen = _detect(detector, picture)
        people = seen.of("person").boxes if "person" in seen.labels else none
        of_vehicles = sorted(named(seen.labels, VEHICLE_WORDS))  # a van carries a plate as a car does
        vehicles = seen.select(np.isin(np.array(seen.labels)[seen.classes], of_vehicles)).boxes if len(seen) else none
        faces = self._faces.boxes(picture)
        margin = (faces[:, 2:] - faces[:, :2]) * np.float32(FACE_GROWTH)
        grown = np.concatenate([faces[:, :2] - margin, faces[:, 2:] + margin], axis=1)
        return to_hide(subject, people, grown, vehicles)

    def _detector(self, model: Mapping[str, Any]) -> Detector | None:
        """The detector by this name; None where one of the two is missing that others are found with."""
        name = str(model.get("name"))
        if name not in self._detectors:
            detector = None
            try:
                detector = load_detector(find_model(name), threads=self._threads, device="cpu")
            except ModelError as error:
                log.warning("no detector: evidence is shown as a mosaic", model=name, reason=str(error))
            blind = self._faces is None or detector is None or not set(VEHICLES) & set(detector.labels)
            self._detectors[name] = None if blind else detector
        return self._detectors[name]


def _without(picture: Pixels, hidden: Hidden, *, blind: bool) -> Pixels:
    """The picture with what is hidden pixelated. blind: nobody looked for others, so all but the subject goes."""
    shown = mosaic(picture) if blind else picture.copy()
    _pixelate(shown, hidden.vehicles)
    if hidden.clear is not None:
        left, top, right, bottom = _inside(picture, hidden.clear)
        shown[top:bottom, left:right] = picture[top:bottom, left:right]
    _pixelate(shown, hidden.heads)
    return shown


def _frames(data: bytes, from_s: float) -> Iterator[tuple[Pixels, float]]:
    """(h, w, 3) uint8 BGR and capture time of each frame of a clip that begins at from_s."""
    with av.open(io.BytesIO(data)) as container:
        first: float | None = None
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0)
            first = at_s if first is None else first
            yield frame.to_ndarray(format="bgr24"), from_s + max(0.0, at_s - first)


def _detect(detector: Detector, picture: Pixels) -> Detections:
    height, width = picture.shape[:2]
    fit = Letterbox.fit(width, height, detector.input_width, detector.input_height)
    size = min(fit.width, max(2, round(width * fit.scale))), min(fit.height, max(2, round(height * fit.scale)))
    batch = np.full((1, detector.input_height, detector.input_width, 3), 114, np.uint8)
    batch[0, : size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return Detections.from_rows(detector.infer(batch)[0], fit, detector.labels, width, height)


def _pixelate(picture: Pixels, boxes: Floats) -> None:
    for box in boxes.tolist():
        left, top, right, bottom = _inside(picture, as_box(box))
        if right > left and bottom > top:
            picture[top:bottom, left:right] = pixelated(picture[top:bottom, left:right])


def _inside(picture: Pixels, box: Box) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = box
    return max(0, int(x1)), max(0, int(y1)), min(width, int(x2) + 1), min(height, int(y2) + 1)
