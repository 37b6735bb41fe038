"""What the enforcement rules share: which tracks they follow, what a finding of theirs must carry, and its doubts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from hoaban.detections import Tracks
from hoaban.events import Finding, format_time, utc
from hoaban.rules.base import Classes, RuleConfig, Site, TrackRule
from hoaban.rules.moments import KEEP_S, Moment, Sightings
from hoaban.rules.seen import Followed
from hoaban.scene import Scene
from hoaban.signals import SignalState, SignalView
from hoaban.validity import Guard

VEHICLES = ("car", "motorcycle", "bus", "truck", "bicycle")
SINCE_KNOWN_S = 10.0
"""a light that was red and is unknown since so long at most was probably red: worth an officer's look, no evidence; not
so once that red would be longer than any that was seen, for then it is green behind what hides it"""
LONGER_S = 1.0
"""by so much more than the longest: a light's lengths vary, and so do the moments at which they are seen"""

SAME_S, SWITCH_S, PIECE = KEEP_S, 1.5, 0.6
"""within SAME_S of a report, a track that begins where the reported one was lost, at most SWITCH_S before, is the same
vehicle; so is one that touches it above or below and is less than PIECE of its height, or it of this one's"""

Direction = Literal["forward", "backward"]


class EnforcementConfig(RuleConfig):
    """What every enforcement rule may set. Ambulances and the like are not told apart: the officer does that."""

    classes: Classes = VEHICLES
    min_hits: int = Field(3, ge=1, description="frames a track must have been seen in")
    cooldown_s: float = Field(30.0, ge=0, description="the same track is not reported again sooner")
    max_gap_s: float = Field(0.5, gt=0, description="a longer time without a frame makes a finding not evidential")


class EnforcementRule(TrackRule):
    """Base of the enforcement rules.

    `pins` are the numbers of the frames that a finding may yet need as stills; who keeps pictures keeps these.
    """

    def __init__(self, config: EnforcementConfig, site: Site) -> None:
        super().__init__(config.name)
        self.site = site
        self._classes, self._min_hits, self._cooldown_s = config.classes, config.min_hits, config.cooldown_s
        self._max_gap_s = config.max_gap_s
        guard = "guard", config.max_gap_s  # shared: each of these rules sees every frame, for none has hours of its own
        self._guard = site.shared.keep(guard, lambda: Guard(site.calibration, config.max_gap_s))
        self._sightings = Sightings.of(site)
        self._told: dict[int, _Told] = {}  # the oldest first
        self._now_s = 0.0

    def pins(self) -> set[int]:
        return set()

    def wanted(self, tracks: Tracks) -> Followed:
        """The tracks that the rule follows."""
        return self.site.seen(tracks).followed(self._classes, self._min_hits)

    def see(self, scene: Scene) -> None:
        """Take one frame in, before anything else."""
        self._guard.see(scene)
        self._now_s = scene.now_s
        self._sightings.update(scene)

    def silent(self, track: int) -> bool:
        """Whether the track was reported so lately that it may not be reported in this frame, whatever it did."""
        told = self._told.get(track)
        return told is not None and self._now_s - told.told_s <= self._cooldown_s

    def fresh(self, track: int, first: Moment, newest: Moment) -> bool:
        """Whether the track may be reported now; from then on neither it nor what is the same vehicle may, for a while.

        first, newest: the earliest and the latest moment of what it did.
        """
        now_s = newest.captured_s
        keep_s = max(self._cooldown_s, SAME_S)
        while self._told and now_s - self._told[oldest := next(iter(self._told))].told_s > keep_s:
            del self._told[oldest]
        before = self._told.get(track)
        if before is not None and now_s - before.told_s <= self._cooldown_s:
            return False
        recent = [(i, told) for i, told in self._told.items() if i != track and now_s - told.told_s <= SAME_S]
        if any(_same(self._seen_last(i, told), first, newest) for i, told in recent):
            return False
        self._told.pop(track, None)
        self._told[track] = _Told(now_s, self._now_s, newest)
        return True

    def _seen_last(self, track: int, told: "_Told") -> Moment:
        return self._sightings.newest(track, after_s=told.frame_s) or told.newest

    def finding(
        self,
        kind: str,
        scene: Scene,
        track: int,
        label: str,
        score: float | None,
        moments: Mapping[str, Moment],
        doubts: Iterable[str] = (),
        signal: tuple[SignalView, float] | None = None,
        more: Mapping[str, Any] | None = None,
        gaps: bool = True,
        **place: Any,
    ) -> Finding:
        """A finding with its evidence.

        moments: before, at and past, in time. signal: whose state at what time matters. gaps: whether a time without
        frames between the moments speaks against it. more: what else the event says. place: line, zone, direction.
        """
        times = [moment.captured_s for moment in moments.values()]
        against = [*doubts, *self._guard.doubts(scene, min(times), max(times), gaps)]
        extra: dict[str, Any] = {"frames": {name: _shown(m, signal) for name, m in moments.items()}}
        if signal is not None:
            extra |= signal_fields(*signal)
        extra |= {**(more or {}), "evidential": not against, "not_evidential_because": against}
        bbox = list(moments.values())[-1].bbox
        return Finding(kind, self.name, track=track, label=label, score=score, bbox=bbox, extra=extra, **place)


