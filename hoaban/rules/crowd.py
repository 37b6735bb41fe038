"""Crowd: how many are in a zone and how densely; when they gather, grow, and disperse."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from hoaban.events import Finding
from hoaban.geometry import area
from hoaban.rules.base import Classes, Site
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig, zone_m2
from hoaban.scene import Scene


class CrowdRule(ZoneRuleConfig):
    """Many at once in a zone, more and more of them, and the end of it."""

    type: Literal["crowd"]
    classes: Classes = ("person",)
    at_least: int | None = Field(None, ge=1, description="how many at once make a crowd")
    at_least_per_m2: float | None = Field(
        None, gt=0, le=10, description="or how many on a square metre; needs the camera's calibration"
    )
    clear_below: int | None = Field(None, ge=1, description="the crowd is over below this; by default 80 % of at_least")
    grow_by: float = Field(0.5, gt=0, description="told again when it has grown by this share since it was last told")
    hold_s: float = Field(3.0, ge=0, description="how long a change must last to be believed")
    smooth_s: float = Field(1.0, ge=0, description="the count is the median of so long, against a detector's flicker")

    @model_validator(mode="after")
    def _has_a_threshold(self) -> "CrowdRule":
        if self.at_least is None and self.at_least_per_m2 is None:
            raise ValueError("what makes a crowd is missing; give at_least, or at_least_per_m2 on a calibrated camera")
        if self.at_least is not None and self.clear_below is not None and self.clear_below > self.at_least:
            raise ValueError(f"clear_below ({self.clear_below}) is above at_least ({self.at_least}); lower it")
        return self

    def refusal(self, site: Site) -> str | None:
        if self.at_least_per_m2 is None or zone_m2(site, self.zone):
            return None
        if site.calibration is None:
            return "at_least_per_m2 needs a calibration; calibrate the camera or give at_least"
        return f"zone {self.zone!r} reaches beyond the calibrated ground's horizon; draw it nearer or give at_least"

    def build(self, site: Site) -> "Crowd":
        return Crowd(self, site)


class Crowd(ZoneRule):
    """Findings of one crowd: phase "start" when it has formed, "grow" at each further growth, "end" when it is over.

    Between forming and being over lies a gap (clear_below to at_least), and each must be seen for hold_s.
    """

    def __init__(self, config: CrowdRule, site: Site) -> None:
        super().__init__(config, site)
        self._hold_s, self._smooth_s, self._grow_by = config.hold_s, config.smooth_s, config.grow_by
        self._share, self._area_m2 = area(site.zones[config.zone].polygon), zone_m2(site, config.zone)
        limits = [] if config.at_least is None else [config.at_least]
        if config.at_least_per_m2 is not None and self._area_m2 is not None:
            limits.append(max(1, int(np.ceil(config.at_least_per_m2 * self._area_m2))))
        self._at_least = min(limits, default=None)
        self._clear_below = config.clear_below or max(1, round((self._at_least or 1) * 0.8))
        self._counts: deque[tuple[float, int]] = deque()
        self._turned_s: float | None = None
        self._told = self._peak = self._count = 0

    def measures(self) -> dict[str, Any]:
        """The smoothed count and the density now, for people who look at the camera."""
        phase = "crowd" if self._told else "clear"
        return {"zone": self.zone, "phase": phase, "count": self._count, **self._density(self._count)}

    def resume(self, data: Mapping[str, Any], scene: Scene) -> bool:
        """Go on with a crowd that was told (hoaban/lasting.py)."""
        if self._told or self._at_least is None:
            return False
        self._told = self._peak = int(data["count"])
        return True

    def update(self, scene: Scene) -> list[Finding]:
        now_s = scene.watched_s
        self._count = count = self._smooth(len(self.rows(scene.tracks)), now_s)
        if self._at_least is None:
            return []
        self._peak = max(self._peak, count) if self._told else 0
        phase = self._turn(count)
        if phase is None:
            self._turned_s = None
            return []
        self._turned_s = now_s if self._turned_s is None else self._turned_s
        if now_s - self._turned_s < self._hold_s - 1e-6:
            return []
        extra = {"phase": phase, "count": count, "at_least": self._at_least, **self._density(count)}
        if phase == "end":
            extra["peak"] = self._peak
        self._told, self._turned_s = 0 if phase == "end" else count, None
        return [Finding("crowd", self.name, zone=self.zone, extra=extra)]

    def _turn(self, count: int) -> str | None:
        """What the count would mean if it lasted."""
        if not self._told:
            return "start" if self._at_least is not None and count >= self._at_least else None
        if count < self._clear_below:
            return "end"
        return "grow" if count >= max(self._told + 1, self._told * (1 + self._grow_by)) else None

    def _smooth(self, count: int, now_s: float) -> int:
        self._counts.append((now_s, count))
        while now_s - self._counts[0][0] > self._smooth_s:
            self._counts.popleft()
        return sorted(n for _, n in self._counts)[len(self._counts) // 2]

    def _density(self, count: int) -> dict[str, Any]:
        """Per square metre where the zone's corners can be measured; else per picture: as many would fill it all."""
        if self._area_m2:
            return {"density": round(count / self._area_m2, 3), "density_per": "m2"}
        return {"density": round(count / self._share, 1), "density_per": "picture"}
