"""Watchlist entries in SQL: enrolled by one person, active only once another has approved them, gone when over."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import numpy as np
import sqlalchemy as sa
import structlog
from numpy.typing import NDArray
from sqlalchemy.engine import Engine

from actors.store.tables import watchlist_entries, watchlist_plates
from actors.watchlist.key import WatchlistKey
from hoaban.access import Person
from hoaban.events import ModelRef
from hoaban.faces.gallery import WatchlistEntry
from hoaban.plate_watch import ListedPlate
from hoaban.plates import normalise, parse_plate

log = structlog.get_logger(__name__)


class WatchlistError(Exception):
    """What was asked is not allowed; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewListed:
    """What is enrolled, whatever it is. subject: a reference, not a name. Times are aware."""

    watchlist: str
    subject: str
    law: str
    authority: str
    document: str
    basis_until: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry(NewListed):
    """A face."""

    template: NDArray[np.float32]
    model: ModelRef


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlate(NewListed):
    """A plate, in any writing of it."""

    plate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInfo:
    """An entry as people may see it."""

    id: str
    watchlist: str
    subject: str
    law: str
    authority: str
    document: str
    basis_until: datetime
    expires_at: datetime
    added_by: str
    added_at: datetime
    approved_by: str | None
    approved_at: datetime | None

    @property
    def ends_at(self) -> datetime:
        """It is searched no longer than it was meant to be, nor than its basis holds."""
        return min(self.expires_at, self.basis_until)

    def state(self, now: datetime) -> str:
        if now >= self.ends_at:
            return "expired"
        return "active" if self.approved_by else "waiting for approval"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryInfo(ListedInfo):
    """A face, without its template."""

    model: str
    model_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateInfo(ListedInfo):
    """A plate in its usual writing: who approves it must see it."""

    plate: str


Info = TypeVar("Info", bound=ListedInfo)


