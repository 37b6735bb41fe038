"""Incidents: events that belong together, and what people do about them. Pure; actors/incidents.py keeps them."""

from hoaban.incidents.joining import Happening, OpenIncident, Seen, distance_m, happening, join
from hoaban.incidents.settings import IncidentSettings, Severity
from hoaban.incidents.states import NotAllowedError

__all__ = [
    "Happening",
    "IncidentSettings",
    "NotAllowedError",
    "OpenIncident",
    "Seen",
    "Severity",
    "distance_m",
    "happening",
    "join",
]
