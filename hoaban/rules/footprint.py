"""How much of a zone is covered by what stands in it."""

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Floats
from hoaban.geometry import Points, inside

CELLS = 48


class CoverGrid:
    """A zone cut into cells, CELLS along each side of its bounding box. polygon: (m, 2) pixels."""

    def __init__(self, polygon: Points) -> None:
        self._origin, top = polygon.min(axis=0), polygon.max(axis=0)
        self._cell = (top - self._origin) / CELLS
        middles = np.stack(np.meshgrid(*[np.arange(CELLS) + 0.5] * 2), axis=-1).reshape(-1, 2)
        self._zone = inside(middles * self._cell + self._origin, polygon).reshape(CELLS, CELLS)
        self._size = max(1, int(self._zone.sum()))

    def cover(self, boxes: Floats) -> float:
        """Share of the zone under the lower halves of (n, 4) xyxy boxes, each place counted once."""
        if len(boxes) == 0:
            return 0.0
        ground = boxes.astype(np.float64)
        ground[:, 1] = (ground[:, 1] + ground[:, 3]) / 2
        corners = np.rint((ground - np.tile(self._origin, 2)) / np.tile(self._cell, 2)).astype(np.intp)
        left, top, right, bottom = np.clip(corners, 0, CELLS).T
        # Each box is +1 and -1 at its four corners; sums along both axes fill it.
        marks: NDArray[np.int32] = np.zeros((CELLS + 1, CELLS + 1), np.int32)
        for rows, columns, sign in ((top, left, 1), (bottom, right, 1), (top, right, -1), (bottom, left, -1)):
            np.add.at(marks, (rows, columns), sign)
        covered = marks.cumsum(axis=0).cumsum(axis=1)[:CELLS, :CELLS] > 0
        return float((covered & self._zone).sum()) / self._size
