"""Whom a rule told of before it began anew, so that nobody who stayed where he was is told again."""

from dataclasses import dataclass

import numpy as np

from hoaban.events import Event
from hoaban.frames import FrameMeta
from hoaban.rules.lineage import GAP_S, REACH
from hoaban.rules.moments import Box
from hoaban.scene import Scene

MOST_AWAY_S = 10.0
"""the reach grows no further after that: who is sought in the whole zone is found in anybody"""


def box_then(event: Event, frame: FrameMeta) -> Box | None:
    """Where an event's object was, in pixels of this frame, which may have another size; None where it does not say."""
    then, bbox = event.data.get("frame") or {}, event.data.get("bbox")
    if not bbox or not then.get("width") or not then.get("height"):
        return None
    across, down = frame.width / then["width"], frame.height / then["height"]
    x1, y1, x2, y2 = bbox
    return x1 * across, y1 * down, x2 * across, y2 * down


@dataclass(frozen=True, slots=True)
class _Place:
    foot: tuple[float, float]
    height: float
    label: str | None
    told_s: float


class ToldBefore:
    """Those told before, each by where it was; one of its class that is there from the beginning is it, once.

    lately_s: who was told longer ago may have gone, and whoever is there be another, who must be told of. reach: how
    far from there, in its own heights; half as much more for each second since, up to MOST_AWAY_S.
    """

    def __init__(self, lately_s: float, reach: float = REACH) -> None:
        self._lately_s, self._reach = lately_s, reach
        self._places: list[_Place] = []
        self._since_s = 0.0

    def remember(self, event: Event, scene: Scene) -> None:
        """scene: the first one after the new beginning."""
        self._since_s, told_s = scene.watched_s, event.time.timestamp()
        if scene.now_s - told_s > self._lately_s:
            return
        if (box := box_then(event, scene.frame)) is not None:
            x1, y1, x2, y2 = box
            place = _Place(((x1 + x2) / 2, y2), y2 - y1, event.data.get("class"), told_s)
            self._places.append(place)

    def claim(self, box: Box, label: str, stay_s: float, scene: Scene) -> bool:
        """Whether one that has stayed for so long, and is here now, was told before. Each of those is claimed once."""
        if not self._places or scene.watched_s - stay_s > self._since_s + GAP_S:
            return False
        x1, _, x2, y2 = box
        away = [np.hypot((x1 + x2) / 2 - place.foot[0], y2 - place.foot[1]) for place in self._places]
        reach = [
            place.height * self._reach * (1 + 0.5 * min(max(scene.now_s - place.told_s, 0.0), MOST_AWAY_S))
            for place in self._places
        ]
        fits = [i for i, place in enumerate(self._places) if place.label == label and away[i] <= reach[i]]
        if not fits:
            return False
        del self._places[min(fits, key=lambda i: float(away[i]))]
        return True
