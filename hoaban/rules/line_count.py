"""Counting crossings of a line."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hoaban.events import Finding
from hoaban.geometry import segments_meet, signed_distance, to_pixels
from hoaban.rules.base import (
    FORGET_S,
    OBJECT_CLASSES,
    Classes,
    LineId,
    RuleConfig,
    Site,
    TrackRule,
    of_classes,
    track_fields,
)
from hoaban.scene import Scene

MARGIN = 0.06
"""of a track's height: nearer to the line than this, its side is not believed, so that a trembling box counts once"""


class LineCountRule(RuleConfig):
    """Count each track that crosses a line, by class and direction."""

    type: Literal["line_count"]
    line: LineId
    classes: Classes = OBJECT_CLASSES

    def build(self, site: Site) -> "LineCount":
        return LineCount(self, site)


@dataclass(slots=True)
class _Last:
    right: bool
    point: NDArray[np.float32]
    seen_s: float


class LineCount(TrackRule):
    """One finding for each time a track's foot point goes from one side of the line to the other across it."""

    def __init__(self, config: LineCountRule, site: Site) -> None:
        super().__init__(config.name)
        line = site.lines[config.line]
        self._line, self._classes = line.id, config.classes
        self._start, self._end = to_pixels([line.from_, line.to], site.width, site.height)
        self._last: dict[int, _Last] = {}

    def update(self, scene: Scene) -> list[Finding]:
        tracks, now_s = scene.tracks, scene.now_s
        self._last = {i: last for i, last in self._last.items() if now_s - last.seen_s <= FORGET_S}
        if len(tracks) == 0:
            return []
        points = tracks.ground_points()
        distances = signed_distance(points, self._start, self._end)
        margins = np.maximum(2.0, MARGIN * (tracks.boxes[:, 3] - tracks.boxes[:, 1]))
        findings = []
        for row in np.flatnonzero((np.abs(distances) > margins) & of_classes(tracks, self._classes)):
            track, right = int(tracks.ids[row]), bool(distances[row] > 0)
            last = self._last.get(track)
            self._last[track] = _Last(right, points[row], now_s)
            if (
                last is None
                or last.right == right
                or not segments_meet(last.point, points[row], self._start, self._end)
            ):
                continue
            direction = "forward" if right else "backward"
            findings.append(
                Finding("line_count", self.name, line=self._line, direction=direction, **track_fields(tracks, int(row)))
            )
        return findings
