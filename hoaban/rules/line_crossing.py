"""Line crossing: someone or something went over a line in a direction that is watched: an intrusion over an edge."""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import OBJECT_CLASSES, Classes, LineId, Rule, Site, TrackRule
from hoaban.rules.line_count import LineCount, LineCountRule
from hoaban.rules.recent import Recent
from hoaban.rules.scheduled import ScheduledRuleConfig
from hoaban.scene import Scene
from hoaban.shapes import Fraction


class LineCrossingRule(ScheduledRuleConfig):
    """Someone or something crossed a line in a watched direction."""

    type: Literal["line_crossing"]
    line: LineId
    direction: Literal["forward", "backward", "both"] = "both"
    classes: Classes = OBJECT_CLASSES
    cooldown_s: float = Field(10.0, ge=0, description="the same one, in the same direction, not again sooner")
    min_height: Fraction = Field(0.0, description="lower boxes are left out: a share of the picture's height")

    def build(self, site: Site) -> Rule:
        return self.on_schedule(LineCrossing(self, site), site)


class LineCrossing(TrackRule):
    """One finding for each crossing that line_count would count, less those of the same one within cooldown_s.

    What tells it from line_count is what follows: this one is an alarm, with hours and a cooldown, that one a figure.
    """

    def __init__(self, config: LineCrossingRule, site: Site) -> None:
        super().__init__(config.name)
        counted = LineCountRule(type="line_count", line=config.line, classes=config.classes)
        self._lineage = site.shared.lineage()
        self._crossings = LineCount(counted, site, self._lineage.rows, config.schedule)
        self._directions = ("forward", "backward") if config.direction == "both" else (config.direction,)
        self._min_height = config.min_height * site.height
        self._told: Recent[tuple[int | None, str | None]] = Recent(config.cooldown_s)

    def update(self, scene: Scene) -> list[Finding]:
        now_s = scene.now_s
        tracks = self._lineage.update(scene.tracks, now_s)
        findings = []
        for crossing in self._crossings.update(replace(scene, tracks=tracks)):
            key = crossing.track, crossing.direction
            if (
                crossing.kind != "line_count"
                or crossing.direction not in self._directions
                or self._told.within(key, now_s)
            ):
                continue
            if crossing.bbox is None or crossing.bbox[3] - crossing.bbox[1] < self._min_height:
                continue
            self._told.tell(key, now_s)
            findings.append(replace(crossing, kind="line_crossing", rule=self.name))
        return findings
