"""Counting crossings of a line by class, direction and lane, with an estimated speed where the ground is known."""

from collections.abc import Hashable
from typing import Any, Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.geometry import Outlines
from hoaban.rules.base import (
    OBJECT_CLASSES,
    Classes,
    LineId,
    RuleConfig,
    Site,
    TrackRule,
    ZoneId,
    track_fields,
)
from hoaban.rules.line_sides import Crossing, LineSides
from hoaban.rules.speed import SpeedWatch
from hoaban.scene import Scene
from hoaban.track_table import TrackRows


class LineCountRule(RuleConfig):
    """Count each track that crosses a line, by class, direction and lane."""

    type: Literal["line_count"]
    line: LineId
    classes: Classes = OBJECT_CLASSES
    lanes: tuple[ZoneId, ...] = Field((), description="zones: the lane is the one in which the line is crossed")

    def build(self, site: Site) -> "LineCount":
        return LineCount(self, site)


class LineCount(TrackRule):
    """One finding for each time a track's foot point goes from one side of the line to the other across it.

    rows: of the tracks by the numbers that the scenes bear, the tracker's own by default. hours: at which it is awake.
    """

    def __init__(self, config: LineCountRule, site: Site, rows: TrackRows | None = None, hours: Hashable = ()) -> None:
        super().__init__(config.name)
        self._line = config.line
        rows = rows or site.shared.rows
        self._sides = LineSides.of(site, (config.line,), config.classes, rows, hours)
        self._speeds = SpeedWatch.of_rows(site, rows)
        self._lanes = config.lanes
        self._outlines = Outlines([site.places.polygons[name] for name in config.lanes])

    def update(self, scene: Scene) -> list[Finding]:
        tracks = scene.tracks
        self._speeds.note(scene)
        crossings = self._sides.update(tracks, scene.now_s)[self._line]
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
            there = self._outlines.inside(*crossing.point[:, None])
            extra["lane"] = next((name for name, is_in in zip(self._lanes, there, strict=True) if is_in[0]), None)
        if (speed := self._speeds.of(crossing.track, scene)) is not None:
            extra["speed"] = speed
        return extra
