"""Illegal turn: in by one line, out by one that may not be taken from there."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import LineId, Site
from hoaban.rules.crossing import Crossing, LineWatch
from hoaban.rules.enforcement import Direction, EnforcementConfig, EnforcementRule, out_of_sight
from hoaban.rules.heirs import Heirs
from hoaban.scene import Scene


class IllegalTurnRule(EnforcementConfig):
    """A vehicle came in over one line and went out over a forbidden one."""

    type: Literal["illegal_turn"]
    enter: LineId = Field(description="the line by which it comes in")
    leave: Annotated[tuple[LineId, ...], Field(min_length=1)] = Field(description="the lines by which it may not go")
    enter_direction: Direction = "forward"
    leave_direction: Direction = "forward"
    within_s: float = Field(30.0, gt=0, description="the longest time between the two")

    def build(self, site: Site) -> "IllegalTurn":
        return IllegalTurn(self, site)


@dataclass(slots=True)
class _Entered:
    """A vehicle that came in. unseen_s: since then, the longest time in which it had no track."""

    crossing: Crossing
    unseen_s: float = 0.0

    def doubts(self, max_gap_s: float) -> list[str]:
        return [*self.crossing.doubts(max_gap_s), *out_of_sight(self.unseen_s)]


class IllegalTurn(EnforcementRule):
    """One finding a track. Frames: before and at the line it came in by, and past the line it went out by."""

    def __init__(self, config: IllegalTurnRule, site: Site) -> None:
        super().__init__(config, site)
        self._within_s = config.within_s
        self._in_forward = config.enter_direction == "forward"
        self._out_forward = config.leave_direction == "forward"
        self._enter = config.enter
        followed = config.classes, config.min_hits
        self._in = LineWatch.at_foot(site, config.enter, *followed)
        self._out = {name: LineWatch.at_foot(site, name, *followed) for name in config.leave}
        self._heirs = Heirs.of(site, config.classes)
        self._open: dict[int, _Entered] = {}

    def pins(self) -> set[int]:
        return {
            moment.seq for entered in self._open.values() for moment in (entered.crossing.before, entered.crossing.at)
        }

    def update(self, scene: Scene) -> list[Finding]:
        self.see(scene)
        tracks, now_s = scene.tracks, scene.now_s
        self._open = {i: e for i, e in self._open.items() if now_s - e.crossing.crossed_s <= self._within_s}
        for track, heir in self._heirs.update(scene).items():
            if heir.lost in self._open:
                self._open[track] = self._open.pop(heir.lost)
                self._open[track].unseen_s = max(self._open[track].unseen_s, heir.unseen_s)
        for crossing in self._in.update(scene):
            self._open.pop(crossing.track, None)
            if crossing.forward == self._in_forward:
                self._open[crossing.track] = _Entered(crossing)
        findings = []
        for name, watch in self._out.items():
            for out in watch.update(scene):
                if out.forward != self._out_forward or out.track not in self._open:
                    continue
                entry = self._open[out.track]
                entered = entry.crossing
                if out.crossed_s < entered.crossed_s:  # where the lines meet, both may be believed in one frame
                    continue
                del self._open[out.track]
                if not self.fresh(out.track, entered.before, out.at):
                    continue
                moments = {"before": entered.before, "at": entered.at, "past": out.at}
                label, score = tracks.label(out.row), float(tracks.scores[out.row])
                more = {"entered_by": self._enter, "turned_in_s": round(out.crossed_s - entered.crossed_s, 2)}
                direction = "forward" if self._out_forward else "backward"
                findings.append(
                    self.finding(
                        "illegal_turn", scene, out.track, label, score, moments, entry.doubts(self._max_gap_s),
                        more=more, line=name, direction=direction,
                    )
                )  # fmt: skip
        return findings
