"""A simulated camera: an ideal pinhole above flat ground, so that the homography to the ground is exact."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.calibration import Calibration
from hoaban.shapes import Point

F64 = NDArray[np.float64]
NEAR_M = 0.5
"""what is nearer to the lens's plane than this is not drawn"""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a camera hangs and looks: metres (x right, y away, z up), degrees down from the horizon and to the right
    of the y axis. focal: in widths of the picture."""

    x: float
    y: float
    height: float
    down: float
    right: float = 0.0
    focal: float = 0.95


class View:
    """The pose for pictures of width x height pixels."""

    def __init__(self, pose: Pose, width: int, height: int) -> None:
        self.pose, self.width, self.height = pose, width, height
        yaw, pitch = np.radians(pose.right), np.radians(pose.down)
        ahead = np.array([np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)])
        right = np.array([np.cos(yaw), -np.sin(yaw), 0.0])
        self.centre: F64 = np.array([pose.x, pose.y, pose.height])
        self._axes: F64 = np.stack([right, np.cross(ahead, right), ahead])  # picture's x, its y (down), its depth
        self._focal = pose.focal * width

    def project(self, points: F64) -> tuple[F64, F64]:
        """(…, 2) pixels and (…) depths in metres along the optical axis, of (…, 3) points in metres.

        Pixels of points nearer than NEAR_M have no meaning. Formula: pinhole camera, Hartley and Zisserman,
        Multiple View Geometry, 2nd edition, section 6.1, with the principal point in the picture's middle.
        """
        seen = (np.asarray(points, np.float64) - self.centre) @ self._axes.T
        depth = seen[..., 2]
        scale = self._focal / np.maximum(depth, NEAR_M)
        x = seen[..., 0] * scale + self.width / 2
        y = seen[..., 1] * scale + self.height / 2
        return np.stack([x, y], axis=-1), depth

    def ground(self, metres: object) -> tuple[F64, F64]:
        """`project` for (n, 2) points on the ground."""
        flat = np.asarray(metres, np.float64).reshape(-1, 2)
        return self.project(np.column_stack([flat, np.zeros(len(flat))]))

    def to_ground(self, pixels: object) -> F64:
        """(n, 2) metres on the ground that (n, 2) pixels show; nan at and above the horizon."""
        flat = np.asarray(pixels, np.float64).reshape(-1, 2)
        rays = np.column_stack([flat - (self.width / 2, self.height / 2), np.full(len(flat), self._focal)]) @ self._axes
        down = -rays[:, 2:]
        reach = self.pose.height / np.where(down > 1e-9, down, np.nan)
        return np.asarray(self.centre[:2] + rays[:, :2] * reach)

    def zone(self, metres: Sequence[tuple[float, float]]) -> tuple[Point, ...]:
        """A convex polygon on the ground as a polygon on the picture, cut off at the picture's edge.

        Raises ValueError when the picture shows nothing of it.
        """
        polygon = self.corners(metres)
        if polygon is None:
            raise ValueError(f"polygon {metres} lies behind the camera")
        frame = np.array([[0, 0], [self.width, 0], [self.width, self.height], [0, self.height]], np.float32)
        area, shown = cv2.intersectConvexConvex(polygon.astype(np.float32), frame)
        if area <= 0:
            raise ValueError(f"polygon {metres} lies outside the picture")
        return tuple(self._fraction(point) for point in shown.reshape(-1, 2))

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> tuple[Point, Point]:
        """A line on the ground as a line on the picture, cut off at the picture's edge.

        Raises ValueError when the picture shows nothing of it.
        """
        (a, b), depth = self.ground([start, end])
        shares = _within(a, b, self.width, self.height)
        if shares is None or depth.min() < NEAR_M:
            raise ValueError(f"line {start}-{end} lies outside the picture")
        return self._fraction(a + (b - a) * shares[0]), self._fraction(a + (b - a) * shares[1])

    def calibration(self, name: str, metres: Sequence[tuple[float, float]]) -> Calibration:
        """The camera's calibration by points on the ground, which the picture must show."""
        pixels, _ = self.ground(metres)
        picture = tuple((float(x / self.width), float(y / self.height)) for x, y in pixels)
        return Calibration(id=name, picture=picture, ground_m=tuple(metres), measured=date(2026, 1, 1))

    def corners(self, metres: Sequence[tuple[float, float]]) -> F64 | None:
        """(k, 2) pixels of the part of a convex polygon on the ground ahead of the camera; None where there is none."""
        ahead = self._ahead(metres)
        return self.ground(ahead)[0] if len(ahead) >= 3 else None

    def pixels(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box of fractions in pixels."""
        x1, y1, x2, y2 = box
        return x1 * self.width, y1 * self.height, x2 * self.width, y2 * self.height

    def fractions(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box of pixels in fractions of the picture."""
        x1, y1, x2, y2 = box
        return x1 / self.width, y1 / self.height, x2 / self.width, y2 / self.height

    def _ahead(self, metres: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """The part of a convex polygon on the ground that lies ahead of the camera."""
        depths = self.ground(metres)[1] - 2 * NEAR_M
        kept: list[tuple[float, float]] = []
        for i, point in enumerate(metres):
            before, depth, depth_before = metres[i - 1], depths[i], depths[i - 1]
            if depth * depth_before < 0:
                share = depth_before / (depth_before - depth)
                kept.append((before[0] + (point[0] - before[0]) * share, before[1] + (point[1] - before[1]) * share))
            if depth >= 0:
                kept.append(point)
        return kept

    def _fraction(self, pixel: object) -> Point:
        x, y = np.clip(np.asarray(pixel, np.float64) / (self.width, self.height), 0, 1).tolist()
        return round(x, 5), round(y, 5)


def _within(a: F64, b: F64, width: int, height: int) -> tuple[float, float] | None:
    """Which shares of the way from a to b lie in the picture (Liang and Barsky, 1984); None where none does."""
    low, high = 0.0, 1.0
    for axis, limit in ((0, width), (1, height)):
        step = b[axis] - a[axis]
        for bound, sign in ((0.0, 1.0), (float(limit), -1.0)):
            room, move = sign * (a[axis] - bound), sign * step
            if move == 0:
                if room < 0:
                    return None
                continue
            share = -room / move
            low, high = (max(low, share), high) if move > 0 else (low, min(high, share))
    return (low, high) if low < high else None
