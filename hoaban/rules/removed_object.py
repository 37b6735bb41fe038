"""Removed object: something that belonged to the scene is no longer there."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import Site, ZoneId
from hoaban.rules.still_objects import (
    LOOKS_PER_S,
    Box,
    Bystanders,
    Change,
    PictureRuleConfig,
    ZoneChanges,
    foot_of,
    hidden,
    movers,
    same_place,
)
from hoaban.sampling import FrameSampler
from hoaban.scene import Scene, View

BACK_S = 3.0
"""put back: its place is in view and looks as before for so long"""


class RemovedObjectRule(PictureRuleConfig):
    """Something that belonged to the scene was taken out of a zone."""

    type: Literal["removed_object"]
    zone: ZoneId
    after_s: float = Field(10.0, gt=0, description="how long its place must be seen empty")
    distance_m: float = Field(3.0, gt=0, description="people nearer than this when it went are named in the event")
    absorb_s: float = Field(600.0, gt=0, description="not brought back for so long: its absence belongs to the scene")

    def build(self, site: Site) -> "RemovedObject":
        return RemovedObject(self, site)


@dataclass(slots=True)
class _Gap:
    """A place that something is missing from."""

    box: Box
    number: int
    seen_s: float
    near: list[int]
    told_s: float | None = None


class RemovedObject:
    """Two findings for each thing taken: phase "start" when its place was seen empty for after_s, "end" later.

    It ends when the place looks as before ("returned") or, after absorb_s, when the empty place is the scene
    ("absorbed"). What was there before the camera's first minute is known by its look alone, so it has no class.
    """

    def __init__(self, config: RemovedObjectRule, site: Site) -> None:
        self.name = config.name
        self._config = config
        self._looks = FrameSampler(LOOKS_PER_S)
        self._people = Bystanders(site, remember_s=20.0)
        self._changes = ZoneChanges.of(config.zone, site, config.contrast, config.min_area)
        self.views: tuple[View, ...] = (self._changes.view,)
        self._gaps: list[_Gap] = []
        self._number = 0

    def update(self, scene: Scene) -> list[Finding]:
        now_s = scene.watched_s
        if not self._looks.due(scene.now_s):
            return []
        self._people.update(scene)
        findings = []
        for change in self._changes.update(scene):
            gap = self._gap(change, now_s)
            if gap is not None and gap.told_s is None and now_s - change.region.since_s >= self._config.after_s:
                gap.told_s = now_s
                findings.append(self._finding(gap, "start"))
        covering = movers(scene.tracks)
        for gap in list(self._gaps):
            if gap.seen_s < now_s and hidden(gap.box, covering):
                gap.seen_s = now_s
            reason = "returned" if now_s - gap.seen_s > BACK_S else None
            if gap.told_s is not None and now_s - gap.told_s >= self._config.absorb_s:
                reason = "absorbed"
                self._changes.absorb(gap.box)
            if reason is not None:
                self._gaps.remove(gap)
                if gap.told_s is not None:
                    findings.append(self._finding(gap, "end", reason))
        return findings

    def _gap(self, change: Change, now_s: float) -> _Gap | None:
        for gap in self._gaps:
            if same_place(gap.box, change.box):
                gap.seen_s = now_s
                if gap.told_s is None:
                    gap.box = change.box  # more of it may have come into view
                return gap
        if change.region.kind != "taken" or change.share > self._config.max_area:
            return None
        self._number += 1
        near = self._people.last_near(change.region.since_s - 5.0, foot_of(change.box), self._config.distance_m)
        self._gaps.append(_Gap(change.box, self._number, now_s, sorted(near)))
        return self._gaps[-1]

    def _finding(self, gap: _Gap, phase: str, reason: str | None = None) -> Finding:
        extra = {"phase": phase, "object": gap.number, "people": gap.near}
        if reason is not None:
            extra["reason"] = reason
        return Finding(
            "removed_object",
            self.name,
            label="object",
            zone=self._config.zone,
            bbox=gap.box,
            extra=extra,
            part=f"{gap.number}/{phase}",
        )