@dataclass(frozen=True, slots=True)
class _Told:
    """A report of a track. frame_s: of the frame in which it was made. newest: the latest moment that it rests on."""

    told_s: float
    frame_s: float
    newest: Moment


def _same(seen: Moment, first: Moment, newest: Moment) -> bool:
    """Whether another track is one that was seen last at `seen`: its number changed on the way, or it is a piece of it.

    first, newest: of the other track.
    """
    ax1, ay1, ax2, ay2 = seen.bbox
    if -SWITCH_S <= seen.captured_s - first.captured_s <= 0:
        bx1, by1, bx2, by2 = first.bbox
        away = np.hypot(ax1 + ax2 - bx1 - bx2, ay1 + ay2 - by1 - by2) / 2
        return bool(away < max(ay2 - ay1, by2 - by1))
    if abs(seen.captured_s - newest.captured_s) > SWITCH_S:
        return False
    bx1, by1, bx2, by2 = newest.bbox
    heights = ay2 - ay1, by2 - by1
    beside = min(ax2, bx2) - max(ax1, bx1) < 0.5 * min(ax2 - ax1, bx2 - bx1)
    apart = max(ay1, by1) - min(ay2, by2) > 0.25 * max(heights)
    return not beside and not apart and min(heights) < PIECE * max(heights)


def _shown(moment: Moment, signal: tuple[SignalView, float] | None) -> dict[str, Any]:
    shown = moment.as_dict()
    return shown if signal is None else shown | {"signal": signal[0].at(moment.captured_s).value}


def signal_fields(view: SignalView, at_s: float) -> dict[str, Any]:
    """What an event says of its signal: the phase in force at a time, since when, and the yellow before it."""
    phase, yellow_s = view.since(at_s), view.yellow_s(at_s)
    state = view.at(at_s)
    is_red = state is SignalState.RED and phase is not None
    known = phase is not None and state is not SignalState.UNKNOWN
    return {
        "signal": {
            "id": view.id,
            "from": view.source,
            "state": state.value,
            "since": format_time(utc(phase.began_s)) if known and phase else None,
            # The phase began between these two observations; seconds_into_red counts from the later one.
            "not_since_before": format_time(utc(phase.before_s)) if known and phase else None,
        },
        "seconds_into_red": round(at_s - phase.began_s, 3) if is_red and phase else None,
        "yellow_s": None if yellow_s is None else round(yellow_s, 3),
    }


def out_of_sight(unseen_s: float) -> list[str]:
    """The doubt about one that had no track for so long on its way, if it had none."""
    if not unseen_s:
        return []
    return [f"it was out of sight for {unseen_s:.1f} s on its way: that it is the same one is concluded"]


def red_at(view: SignalView, time_s: float, what: str) -> tuple[bool, list[str]]:
    """Whether it was, or probably was, red at a time, and the doubts there are. what: what happened then, in words."""
    state = view.at(time_s)
    if state is not SignalState.UNKNOWN:
        return state is SignalState.RED, []
    known = view.known_before(time_s)
    if known is None or known[0] is not SignalState.RED or known[1] > SINCE_KNOWN_S:
        return False, []
    red, longest_s = view.since(time_s - known[1] - 1e-3), view.longest_s(SignalState.RED)
    if red is not None and longest_s is not None and time_s - red.began_s > longest_s + LONGER_S:
        return False, []
    why = f" ({view.why})" if view.why else ""
    return True, [f"signal {view.id} was not known when it {what}, red {known[1]:.1f} s before{why}"]
