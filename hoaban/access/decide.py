"""Whether a person may do one thing at one place now: deny by default."""

from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from hoaban.access.person import Person, Scope
from hoaban.access.roles import GRANTS, PROVINCE_WIDE, Permission
from hoaban.schedule import Hours, Schedule


@dataclass(frozen=True, slots=True)
class Place:
    """What is acted on: a camera, its district and its owner. None of these: not known, so only a grant for everywhere
    (or one that names the camera) reaches it."""

    camera: str | None = None
    district: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """reason: for the person refused; empty when allowed."""

    allowed: bool
    reason: str = ""


def decide(person: Person, permission: Permission, place: Place | None, now_s: float, tz: ZoneInfo) -> Decision:
    """Whether any grant of the person gives the permission at the place, now (seconds since 1970, UTC).

    place None: what has no place, or a list, of which only what is in the person's scope is shown afterwards; there a
    grant for a part of the province counts, but for what is PROVINCE_WIDE.
    """
    grants = [grant for grant in person.grants if permission in GRANTS[grant.role]]
    if not grants:
        return Decision(False, f"none of your roles may do this ({permission}); an admin grants roles")
    within = [grant for grant in grants if _covers(grant.scope, permission, place)]
    if not within:
        where = (
            "for the whole province" if place is None else f"for camera {place.camera!r}" if place.camera else "here"
        )
        return Decision(False, f"your roles do not give {permission} {where}")
    if not any(_hours(grant.scope.hours, tz).awake(now_s) for grant in within):
        return Decision(False, f"your roles give {permission} at other hours only")
    return Decision(True)


def reaches(person: Person, place: Place) -> bool:
    """Whether any grant of the person covers the place, at whatever hour: others are not told that it exists."""
    return any(covers(grant.scope, place) for grant in person.grants)


def entrusted(person: Person, permission: Permission, place: Place) -> bool:
    """Whether any grant of the person gives the permission at the place, at whatever hour."""
    return any(permission in GRANTS[grant.role] and _covers(grant.scope, permission, place) for grant in person.grants)


def _covers(scope: Scope, permission: Permission, place: Place | None) -> bool:
    if place is None or permission in PROVINCE_WIDE:
        return scope.everywhere or permission not in PROVINCE_WIDE
    return covers(scope, place)


def covers(scope: Scope, place: Place) -> bool:
    """Whether a place lies in a scope, at whatever hour."""
    return (
        (scope.districts is None or place.district in scope.districts)
        and (scope.agencies is None or place.owner in scope.agencies)
        and (scope.cameras is None or place.camera in scope.cameras)
    )


@lru_cache(maxsize=256)
def _hours(hours: tuple[Hours, ...], tz: ZoneInfo) -> Schedule:
    return Schedule(hours, tz)
