"""Things in a simulated scene, as boxes in space: what they measure, how they stand, what the camera sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.sim.colours import DIRECTIONS, LABELS, bgr
from hoaban.sim.truth import Box
from hoaban.sim.view import View

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Body:
    """One thing at one moment. x, y: metres, the ground under its middle. heading: radians from the y axis to the
    right, the way it faces."""

    id: int
    label: str
    x: float
    y: float
    heading: float
    speed_mps: float


@dataclass(frozen=True, slots=True)
class _Part:
    """A box: width, and from–to along and up, in metres from the middle of the thing, and its share of the light."""

    width: float
    back: float
    front: float
    bottom: float
    top: float
    light: float = 1.0


_PARTS = {
    "person": (
        _Part(0.36, -0.15, 0.15, 0.0, 0.85, 0.75),
        _Part(0.54, -0.18, 0.18, 0.8, 1.46),
        _Part(0.28, -0.14, 0.14, 1.46, 1.74, 1.1),
    ),
    "bicycle": (
        _Part(0.22, -0.85, 0.85, 0.05, 0.75, 0.8),
        _Part(0.5, -0.35, 0.2, 0.7, 1.45),
        _Part(0.28, -0.14, 0.14, 1.45, 1.72, 1.1),
    ),
    "motorcycle": (
        _Part(0.42, -0.95, 0.95, 0.05, 0.8, 0.8),
        _Part(0.64, -0.45, 0.3, 0.75, 1.4),
        _Part(0.34, -0.17, 0.17, 1.4, 1.7, 1.1),
    ),
    "car": (_Part(1.8, -2.15, 2.15, 0.2, 0.9), _Part(1.6, -1.8, 0.9, 0.9, 1.5, 0.8)),
    "bus": (_Part(2.5, -5.2, 5.2, 0.3, 3.1), _Part(2.2, -4.8, 4.8, 3.1, 3.25, 0.85)),
    "truck": (_Part(2.35, -3.5, 1.5, 0.5, 3.0), _Part(2.2, 1.6, 3.5, 0.4, 2.3, 0.85)),
    "backpack": (_Part(0.4, -0.16, 0.16, 0.0, 0.5),),
    "suitcase": (_Part(0.55, -0.2, 0.2, 0.0, 0.75),),
    "potted plant": (_Part(0.6, -0.3, 0.3, 0.0, 0.5, 0.6), _Part(0.9, -0.4, 0.4, 0.5, 1.4)),
}
LENGTH_M = {label: max(p.front for p in parts) - min(p.back for p in parts) for label, parts in _PARTS.items()}
WIDTH_M = {label: max(p.width for p in parts) for label, parts in _PARTS.items()}

# Corners: bit 0 right, bit 1 front, bit 2 top. Faces clockwise as seen from outside, in a picture whose y points down.
_FACES = np.array([(4, 6, 7, 5), (0, 4, 5, 1), (3, 7, 6, 2), (2, 6, 4, 0), (1, 5, 7, 3)])  # top back front left right
_FACE_LIGHT = (1.0, 0.88, 0.88, 0.72, 0.72)


def _corners(part: _Part) -> F64:
    half = part.width / 2
    spans = ((-half, half), (part.back, part.front), (part.bottom, part.top))
    return np.array([[spans[axis][corner >> axis & 1] for axis in range(3)] for corner in range(8)])


_TEMPLATES = {label: np.stack([_corners(part) for part in parts]) for label, parts in _PARTS.items()}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the camera sees of one body. points: (k, 2) pixels of its corners. faces: far to near, (4, 2) pixels of each
    visible face, its part and its share of the light. box: xyxy pixels, not clipped."""

    body: Body
    depth: float
    points: F64
    faces: tuple[tuple[F64, int, float], ...]
    box: Box


def see(bodies: Sequence[Body], view: View) -> list[Seen]:
    """The bodies that the picture shows, the farthest first."""
    if not bodies:
        return []
    counts = np.array([len(_PARTS[body.label]) for body in bodies])
    owner = np.repeat(np.arange(len(bodies)), counts)
    place = np.array([(body.x, body.y, body.heading) for body in bodies])
    local = np.concatenate([_TEMPLATES[body.label] for body in bodies])  # (parts, 8, 3)
    sin, cos = np.sin(place[owner, 2])[:, None], np.cos(place[owner, 2])[:, None]
    space = local.copy()
    space[..., 0] = place[owner, 0, None] + local[..., 0] * cos + local[..., 1] * sin
    space[..., 1] = place[owner, 1, None] - local[..., 0] * sin + local[..., 1] * cos
    pixels, depths = view.project(space)
    quads = pixels[:, _FACES]  # (parts, 5, 4, 2)
    first, second = quads[:, :, 2] - quads[:, :, 0], quads[:, :, 3] - quads[:, :, 1]
    towards_us = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0] > 0
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    low = np.minimum.reduceat(pixels.min(axis=1), starts)
    high = np.maximum.reduceat(pixels.max(axis=1), starts)
    nearest = np.minimum.reduceat(depths.min(axis=1), starts)
    middle = depths.mean(axis=1)
    shown = (nearest > 1.0) & (high > 0).all(axis=1) & (low[:, 0] < view.width) & (low[:, 1] < view.height)
    body_depth = np.add.reduceat(middle, starts) / counts
    seen = []
    depth_of, faces_of = middle.tolist(), towards_us.tolist()
    for index in sorted(np.flatnonzero(shown).tolist(), key=lambda i: (-body_depth[i], i)):
        start, count = int(starts[index]), int(counts[index])
        faces = tuple(
            (quads[part, face], part - start, light)
            for part in sorted(range(start, start + count), key=lambda part: -depth_of[part])
            for face, light in enumerate(_FACE_LIGHT)
            if faces_of[part][face]
        )
        points = pixels[start : start + count].reshape(-1, 2)
        box = (*low[index].tolist(), *high[index].tolist())
        seen.append(Seen(bodies[index], float(body_depth[index]), points, faces, box))
    return seen


def extent(item: Seen, view: View) -> Box | None:
    """xyxy pixels of the part of it that the picture holds; None where that is less than a pixel."""
    x1, y1, x2, y2 = item.box
    if x1 < 0 or y1 < 0 or x2 > view.width or y2 > view.height:
        hull = cv2.convexHull(item.points.astype(np.float32)).reshape(-1, 2)
        edges = np.array([[0, 0], [view.width, 0], [view.width, view.height], [0, view.height]], np.float32)
        area, shown = cv2.intersectConvexConvex(hull, edges)
        if area <= 0:
            return None
        (x1, y1), (x2, y2) = shown.reshape(-1, 2).min(axis=0).tolist(), shown.reshape(-1, 2).max(axis=0).tolist()
    return (x1, y1, x2, y2) if x2 - x1 >= 1 and y2 - y1 >= 1 else None


def paint(label: str, part: int, light: float) -> tuple[int, int, int]:
    """BGR of a face. light: 0..1, of the face and the hour together."""
    light = min(1.0, light * _PARTS[label][part].light)
    if label not in LABELS:
        return bgr(240, light, chroma=6, luma=95)
    return bgr(DIRECTIONS[label], light)
