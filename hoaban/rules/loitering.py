"""Loitering: someone stays in a zone for long."""

from typing import Literal

import numpy as np
from pydantic import Field

from hoaban.events import Event, Finding
from hoaban.rules.base import Classes, Rule, Site, box_of, track_fields
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.rules.lineage import GAP_S, REACH
from hoaban.rules.scheduled import ScheduledRuleConfig
from hoaban.rules.stays import Stays
from hoaban.rules.told import ToldBefore
from hoaban.scene import Scene

LATELY_S = 600.0
"""who was told so long before a restart and is there after it is taken for the same one"""


class LoiteringRule(ZoneRuleConfig, ScheduledRuleConfig):
    """Someone stays in a zone for long."""

    type: Literal["loitering"]
    classes: Classes = ("person",)
    after_s: float = Field(30.0, gt=0)
    gap_s: float = Field(GAP_S, ge=0, description="a stay goes on over an absence, or a lost track, of up to so long")
    radius: float = Field(
        REACH,
        ge=0,
        description="a new track goes on with the stay of one lost no further away than so many of its heights",
    )

    def build(self, site: Site) -> Rule:
        return self.on_schedule(Loitering(self, site), site)


class Loitering(ZoneRule):
    """One finding a stay, when someone has been in the zone for after_s.

    The stay belongs to the place, not to the track's number: where a track is lost and another begins within `radius`
    and `gap_s`, it is the same person who stays.
    """

    def __init__(self, config: LoiteringRule, site: Site) -> None:
        super().__init__(config, site)
        self._after_s = config.after_s
        self._lineage = site.shared.lineage(config.gap_s, config.radius)
        self._stays = Stays(self._lineage.rows, config.gap_s)
        self._before = ToldBefore(max(LATELY_S, config.after_s), config.radius)

    def remember(self, event: Event, scene: Scene) -> None:
        """See hoaban.lasting.Remembering."""
        self._before.remember(event, scene)

    def update(self, scene: Scene) -> list[Finding]:
        tracks = self._lineage.update(scene.tracks, scene.now_s)
        rows = self.rows(tracks)
        places = self._lineage.rows.of(tracks.ids, scene.now_s)[rows]
        stay_s = self._stays.update(places, scene)
        due = (stay_s >= self._after_s - 1e-6) & ~self._stays.told(places)
        findings = []
        for index in np.flatnonzero(due):
            row = int(rows[index])
            self._stays.tell(int(places[index]))
            if self._before.claim(box_of(tracks, row), tracks.label(row), float(stay_s[index]), scene):
                continue
            extra = {"inside_s": round(float(stay_s[index]), 2)}
            fields = track_fields(scene.tracks, row)
            findings.append(Finding("loitering", self.name, zone=self.zone, extra=extra, **fields))
        return findings
