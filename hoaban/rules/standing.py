"""How long each track has stood still."""

import numpy as np

from hoaban.rules.base import FORGET_S
from hoaban.scene import Scene
from hoaban.track_table import F64, TrackTable

CREEP = 3.0


class Standing:
    """A track stands while its foot point stays within `still` box heights of where it stands.

    That place follows slowly, since boxes tremble and settle, but never further than CREEP times as far from where the
    track came to rest: what creeps does not stand.
    """

    def __init__(self, still: float, forget_s: float = FORGET_S) -> None:
        self._still = still
        # where it stands, where it came to rest, since when
        self._table = TrackTable(forget_s, place=(np.nan, np.nan), rest=(np.nan, np.nan), since_s=np.nan)

    def update(self, scene: Scene) -> F64:
        """(n,) seconds each track of this frame has stood; 0 for one that moves."""
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks):
            return np.zeros(0)
        rows = self._table.rows(tracks.ids, now_s)
        points = tracks.ground_points()
        place, rest, since_s = (self._table[name] for name in ("place", "rest", "since_s"))
        was = place[rows]
        reach = np.maximum(self._still * (tracks.boxes[:, 3] - tracks.boxes[:, 1]), 2.0)
        near = ((points - was) ** 2).sum(axis=1) <= reach**2
        stays = near & (((points - rest[rows]) ** 2).sum(axis=1) <= (CREEP * reach) ** 2)
        moved = rows[~stays]
        place[rows] = np.where(stays[:, None], 0.9 * was + 0.1 * points, points)
        rest[moved], since_s[moved] = points[~stays], now_s
        return np.asarray(now_s - since_s[rows])
