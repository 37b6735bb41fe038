"""Intrusion: someone or something entered a zone."""

from typing import Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import FORGET_S, OBJECT_CLASSES, Classes, Site, Visits, track_fields
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.scene import Scene


class IntrusionRule(ZoneRuleConfig):
    """Someone or something entered a zone and stayed for a moment."""

    type: Literal["intrusion"]
    classes: Classes = OBJECT_CLASSES
    min_inside_s: float = Field(0.5, ge=0, description="shorter visits are not reported")
    cooldown_s: float = Field(10.0, ge=0, description="the same track is not reported again sooner")

    def build(self, site: Site) -> "Intrusion":
        return Intrusion(self, site)


class Intrusion(ZoneRule):
    """One finding a visit, when a track has been in the zone for min_inside_s; none again within cooldown_s."""

    def __init__(self, config: IntrusionRule, site: Site) -> None:
        super().__init__(config, site)
        self._after_s, self._cooldown_s = config.min_inside_s, config.cooldown_s
        self._visits = Visits()
        self._told: dict[int, tuple[float, float]] = {}  # track -> when told, when the visit began

    def update(self, scene: Scene) -> list[Finding]:
        tracks, now_s = scene.tracks, scene.now_s
        rows = {int(tracks.ids[row]): int(row) for row in self.rows(tracks)}
        stays = self._visits.update(rows, now_s)
        keep_s = max(FORGET_S, self._cooldown_s)
        self._told = {i: told for i, told in self._told.items() if i in self._visits or now_s - told[0] <= keep_s}
        findings = []
        for track, stay_s in stays.items():
            if stay_s < self._after_s:
                continue
            told_s, told_visit_s = self._told.get(track, (float("-inf"), float("-inf")))
            this_visit_s = now_s - stay_s
            if abs(this_visit_s - told_visit_s) < 1e-6 or now_s - told_s <= self._cooldown_s:
                continue
            self._told[track] = (now_s, this_visit_s)
            findings.append(Finding("intrusion", self.name, zone=self.zone, **track_fields(tracks, rows[track])))
        return findings
