"""Whether a replay gave an event again: the same kind at the same place of the same class, within one analysed frame.

The track's number is left out: it counts what the camera saw since its process began, which a replay of a clip has not
seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hoaban.events import Event, ModelRef

SAME = ("rule", "class", "zone", "line", "direction", "phase")


@dataclass(frozen=True, slots=True)
class Again:
    """found: the event that the replay gave for it; None when it gave none. apart_s: by so much later."""

    found: Event | None
    apart_s: float | None
    within_s: float

    @property
    def same(self) -> bool:
        return self.found is not None


def find_again(event: Event, given: Iterable[Event], within_s: float) -> Again:
    """The event among those that a replay gave, whose clock is that of the capture; of several, the nearest in time.

    within_s: how far apart they may be.
    """
    alike = [
        one
        for one in given
        if one.type == event.type
        and one.camera == event.camera
        and all(one.data.get(name) == event.data.get(name) for name in SAME)
    ]
    nearest = min(alike, key=lambda one: abs((one.time - event.time).total_seconds()), default=None)
    if nearest is None:
        return Again(None, None, within_s)
    apart_s = (nearest.time - event.time).total_seconds()
    return Again(nearest if abs(apart_s) <= within_s else None, round(apart_s, 6), within_s)


def model_of(event: Event) -> ModelRef:
    """The model that an event names. Raises ValueError for an event without one."""
    told = event.data.get("model")
    if not isinstance(told, dict) or not {"name", "version", "digest"} <= told.keys():
        raise ValueError(f"event {event.id} names no model")
    card = told.get("card")
    return ModelRef(str(told["name"]), str(told["version"]), str(told["digest"]), None if card is None else str(card))


def begins_s(event_s: float, first_s: float, period_s: float) -> float:
    """When a replay has to begin so that the event's frame is one that is analysed: at or after first_s.

    Frames are analysed each period from the first on. All in seconds of one clock.
    """
    return first_s + max(0.0, event_s - first_s) % period_s
