"""What of an event is shown to whom: a watchlist's hit names a person or a plate, for who may see the lists alone."""

import time
from typing import Any

from fastapi import Request

from hoaban.access import Permission, Person, decide
from hoaban.events import Event
from hoaban.withheld import OF_LISTS, of_a_list, withheld
from serve.places import Places

__all__ = ["OF_LISTS", "of_a_list", "sees_lists", "shown", "withheld"]


def sees_lists(request: Request, person: Person) -> bool:
    """Whether a person may see the watchlists now."""
    places: Places = request.app.state.places
    return decide(person, Permission.WATCHLIST_SEE, None, time.time(), places.timezone()).allowed


def shown(request: Request, person: Person, event: Event) -> dict[str, Any]:
    """The CloudEvent as this person may see it."""
    return withheld(event) if of_a_list(event) and not sees_lists(request, person) else event.to_cloudevent()
