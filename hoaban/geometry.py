"""Points, lines and polygons on the picture: pixels, x right, y down."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
FEW_PAIRS = 1000
"""of boxes, for which `overlaps` is quicker over all pairs at once"""


def to_pixels(fractions: object, width: int, height: int) -> NDArray[np.float64]:
    """(n, 2) pixels of points given as fractions of the picture."""
    return np.asarray(fractions, np.float64).reshape(-1, 2) * (width, height)


def signed_distance(points: Points, start: Points, end: Points) -> NDArray[np.float64]:
    """(n,) pixels from the endless line start->end; above 0 on its right, as seen in the picture when walking along it.

    The cross product of the line's direction and the way to the point, over the line's length; with y downwards,
    its positive side is the right.
    """
    along = np.asarray(end, np.float64) - start
    away = np.asarray(points, np.float64) - start
    cross: NDArray[np.float64] = along[0] * away[:, 1] - along[1] * away[:, 0]
    return cross / float(np.hypot(along[0], along[1]))


def segments_meet(a: Points, b: Points, c: Points, d: Points) -> bool:
    """Whether the way from a to b crosses the line from c to d, ends of the line included."""
    return meeting_point(a, b, c, d) is not None


def meeting_point(a: Sequence[float] | Points, b: Points, c: Points, d: Points) -> NDArray[np.float64] | None:
    """(2,) where the way from a to b crosses the line from c to d, its ends included; None where it does not."""
    # Numbers one by one: numpy would take ten times as long for two of them.
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = ((float(x), float(y)) for x, y in (a, b, c, d))
    wide, tall = dx - cx, dy - cy
    length = float(np.hypot(wide, tall))
    side_a = (wide * (ay - cy) - tall * (ax - cx)) / length
    side_b = (wide * (by - cy) - tall * (bx - cx)) / length
    if side_a == side_b or side_a * side_b > 0:
        return None
    way = side_a / (side_a - side_b)
    x, y = ax + (bx - ax) * way, ay + (by - ay) * way
    share = ((x - cx) * wide + (y - cy) * tall) / (wide * wide + tall * tall)
    return np.array([x, y]) if -1e-9 <= share <= 1 + 1e-9 else None


def area(polygon: object) -> float:
    """The area of a simple polygon of (m, 2) corners, in the square of their unit (shoelace formula)."""
    x, y = np.asarray(polygon, np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def inside(points: Points, polygon: Points) -> NDArray[np.bool_]:
    """(n,) whether each of (n, 2) points lies in a polygon of (m, 2) corners.

    Even-odd rule by a ray to the right: each edge that spans the point's height and lies to its right flips the answer.
    """
    return Outlines([polygon]).inside(*np.asarray(points, np.float64).T)[0]


class Outlines:
    """Several polygons, of (m, 2) corners each, for the question which points lie in which: all in one pass."""

    def __init__(self, polygons: Sequence[Points]) -> None:
        corners = [np.asarray(polygon, np.float64) for polygon in polygons]
        ends = list(accumulate((len(polygon) for polygon in corners), initial=0))
        self._edges = [slice(first, last) for first, last in pairwise(ends)]
        before = np.arange(ends[-1]) - 1
        before[ends[:-1]] = [last - 1 for last in ends[1:]]
        # Edges down, points across: long rows.
        self._x1, self._y1 = np.concatenate([np.zeros((0, 2)), *corners]).T[:, :, None].copy()
        x2, self._y2 = self._x1[before], self._y1[before]
        self._run = x2 - self._x1
        self._rise = np.where(self._y2 == self._y1, 1.0, self._y2 - self._y1)

    def inside(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
        """Of each polygon, (n,) which of these points lie in it."""
        spans = (self._y1 > ys) != (self._y2 > ys)
        across = ys - self._y1
        across *= self._run
        across /= self._rise
        across += self._x1
        spans &= xs < across
        return [np.bitwise_xor.reduce(spans[edges], axis=0) for edges in self._edges]


def painted(boxes: Points, columns: int, rows: int) -> NDArray[np.bool_]:
    """(rows, columns) which cells lie under (n, 4) xyxy boxes given in cells.

    Each box is +1 and -1 at its four corners; sums along both axes fill it.
    """
    left, top, right, bottom = np.clip(np.rint(boxes), 0, [columns, rows, columns, rows]).astype(np.intp).T
    top, bottom, size = top * (columns + 1), bottom * (columns + 1), (rows + 1) * (columns + 1)
    corners = np.concatenate([top + left, bottom + right, top + right, bottom + left])
    marks = np.bincount(corners, np.repeat([1.0, 1.0, -1.0, -1.0], len(left)), size).reshape(rows + 1, columns + 1)
    return np.asarray(marks.cumsum(axis=0).cumsum(axis=1)[:rows, :columns] > 0.5)


def iou(a: Points, b: Points) -> NDArray[np.float64]:
    """(n, m) intersection over union of (n, 4) and (m, 4) xyxy boxes; 0 where both have no area."""
    rows, columns, values = overlaps(a, b)
    dense = np.zeros((len(a), len(b)))
    dense[rows, columns] = values
    return dense


def overlaps(a: Points, b: Points) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """The pairs of (n, 4) and (m, 4) xyxy boxes that overlap: rows of a, rows of b, intersection over union (above 0).

    Few of many boxes meet, so all pairs are asked yes or no only. That is a tenth of the time of (n, m) arrays of
    numbers, which a tracker of 200 would spend on memory. With few boxes, calls cost more than numbers: those pairs are
    worked out at once, with the same result to the last bit.
    """
    if len(a) * len(b) <= FEW_PAIRS:
        return _overlaps_of_few(np.asarray(a, np.float64), np.asarray(b, np.float64))
    left_a, top_a, right_a, bottom_a = np.asarray(a, np.float64).T.copy()
    left_b, top_b, right_b, bottom_b = np.asarray(b, np.float64).T.copy()
    meet = left_a[:, None] < right_b
    meet &= right_a[:, None] > left_b
    meet &= top_a[:, None] < bottom_b
    meet &= bottom_a[:, None] > top_b
    rows, columns = np.divmod(np.flatnonzero(meet), max(1, len(left_b)))
    wide = np.minimum(right_a[rows], right_b[columns]) - np.maximum(left_a[rows], left_b[columns])
    tall = np.minimum(bottom_a[rows], bottom_b[columns]) - np.maximum(top_a[rows], top_b[columns])
    shared = np.maximum(wide, 0) * np.maximum(tall, 0)
    area_a, area_b = (right_a - left_a) * (bottom_a - top_a), (right_b - left_b) * (bottom_b - top_b)
    real = shared > 0  # a box whose right side lies left of its left one meets others, yet shares nothing
    rows, columns, shared = rows[real], columns[real], shared[real]
    return rows, columns, shared / (area_a[rows] + area_b[columns] - shared)


def _overlaps_of_few(
    a: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    sides = np.minimum(a[:, None, 2:], b[:, 2:])
    sides -= np.maximum(a[:, None, :2], b[:, :2])
    np.maximum(sides, 0, out=sides)
    dense = sides[..., 0] * sides[..., 1]
    rows, columns = (dense > 0).nonzero()
    shared = dense[rows, columns]
    size_a, size_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    area_a, area_b = size_a[:, 0] * size_a[:, 1], size_b[:, 0] * size_b[:, 1]
    return rows, columns, shared / (area_a[rows] + area_b[columns] - shared)
