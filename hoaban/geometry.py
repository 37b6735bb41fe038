"""Points, lines and polygons on the picture: pixels, x right, y down."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]


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
    side_a, side_b = signed_distance(np.stack([a, b]), c, d)
    if side_a == side_b or side_a * side_b > 0:
        return False
    where = np.asarray(a) + (np.asarray(b) - a) * (side_a / (side_a - side_b))
    along = np.asarray(d, np.float64) - c
    share = float(np.dot(where - c, along) / np.dot(along, along))
    return -1e-9 <= share <= 1 + 1e-9


def area(polygon: object) -> float:
    """The area of a simple polygon of (m, 2) corners, in the square of their unit (shoelace formula)."""
    x, y = np.asarray(polygon, np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def inside(points: Points, polygon: Points) -> NDArray[np.bool_]:
    """(n,) whether each of (n, 2) points lies in a polygon of (m, 2) corners.

    Even-odd rule by a ray to the right: each edge that spans the point's height and lies to its right flips the answer.
    """
    xs, ys = np.asarray(points, np.float64).T[:, :, None]
    corners = np.asarray(polygon, np.float64)
    (x1, y1), (x2, y2) = corners.T, corners[[*range(1, len(corners)), 0]].T
    spans = (y1 > ys) != (y2 > ys)
    slope = (x2 - x1) / np.where(y2 == y1, 1.0, y2 - y1)
    right = xs < slope * (ys - y1) + x1
    return np.asarray(((spans & right).sum(axis=1) % 2) == 1)


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
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]
    shared = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=2) + (b[..., 2:] - b[..., :2]).prod(axis=2)
    union = areas - shared
    overlap: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap
