"""What began, was told, and is not over: crowds, jams, left objects. Whoever goes on with a camera must end them.

And what was told once of someone who stays (ONCE): whoever goes on with the camera must not tell it again.

What is open follows from the events alone. So nothing else has to be kept, and what is kept where events are taken
(actors/bus.py) can never disagree with what was told.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from hoaban.events import EVENT_TYPE_PREFIX, Event, Finding
from hoaban.scene import Scene

KINDS = tuple(EVENT_TYPE_PREFIX + kind for kind in ("crowd", "congestion", "abandoned_object", "removed_object"))
ONCE = tuple(
    EVENT_TYPE_PREFIX + kind
    for kind in ("loitering", "intrusion", "illegal_parking", "face_watchlist", "plate_watchlist")
)
"""what is told once of someone who may be there still, and lately: not again by whoever goes on with the camera"""
MOST_ONCE, ONCE_S = 50, 3600
"""so many of a camera are kept, for so many seconds"""
FREE = "free"
UNKNOWN = "unknown"
"""the reason of an end that nobody saw"""
MEASURED = ("count", "density", "peak", "cover", "speed")
"""what an end that nobody saw cannot tell"""


@runtime_checkable
class Lasting(Protocol):
    """A rule that can go on with what it, or the one before it, has told the beginning of."""

    name: str

    def resume(self, data: Mapping[str, Any], scene: Scene) -> bool:
        """Go on with the happening that an event's data tells of, before this scene; False when it cannot."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A rule that tells something once of whoever stays, and can be told of whom that was before it began."""

    name: str

    def remember(self, event: Event, scene: Scene) -> None:
        """An event that it, or the one before it, told; before this scene, its first."""
        ...


def change(event: Event) -> tuple[str, bool] | None:
    """The happening that an event tells of, as a key within its camera, and whether it is open now.

    None: nothing that lasts.
    """
    if event.type not in KINDS:
        return None
    data = event.data
    key = f"{data.get('rule')}/{data.get('object', '')}"
    return key, data.get("level") != FREE if "level" in data else data.get("phase") != "end"


class OpenHappenings:
    """The open happenings of one camera, from its events in their order."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}

    def take(self, event: Event) -> None:
        if (changed := change(event)) is None:
            return
        key, is_open = changed
        self._events.pop(key, None)
        if is_open:
            self._events[key] = event

    def drain(self) -> list[Event]:
        """All of them, for who goes on with them; then none is open here."""
        events, self._events = list(self._events.values()), {}
        return events


def ended_unseen(event: Event) -> Finding:
    """The end of a happening that nobody can follow any more: its rule is gone, or its camera was away for too long."""
    data = event.data
    kind = event.type.removeprefix(EVENT_TYPE_PREFIX)
    end = Finding(kind, str(data["rule"]), label=data.get("class"), zone=data.get("zone"), part=f"{event.id}/{UNKNOWN}")
    extra: dict[str, Any] = dict.fromkeys(name for name in MEASURED if name in data)
    extra |= {name: data[name] for name in ("object", "seen_by", "at_least") if name in data}
    extra |= {"level": FREE, "was": data["level"]} if "level" in data else {"phase": "end"}
    return replace(end, extra=extra | {"reason": UNKNOWN})
