"""How long each track has stood still."""

import numpy as np

from hoaban.rules.base import Site
from hoaban.scene import Scene
from hoaban.track_table import F64, FORGET_S, TrackTable

CREEP = 3.0


class Standing:
    """A track stands while its foot point stays within `still` box heights of where it stands.

    That place follows slowly, since boxes tremble and settle, but never further than CREEP times as far from where the
    track came to rest: what creeps does not stand.
    """

    def __init__(self, still: float, site: Site, forget_s: float = FORGET_S) -> None:
        self._still, self._site = still, site
        # where it stands, where it came to rest, since when
        nowhere = (np.nan, np.nan)
        self._table = TrackTable(site.shared.rows, forget_s, place=nowhere, rest=nowhere, since_s=np.nan)

    def update(self, scene: Scene) -> F64:
        """(n,) watched seconds each track of this frame has stood; 0 for one that moves."""
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks):
            return np.zeros(0)
        rows, seen = self._site.shared.rows.of(tracks.ids, now_s), self._site.seen(tracks)
        points = seen.feet
        self._table.touch(rows, now_s)
        place, rest, since_s = (self._table[name] for name in ("place", "rest", "since_s"))
        was = place[rows]
        reach = np.maximum(self._still * seen.heights, 2.0)
        near = ((points - was) ** 2).sum(axis=1) <= reach**2
        stays = near & (((points - rest[rows]) ** 2).sum(axis=1) <= (CREEP * reach) ** 2)
        moved = rows[~stays]
        place[rows] = np.where(stays[:, None], 0.9 * was + 0.1 * points, points)
        rest[moved], since_s[moved] = points[~stays], scene.watched_s
        return np.asarray(scene.watched_s - since_s[rows])
