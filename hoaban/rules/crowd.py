"""Crowd: many at once in a zone, and the end of it."""

from typing import Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import Classes, Site
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.scene import Scene


class CrowdRule(ZoneRuleConfig):
    """Many at once in a zone, and the end of it."""

    type: Literal["crowd"]
    classes: Classes = ("person",)
    at_least: int = Field(ge=1, description="how many at once make a crowd")
    clear_below: int | None = Field(None, ge=1, description="the crowd is over below this; by default 80 % of at_least")
    hold_s: float = Field(3.0, ge=0, description="how long either must last to be believed")

    def build(self, site: Site) -> "Crowd":
        return Crowd(self, site)


class Crowd(ZoneRule):
    """A finding when a crowd has formed (phase "start") and one when it is over (phase "end"), each held for hold_s."""

    def __init__(self, config: CrowdRule, site: Site) -> None:
        super().__init__(config, site)
        self._at_least, self._hold_s = config.at_least, config.hold_s
        self._clear_below = config.clear_below or max(1, round(config.at_least * 0.8))
        self._crowded = False
        self._turned_s: float | None = None

    def update(self, scene: Scene) -> list[Finding]:
        count = len(self.rows(scene.tracks))
        turning = count < self._clear_below if self._crowded else count >= self._at_least
        if not turning:
            self._turned_s = None
            return []
        self._turned_s = scene.now_s if self._turned_s is None else self._turned_s
        if scene.now_s - self._turned_s < self._hold_s:
            return []
        self._crowded, self._turned_s = not self._crowded, None
        extra = {"phase": "start" if self._crowded else "end", "count": count, "at_least": self._at_least}
        return [Finding("crowd", self.name, zone=self.zone, extra=extra)]
