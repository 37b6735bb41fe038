"""Which events belong together: one happening seen several times, or by cameras that stand beside each other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import Any

from hoaban.incidents.settings import IncidentSettings

EARTH_M = 6_371_008.8
"""mean radius (IUGG); the haversine of a sphere is off by at most half a per cent"""
Place = tuple[float, float]
"""latitude and longitude in degrees"""
CALM = ("free", "slow")
"""levels of traffic that call for nobody"""


@dataclass(frozen=True, slots=True)
class Happening:
    """What joining must know of an event. spot: its zone or line, "" for the whole picture. time_s: of capture.

    begins: something lasts from here on. over: it ends here; of itself that opens no incident.
    """

    kind: str
    camera: str
    spot: str
    time_s: float
    place: Place | None = None
    simulated: bool = False
    begins: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """Where an incident was seen. lasting: how much began there and is not over."""

    camera: str
    spot: str
    first_s: float
    last_s: float
    place: Place | None = None
    lasting: int = 0


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """What joining must know of an incident."""

    number: int
    kind: str
    seen: tuple[Seen, ...]
    simulated: bool = False


def happening(kind: str, camera: str, time_s: float, data: Mapping[str, Any], place: Place | None) -> Happening:
    """An event as joining sees it. data: the event's."""
    phase = data.get("phase")
    if kind == "congestion":  # told by levels, not by phases
        phase = "end" if data.get("level") in CALM else "start" if data.get("was") in CALM else None
    return Happening(
        kind,
        camera,
        str(data.get("zone") or data.get("line") or ""),
        time_s,
        place,
        bool(data.get("simulated")),
        begins=phase == "start",
        over=phase == "end",
    )


def join(new: Happening, incidents: Iterable[OpenIncident], settings: IncidentSettings) -> OpenIncident | None:
    """The open incident that an event belongs to, None for a new one.

    Of several the one seen at the same spot goes first, then the nearest, then the one seen last.
    """
    best: tuple[tuple[bool, float, float], OpenIncident] | None = None
    for incident in incidents:
        if incident.kind != new.kind or incident.simulated != new.simulated:
            continue
        for seen in incident.seen:
            away_m = _away_m(new, seen, settings)
            if away_m is None:
                continue
            order = (_same_spot(new, seen), -away_m, seen.last_s)
            if best is None or order > best[0]:
                best = order, incident
    return best[1] if best else None


def distance_m(a: Place, b: Place) -> float:
    """Metres over ground between two places, by the haversine formula on the mean sphere."""
    (lat_a, lon_a), (lat_b, lon_b) = a, b
    north, east = radians(lat_b - lat_a), radians(lon_b - lon_a)
    h = sin(north / 2) ** 2 + cos(radians(lat_a)) * cos(radians(lat_b)) * sin(east / 2) ** 2
    return 2 * EARTH_M * asin(sqrt(min(1.0, h)))


def _same_spot(new: Happening, seen: Seen) -> bool:
    return (new.camera, new.spot) == (seen.camera, seen.spot)


def _away_m(new: Happening, seen: Seen, settings: IncidentSettings) -> float | None:
    """How far a happening is from where an incident was seen; None when the two do not belong together."""
    if _same_spot(new, seen):
        # What lasts is one happening however long it lasts, and its end belongs to it.
        return 0.0 if seen.lasting or _within(new, seen, settings) else None
    if new.over or new.camera == seen.camera or not _within(new, seen, settings):
        return None
    if new.place is None or seen.place is None:
        return None
    away_m = distance_m(new.place, seen.place)
    return away_m if away_m <= settings.neighbour_m else None


def _within(new: Happening, seen: Seen, settings: IncidentSettings) -> bool:
    """Whether the time fits. Events of several cameras come in any order, so also just before the first one."""
    if seen.lasting:
        return new.time_s >= seen.first_s - settings.join_within_s
    return seen.first_s - settings.join_within_s <= new.time_s <= seen.last_s + settings.join_within_s
