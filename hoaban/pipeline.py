"""What happens to a frame's detections: tracks, rules, events, counts. The same for live cameras and for replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from hoaban.detections import Detections, Floats, Tracks
from hoaban.events import Event, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta, Letterbox
from hoaban.geometry import Points, inside, to_pixels
from hoaban.rules import Rule, build_rules
from hoaban.scene import Pixels, Scene, View
from hoaban.tracking import Tracker

Counts = dict[str, dict[str, dict[str, int]]]
NO_VIEWS: Mapping[View, Pixels] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Step:
    """What one analysed frame gave."""

    detections: Detections
    tracks: Tracks
    events: list[Event]


class CameraPipeline:
    """The state beside one camera's frames. Not thread-safe: one caller at a time.

    counts: line -> direction -> class -> number since the first start. zones: zone -> class -> number now inside.
    """

    def __init__(self, camera: Camera, model: ModelRef, code: str) -> None:
        self.camera, self.model, self._code = camera, model, code
        self.counts: Counts = {}
        self.zones: dict[str, dict[str, int]] = {}
        self._tracker = Tracker(begin=camera.begin_score)
        self._rules: list[Rule] = []
        self._views: tuple[View, ...] = ()
        self._calibration: str | None = None
        self._size: tuple[int, int] | None = None
        self._polygons: dict[str, Points] = {}
        self._captured_s: float | None = None
        self._digest = camera.digest()

    def views(self, width: int, height: int) -> tuple[View, ...]:
        """What the rules want to see of the next frame, whose size in pixels is given."""
        self._fit((width, height))
        return self._views

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
        sure = rows[rows[:, 4] >= self.camera.min_score]
        return self.step(frame, Detections.from_rows(sure, letterbox, labels, frame.width, frame.height), views)

    def step(self, frame: FrameMeta, detections: Detections, views: Mapping[View, Pixels] = NO_VIEWS) -> Step:
        """Take one analysed frame in. Another frame size, or a clock that went back, begins tracks and rules anew.

        views: what `views` asked for of this frame.
        """
        self._fit((frame.width, frame.height), frame.captured_s)
        tracks = self._tracker.update(detections, frame.captured_s)
        scene = Scene(frame, tracks, views)
        provenance = Provenance(self.model, self._digest, self._code, self._calibration)
        findings = [finding for rule in self._rules for finding in rule.update(scene)]
        for finding in findings:
            if finding.kind == "line_count" and finding.line and finding.direction and finding.label:
                by_class = self.counts.setdefault(finding.line, {}).setdefault(finding.direction, {})
                by_class[finding.label] = by_class.get(finding.label, 0) + 1
        self.zones = self._occupancy(tracks)
        return Step(detections, tracks, [bind(finding, frame, self.camera.role, provenance) for finding in findings])

    def reconfigure(self, camera: Camera) -> None:
        """Another configuration of the same camera; tracks and counts live on, rules begin anew."""
        self.camera, self._digest = camera, camera.digest()
        self._tracker.begin = camera.begin_score
        if self._size is not None:
            self._build(*self._size)

    def checkpoint(self) -> dict[str, Any]:
        """What a successor needs so that the counters go on, as plain JSON values."""
        return {"counts": {line: {d: dict(n) for d, n in by.items()} for line, by in self.counts.items()}}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        for line, by_direction in saved.get("counts", {}).items():
            for direction, by_class in by_direction.items():
                self.counts.setdefault(line, {})[direction] = {str(k): int(n) for k, n in by_class.items()}

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
        self._polygons = {zone.id: to_pixels(zone.polygon, width, height) for zone in camera.zones}
        self._rules = build_rules(camera.rules, camera.site_for(width, height))
        self._calibration = camera.calibration.id if camera.calibration else None
        self._views = tuple(dict.fromkeys(view for rule in self._rules for view in rule.views))

    def _occupancy(self, tracks: Tracks) -> dict[str, dict[str, int]]:
        if len(tracks) == 0:
            return {zone: {} for zone in self._polygons}
        feet = tracks.ground_points()
        zones: dict[str, dict[str, int]] = {}
        for zone, polygon in self._polygons.items():
            numbers = np.bincount(tracks.classes[inside(feet, polygon)])
            zones[zone] = {tracks.labels[which]: int(numbers[which]) for which in np.flatnonzero(numbers)}
        return zones
