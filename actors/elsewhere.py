"""What is kept of people outside the tables and the evidence: found, told and erased by one interface.

A person's request and the purge ask each such place; an erasure's record names a thing by the place's name and its id.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from actors.bus import DeadLetter, EventBus
from actors.disagreements import Disagreements, Kept
from actors.store.rows import body_digest, event_row, plate_of
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

    content: what shows or names people in it; it is read where it is needed. told: what it is, in a word. event: where
    it is one that can be read.
    """

    what: str
    id: str
    camera: str
    captured_s: float
    told: str
    content: Callable[[], bytes]
    event: Event | None = None

    def planned(self) -> dict[str, Any]:
        """As an erasure's record names it (actors/store/retention.py, Outside)."""
        named = {"what": self.what, "id": self.id, "sha256": hashlib.sha256(self.content()).hexdigest()}
        if self.event is not None:
            with suppress(ValueError):  # what no store takes will never be in one
                body = event_row(self.event)["body"]
                named |= {"event": self.event.id, "event_sha256": body_digest(body)}
        return named

    def held_by(self, holds: Iterable[Hold]) -> str | None:
        """The hold that keeps it, of those that last; what cannot be read any hold on a camera may mean."""
        if not self.camera:
            return next((hold.id for hold in holds if hold.kind == "camera"), None)
        id = self.id if self.event is None else self.event.id
        return next((hold.id for hold in holds if hold.covers(id, self.camera, self.captured_s)), None)


class Place(Protocol):
    """what: its name in erasures' records and in the API."""

    what: str

    def find(self, wanted: Wanted, most: int) -> list[Thing]:
        """At most so many."""
        ...

    def get(self, ids: Collection[str]) -> dict[str, Thing]:
        """Those that are there, by id."""
        ...

    def remove(self, one: Mapping[str, Any]) -> None:
        """What a record names so."""
        ...


class Pictures:
    """Pictures in which two models did not agree. Plates are hidden in them: they are found by place and time alone."""

    what = "disagreements"

    def __init__(self, kept: Disagreements) -> None:
        self._kept = kept

    def find(self, wanted: Wanted, most: int) -> list[Thing]:
        if not wanted.placed:
            return []
        found = (one for one in self._kept.kept(halves=True) if wanted.covers(one.camera, one.captured_s))
        return [self._thing(one) for one in islice(found, most)]

    def get(self, ids: Collection[str]) -> dict[str, Thing]:
        if not ids:
            return {}
        return {one.id: self._thing(one) for one in self._kept.kept(halves=True) if one.id in ids}

    def remove(self, one: Mapping[str, Any]) -> None:
        self._kept.remove_id(one["id"])

    def _thing(self, one: Kept) -> Thing:
        return Thing(self.what, one.id, one.camera, one.captured_s, one.model, lambda: self._kept.picture(one) or b"")


class PutAside:
    """Events that no database took. One that cannot be read is found by the time when it was put aside, or its text."""

    what = "dead_letters"

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    def find(self, wanted: Wanted, most: int) -> list[Thing]:
        found = ((letter, self._thing(letter)) for letter in self._bus.letters())
        return list(islice((thing for letter, thing in found if _may_be(letter, thing, wanted)), most))

    def get(self, ids: Collection[str]) -> dict[str, Thing]:
        letters = (self._bus.letter(id) for id in ids)
        return {letter.entry: self._thing(letter) for letter in letters if letter is not None}

    def remove(self, one: Mapping[str, Any]) -> None:
        """Raises OSError while it is on its way into the database: handed to it again since the record was signed."""
        if self._bus.drop(DeadLetter(one["id"], "", "")):
            return
        if any(_digest(delivery.body) == one["sha256"] for delivery in self._bus.deliveries()):
            raise OSError("an event was handed to the store again meanwhile: it is erased once it is stored")
        for letter in self._bus.letters():  # or no database took it again, and it has another name
            if _digest(letter.body) == one["sha256"]:
                self._bus.drop(letter)

    def all(self) -> Iterator[tuple[Thing, float]]:
        """Each, and when it was put aside, the oldest first."""
        return ((self._thing(letter), _put_aside_s(letter)) for letter in self._bus.letters())

    def _thing(self, letter: DeadLetter) -> Thing:
        event, content = _event(letter), letter.body.encode
        if event is None:
            return Thing(self.what, letter.entry, "", _put_aside_s(letter), "unreadable", content)
        return Thing(self.what, letter.entry, event.camera, event.time.timestamp(), event.type, content, event)


def removers(places: Iterable[Place]) -> Mapping[str, Callable[[Mapping[str, Any]], None]]:
    """For an eraser."""
    return {place.what: place.remove for place in places}


def _may_be(letter: DeadLetter, thing: Thing, wanted: Wanted) -> bool:
    if thing.event is None:  # rather shown to whoever searches than missed
        if wanted.plate is not None:
            return normalise(wanted.plate) in normalise(letter.body)
        return wanted.since_s is None or thing.captured_s >= wanted.since_s
    named = wanted.plate is None or _fits(plate_of(thing.event.data), normalise(wanted.plate))
    return named and wanted.covers(thing.camera, thing.captured_s)


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


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
