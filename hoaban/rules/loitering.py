"""Loitering: a track stays in a zone for long."""

from typing import Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import Classes, Site, Visits, track_fields
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.scene import Scene


class LoiteringRule(ZoneRuleConfig):
    """A track stays in a zone for long."""

    type: Literal["loitering"]
    classes: Classes = ("person",)
    after_s: float = Field(30.0, gt=0)

    def build(self, site: Site) -> "Loitering":
        return Loitering(self, site)


class Loitering(ZoneRule):
    """One finding a visit, when a track has been in the zone for after_s."""

    def __init__(self, config: LoiteringRule, site: Site) -> None:
        super().__init__(config, site)
        self._after_s = config.after_s
        self._visits = Visits()
        self._told: set[int] = set()

    def update(self, scene: Scene) -> list[Finding]:
        tracks = scene.tracks
        rows = {int(tracks.ids[row]): int(row) for row in self.rows(tracks)}
        stays = self._visits.update(rows, scene.now_s)
        self._told = {track for track in self._told if track in self._visits}
        findings = []
        for track, stay_s in stays.items():
            if stay_s >= self._after_s and track not in self._told:
                self._told.add(track)
                extra = {"inside_s": round(stay_s, 2)}
                fields = track_fields(tracks, rows[track])
                findings.append(Finding("loitering", self.name, zone=self.zone, extra=extra, **fields))
        return findings
