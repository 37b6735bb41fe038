"""What is kept of people outside the tables and the evidence: found, told and erased by one interface.

A person's request and the purge ask each such place; an erasure's record names a thing by the place's name and its id.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from actors.bus import DeadLetter, EventBus
from actors.disagreements import Disagreements, Kept
from actors.store.rows import plate_of
from hoaban.events import Event
from hoaban.evidence.retention import Hold
from hoaban.plates import UNKNOWN, normalise


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search: by plate, or by cameras and [since_s, until_s), or both. plate: as it was written."""

    plate: str | None
    cameras: Collection[str]
    since_s: float | None
    until_s: float | None

    @property
    def placed(self) -> bool:
        return bool(self.cameras) and self.since_s is not None and self.until_s is not None

    def covers(self, camera: str, captured_s: float) -> bool:
        after = self.since_s is None or captured_s >= self.since_s
        before = self.until_s is None or captured_s < self.until_s
        return (not self.cameras or camera in self.cameras) and after and before


@dataclass(frozen=True, slots=True)
class Thing:
    """One that is kept. camera: "" where it cannot be read of which, then captured_s is when it was put aside.

    sha256: of what shows or names people in it. told: what it is, in a word.
    """

    what: str
    id: str
    camera: str
    captured_s: float
    sha256: str
    told: str

    def planned(self) -> dict[str, Any]:
        """As an erasure's record names it."""
        return {"what": self.what, "id": self.id, "sha256": self.sha256}

    def held_by(self, holds: Iterable[Hold]) -> str | None:
        """The hold that keeps it, of those that last; what cannot be read any hold on a camera may mean."""
        if not self.camera:
            return next((hold.id for hold in holds if hold.kind == "camera"), None)
        return next((hold.id for hold in holds if hold.covers(self.id, self.camera, self.captured_s)), None)


class Place(Protocol):
    """what: its name in erasures' records and in the API."""

    what: str

    def find(self, wanted: Wanted) -> list[Thing]: ...

    def get(self, id: str) -> Thing | None: ...

    def remove(self, id: str) -> None: ...


class Pictures:
    """Pictures in which two models did not agree. Plates are hidden in them: they are found by place and time alone."""

    what = "disagreements"

    def __init__(self, kept: Disagreements) -> None:
        self._kept = kept

    def find(self, wanted: Wanted) -> list[Thing]:
        if not wanted.placed:
            return []
        return [self._thing(one) for one in self._kept.kept(halves=True) if wanted.covers(one.camera, one.captured_s)]

    def get(self, id: str) -> Thing | None:
        one = self._one(id)
        return None if one is None else self._thing(one)

    def remove(self, id: str) -> None:
        if (one := self._one(id)) is not None:
            self._kept.remove(one)

    def _one(self, id: str) -> Kept | None:
        return next((one for one in self._kept.kept(halves=True) if one.id == id), None)

    def _thing(self, one: Kept) -> Thing:
        picture = hashlib.sha256(self._kept.picture(one) or b"").hexdigest()
        return Thing(self.what, one.id, one.camera, one.captured_s, picture, one.model)


class PutAside:
    """Events that no database took. One that cannot be read is found by the time when it was put aside, or its text."""

    what = "dead_letters"

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    def find(self, wanted: Wanted) -> list[Thing]:
        return [self._thing(letter) for letter in self._bus.dead() if _may_be(letter, wanted)]

    def get(self, id: str) -> Thing | None:
        return next((self._thing(letter) for letter in self._bus.dead() if letter.entry == id), None)

    def remove(self, id: str) -> None:
        self._bus.drop(DeadLetter(id, "", ""))

    def over(self, before_s: float) -> list[Thing]:
        """Those that were put aside before a time."""
        return [self._thing(letter) for letter in self._bus.dead() if _put_aside_s(letter) < before_s]

    def _thing(self, letter: DeadLetter) -> Thing:
        event, digest = _event(letter), hashlib.sha256(letter.body.encode()).hexdigest()
        if event is None:
            return Thing(self.what, letter.entry, "", _put_aside_s(letter), digest, "unreadable")
        return Thing(self.what, letter.entry, event.camera, event.time.timestamp(), digest, event.type)


def removers(places: Iterable[Place]) -> Mapping[str, Callable[[str], None]]:
    """For an eraser."""
    return {place.what: place.remove for place in places}


def _may_be(letter: DeadLetter, wanted: Wanted) -> bool:
    event = _event(letter)
    if event is None:  # rather shown to whoever searches than missed
        if wanted.plate is not None:
            return normalise(wanted.plate) in normalise(letter.body)
        return wanted.since_s is None or _put_aside_s(letter) >= wanted.since_s
    named = wanted.plate is None or _fits(plate_of(event.data), normalise(wanted.plate))
    return named and wanted.covers(event.camera, event.time.timestamp())


def _fits(read: str | None, wanted: str) -> bool:
    """Whether a plate is the wanted one, or may be: what was not read fits any character."""
    if read is None or len(read) != len(wanted):
        return False
    return all(mine in (theirs, UNKNOWN) for mine, theirs in zip(read, wanted, strict=True))


def _event(letter: DeadLetter) -> Event | None:
    try:
        return Event.from_json(letter.body)
    except ValueError:
        return None


def _put_aside_s(letter: DeadLetter) -> float:
    """A stream's entry is named by the server's clock."""
    return int(letter.entry.partition("-")[0]) / 1000
