"""What of an event is shown to whom: a watchlist's hit names a person or a plate, for who may see the lists alone."""

import time
from typing import Any

from fastapi import Request

from hoaban.access import Permission, Person, decide
from hoaban.events import Event
from serve.places import Places

OF_LISTS = frozenset({"hoaban.face_watchlist", "hoaban.plate_watchlist"})
KEPT = ("camera", "role", "rule", "zone", "frame", "simulated", "evidential", "phase")


def of_a_list(event: Event) -> bool:
    return event.type in OF_LISTS


def withheld(event: Event) -> dict[str, Any]:
    """The CloudEvent of a hit without who or what was hit: type, camera and time."""
    whole = event.to_cloudevent()
    data = {name: value for name, value in whole["data"].items() if name in KEPT}
    return whole | {"data": data | {"withheld": Permission.WATCHLIST_SEE.value}}


def sees_lists(request: Request, person: Person) -> bool:
    """Whether a person may see the watchlists now."""
    places: Places = request.app.state.places
    return decide(person, Permission.WATCHLIST_SEE, None, time.time(), places.timezone()).allowed


def shown(request: Request, person: Person, event: Event) -> dict[str, Any]:
    """The CloudEvent as this person may see it."""
    return withheld(event) if of_a_list(event) and not sees_lists(request, person) else event.to_cloudevent()
