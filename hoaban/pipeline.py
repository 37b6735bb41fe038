"""What happens to a frame's detections: tracks, rules, events, counts. The same for live cameras and for replay."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from hoaban.detections import Detections, Floats, Tracks
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.geometry import Outlines, to_pixels
from hoaban.heatmap import HeatMap
from hoaban.lamps import LampWatch
from hoaban.lasting import MOST_ONCE, ONCE, Lasting, OpenHappenings, Remembering, ended_unseen
from hoaban.rules import Measuring, Rule, build_rules
from hoaban.rules.camera_health import CameraHealth
from hoaban.rules.enforcement import EnforcementRule
from hoaban.rules.seen import of_classes
from hoaban.scene import Pixels, Scene, View
from hoaban.signals import FeedWatch, Reading, SignalView
from hoaban.tiling import Part, merge
from hoaban.tracking import Tracker
from hoaban.watched import WatchedTime

Counts = dict[str, dict[str, dict[str, int]]]
MOST_READINGS = 1000
"""of signal feeds, waiting for the next frame"""
NO_VIEWS: Mapping[View, Pixels] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """What one analysed frame gave."""

    detections: Detections
    tracks: Tracks
    events: list[Event]


class CameraPipeline:
    """The state beside one camera's frames. Not thread-safe: one caller at a time.

    counts: line -> direction -> class -> number since the first start. turns: line come over -> line left by
    -> class -> number. zones: zone -> class -> number now inside. heat_map: where tracks have been lately, None for a
    camera that does not ask for it. signals: what the traffic signals showed in the newest frame.
    """

    def __init__(self, camera: Camera, model: ModelRef, code: str) -> None:
        self.camera, self.model, self._code = camera, model, code
        self.counts: Counts = {}
        self.turns: Counts = {}
        self.zones: dict[str, dict[str, int]] = {}
        self.heat_map = HeatMap(camera.heat_map) if camera.heat_map else None
        self._tracker = Tracker(begin=camera.begin_score, rate=camera.sweeps_per_s)
        self._open = OpenHappenings()
        self._unfollowed: list[tuple[Event, float]] = []
        self._once: deque[Event] = deque(maxlen=MOST_ONCE)
        self._unremembered: list[tuple[Event, float]] = []
        self._watched = WatchedTime(camera.sweeps_per_s)
        self._rules: list[Rule] = []
        self._health: CameraHealth | None = None
        self._health_before: dict[str, Any] = {}
        self._views: tuple[View, ...] = ()
        self._lamps: dict[str, LampWatch] = {}
        self._feeds: dict[str, FeedWatch] = {}
        self._readings: deque[Reading] = deque(maxlen=MOST_READINGS)
        self.signals: dict[str, SignalView] = {}
        self._calibration: str | None = None
        self._size: tuple[int, int] | None = None
        self._zones, self._outlines = list[str](), Outlines([])
        self._captured_s: float | None = None
        self._digest = camera.digest()

    def views(self, frame: FrameMeta) -> tuple[View, ...]:
        """What the rules want to see of the next frame."""
        self._fit((frame.width, frame.height))
        if self._health is None or not self._health.due(frame.captured_s):
            return self._views
        return tuple(dict.fromkeys((*self._health.views, *self._views)))

    def step_rows(
        self,
        frame: FrameMeta,
        rows: Floats,
        letterbox: Letterbox,
        labels: tuple[str, ...],
        views: Mapping[View, Pixels] = NO_VIEWS,
    ) -> Step:
        """Take a model's rows for a frame in: those below the camera's min_score are left out.

        rows: (n, 6) float32 x1, y1, x2, y2 in model-input pixels, score, class; the frame was fitted by `letterbox`.
        """
        return self.step_parts(frame, [Part(rows, letterbox)], labels, views)

    def step_parts(
        self,
        frame: FrameMeta,
        parts: Sequence[Part],
        labels: tuple[str, ...],
        views: Mapping[View, Pixels] = NO_VIEWS,
    ) -> Step:
        """Take in what a model saw in the whole frame and in pieces of it, as `step_rows` does for one."""
        sure = [Part(part.rows[part.rows[:, 4] >= self.camera.min_score], part.letterbox) for part in parts]
        return self.step(frame, merge(sure, labels, frame.width, frame.height), views)

    def step(self, frame: FrameMeta, detections: Detections, views: Mapping[View, Pixels] = NO_VIEWS) -> Step:
        """Take one analysed frame in. Another frame size, or a clock that went back, begins tracks and rules anew.

        views: what `views` asked for of this frame.
        """
        self._fit((frame.width, frame.height), frame.captured_s)
        tracks = self._tracker.update(detections, frame.captured_s)
        self.signals = self._look_at_signals(frame.captured_s, views)
        retention = self.camera.terms.retention_days if self.camera.terms else None
        provenance = Provenance(self.model, self._digest, self._code, self._calibration, retention)
        self._watched.see(frame.captured_s)
        gap_s, lost_s = self._watched.gap_s, self._watched.lost_s
        scene = Scene(frame, tracks, views, self.faults, self.signals, gap_s, lost_s)
        findings = [] if self._health is None else self._health.update(scene)
        if findings:
            scene = replace(scene, faults=self.faults)
        findings += self._follow(scene)
        findings += [finding for rule in self._rules for finding in rule.update(scene)]
        for finding in findings:
            self._count(finding)
        self.zones = self._occupancy(tracks)
        self._warm(tracks, frame)
        events = [bind(finding, frame, self.camera.role, provenance) for finding in findings]
        for event in events:
            self._open.take(event)
        self._once.extend(event for event in events if event.type in ONCE)
        return Step(detections, tracks, events)

    def take_reading(self, reading: Reading) -> None:
        """What a signal's feed says, for the next frame. Of more than MOST_READINGS the oldest are forgotten."""
        self._readings.append(reading)

    def pins(self) -> set[int]:
        """Numbers of the frames that a rule may yet need as stills."""
        return {seq for rule in self._rules if isinstance(rule, EnforcementRule) for seq in rule.pins()}

    def reconfigure(self, camera: Camera) -> None:
        """Another configuration of the same camera; tracks and counts live on, and what is known of its health.

        Other rules begin anew when something that they rest on changed, and only then: a camera that is renamed tells
        nothing twice.
        """
        if camera.heat_map != self.camera.heat_map:
            self.heat_map = HeatMap(camera.heat_map) if camera.heat_map else None
        before, self.camera, self._digest = self.camera, camera, camera.digest()
        self._tracker.begin = camera.begin_score
        self._watched.expect(camera.sweeps_per_s)
        if self._size is not None and camera.rules_rest_on != before.rules_rest_on:
            self._build(*self._size)

    def measures(self) -> dict[str, dict[str, Any]]:
        """rule -> what it measures now (density, level of traffic, …), for rules that measure something."""
        return {rule.name: rule.measures() for rule in self._rules if isinstance(rule, Measuring)}

    def checkpoint(self) -> dict[str, Any]:
        """What a successor needs so that the counters go on, as plain JSON values."""
        return {"counts": _copied(self.counts), "turns": _copied(self.turns)}

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with the camera's picture or clock now: fault -> reason."""
        return {} if self._health is None else self._health.faults

    def health_memory(self) -> dict[str, Any]:
        """What a successor needs so that it judges by the same view, as plain JSON values; it seldom changes."""
        return self._health_before if self._health is None else self._health.memory()

    def remember_health(self, saved: Mapping[str, Any]) -> None:
        """Go on from such a memory, with the first frame."""
        self._health_before = dict(saved)

    def resume(self, happenings: Sequence[Event], watched_s: float, once: Sequence[Event] = ()) -> None:
        """Go on with what an earlier process told the beginning of. watched_s: capture time of what it saw last.

        The rules take it over with the next frame; what they cannot take over, or what was left alone for longer than
        the camera's resume_s, ends there for an unknown reason. once: what it told lately of those who may be there
        still (hoaban/lasting.py), the oldest first.
        """
        self._unfollowed += [(event, watched_s) for event in happenings]
        self._unremembered += [(event, watched_s) for event in once]

    def _follow(self, scene: Scene) -> list[Finding]:
        if self._unremembered:
            self._remember(scene)
        if not self._unfollowed:
            return []
        waiting, self._unfollowed = self._unfollowed, []
        rules: dict[str, object] = {rule.name: rule for rule in self._rules}
        ended = []
        for event, watched_s in waiting:
            rule = rules.get(event.data["rule"])
            lately = scene.now_s - watched_s <= self.camera.resume_s
            if lately and isinstance(rule, Lasting) and rule.resume(event.data, scene):
                self._open.take(event)
            else:
                ended.append(ended_unseen(event))
        return ended

    def _remember(self, scene: Scene) -> None:
        waiting, self._unremembered = self._unremembered, []
        rules: dict[str, object] = {rule.name: rule for rule in self._rules}
        for event, watched_s in waiting:
            rule = rules.get(event.data["rule"])
            if scene.now_s - watched_s <= self.camera.resume_s and isinstance(rule, Remembering):
                rule.remember(event, scene)
                self._once.append(event)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: what it counted is added to what was counted since the start."""
        for counts, before in ((self.counts, saved.get("counts", {})), (self.turns, saved.get("turns", {}))):
            for first, by in _copied(before).items():
                for second, by_class in by.items():
                    for label, number in by_class.items():
                        _add(counts, first, second, label, number)

    def _count(self, finding: Finding) -> None:
        if finding.kind == "line_count" and finding.line and finding.direction and finding.label:
            _add(self.counts, finding.line, finding.direction, finding.label)
        elif finding.kind == "turning_count" and finding.label:
            _add(self.turns, finding.extra["from"], finding.extra["to"], finding.label)

    def _fit(self, size: tuple[int, int], captured_s: float | None = None) -> None:
        before_s = self._captured_s
        went_back = captured_s is not None and before_s is not None and captured_s < before_s
        if size != self._size or went_back:
            self._size = size
            self._tracker.reset()
            self._build(*size)
        self._captured_s = self._captured_s if captured_s is None else captured_s

    def _build(self, width: int, height: int) -> None:
        camera = self.camera
        self._zones = [zone.id for zone in camera.zones]
        self._outlines = Outlines([to_pixels(zone.polygon, width, height) for zone in camera.zones])
        before = self._health
        self._unfollowed += [(event, self._captured_s or 0.0) for event in self._open.drain()]
        self._unremembered += [(event, self._captured_s or 0.0) for event in self._once]
        self._once.clear()
        built = build_rules(camera.rules, camera.site_for(width, height))
        self._health = next((rule for rule in built if isinstance(rule, CameraHealth)), None)
        if self._health is not None and before is not None:
            self._health.take_over(before)
        elif self._health is not None and self._health_before:
            self._health.remember(self._health_before)
        # The health comes first, so that the others see its faults of the same frame.
        self._rules = [rule for rule in built if rule is not self._health]
        self._calibration = camera.calibration.id if camera.calibration else None
        self._lamps = {signal.id: LampWatch(signal) for signal in camera.signals if signal.lamps is not None}
        self._feeds = {signal.id: FeedWatch(signal) for signal in camera.signals if signal.feed is not None}
        lamp_views = [lamp.view for lamp in self._lamps.values()]
        self._views = tuple(dict.fromkeys([*(view for rule in self._rules for view in rule.views), *lamp_views]))

    def _look_at_signals(self, now_s: float, views: Mapping[View, Pixels]) -> dict[str, SignalView]:
        readings, found = [self._readings.popleft() for _ in range(len(self._readings))], {}
        for name, lamps in self._lamps.items():
            found[name] = lamps.update(now_s, views.get(lamps.view))
        for name, feed in self._feeds.items():
            found[name] = feed.update(now_s, readings)
        return found

    def _warm(self, tracks: Tracks, frame: FrameMeta) -> None:
        if self.heat_map is None:
            return
        feet, classes = tracks.ground_points(), self.heat_map.settings.classes
        wanted = feet if classes is None else feet[of_classes(tracks, classes)]
        self.heat_map.add(wanted, frame.width, frame.height, frame.captured_s)

    def _occupancy(self, tracks: Tracks) -> dict[str, dict[str, int]]:
        if len(tracks) == 0 or not self._zones:
            return {zone: {} for zone in self._zones}
        found: dict[str, dict[str, int]] = {}
        for zone, here in zip(
            self._zones, self._outlines.inside(*tracks.ground_points().astype(np.float64).T), strict=True
        ):
            numbers = np.bincount(tracks.classes[here])
            found[zone] = {tracks.labels[which]: int(numbers[which]) for which in np.flatnonzero(numbers)}
        return found


def _add(counts: Counts, first: str, second: str, label: str, number: int = 1) -> None:
    by_class = counts.setdefault(first, {}).setdefault(second, {})
    by_class[label] = by_class.get(label, 0) + number


def _copied(counts: Mapping[str, Any]) -> Counts:
    return {
        str(first): {str(second): {str(k): int(n) for k, n in by_class.items()} for second, by_class in by.items()}
        for first, by in counts.items()
    }
