"""Watchlist entries in SQL: enrolled by one person, active only once another has approved them, gone when over."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
import structlog
from numpy.typing import NDArray
from sqlalchemy.engine import Engine

from actors.store.tables import watchlist_entries as table
from actors.watchlist.key import WatchlistKey
from hoaban.access import Person
from hoaban.events import ModelRef
from hoaban.faces.gallery import WatchlistEntry

log = structlog.get_logger(__name__)


class WatchlistError(Exception):
    """What was asked is not allowed; the message says why."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is enrolled. subject: a reference, not a name. Times are aware."""

    watchlist: str
    subject: str
    template: NDArray[np.float32]
    model: ModelRef
    law: str
    authority: str
    document: str
    basis_until: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """An entry without its template: what people may see."""

    id: str
    watchlist: str
    subject: str
    model: str
    model_digest: str
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


class WatchlistStore:
    """The entries. Every change is in the log, with who made it. key: asked for when a template is sealed or opened."""

    def __init__(self, engine: Engine, key: Callable[[], WatchlistKey]) -> None:
        self._engine, self._key = engine, key

    def add(self, entry: NewEntry, by: Person) -> EntryInfo:
        """Keep an entry, not active yet. Raises WatchlistError for one that is over already."""
        now = datetime.now(UTC)
        if min(entry.expires_at, entry.basis_until) <= now:
            raise WatchlistError("expires_at and the end of the lawful basis must lie in the future")
        entry_id = secrets.token_hex(12)
        plain = np.ascontiguousarray(entry.template, np.float32).tobytes()
        row = {
            "id": entry_id,
            "list": entry.watchlist,
            "subject": entry.subject,
            "template": self._key().seal(plain, _purpose(entry_id, entry.model.digest)),
            "model": entry.model.name,
            "model_digest": entry.model.digest,
            "law": entry.law,
            "authority": entry.authority,
            "document": entry.document,
            "basis_until": entry.basis_until.astimezone(UTC),
            "expires_at": entry.expires_at.astimezone(UTC),
            "added_by_id": by.id,
            "added_by": by.name,
            "added_at": now,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(table).values(row))
        log.info("watchlist entry added", entry=entry_id, watchlist=entry.watchlist, by=by.name)
        return self.info(entry_id)

    def approve(self, entry_id: str, by: Person) -> EntryInfo:
        """Make an entry active. Raises KeyError, or WatchlistError for the one who added it."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == entry_id)).one_or_none()
            if row is None:
                raise KeyError(entry_id)
            if row.approved_by_id is not None:
                raise WatchlistError(f"it was approved by {row.approved_by} already")
            if by.id == row.added_by_id or by.name == row.added_by:
                raise WatchlistError("the one who added an entry cannot approve it; another person must")
            changed = {"approved_by_id": by.id, "approved_by": by.name, "approved_at": datetime.now(UTC)}
            waiting = (table.c.id == entry_id) & table.c.approved_by_id.is_(None)
            if connection.execute(sa.update(table).where(waiting).values(changed)).rowcount == 0:
                raise WatchlistError("another person approved it at the same moment")
        log.info("watchlist entry approved", entry=entry_id, by=by.name)
        return self.info(entry_id)

    def remove(self, entry_id: str, by: Person) -> None:
        """Erase an entry and its template. Raises KeyError."""
        with self._engine.begin() as connection:
            if connection.execute(sa.delete(table).where(table.c.id == entry_id)).rowcount == 0:
                raise KeyError(entry_id)
        log.info("watchlist entry erased", entry=entry_id, by=by.name)

    def erase_expired(self) -> int:
        """Erase what is over: the purpose is met, so the template goes. How many."""
        now = datetime.now(UTC)
        with self._engine.begin() as connection:
            over = sa.or_(table.c.expires_at <= now, table.c.basis_until <= now)
            count = connection.execute(sa.delete(table).where(over)).rowcount
        if count:
            log.info("expired watchlist entries erased", count=count)
        return count

    def info(self, entry_id: str) -> EntryInfo:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(*_SHOWN).where(table.c.id == entry_id)).one_or_none()
        if row is None:
            raise KeyError(entry_id)
        return _info(row._mapping)

    def entries(self, watchlist: str | None = None) -> list[EntryInfo]:
        """All entries, by list and time; no template is read."""
        query = sa.select(*_SHOWN).order_by(table.c.list, table.c.added_at, table.c.id)
        if watchlist is not None:
            query = query.where(table.c.list == watchlist)
        with self._engine.connect() as connection:
            return [_info(row._mapping) for row in connection.execute(query)]

    def active(self) -> Sequence[WatchlistEntry]:
        """The approved entries that are not over, templates opened. Raises KeyMissingError for another key."""
        now = datetime.now(UTC)
        query = sa.select(table).where(table.c.approved_by_id.is_not(None)).order_by(table.c.id)
        found: list[WatchlistEntry] = []
        key: WatchlistKey | None = None
        with self._engine.connect() as connection:
            for row in connection.execute(query):
                info = _info(row._mapping)
                if info.state(now) == "active":
                    key = key or self._key()
                    plain = key.open(row.template, _purpose(row.id, row.model_digest))
                    template = np.frombuffer(plain, np.float32)
                    found.append(
                        WatchlistEntry(
                            row.id, row.list, row.subject, template, row.model_digest, info.ends_at.timestamp()
                        )
                    )
        return found


_SHOWN = [column for column in table.c if column.name not in ("template", "added_by_id", "approved_by_id")]


def _purpose(entry_id: str, model_digest: str) -> str:
    """Bound into the ciphertext: a template moved to another row, or said to be another model's, does not open."""
    return f"hoaban watchlist template {entry_id} {model_digest}"


def _info(row: Mapping[str, Any]) -> EntryInfo:
    return EntryInfo(
        row["id"], row["list"], row["subject"], row["model"], row["model_digest"], row["law"], row["authority"],
        row["document"], _aware(row["basis_until"]), _aware(row["expires_at"]), row["added_by"],
        _aware(row["added_at"]), row["approved_by"], _aware(row["approved_at"]) if row["approved_at"] else None,
    )  # fmt: skip


def _aware(time: datetime) -> datetime:
    """SQLite gives times back without their zone, which is UTC."""
    return time.replace(tzinfo=time.tzinfo or UTC)
