"""Stop line: a vehicle stands beyond the stop line during red."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import Site, ZoneId
from hoaban.rules.crossing import Crossing
from hoaban.rules.enforcement import EnforcementRule, red_at
from hoaban.rules.moments import Moment
from hoaban.rules.red_light import StopLineConfig
from hoaban.rules.standing import Standing
from hoaban.scene import Scene
from hoaban.signals import SignalState
from hoaban.track_table import F64, FORGET_S

LEAST_LENGTH_M = 3.0


class StopLineRule(StopLineConfig):
    """A vehicle went over the stop line on yellow or red and stands there during red.

    One that went over on green and is held up by a queue ahead is not meant.
    """

    type: Literal["stop_line"]
    zone: ZoneId | None = Field(
        None, description="where standing counts, such as the crossing; by default up to reach beyond the line"
    )
    reach: float = Field(
        1.5, gt=0, description="without a zone: lengths (front; of 3 m at least) or box heights (foot) that count"
    )
    yellow: bool = Field(True, description="who went over on yellow and did not get further is meant too")
    after_s: float = Field(1.5, gt=0, description="how long it must stand there during red")
    still: float = Field(0.12, gt=0, le=1, description="a vehicle that moves less, in box heights, stands")

    def build(self, site: Site) -> "StopLine":
        return StopLine(self, site)


@dataclass(slots=True)
class _Candidate:
    crossing: Crossing
    told_s: float
    """when it was believed to be over the line"""


class StopLine(EnforcementRule):
    """One finding a track. Frames: before and at the line, and past: standing there since after_s."""

    def __init__(self, config: StopLineRule, site: Site) -> None:
        super().__init__(config, site)
        self._signal, self._line, self._zone = config.signal, config.line, config.zone
        self._forward = config.direction == "forward"
        self._innocent = {SignalState.GREEN} | (set() if config.yellow else {SignalState.YELLOW})
        self._after_s, self._reach, self._by_front = config.after_s, config.reach, config.point == "front"
        self._watch = config.watch(site)
        self._standing = Standing(config.still, site)
        self._open: dict[int, _Candidate] = {}

    def pins(self) -> set[int]:
        crossings = [candidate.crossing for candidate in self._open.values()]
        return {moment.seq for crossing in crossings for moment in (crossing.before, crossing.at)}

    def update(self, scene: Scene) -> list[Finding]:
        self.see(scene)
        view = scene.signals.get(self._signal)
        if view is None:
            return []
        tracks, now_s = scene.tracks, scene.now_s
        wanted = self.wanted(tracks)
        crossings = self._watch.update(scene)
        stands_s = self._standing.update(scene)
        for crossing in crossings:
            self._open.pop(crossing.track, None)
            # One that turns up beyond the line may have been put there by a nearer vehicle that hid its wheels.
            seen = crossing.unseen_s <= self._max_gap_s and not crossing.stood and not crossing.concluded
            if crossing.forward == self._forward and seen:
                self._open[crossing.track] = _Candidate(crossing, now_s)
        if not self._open:
            return []
        distances = self._watch.distances
        units = np.maximum(self._watch.gauge.lengths(self.site.seen(tracks)), LEAST_LENGTH_M if self._by_front else 0.0)
        there = self._there(scene, self._beyond(distances), units)
        followed = wanted.rows
        rows = dict(zip(tracks.ids[followed].tolist(), followed.tolist(), strict=True))
        findings = []
        for track, candidate in list(self._open.items()):
            crossed_s, row = candidate.crossing.crossed_s, rows.get(track)
            settled = crossed_s <= view.known_until_s
            if now_s - crossed_s > max(FORGET_S, 2 * self._after_s) or (
                settled and view.at(crossed_s) in self._innocent
            ):
                del self._open[track]
                continue
            if row is None or not settled:
                continue
            if not there[row]:
                if self._beyond(distances[row]) > 2 * self._reach * units[row]:
                    del self._open[track]  # it went on
                continue
            red, doubts = red_at(view, min(now_s, view.known_until_s), "stood there")
            phase = view.since(view.known_until_s)
            since_s = 0.0 if phase is None else now_s - phase.began_s
            if not red or min(float(stands_s[row]), since_s, now_s - candidate.told_s) < self._after_s:
                continue
            del self._open[track]
            past = Moment.of(scene.frame, tracks, row)
            if not self.fresh(track, candidate.crossing.before, past):
                continue
            moments = {"before": candidate.crossing.before, "at": candidate.crossing.at, "past": past}
            at_line = view.at(crossed_s)
            more = {"crossed_on": at_line.value, "stood_s": round(float(stands_s[row]), 2)}
            label, score = tracks.label(row), float(tracks.scores[row])
            findings.append(
                self.finding(
                    "stop_line", scene, track, label, score, moments, doubts, (view, view.known_until_s), more,
                    line=self._line, zone=self._zone,
                )
            )  # fmt: skip
        return findings

    def _beyond(self, distance: F64) -> F64:
        """How far beyond the line, in the gauge's measure; below 0 before it."""
        return distance if self._forward else -distance

    def _there(self, scene: Scene, beyond: F64, units: F64) -> NDArray[np.bool_]:
        """(n,) the tracks that are where standing counts."""
        if self._zone is not None:
            return (beyond > 0) & self.site.seen(scene.tracks).inside(self._zone)
        return (beyond > 0) & (beyond <= self._reach * units)
