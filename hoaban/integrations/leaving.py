"""What of an event leaves for a target: nothing its camera's owner does not allow, and no name of a watchlist ever."""

from collections.abc import Mapping
from typing import Any

from hoaban.events import Event
from hoaban.integrations.onvif import as_onvif
from hoaban.integrations.settings import Target
from hoaban.terms import Terms
from hoaban.withheld import of_a_list, withheld


def leaves(event: Event, camera: Mapping[str, Any] | None, target: Target) -> dict[str, Any] | None:
    """The JSON document that goes to a target, or None.

    camera: the event's camera as the fleet file has it, None for one that is there no more: nothing of it leaves, since
    nobody can say what its owner allows.
    """
    if camera is None or (target.types is not None and event.type not in target.types):
        return None
    if target.cameras is not None and event.camera not in target.cameras:
        return None
    if target.districts is not None and camera.get("district") not in target.districts:
        return None
    terms = Terms.model_validate(camera.get("terms") or {})
    if not terms.shows_to((), target.agency, str(camera.get("owner"))):
        return None
    document = withheld(event) if of_a_list(event) else event.to_cloudevent()
    return as_onvif(document) if target.format == "onvif" else document
