"""How fast a track goes, over the ground: an estimate, never a measurement that a fine could stand on."""

from collections import deque
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.events import utc
from hoaban.rules.base import Site
from hoaban.rules.seen import Seen
from hoaban.scene import Scene
from hoaban.track_table import Rows, TrackRows

WINDOW_S = 1.2
"""the stretch of its way that the speed is taken from"""
LONGEST_S = 4.0
"""as far back as it goes for LEAST_POINTS where frames are few"""
LEAST_POINTS = 3
MOST_KMH = 200.0
LOOSE = 0.25
"""of the way: points that lie farther off their straight line, in the middle of all, make no speed"""
EDGE_PX = 2
"""a box that ends so near to the picture's lower edge is cut off: its foot point is not on the ground"""


@dataclass(frozen=True, slots=True)
class _Past:
    """A frame. at: of each row of the table of tracks, its row among those seen, or -1."""

    captured_s: float
    seen: Seen
    at: Rows


class SpeedWatch:
    """Foot points of the last seconds, and the speed of one track from them."""

    def __init__(self, site: Site, rows: TrackRows) -> None:
        calibration = site.calibration
        self._site, self._rows, self._calibration = site, rows, calibration
        self._valid_until: date | None = None if calibration is None else calibration.valid_until
        self._lowest = site.height - EDGE_PX
        self._past: deque[_Past] = deque()
        self._noted: tuple[Tracks, float] | None = None

    @classmethod
    def of_rows(cls, site: Site, rows: TrackRows) -> "SpeedWatch":
        """The same for all rules whose tracks bear the numbers of these rows."""
        return site.shared.keep(("speeds", id(rows)), lambda: cls(site, rows))

    def note(self, scene: Scene) -> None:
        """Take in where the tracks stand now. Rules may say it again in the same frame."""
        if self._calibration is None:
            return
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks) or (self._noted is not None and self._noted[0] is tracks and self._noted[1] == now_s):
            return
        self._noted = tracks, now_s
        rows = self._rows.of(tracks.ids, now_s)
        at = np.full(self._rows.capacity, -1)
        at[rows] = np.arange(len(rows))
        self._past.append(_Past(now_s, self._site.seen(tracks), at))
        while now_s - self._past[0].captured_s > LONGEST_S:
            self._past.popleft()

    def of(self, track: int, scene: Scene) -> dict[str, Any] | None:
        """{kmh, estimate, calibration} of a track now.

        None without a calibration, with one that is out of date or belongs to a camera that has been moved since, from
        fewer than LEAST_POINTS, or where the points make no plausible straight way.
        """
        calibration = self._calibration
        if calibration is None or "moved" in scene.faults:
            return None
        if self._valid_until is not None and utc(scene.now_s).date() > self._valid_until:
            return None
        times, metres = self._way(track, scene.now_s)
        kmh = None if len(times) < LEAST_POINTS else _kmh(times.tobytes(), metres.tobytes())
        return None if kmh is None else {"kmh": round(kmh, 1), "estimate": True, "calibration": calibration.id}

    def _way(self, track: int, now_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) times, the newest first, and (n, 2) metres: where it was on the ground."""
        times: list[float] = []
        metres: list[NDArray[np.float64]] = []
        if (row := self._rows.find(track)) is None:
            return np.zeros(0), np.zeros((0, 2))
        for past in reversed(self._past):
            if now_s - past.captured_s > WINDOW_S and len(times) >= LEAST_POINTS:
                break
            at = past.at.item(row) if row < len(past.at) else -1
            if at < 0 or past.seen.feet.item(at, 1) >= self._lowest:
                continue
            where = past.seen.metres[at]
            if where[0] == where[0]:  # not nan
                times.append(past.captured_s)
                metres.append(where)
        return np.array(times), np.array(metres, np.float64).reshape(-1, 2)


@lru_cache(maxsize=16)
def _kmh(times_s: bytes, metres: bytes) -> float | None:
    """As speed_kmh; several rules ask for the same way of the same track."""
    return speed_kmh(np.frombuffer(times_s), np.frombuffer(metres).reshape(-1, 2))


def speed_kmh(times_s: NDArray[np.float64], metres: NDArray[np.float64]) -> float | None:
    """The speed along (n, 2) places on the ground at (n,) times; None where they make no plausible straight way.

    The slopes of x and y over time are medians over all pairs (Theil-Sen; Sen, Estimates of the regression coefficient
    based on Kendall's tau, 1968), so that a box that jumps once does not count.
    """
    known = np.isfinite(metres[:, 0])
    times_s, metres = times_s[known], metres[known]
    if len(times_s) < LEAST_POINTS:
        return None
    first, second = _pairs(len(times_s))
    elapsed_s = times_s.take(second) - times_s.take(first)
    slopes = metres.take(second, axis=0) - metres.take(first, axis=0)
    apart = np.abs(elapsed_s) > 1e-6
    if np.count_nonzero(apart) < len(apart):
        slopes, elapsed_s = slopes[apart], elapsed_s[apart]
    if not len(slopes):
        return None
    velocity = _median(slopes / elapsed_s[:, None])
    straight = metres - velocity * times_s[:, None]
    off = straight - _median(straight)
    off_m = float(_median(np.hypot(off[:, 0], off[:, 1])))
    speed = float(np.hypot(velocity[0], velocity[1]))
    way_m = speed * float(times_s.max() - times_s.min())
    kmh = speed * 3.6
    return kmh if kmh <= MOST_KMH and off_m <= 0.3 + LOOSE * way_m else None


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(count, 1)
    return first, second


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median along the first axis; numpy's own takes six times as long for so few."""
    ordered = np.sort(values, axis=0)
    return np.asarray((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)