class ListStore(Generic[Info]):
    """Entries of one table. Every change is in the log, with who made it.

    key: asked for when what is listed is sealed or opened.
    """

    table: sa.Table
    what: str

    def __init__(self, engine: Engine, key: Callable[[], WatchlistKey]) -> None:
        self._engine, self._key = engine, key

    def _info(self, row: Mapping[str, Any]) -> Info:
        raise NotImplementedError

    def _add(self, entry_id: str, entry: NewListed, by: Person, **own: Any) -> Info:
        """Keep an entry, not active yet. own: its columns beside those that all entries have."""
        now = datetime.now(UTC)
        if min(entry.expires_at, entry.basis_until) <= now:
            raise WatchlistError("expires_at and the end of the lawful basis must lie in the future")
        row = {
            "id": entry_id,
            "list": entry.watchlist,
            "subject": entry.subject,
            "law": entry.law,
            "authority": entry.authority,
            "document": entry.document,
            "basis_until": entry.basis_until.astimezone(UTC),
            "expires_at": entry.expires_at.astimezone(UTC),
            "added_by_id": by.id,
            "added_by": by.name,
            "added_at": now,
            **own,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(self.table).values(row))
        log.info("watchlist entry added", kind=self.what, entry=entry_id, watchlist=entry.watchlist, by=by.name)
        return self.info(entry_id)

    def approve(self, entry_id: str, by: Person) -> Info:
        """Make an entry active. Raises KeyError, or WatchlistError for the one who added it."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(self.table).where(self.table.c.id == entry_id)).one_or_none()
            if row is None:
                raise KeyError(entry_id)
            if row.approved_by_id is not None:
                raise WatchlistError(f"it was approved by {row.approved_by} already")
            if by.id == row.added_by_id or by.name == row.added_by:
                raise WatchlistError("the one who added an entry cannot approve it; another person must")
            changed = {"approved_by_id": by.id, "approved_by": by.name, "approved_at": datetime.now(UTC)}
            waiting = (self.table.c.id == entry_id) & self.table.c.approved_by_id.is_(None)
            if connection.execute(sa.update(self.table).where(waiting).values(changed)).rowcount == 0:
                raise WatchlistError("another person approved it at the same moment")
        log.info("watchlist entry approved", kind=self.what, entry=entry_id, by=by.name)
        return self.info(entry_id)

    def remove(self, entry_id: str, by: Person) -> None:
        """Erase an entry and what it lists. Raises KeyError."""
        with self._engine.begin() as connection:
            if connection.execute(sa.delete(self.table).where(self.table.c.id == entry_id)).rowcount == 0:
                raise KeyError(entry_id)
        log.info("watchlist entry erased", kind=self.what, entry=entry_id, by=by.name)

    def erase_expired(self) -> int:
        """Erase what is over: the purpose is met, so what is listed goes. How many."""
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            over = sa.or_(self.table.c.expires_at <= now, self.table.c.basis_until <= now)
            count = connection.execute(sa.delete(self.table).where(over)).rowcount
        if count:
            log.info("expired watchlist entries erased", kind=self.what, count=count)
        return count

    def info(self, entry_id: str) -> Info:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(self.table).where(self.table.c.id == entry_id)).one_or_none()
        if row is None:
            raise KeyError(entry_id)
        return self._info(row._mapping)

    def entries(self, watchlist: str | None = None) -> list[Info]:
        """All entries, by list and time."""
        table = self.table
        query = sa.select(table).order_by(table.c.list, table.c.added_at, table.c.id)
        if watchlist is not None:
            query = query.where(table.c.list == watchlist)
        with self._engine.connect() as connection:
            return [self._info(row._mapping) for row in connection.execute(query)]

    def _active(self) -> Iterator[tuple[Info, Mapping[str, Any]]]:
        """The approved entries that are not over."""
        now, approved = datetime.now(UTC), self.table.c.approved_by_id.is_not(None)
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(self.table).where(approved).order_by(self.table.c.id)):
                info = self._info(row._mapping)
                if info.state(now) == "active":
                    yield info, row._mapping


class WatchlistStore(ListStore[EntryInfo]):
    """Faces. A template is sealed, and opened for those alone that search it."""

    table, what = watchlist_entries, "face"

    def add(self, entry: NewEntry, by: Person) -> EntryInfo:
        """Keep an entry, not active yet. Raises WatchlistError for one that is over already."""
        entry_id = secrets.token_hex(12)
        plain = np.ascontiguousarray(entry.template, np.float32).tobytes()
        sealed = self._key().seal(plain, _of_template(entry_id, entry.model.digest))
        own = {"template": sealed, "model": entry.model.name, "model_digest": entry.model.digest}
        return self._add(entry_id, entry, by, **own)

    def active(self) -> Sequence[WatchlistEntry]:
        """The approved entries that are not over, templates opened. Raises KeyMissingError for another key."""
        found: list[WatchlistEntry] = []
        key: WatchlistKey | None = None
        for info, row in self._active():
            key = key or self._key()
            template = np.frombuffer(key.open(row["template"], _of_template(info.id, info.model_digest)), np.float32)
            ends_s = info.ends_at.timestamp()
            found.append(WatchlistEntry(info.id, info.watchlist, info.subject, template, info.model_digest, ends_s))
        return found

    def _info(self, row: Mapping[str, Any]) -> EntryInfo:
        return EntryInfo(model=row["model"], model_digest=row["model_digest"], **_common(row))


class PlateStore(ListStore[PlateInfo]):
    """Plates, sealed as templates are: who reads the database learns of no vehicle that is looked for."""

    table, what = watchlist_plates, "plate"

    def add(self, entry: NewPlate, by: Person) -> PlateInfo:
        """Keep an entry, not active yet. Raises WatchlistError for what is over already, or is no plate."""
        plate = parse_plate(entry.plate)
        if plate is None:
            raise WatchlistError(
                f"{entry.plate!r} fits no format of a plate; write it like 30A-123.45, 29-B1 123.45 or TC-12-34"
            )
        entry_id = secrets.token_hex(12)
        sealed = self._key().seal(plate.text.encode(), _of_plate(entry_id))
        return self._add(entry_id, entry, by, plate=sealed)

    def active(self) -> Sequence[ListedPlate]:
        """The approved entries that are not over. Raises KeyMissingError for another key."""
        return [
            ListedPlate(info.id, info.watchlist, info.subject, normalise(info.plate), info.ends_at.timestamp())
            for info, _ in self._active()
        ]

    def _info(self, row: Mapping[str, Any]) -> PlateInfo:
        plate = self._key().open(row["plate"], _of_plate(row["id"])).decode()
        return PlateInfo(plate=plate, **_common(row))


def _of_template(entry_id: str, model_digest: str) -> str:
    """Bound into the ciphertext: a template moved to another row, or said to be another model's, does not open."""
    return f"hoaban watchlist template {entry_id} {model_digest}"


def _of_plate(entry_id: str) -> str:
    return f"hoaban watchlist plate {entry_id}"


def _common(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that all entries have."""
    same = ("id", "subject", "law", "authority", "document", "added_by", "approved_by")
    times = {
        name: None if (time := row[name]) is None else time.replace(tzinfo=time.tzinfo or UTC)  # SQLite drops the zone
        for name in ("basis_until", "expires_at", "added_at", "approved_at")
    }
    return {"watchlist": row["list"]} | {name: row[name] for name in same} | times
