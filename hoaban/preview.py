"""What other zones, lines and rules of a camera would have told of the same frames, beside the present ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hoaban import __version__
from hoaban.diff import diff_events
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.pipeline import NO_VIEWS, CameraPipeline
from hoaban.rules.face_watchlist import FaceWatchlistRule
from hoaban.rules.plate_watchlist import PlateWatchlistRule
from hoaban.scene import Pixels, View
from hoaban.tiling import Part

MOST_TOLD = 100
"""events on either side of the difference"""


@dataclass(frozen=True, slots=True)
class Pair:
    """What one frame gave under the present configuration, and under the one to be tried."""

    present: list[Event]
    tried: list[Event]

    @property
    def differ(self) -> bool:
        return {event.id for event in self.present} != {event.id for event in self.tried}


class Preview:
    """Two pipelines of one camera over the same detections. One caller at a time; frames in order of capture."""

    def __init__(self, present: Camera, tried: Camera, model: ModelRef) -> None:
        self._sides = tuple(CameraPipeline(camera, model, __version__) for camera in (present, tried))
        self._events: tuple[list[Event], list[Event]] = ([], [])

    def views(self, frame: FrameMeta) -> tuple[View, ...]:
        """What the rules of either want to see of the next frame."""
        return tuple(dict.fromkeys(view for side in self._sides for view in side.views(frame)))

    def step(
        self,
        frame: FrameMeta,
        parts: Sequence[Part],
        labels: tuple[str, ...],
        views: Mapping[View, Pixels] = NO_VIEWS,
    ) -> Pair:
        """Take one analysed frame in: see CameraPipeline.step_parts."""
        found = [side.step_parts(frame, parts, labels, views).events for side in self._sides]
        for kept, events in zip(self._events, found, strict=True):
            kept += events
        return Pair(*found)

    def told(self) -> dict[str, Any]:
        """What is different, as plain JSON values: numbers of events by type, counts of lines, and MOST_TOLD events."""
        difference = diff_events(*self._events)
        sides = {
            name: {
                "events": dict(sorted(Counter(event.type for event in events).items())),
                "counts": side.counts,
                "turns": side.turns,
            }
            for name, side, events in zip(("present", "tried"), self._sides, self._events, strict=True)
        }
        return sides | {
            "gained": [event.to_cloudevent() for event in difference.gained[:MOST_TOLD]],
            "lost": [event.to_cloudevent() for event in difference.lost[:MOST_TOLD]],
            "changed": len(difference.changed),
            "same": difference.same,
        }


def untried(camera: Camera) -> list[str]:
    """Names of the rules that a recording says nothing about: they need a watchlist, or a signal's feed."""
    fed = {signal.id for signal in camera.signals if signal.feed is not None}
    return [
        rule.name
        for rule in camera.rules
        if isinstance(rule, FaceWatchlistRule | PlateWatchlistRule) or getattr(rule, "signal", None) in fed
    ]
