"""Rules on zones: intrusion, loitering, crowd."""

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.events import Finding
from hoaban.fleet import Zone
from hoaban.fleet_rules import CrowdRule, IntrusionRule, LoiteringRule, ZoneRule, rule_name
from hoaban.frames import FrameMeta
from hoaban.geometry import inside, to_pixels
from hoaban.rules.base import FORGET_S, Visits, of_classes, track_fields


class _InZone:
    """Which rows of the tracks stand in the rule's zone."""

    def __init__(self, rule: ZoneRule, zone: Zone, width: int, height: int) -> None:
        self.name = rule_name(rule)
        self.zone = zone.id
        self._classes = rule.classes
        self._polygon = to_pixels(zone.polygon, width, height)

    def rows(self, tracks: Tracks) -> NDArray[np.intp]:
        if len(tracks) == 0:
            return np.zeros(0, np.intp)
        return np.flatnonzero(of_classes(tracks, self._classes) & inside(tracks.ground_points(), self._polygon))


class Intrusion(_InZone):
    """One finding a visit, when a track has been in the zone for min_inside_s; none again within cooldown_s."""

    def __init__(self, rule: IntrusionRule, zone: Zone, width: int, height: int) -> None:
        super().__init__(rule, zone, width, height)
        self._after_s, self._cooldown_s = rule.min_inside_s, rule.cooldown_s
        self._visits = Visits()
        self._told: dict[int, tuple[float, float]] = {}  # track -> when told, when the visit began

    def update(self, tracks: Tracks, frame: FrameMeta) -> list[Finding]:
        now_s = frame.captured_s
        rows = {int(tracks.ids[row]): int(row) for row in self.rows(tracks)}
        stays = self._visits.update(rows, now_s)
        keep_s = max(FORGET_S, self._cooldown_s)
        self._told = {i: told for i, told in self._told.items() if i in self._visits or now_s - told[0] <= keep_s}
        findings = []
        for track, stay_s in stays.items():
            if stay_s < self._after_s:
                continue
            told_s, told_visit_s = self._told.get(track, (float("-inf"), float("-inf")))
            this_visit_s = now_s - stay_s
            if abs(this_visit_s - told_visit_s) < 1e-6 or now_s - told_s <= self._cooldown_s:
                continue
            self._told[track] = (now_s, this_visit_s)
            findings.append(Finding("intrusion", self.name, zone=self.zone, **track_fields(tracks, rows[track])))
        return findings


class Loitering(_InZone):
    """One finding a visit, when a track has been in the zone for after_s."""

    def __init__(self, rule: LoiteringRule, zone: Zone, width: int, height: int) -> None:
        super().__init__(rule, zone, width, height)
        self._after_s = rule.after_s
        self._visits = Visits()
        self._told: set[int] = set()

    def update(self, tracks: Tracks, frame: FrameMeta) -> list[Finding]:
        rows = {int(tracks.ids[row]): int(row) for row in self.rows(tracks)}
        stays = self._visits.update(rows, frame.captured_s)
        self._told = {track for track in self._told if track in self._visits}
        findings = []
        for track, stay_s in stays.items():
            if stay_s >= self._after_s and track not in self._told:
                self._told.add(track)
                extra = {"inside_s": round(stay_s, 2)}
                fields = track_fields(tracks, rows[track])
                findings.append(Finding("loitering", self.name, zone=self.zone, extra=extra, **fields))
        return findings


class Crowd(_InZone):
    """A finding when a crowd has formed (phase "start") and one when it is over (phase "end"), each held for hold_s."""

    def __init__(self, rule: CrowdRule, zone: Zone, width: int, height: int) -> None:
        super().__init__(rule, zone, width, height)
        self._at_least, self._hold_s = rule.at_least, rule.hold_s
        self._clear_below = rule.clear_below or max(1, round(rule.at_least * 0.8))
        self._crowded = False
        self._turned_s: float | None = None

    def update(self, tracks: Tracks, frame: FrameMeta) -> list[Finding]:
        count = len(self.rows(tracks))
        turning = count < self._clear_below if self._crowded else count >= self._at_least
        if not turning:
            self._turned_s = None
            return []
        self._turned_s = frame.captured_s if self._turned_s is None else self._turned_s
        if frame.captured_s - self._turned_s < self._hold_s:
            return []
        self._crowded, self._turned_s = not self._crowded, None
        extra = {"phase": "start" if self._crowded else "end", "count": count, "at_least": self._at_least}
        return [Finding("crowd", self.name, zone=self.zone, extra=extra)]
