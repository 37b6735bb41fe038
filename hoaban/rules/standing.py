"""How long each track has stood still."""

import numpy as np

from hoaban.rules.base import FORGET_S
from hoaban.scene import Scene
from hoaban.track_table import F64, TrackTable


class Standing:
    """A track stands while its foot point stays within `still` box heights of where it came to rest.

    The spot follows slowly, so that a box which trembles around its place does not creep out of it.
    """

    def __init__(self, still: float, forget_s: float = FORGET_S) -> None:
        self._still = still
        self._table = TrackTable(forget_s, x=np.nan, y=np.nan, since_s=np.nan)

    def update(self, scene: Scene) -> F64:
        """(n,) seconds each track of this frame has stood; 0 for one that moves."""
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks):
            return np.zeros(0)
        rows = self._table.rows(tracks.ids, now_s)
        points = tracks.ground_points().astype(np.float64)
        x, y, since_s = (self._table[name] for name in ("x", "y", "since_s"))
        away = np.hypot(points[:, 0] - x[rows], points[:, 1] - y[rows])
        height = (tracks.boxes[:, 3] - tracks.boxes[:, 1]).astype(np.float64)
        moved = ~(away <= np.maximum(self._still * height, 2.0))
        x[rows] = np.where(moved, points[:, 0], 0.9 * x[rows] + 0.1 * points[:, 0])
        y[rows] = np.where(moved, points[:, 1], 0.9 * y[rows] + 0.1 * points[:, 1])
        since_s[rows] = np.where(moved, now_s, since_s[rows])
        return np.asarray(now_s - since_s[rows])
