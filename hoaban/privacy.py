"""What of a picture is hidden: faces, known from the boxes of bodies alone, and zones that nobody may look into."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.association import KINDS
from hoaban.detections import Floats

HEAD_SHARE = 0.28
"""of a standing person's box the head takes about an eighth of the height; more is hidden, to be safe in any posture"""
VEHICLES = frozenset({"car", "truck", "bus", "motorcycle"})
"""classes that carry a plate"""
PEOPLE_WORDS = frozenset({"person", "people", "pedestrian", "human", "man", "woman", "child", "rider", "cyclist"})
VEHICLE_WORDS = VEHICLES | KINDS.keys() | {
    "vehicle", "van", "pickup", "lorry", "minibus", "coach", "taxi", "trailer", "motorbike", "motor", "moped",
    "scooter", "two-wheeler", "tricycle", "awning-tricycle",
}  # fmt: skip
"""what the classes of other models are called, in small letters"""
PLATED_WORDS = VEHICLE_WORDS - {"bicycle"}
"""a model that knows none of these has not looked for what carries a plate"""
PLATE_FROM = 0.3
"""of a vehicle's box, the upper part in which no plate is"""


def named(labels: Sequence[str], words: frozenset[str]) -> frozenset[str]:
    """Those of a model's labels that mean one of these, however they are written."""
    return frozenset(label for label in labels if label.strip().lower().replace(" ", "-") in words)


def head_boxes(people: Floats) -> Floats:
    """(n, 4) xyxy boxes that hold the heads of (n, 4) person boxes: the upper part, widened by a tenth each side."""
    if len(people) == 0:
        return np.zeros((0, 4), np.float32)
    x1, y1, x2, y2 = people.T
    wider, height = (x2 - x1) * 0.1, (y2 - y1)
    return np.stack([x1 - wider, y1 - 0.06 * height, x2 + wider, y1 + HEAD_SHARE * height], axis=1).astype(np.float32)


def plate_boxes(vehicles: Floats) -> Floats:
    """(n, 4) xyxy boxes that hold the plates of (n, 4) vehicle boxes: all but the upper part."""
    if len(vehicles) == 0:
        return np.zeros((0, 4), np.float32)
    x1, y1, x2, y2 = vehicles.T
    return np.stack([x1, y1 + PLATE_FROM * (y2 - y1), x2, y2], axis=1).astype(np.float32)


def hidden_samples(
    polygons: Sequence[Sequence[tuple[float, float]]], width: int, height: int, turns: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which samples of a 4:2:0 frame of width x height pixels are to be blacked out: of luma, and of each chroma plane.

    polygons: corners as fractions of the picture as it is shown, which is the frame turned by `turns` quarter turns
    against the clock. Whole blocks of 2 x 2 pixels are hidden, and two pixels around: what is beside a zone's edge
    may be lost, what is within it never shows.
    """
    even_w, even_h = width + width % 2, height + height % 2
    drawn = np.zeros((even_h, even_w), np.uint8)
    for polygon in polygons:
        corners = [_unturned(x, y, turns) for x, y in polygon]
        pixels = [(min(round(x * width), width - 1), min(round(y * height), height - 1)) for x, y in corners]
        cv2.fillPoly(drawn, [np.array(pixels, np.int32)], 1)
    drawn = np.asarray(cv2.dilate(drawn, np.ones((5, 5), np.uint8)), np.uint8)
    blocks = drawn.reshape(even_h // 2, 2, even_w // 2, 2).max(axis=(1, 3)).astype(bool)
    return blocks.repeat(2, axis=0).repeat(2, axis=1)[:height, :width], blocks


def _unturned(x: float, y: float, turns: int) -> tuple[float, float]:
    """Where a point of the shown picture lies in the frame (see numpy.rot90)."""
    return ((x, y), (1 - y, x), (1 - x, 1 - y), (y, 1 - x))[turns % 4]
