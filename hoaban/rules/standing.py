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
        self._table = TrackTable(site.shared.rows, forget_s, place=(np.nan,) * 2, rest=(np.nan,) * 2, since_s=np.nan)

    def update(self, scene: Scene) -> F64:
        """(n,) watched seconds each track of this frame has stood; 0 for one that moves."""
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks):
            return np.zeros(0)
        rows, seen = self._site.shared.rows.of(tracks.ids, now_s), self._site.seen(tracks)
        self._table.touch(rows, now_s)
        place, rest, since_s = self._table.get("place", rows), self._table.get("rest", rows), self._table["since_s"]
        reach = np.maximum(self._still * seen.heights, 2.0)
        stays = _squared(seen.points - place) <= reach**2
        stays &= _squared(seen.points - rest) <= (CREEP * reach) ** 2
        moved = (~stays).nonzero()[0]
        place *= 0.9
        place += 0.1 * seen.feet
        if len(moved):
            arrived, which = seen.points.take(moved, axis=0), rows.take(moved)
            place[moved] = arrived
            self._table.put("rest", which, arrived)
            since_s[which] = scene.watched_s
        self._table.put("place", rows, place)
        return np.asarray(scene.watched_s - since_s.take(rows))


def _squared(ways: F64) -> F64:
    ways *= ways
    return np.asarray(ways[:, 0] + ways[:, 1])
