"""A watchlist's hit names a person or a plate: what is left of it for who may not see the lists."""

from typing import Any

from hoaban.access import Permission
from hoaban.events import Event

OF_LISTS = frozenset({"hoaban.face_watchlist", "hoaban.plate_watchlist"})
KEPT = ("camera", "role", "rule", "zone", "frame", "simulated", "evidential", "phase")


def of_a_list(event: Event) -> bool:
    return event.type in OF_LISTS


def withheld(event: Event) -> dict[str, Any]:
    """The CloudEvent of a hit without who or what was hit: type, camera and time."""
    whole = event.to_cloudevent()
    data = {name: value for name, value in whole["data"].items() if name in KEPT}
    return whole | {"data": data | {"withheld": Permission.WATCHLIST_SEE.value}}
