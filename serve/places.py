"""Where each camera stands and whose it is, and the terms its owner shares it on, as the fleet that runs has them."""

import time
from typing import Any
from zoneinfo import ZoneInfo

from actors.board import Board
from hoaban.access import Permission, Person, Place, covers, decide
from hoaban.fleet import DEFAULT_TIMEZONE
from hoaban.terms import MODEL_TRIALS, Terms

KEEP_S = 2.0
"""a wall of pictures asks some hundred times a second; an edit counts this much later"""


class Places:
    """The cameras' places, read from the board now and then. It waits for the board: not for an event loop."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._read_s = float("-inf")
        self._places: dict[str, Place] = {}
        self._terms: dict[str, tuple[Terms, str]] = {}
        self._timezone = ZoneInfo(DEFAULT_TIMEZONE)

    def place(self, camera: str, kept: Place | None = None) -> Place:
        """Where a camera is; of one that the fleet does not have, where it was when something was kept of it. Without
        that its name is all that is known."""
        self._refresh()
        return self._places.get(camera) or kept or Place(camera)

    def timezone(self) -> ZoneInfo:
        """The province's clock, for the hours of grants."""
        self._refresh()
        return self._timezone

    def districts(self) -> dict[str, str]:
        """camera -> its district."""
        self._refresh()
        return {name: place.district for name, place in self._places.items() if place.district}

    def sees(self, camera: str | None, person: Person) -> bool:
        """Whether a person has camera.see for a camera now, or for any at all (None)."""
        place = None if camera is None else self.place(camera)
        return decide(person, Permission.CAMERA_SEE, place, time.time(), self.timezone()).allowed

    def shows_to(self, camera: str, person: Person, kept: tuple[Terms, str] | None = None) -> bool:
        """Whether the terms of its owner let this person see a camera's pictures.

        kept: the terms and the owner of then, for what is kept of a camera that has left the fleet. Without them nobody
        sees pictures of a camera that the fleet does not have, or of any while no fleet is known.
        """
        self._refresh()
        found = self._terms.get(camera) or kept
        if found is None:
            return False
        terms, owner = found
        place = self._places.get(camera) or Place(camera, owner=owner)
        roles = {grant.role for grant in person.grants if covers(grant.scope, place)}
        return terms.shows_to(roles, person.agency, owner)

    def why_hidden(self, camera: str, kept: tuple[Terms, str] | None = None) -> str:
        """Why `shows_to` is false, and what can be done."""
        if camera in self._terms or kept is not None:
            return f"the owner of camera {camera!r} shares its pictures with others only (terms.viewers)"
        return (
            f"camera {camera!r} is in no fleet that runs, and whose its pictures are was not kept; "
            f"of its evidence it can be said with `hoaban evidence set-owner`"
        )

    def trials_at(self, camera: str) -> bool:
        """Whether the terms of a camera's owner let candidate models be tried on its pictures."""
        self._refresh()
        found = self._terms.get(camera)
        return found is None or found[0].allows(MODEL_TRIALS)

    def cameras_for(self, person: Person, permission: Permission) -> frozenset[str] | None:
        """The cameras a person has a permission for now; None: everywhere, whatever cameras there were once."""
        now_s, timezone = time.time(), self.timezone()
        if decide(person, permission, Place(), now_s, timezone).allowed:
            return None
        places = self._places.values()
        return frozenset(
            p.camera for p in places if p.camera and decide(person, permission, p, now_s, timezone).allowed
        )

    def all(self) -> frozenset[str]:
        """The cameras of the fleet."""
        self._refresh()
        return frozenset(self._places)

    def _refresh(self) -> None:
        if time.monotonic() - self._read_s < KEEP_S:
            return
        fleet: dict[str, Any] = self._board.get_json("fleet") or {}
        cameras = fleet.get("cameras", [])
        self._places = {c["id"]: Place(c["id"], c["district"], c["owner"]) for c in cameras}
        self._terms = {c["id"]: (Terms.model_validate(c.get("terms") or {}), c["owner"]) for c in cameras}
        self._timezone = ZoneInfo((fleet.get("province") or {}).get("timezone") or DEFAULT_TIMEZONE)
        self._read_s = time.monotonic()
