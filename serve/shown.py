"""What of events is shown to whom: the one gate that every route asks which shows or counts them.

Events of a camera that a person may not see are not there for them; a watchlist's hit names a person or a plate, and
is whole for who may see the lists alone.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from actors.store import StoredEvent
from hoaban.access import Permission, Person, decide
from hoaban.events import Event
from hoaban.withheld import of_a_list, withheld
from serve.places import Places
from serve.schemas import EventView


@dataclass(frozen=True, slots=True)
class Gate:
    """What a person may see of events now. cameras: whose, None: of all. lists: hits of a watchlist are told whole."""

    cameras: frozenset[str] | None
    lists: bool

    def lets(self, camera: str) -> bool:
        return self.cameras is None or camera in self.cameras

    def event(self, event: Event) -> dict[str, Any] | None:
        """The CloudEvent as this person may see it; None: not at all."""
        if not self.lets(event.camera):
            return None
        return withheld(event) if of_a_list(event) and not self.lists else event.to_cloudevent()

    def views(self, stored: Iterable[StoredEvent]) -> list[EventView]:
        """Stored events, those left out that are not for this person."""
        told = ((one.seq, self.event(one.event)) for one in stored)
        return [EventView(seq=seq, event=event) for seq, event in told if event is not None]


def gate(request: Request, person: Person, permission: Permission = Permission.CAMERA_SEE) -> Gate:
    """The gate of a person, by what they may do as of now. permission: by which they come to these events."""
    places: Places = request.app.state.places
    lists = decide(person, Permission.WATCHLIST_SEE, None, time.time(), places.timezone()).allowed
    return Gate(places.cameras_for(person, permission), lists)
