"""Congestion: how well the traffic in a zone flows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hoaban.detections import Tracks
from hoaban.events import Finding
from hoaban.rules.base import Classes, Site
from hoaban.rules.footprint import CoverGrid
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.rules.pace import Paces
from hoaban.sampling import FrameSampler
from hoaban.scene import Scene
from hoaban.shapes import Fraction

LEVELS = ("free", "slow", "congested", "jam")
VEHICLES = ("bicycle", "car", "motorcycle", "bus", "truck")
Three = Annotated[tuple[Fraction, Fraction, Fraction], Field(description="of slow, congested and jam")]


class CongestionRule(ZoneRuleConfig):
    """The level of service of a piece of road: free, slow, congested, jam."""

    type: Literal["congestion"]
    classes: Classes = VEHICLES
    free_speed: float | None = Field(
        None,
        gt=0,
        description="of flowing traffic: km/h on a calibrated camera (30), else vehicle lengths a second (1.5)",
    )
    slower_than: Three = (0.6, 0.35, 0.12)
    """shares of free_speed: the median vehicle is slower"""
    fuller_than: Three = (0.08, 0.12, 0.16)
    """shares of the zone that vehicles cover"""
    at_least: int = Field(3, ge=1, description="fewer vehicles never make more than a free road")
    smooth_s: float = Field(4.0, gt=0, description="time constant of the smoothing of speed and cover")
    hold_s: float = Field(
        20.0, ge=0, description="how long a level must last to be believed; longer than the red of a light in the zone"
    )

    @model_validator(mode="after")
    def _in_order(self) -> "CongestionRule":
        if not (self.slower_than[0] > self.slower_than[1] > self.slower_than[2]):
            raise ValueError("slower_than must fall from slow to congested to jam; put its three numbers in order")
        if not (self.fuller_than[0] < self.fuller_than[1] < self.fuller_than[2]):
            raise ValueError("fuller_than must rise from slow to congested to jam; put its three numbers in order")
        return self

    def build(self, site: Site) -> "Congestion":
        return Congestion(self, site)


@dataclass(frozen=True, slots=True)
class _Flow:
    """cover: share of the zone. speed: of the median vehicle, share of free_speed; nan before one is known."""

    count: float
    cover: float
    speed: float


EASE = 1.25
"""a level is left only when speed is above, and cover below, its limits by so much"""

LOOKS_PER_S = 2.0
"""what is smoothed over seconds need not be worked out in every frame"""
PATIENCE = 2.0
"""times hold_s, after which a level is told although the traffic is on its way past it"""


class Congestion(ZoneRule):
    """One finding for each change of level that lasted for hold_s.

    A level holds when enough vehicles are there, they cover the zone and their median is slow: a few parked cars, or
    many fast ones, are no jam. Levels as in the Highway Capacity Manual's idea of level of service, by the two
    measures that a camera sees itself: density (here the cover) and speed. Boxes lean over a zone behind them, so of
    each box only the lower half counts.
    """

    def __init__(self, config: CongestionRule, site: Site) -> None:
        super().__init__(config, site)
        self._paces = Paces(site)
        self._unit, default = ("km/h", 30.0) if site.calibration else ("lengths/s", 1.5)
        self._free_speed = config.free_speed or default
        self._slower = np.array([np.inf, *config.slower_than])
        self._fuller = np.array([0.0, *config.fuller_than])
        self._at_least, self._smooth_s, self._hold_s = config.at_least, config.smooth_s, config.hold_s
        self._looks = FrameSampler(LOOKS_PER_S)
        self._grid = CoverGrid(site.places.polygons[config.zone])
        self._flow: _Flow | None = None
        self._now_s: float | None = None
        self._level = 0
        self._reached_s = np.full(4, np.nan)
        self._left_s = np.full(4, np.nan)

    def measures(self) -> dict[str, Any]:
        """The level and what it rests on, for people who look at the camera."""
        return {"zone": self.zone, "level": LEVELS[self._level], **self._figures()}

    def resume(self, data: Mapping[str, Any], scene: Scene) -> bool:
        """Go on with a level that was told (hoaban/lasting.py)."""
        if self._level:
            return False
        self._level = LEVELS.index(data["level"])
        speed = np.nan if data["speed"] is None else data["speed"] / self._free_speed
        # The first frames show no tracks yet: smoothing goes on from what was told, not from an empty road.
        self._flow, self._now_s = _Flow(data["count"], data["cover"], speed), scene.watched_s
        return True

    def update(self, scene: Scene) -> list[Finding]:
        tracks, now_s = scene.tracks, scene.watched_s
        if not self._looks.due(scene.now_s):
            return []
        rows = self.rows(tracks)
        self._flow = self._smoothed(self._look(tracks, rows, scene.now_s), now_s)
        self._now_s = now_s
        holds, easing = self._holds(self._flow, 1.0), self._holds(self._flow, EASE)
        self._reached_s = np.where(holds, np.fmin(self._reached_s, now_s), np.nan)
        self._left_s = np.where(easing, np.nan, np.fmin(self._left_s, now_s))
        level = self._believed(now_s)
        if level == self._level:
            return []
        was, self._level = self._level, level
        extra = {"level": LEVELS[level], "was": LEVELS[was], **self._figures()}
        return [Finding("congestion", self.name, zone=self.zone, extra=extra)]

    def _believed(self, now_s: float) -> int:
        """The level that has lasted. On the way past a level to one beyond, that one is waited for a little longer."""
        reached, left = now_s - self._reached_s + 1e-6, now_s - self._left_s + 1e-6
        up = int(np.flatnonzero(reached >= self._hold_s).max(initial=0))
        if np.isfinite(reached[up + 1 :]).any() and reached[up] < PATIENCE * self._hold_s:
            up = 0
        first = int(np.flatnonzero(left >= self._hold_s).min(initial=len(LEVELS)))  # the lowest that was left
        if first < len(LEVELS) and np.isfinite(left[1:first]).any() and left[first] < PATIENCE * self._hold_s:
            first = len(LEVELS)
        return max(up, min(self._level, first - 1))

    def _look(self, tracks: Tracks, rows: NDArray[np.intp], now_s: float) -> _Flow:
        speeds = self._paces.update(tracks, now_s)[rows]
        known = speeds[np.isfinite(speeds)]
        # An empty road flows; a road of vehicles just seen is not judged before their speeds are known.
        speed = float(np.median(known)) / self._free_speed if len(known) else (1.0 if len(rows) == 0 else np.nan)
        return _Flow(len(rows), self._grid.cover(tracks.boxes[rows]), speed)

    def _smoothed(self, new: _Flow, now_s: float) -> _Flow:
        old = self._flow
        if old is None or self._now_s is None:
            return new
        part = 1 - float(np.exp(-max(0.0, now_s - self._now_s) / self._smooth_s))
        speed = old.speed + part * (min(new.speed, 2.0) - old.speed)
        if np.isnan(speed):
            speed = old.speed if np.isnan(new.speed) else new.speed
        return _Flow(old.count + part * (new.count - old.count), old.cover + part * (new.cover - old.cover), speed)

    def _holds(self, flow: _Flow, ease: float) -> NDArray[np.bool_]:
        """(4,) which levels, the worse ones included, the flow amounts to. The first always."""
        holds = (flow.speed < self._slower * ease) & (flow.cover * ease > self._fuller)
        holds &= flow.count * ease >= self._at_least
        holds[0] = True
        return np.asarray(holds)

    def _figures(self) -> dict[str, Any]:
        flow = self._flow or _Flow(0, 0.0, np.nan)
        return {
            "count": round(flow.count),
            "cover": round(flow.cover, 3),
            "speed": None if np.isnan(flow.speed) else round(flow.speed * self._free_speed, 2),
            "speed_unit": self._unit,
        }
