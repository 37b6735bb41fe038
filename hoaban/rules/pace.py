"""How fast each track goes: over the ground where the camera is calibrated, else in its own lengths."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.rules.base import Site

WINDOW_S = 1.2
LEAST_S, LONGEST_S = 0.5, 4.0
"""positions nearer in time give more noise than speed; those further back belong to another manoeuvre"""


class Paces:
    """Speeds of all tracks from where they were about WINDOW_S ago.

    On a calibrated camera: km/h. Else: lengths a second, a length being the square root of the box's area, which is
    close to the same whether a vehicle is seen from the front or the side.
    """

    def __init__(self, site: Site) -> None:
        self._site, self._calibrated = site, site.calibration is not None
        self._past: deque[tuple[float, NDArray[np.int64], NDArray[np.float64]]] = deque()

    def update(self, tracks: Tracks, now_s: float) -> NDArray[np.float64]:
        """(n,) the tracks' speeds now; nan for one that was not seen LEAST_S ago, or is beyond the horizon."""
        seen = self._site.seen(tracks)
        points = seen.metres if self._calibrated and len(tracks) else seen.points
        while len(self._past) > 1 and now_s - self._past[1][0] >= WINDOW_S:
            self._past.popleft()
        if self._past and now_s - self._past[0][0] > LONGEST_S:
            self._past.popleft()
        speeds = np.full(len(tracks), np.nan)
        # The oldest frame first, then one half as old for tracks that it did not see.
        for then_s, ids, then in [self._past[i] for i in sorted({0, len(self._past) // 2}) if i < len(self._past)]:
            age_s = now_s - then_s
            unknown = np.isnan(speeds)
            if age_s < LEAST_S or not unknown.any():
                break
            if not len(ids):
                continue
            at = np.minimum(np.searchsorted(ids, tracks.ids), len(ids) - 1)
            rows = np.flatnonzero(unknown & (ids[at] == tracks.ids))
            speeds[rows] = np.linalg.norm(points[rows] - then[at[rows]], axis=1) / age_s
        order = np.argsort(tracks.ids, kind="stable")
        self._past.append((now_s, tracks.ids[order], points[order]))
        if self._calibrated:
            return speeds * 3.6
        sides = (tracks.boxes[:, 2:] - tracks.boxes[:, :2]).astype(np.float64)
        return np.asarray(speeds / np.maximum(np.sqrt(sides.prod(axis=1)), 1.0))
