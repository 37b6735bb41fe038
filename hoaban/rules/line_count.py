"""Counting crossings of a line by class, direction and lane, with an estimated speed where the ground is known."""

from typing import Any, Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.geometry import inside, to_pixels
from hoaban.rules.base import (
    OBJECT_CLASSES,
    Classes,
    LineId,
    RuleConfig,
    Site,
    TrackRule,
    ZoneId,
    of_classes,
    track_fields,
)
from hoaban.rules.line_sides import Crossing, LineSides
from hoaban.rules.speed import SpeedWatch
from hoaban.scene import Scene


class LineCountRule(RuleConfig):
    """Count each track that crosses a line, by class, direction and lane."""

    type: Literal["line_count"]
    line: LineId
    classes: Classes = OBJECT_CLASSES
    lanes: tuple[ZoneId, ...] = Field((), description="zones: the lane is the one in which the line is crossed")

    def build(self, site: Site) -> "LineCount":
        return LineCount(self, site)


class LineCount(TrackRule):
    """One finding for each time a track's foot point goes from one side of the line to the other across it."""

    def __init__(self, config: LineCountRule, site: Site) -> None:
        super().__init__(config.name)
        self._line, self._classes = config.line, config.classes
        self._sides = LineSides(site.lines[config.line], site)
        self._speeds = SpeedWatch(site)
        self._lanes = {name: to_pixels(site.zones[name].polygon, site.width, site.height) for name in config.lanes}

    def update(self, scene: Scene) -> list[Finding]:
        tracks = scene.tracks
        self._speeds.note(scene)
        crossings = self._sides.update(tracks, of_classes(tracks, self._classes), scene.now_s)
        return [
            Finding(
                "line_count",
                self.name,
                line=self._line,
                direction="forward" if crossing.forward else "backward",
                extra=self._extra(crossing, scene),
                **track_fields(tracks, crossing.row),
            )
            for crossing in crossings
        ]

    def _extra(self, crossing: Crossing, scene: Scene) -> dict[str, Any]:
        extra: dict[str, Any] = {}
        if self._lanes:
            at = crossing.point[None]
            extra["lane"] = next((name for name, polygon in self._lanes.items() if inside(at, polygon)[0]), None)
        if (speed := self._speeds.of(crossing.track, scene)) is not None:
            extra["speed"] = speed
        return extra
