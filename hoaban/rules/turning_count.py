"""Turning counts: the ways road users take through a junction, by the line they come over and the one they leave by."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, field_validator

from hoaban.events import Finding
from hoaban.rules.base import (
    OBJECT_CLASSES,
    Classes,
    LineId,
    RuleConfig,
    Site,
    TrackRule,
    track_fields,
)
from hoaban.rules.line_sides import LineSides
from hoaban.scene import Scene

U_TURN_S = 2.0
"""back over the same line sooner than this is a box that trembles, not a road user who turns round"""


class TurningCountRule(RuleConfig):
    """Count each track by the line it comes over first and the line it leaves by."""

    type: Literal["turning_count"]
    lines: Annotated[tuple[LineId, ...], Field(min_length=2, description="one across each arm of the junction")]
    classes: Classes = OBJECT_CLASSES
    max_s: float = Field(60.0, gt=0, description="both lines within this time, or the track is not counted")

    @field_validator("lines")
    @classmethod
    def _differ(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(lines)) < len(lines):
            raise ValueError("a line is named twice; name each arm's line once")
        return lines

    def build(self, site: Site) -> "TurningCount":
        return TurningCount(self, site)


@dataclass(frozen=True, slots=True)
class _Entry:
    line: str
    forward: bool
    at_s: float


class TurningCount(TrackRule):
    """One finding a track and passage: over one line, then over another, or back over the same one after a while."""

    def __init__(self, config: TurningCountRule, site: Site) -> None:
        super().__init__(config.name)
        self._lines, self._max_s = config.lines, config.max_s
        self._sides = LineSides.of(site, config.lines, config.classes, site.shared.rows)
        self._entries: dict[int, _Entry] = {}  # the oldest first

    def update(self, scene: Scene) -> list[Finding]:
        tracks, now_s = scene.tracks, scene.now_s
        while self._entries and now_s - self._entries[oldest := next(iter(self._entries))].at_s > self._max_s:
            del self._entries[oldest]
        crossings = self._sides.update(tracks, now_s)
        findings = []
        for line in self._lines:
            for crossing in crossings[line]:
                entry = self._entries.pop(crossing.track, None)
                if entry is not None and entry.line == line and now_s - entry.at_s < U_TURN_S:
                    continue  # it went back at once: as if it had never come
                if entry is None or self._again(entry, line, crossing.forward):
                    self._entries[crossing.track] = _Entry(line, crossing.forward, now_s)
                    continue
                extra = {"from": entry.line, "to": line, "took_s": round(now_s - entry.at_s, 2)}
                fields = track_fields(tracks, crossing.row)
                findings.append(Finding("turning_count", self.name, line=line, extra=extra, **fields))
        return findings

    @staticmethod
    def _again(entry: _Entry, line: str, forward: bool) -> bool:
        """The same line in the same direction: its way back between was not seen, so this is a new entry."""
        return entry.line == line and entry.forward == forward
