"""Intrusion: someone or something entered a zone."""

from typing import Literal

import numpy as np
from pydantic import Field

from hoaban.events import Event, Finding
from hoaban.rules.base import OBJECT_CLASSES, Classes, Rule, Site, box_of, track_fields
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.rules.recent import Recent
from hoaban.rules.scheduled import ScheduledRuleConfig
from hoaban.rules.stays import Stays
from hoaban.rules.told import ToldBefore
from hoaban.scene import Scene
from hoaban.shapes import Fraction

VISIT_GAP_S = 1.0
"""a step over the zone's edge, or a lost track, for so long does not end a visit"""

LATELY_S = 60.0
"""who was told so long before a restart and is there after it is taken for the same one; intruders come by one door"""


class IntrusionRule(ZoneRuleConfig, ScheduledRuleConfig):
    """Someone or something entered a zone and stayed for a moment."""

    type: Literal["intrusion"]
    classes: Classes = OBJECT_CLASSES
    min_inside_s: float = Field(0.5, ge=0, description="shorter visits are not reported")
    cooldown_s: float = Field(10.0, ge=0, description="the same one is not reported again sooner")
    min_height: Fraction = Field(0.0, description="lower boxes are left out: a share of the picture's height")

    def build(self, site: Site) -> Rule:
        return self.on_schedule(Intrusion(self, site), site)


class Intrusion(ZoneRule):
    """One finding a visit, when someone has been in the zone for min_inside_s; none again within cooldown_s."""

    def __init__(self, config: IntrusionRule, site: Site) -> None:
        super().__init__(config, site)
        self._after_s = config.min_inside_s
        self._min_height = config.min_height * site.height
        self._lineage = site.shared.lineage()
        self._stays = Stays(self._lineage.rows, VISIT_GAP_S)
        self._told: Recent[int] = Recent(config.cooldown_s)
        self._before = ToldBefore(max(LATELY_S, config.cooldown_s))

    def remember(self, event: Event, scene: Scene) -> None:
        """See hoaban.lasting.Remembering."""
        self._before.remember(event, scene)

    def update(self, scene: Scene) -> list[Finding]:
        now_s = scene.now_s
        tracks = self._lineage.update(scene.tracks, now_s)
        rows = self.rows(tracks)
        if self._min_height:
            rows = rows[tracks.boxes[rows, 3] - tracks.boxes[rows, 1] >= self._min_height]
        places = self._lineage.rows.of(tracks.ids, now_s)[rows]
        stay_s = self._stays.update(places, scene)
        due = (stay_s >= self._after_s - 1e-6) & ~self._stays.told(places)
        if not due.any():
            return []
        findings = []
        for index in np.flatnonzero(due).tolist():
            row = int(rows[index])
            number = int(tracks.ids[row])
            if self._told.within(number, now_s):
                continue
            self._stays.tell(int(places[index]))
            self._told.tell(number, now_s)
            if self._before.claim(box_of(tracks, row), tracks.label(row), float(stay_s[index]), scene):
                continue
            findings.append(Finding("intrusion", self.name, zone=self.zone, **track_fields(scene.tracks, row)))
        return findings
