"""Trajectories and pictures drawn by hand, for tests of rules."""

from collections.abc import Iterable, Mapping

import cv2
import numpy as np

from hoaban.detections import Tracks
from hoaban.events import Finding
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.rules import build_rules
from hoaban.scene import Pixels, Scene, View

LABELS = ("person", "car", "motorcycle", "suitcase", "dog")
Foot = tuple[int, float, float] | tuple[int, float, float, str]
SIZES = {"person": (20, 60), "car": (60, 40), "motorcycle": (25, 35), "suitcase": (14, 16), "dog": (20, 14)}


def standing(*feet: Foot, sizes: Mapping[str, tuple[float, float]] = SIZES) -> Tracks:
    """Tracks whose foot points are given as (id, x, y) of a person, or (id, x, y, class)."""
    labels = [foot[3] if len(foot) == 4 else "person" for foot in feet]
    boxes = []
    for (_, x, y, *_), label in zip(feet, labels, strict=True):
        width, height = sizes[label]
        boxes.append([x - width / 2, y - height, x + width / 2, y])
    n = len(feet)
    return Tracks(
        np.array([foot[0] for foot in feet], np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(n, 0.9, np.float32),
        np.array([LABELS.index(label) for label in labels], np.int32),
        np.full(n, 5, np.int32),
        LABELS,
    )


def play(
    camera: Camera,
    frames: Iterable[Tracks | tuple[Tracks, Pixels]],
    *,
    fps: float = 5,
    size: tuple[int, int] = (640, 360),
    begin_s: float = 0.0,
) -> list[tuple[float, Finding]]:
    """(seconds since begin_s, finding) of a camera's rules over frames: tracks, and the picture where rules look at it.

    A picture is (h, w) uint8 brightness of the frame's size; views of it are cut and scaled as the camera would.
    """
    rules = build_rules(camera.rules, camera.site_for(*size))
    told = []
    for number, frame in enumerate(frames):
        tracks, picture = frame if isinstance(frame, tuple) else (frame, None)
        meta = FrameMeta("cam", number, begin_s + number / fps, *size)
        views = {} if picture is None else {view: cut(picture, view) for rule in rules for view in rule.views}
        scene = Scene(meta, tracks, views)
        told += [(round(number / fps, 3), finding) for rule in rules for finding in rule.update(scene)]
    return told


def cut(picture: Pixels, view: View) -> Pixels:
    """A view of a brightness picture."""
    height, width = picture.shape
    left, right = (round(share * width) for share in view.box[0::2])
    top, bottom = (round(share * height) for share in view.box[1::2])
    piece = picture[top:bottom, left:right]
    return cv2.resize(piece, (view.width or right - left, view.height or bottom - top), interpolation=cv2.INTER_AREA)
