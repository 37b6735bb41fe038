"""How much of a zone is covered by what stands in it."""

import numpy as np

from hoaban.detections import Floats
from hoaban.geometry import Points, inside, painted

CELLS = 48


class CoverGrid:
    """A zone cut into cells, CELLS along each side of its bounding box. polygon: (m, 2) pixels."""

    def __init__(self, polygon: Points) -> None:
        origin, top = polygon.min(axis=0), polygon.max(axis=0)
        cell = (top - origin) / CELLS
        self._origins, self._cells = np.tile(origin, 2), np.tile(cell, 2)
        middles = np.stack(np.meshgrid(*[np.arange(CELLS) + 0.5] * 2), axis=-1).reshape(-1, 2)
        self._zone = inside(middles * cell + origin, polygon).reshape(CELLS, CELLS)
        self._size = max(1, int(self._zone.sum()))

    def cover(self, boxes: Floats) -> float:
        """Share of the zone under the lower halves of (n, 4) xyxy boxes, each place counted once."""
        if len(boxes) == 0:
            return 0.0
        ground = boxes.astype(np.float64)
        ground[:, 1] = (ground[:, 1] + ground[:, 3]) / 2
        cells = (ground - self._origins) / self._cells
        return float((painted(cells, CELLS, CELLS) & self._zone).sum()) / self._size
