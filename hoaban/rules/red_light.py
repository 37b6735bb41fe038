"""Red light: over the stop line on red, and on."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from hoaban.events import Finding
from hoaban.rules.base import LineId, SignalId, Site, ZoneId
from hoaban.rules.crossing import Crossing, LineWatch, LineWatches
from hoaban.rules.enforcement import Direction, EnforcementConfig, EnforcementRule, out_of_sight, red_at
from hoaban.rules.gauges import FrontGauge
from hoaban.rules.heirs import Heirs
from hoaban.rules.moments import Moment
from hoaban.scene import Scene
from hoaban.signals import SignalState, SignalView


class StopLineConfig(EnforcementConfig):
    """What rules on a stop line share."""

    signal: SignalId
    line: LineId = Field(description="the stop line")
    direction: Direction = Field("forward", description="the direction in which the line stops traffic")
    point: Literal["foot", "front"] = Field(
        "foot",
        description="what must be over the line: the lower edge of the box, or the front of a vehicle seen from behind "
        "(needs the camera's calibration)",
    )
    lengths_m: dict[str, float] = Field({}, description="lengths by class, for point: front; usual ones by default")

    def watch(self, site: Site) -> LineWatch:
        """Who goes over the stop line: the same watch for all rules that look in the same way."""
        if self.point == "foot":
            return LineWatch.at_foot(site, self.line, self.classes, self.min_hits)
        ahead = self.direction == "forward"
        key = ("front", self.line, ahead, *sorted(self.lengths_m.items()), self.classes, self.min_hits)

        def make() -> LineWatches:
            gauge = FrontGauge(self.line, site, ahead, self.lengths_m)
            return LineWatches(gauge, site, self.classes, self.min_hits)

        return LineWatch(site.shared.keep(key, make))


class RedLightRule(StopLineConfig):
    """A vehicle went over the stop line on red and on into the junction. Stopping on the line is not red_light."""

    type: Literal["red_light"]
    past: LineId | None = Field(None, description="the line that it must go over after the stop line")
    zone: ZoneId | None = Field(None, description="the junction: the zone that it must reach after the stop line")
    grace_s: float = Field(0.3, ge=0, description="a crossing so soon after the beginning of red is let pass")
    dash_s: float = Field(
        4.0, ge=0, description="who is in the junction so soon after the line did not wait, even if it is green by then"
    )
    within_s: float = Field(60.0, gt=0, description="the longest way from the stop line into the junction")

    @model_validator(mode="after")
    def _one_goal(self) -> "RedLightRule":
        if (self.past is None) == (self.zone is None):
            raise ValueError("a red_light rule needs the line past the stop line or the junction's zone; give one")
        return self

    def build(self, site: Site) -> "RedLight":
        return RedLight(self, site)


@dataclass(slots=True)
class _Candidate:
    crossing: Crossing
    label: str
    score: float
    past: Moment | None = None
    unseen_s: float = 0.0
    """since it went over the line, the longest time in which it had no track"""


class RedLight(EnforcementRule):
    """One finding a track: over the stop line at least grace_s into red, and past it in that red or straight on.

    Frames: before and at the stop line, and past it. A signal that was red and is unknown since a short while gives a
    finding that is not evidential.
    """

    def __init__(self, config: RedLightRule, site: Site) -> None:
        super().__init__(config, site)
        self._signal, self._line, self._zone = config.signal, config.line, config.zone
        self._forward = config.direction == "forward"
        self._grace_s, self._dash_s, self._within_s = config.grace_s, config.dash_s, config.within_s
        self._stop = config.watch(site)
        self._past = None
        if config.past is not None:
            self._past = LineWatch.at_foot(site, config.past, config.classes, config.min_hits)
        self._heirs = Heirs.of(site, config.classes)
        self._open: dict[int, _Candidate] = {}

    def pins(self) -> set[int]:
        found = set()
        for candidate in self._open.values():
            moments = [candidate.crossing.before, candidate.crossing.at, candidate.past]
            found |= {moment.seq for moment in moments if moment is not None}
        return found

    def update(self, scene: Scene) -> list[Finding]:
        self.see(scene)
        view = scene.signals.get(self._signal)
        if view is None:
            return []
        tracks, now_s = scene.tracks, scene.now_s
        crossings = self._stop.update(scene)
        passed = self._passed(scene)
        for track, heir in self._heirs.update(scene).items():
            if (lost := self._open.get(heir.lost)) is not None and lost.past is None:
                self._open[track] = self._open.pop(heir.lost)
                lost.unseen_s = max(lost.unseen_s, heir.unseen_s)
        for crossing in crossings:
            if crossing.forward == self._forward:
                row = crossing.row
                self._open[crossing.track] = _Candidate(crossing, tracks.label(row), float(tracks.scores[row]))
            else:
                self._open.pop(crossing.track, None)  # it went back
        for row in passed:
            arrived = self._open.get(int(tracks.ids[row]))
            if arrived is not None and arrived.past is None:
                arrived.past = Moment.of(scene.frame, tracks, row)
        findings = []
        for track, candidate in list(self._open.items()):
            if now_s - candidate.crossing.crossed_s > self._within_s or self._was_not_red(view, candidate):
                del self._open[track]
            elif candidate.past is not None and candidate.past.captured_s <= view.known_until_s:
                del self._open[track]
                findings += self._judge(scene, view, track, candidate, candidate.past)
        return findings

    def _passed(self, scene: Scene) -> list[int]:
        """Rows of the tracks that reached the junction in this frame."""
        if self._past is not None:
            crossings = self._past.update(scene)
            return sorted(crossing.row for crossing in crossings if crossing.forward == self._forward)
        if self._zone is not None and self._open:
            flags = self.wanted(scene.tracks).flags & self.site.seen(scene.tracks).inside(self._zone)
            rows: list[int] = flags.nonzero()[0].tolist()
            return rows
        return []

    def _was_not_red(self, view: SignalView, candidate: _Candidate) -> bool:
        crossed_s = candidate.crossing.crossed_s
        return crossed_s <= view.known_until_s and not red_at(view, crossed_s, "")[0]

    def _judge(self, scene: Scene, view: SignalView, track: int, candidate: _Candidate, past: Moment) -> list[Finding]:
        crossing = candidate.crossing
        crossed_red, doubts = red_at(view, crossing.crossed_s, "went over the stop line")
        passed_red, more_doubts = red_at(view, past.captured_s, "reached the junction")
        red = view.since(crossing.crossed_s)
        if not crossed_red or red is None or not red_at(view, crossing.at.captured_s, "")[0]:
            return []
        if not doubts and crossing.crossed_s - red.began_s < self._grace_s:
            return []
        waited = not more_doubts and view.since(past.captured_s) != red
        if waited or not passed_red:  # for green, unless it did not stop: then it only came too early
            dashed = past.captured_s - crossing.crossed_s <= self._dash_s
            if not dashed or view.at(crossing.crossed_s + self._grace_s) is not SignalState.RED:
                return []
        if not self.fresh(track, crossing.before, past):
            return []
        return [
            self.finding(
                "red_light",
                scene,
                track,
                candidate.label,
                candidate.score,
                {"before": crossing.before, "at": crossing.at, "past": past},
                [*doubts, *more_doubts, *crossing.doubts(self._max_gap_s), *out_of_sight(candidate.unseen_s)],
                (view, crossing.crossed_s),
                {"crossed": round(crossing.crossed_s, 3), "grace_s": self._grace_s},
                line=self._line,
                zone=self._zone,
                direction="forward" if self._forward else "backward",
            )
        ]
