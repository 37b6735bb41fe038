"""The event store: each event once, by its id; read by time, by number, and as counts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from actors.store.engine import open_engine
from actors.store.rows import event_row
from actors.store.tables import events
from hoaban.events import Event
from hoaban.uptime import FaultChange

MOST_PAGE = 1000
MOST_ROWS = 50_000
"""of counts in one answer"""
WRITE_LOCK = 0x486F6142616E01


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event and its number in the store: numbers grow in the order of storing."""

    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, the newest first, and the cursor of the next page, or None at the end."""

    events: list[StoredEvent]
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class CountRow:
    """How many line crossings of one kind; bucket_s: start of the interval, seconds since 1970, None for the sum.

    lane: None where the line's rule has none, or for who crossed beside them.
    """

    camera: str
    line: str
    direction: str
    label: str
    bucket_s: float | None
    n: int
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class TurnRow:
    """How many road users of a class came over one line and left by another; bucket_s as in CountRow."""

    camera: str
    rule: str
    from_line: str
    to_line: str
    label: str
    bucket_s: float | None
    n: int


class TooManyRowsError(ValueError):
    """The answer would be too long; the message says how to ask for less."""


class EventStore:
    """SQL behind SQLAlchemy: SQLite for one machine, PostgreSQL for a province."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> "EventStore":
        """Connect and bring the tables up to date. Raises StoreError, whose message is for the operator."""
        return cls(open_engine(url))

    @property
    def _postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"

    @property
    def engine(self) -> Engine:
        return self._engine

    def write(self, batch: Sequence[Event]) -> int:
        """Store events in one transaction; how many were new. An event that is stored already stays as it is.

        Raises ValueError for an event that no store takes, SQLAlchemyError when the database is away.
        """
        if not batch:
            return 0
        dialect = postgresql if self._postgresql else sqlite
        first: dict[str, Event] = {}
        for event in batch:
            first.setdefault(event.id, event)
        rows = [event_row(event) for event in first.values()]
        with self._engine.begin() as connection:
            if self._postgresql:
                # Who follows `seq > last` must not see a number before all smaller ones. PostgreSQL numbers rows before
                # their commit, so writers take turns from the first number to the commit; SQLite has no other way.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITE_LOCK)))
            statement = dialect.insert(events).on_conflict_do_nothing(index_elements=["id"]).returning(events.c.seq)
            return len(connection.execute(statement, rows).all())

    def page(
        self,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        type: str | None = None,
        camera: str | None = None,
        cameras: Collection[str] | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> EventPage:
        """Events captured in [since_s, until_s), the newest stored first, numbers below `cursor` only.

        cameras: of these only; None: of all.
        """
        limit = max(1, min(limit, MOST_PAGE))
        query = sa.select(events.c.seq, events.c.body).order_by(events.c.seq.desc()).limit(limit + 1)
        for condition in _conditions(since_s, until_s, type, camera, cameras):
            query = query.where(condition)
        if cursor is not None:
            query = query.where(events.c.seq < cursor)
        found = self._read(query)
        more = len(found) > limit
        return EventPage(found[:limit], found[limit - 1].seq if more else None)

    def find(self, id: str) -> Event | None:
        """The event with an id; None when there is none."""
        found = self._read(sa.select(events.c.seq, events.c.body).where(events.c.id == id))
        return found[0].event if found else None

    def tail(self, after_seq: int, limit: int = 200, cameras: Collection[str] | None = None) -> list[StoredEvent]:
        """Events stored after a number, in order; cameras: of these only."""
        query = sa.select(events.c.seq, events.c.body).where(events.c.seq > after_seq)
        if cameras is not None:
            query = query.where(events.c.camera.in_(cameras))
        return self._read(query.order_by(events.c.seq).limit(limit))

    def counts(
        self,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        camera: str | None = None,
        cameras: Collection[str] | None = None,
        bucket_s: int | None = None,
        clock_s: float = 0.0,
    ) -> list[CountRow]:
        """Line crossings by camera, line, direction, class and lane, in intervals of bucket_s seconds or all together.

        Raises TooManyRowsError for more than MOST_ROWS of them.

        clock_s: how far the clock that the intervals are aligned to is ahead of UTC.
        """
        key = [events.c.camera, events.c.line, events.c.direction, events.c.label, events.c.lane]
        rows = self._series(key, _conditions(since_s, until_s, "hoaban.line_count", camera, cameras), bucket_s, clock_s)
        return [CountRow(*r[:4], bucket_s=at, n=n, lane=r[4]) for r, at, n in rows]

    def turns(
        self,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        camera: str | None = None,
        cameras: Collection[str] | None = None,
        bucket_s: int | None = None,
        clock_s: float = 0.0,
    ) -> list[TurnRow]:
        """Turning counts by camera, rule, both lines and class, in intervals as in `counts`."""
        key = [events.c.camera, events.c.rule, events.c.turn_from, events.c.turn_to, events.c.label]
        rows = self._series(
            key, _conditions(since_s, until_s, "hoaban.turning_count", camera, cameras), bucket_s, clock_s
        )
        return [TurnRow(*r, bucket_s=at, n=n) for r, at, n in rows]

    def faults(self, since_s: float, until_s: float) -> list[FaultChange]:
        """Beginnings and ends of cameras' faults before until_s: all since since_s, and the last of each before it."""
        last = sa.func.row_number().over(
            partition_by=[events.c.camera, events.c.fault], order_by=[events.c.time_s.desc(), events.c.seq.desc()]
        )
        told = [events.c.type == "hoaban.camera_health", events.c.fault.is_not(None)]
        columns = [events.c.camera, events.c.fault, events.c.phase, events.c.time_s]
        before = sa.select(*columns, last.label("nth")).where(*told, events.c.time_s < since_s).subquery()
        within = sa.select(*columns).where(*told, events.c.time_s >= since_s, events.c.time_s < until_s)
        with self._engine.connect() as connection:
            rows = [*connection.execute(sa.select(*list(before.c)[:4]).where(before.c.nth == 1))]
            rows += connection.execute(within)
        return sorted((FaultChange(*row) for row in rows), key=lambda change: change.time_s)

    def known_since(self) -> dict[str, float]:
        """camera -> time of its first camera_health event."""
        query = sa.select(events.c.camera, sa.func.min(events.c.time_s)).where(events.c.type == "hoaban.camera_health")
        with self._engine.connect() as connection:
            return {row[0]: float(row[1]) for row in connection.execute(query.group_by(events.c.camera))}

    def last_seq(self) -> int:
        """The number of the newest event, 0 without any."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.max(events.c.seq))).scalar() or 0)

    def highest_given(self) -> int:
        """The highest number that any event was given, one that is purged by now too; 0 without any.

        It may be ahead of what is committed. It goes back only when the database was restored from a backup.
        """
        known = "SELECT last_value FROM events_seq_seq WHERE is_called"
        query = known if self._postgresql else "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
        with self._engine.connect() as connection:
            return int(connection.exec_driver_sql(query).scalar() or 0)

    def total(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one())

    def close(self) -> None:
        self._engine.dispose()

    def _series(
        self,
        key: list[sa.Column[str]],
        conditions: list[sa.ColumnElement[bool]],
        bucket_s: int | None,
        clock_s: float,
    ) -> list[tuple[tuple[Any, ...], float | None, int]]:
        """(key, start of the interval, number of events) of each group."""
        bucket: sa.ColumnElement[Any] = sa.literal(None)
        if bucket_s:
            bucket = sa.func.floor((events.c.time_s + clock_s) / bucket_s) * bucket_s - clock_s
        query = sa.select(*key, bucket.label("bucket"), sa.func.count()).where(*conditions).limit(MOST_ROWS + 1)
        groups = [*key, sa.text("bucket")] if bucket_s else key
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(*groups).order_by(*groups)).all()
        if len(rows) > MOST_ROWS:
            raise TooManyRowsError(
                f"more than {MOST_ROWS} rows; name a camera, or ask for less time or longer intervals"
            )
        width = len(key)
        return [(tuple(r[:width]), None if r[width] is None else float(r[width]), int(r[width + 1])) for r in rows]

    def _read(self, query: sa.Select[tuple[int, dict[str, object]]]) -> list[StoredEvent]:
        with self._engine.connect() as connection:
            return [StoredEvent(seq, Event.from_cloudevent(body)) for seq, body in connection.execute(query)]


def _conditions(
    since_s: float | None,
    until_s: float | None,
    type: str | None,
    camera: str | None,
    cameras: Collection[str] | None,
) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if since_s is not None:
        found.append(events.c.time_s >= since_s)
    if until_s is not None:
        found.append(events.c.time_s < until_s)
    if type is not None:
        found.append(events.c.type == type)
    if camera is not None:
        found.append(events.c.camera == camera)
    if cameras is not None:
        found.append(events.c.camera.in_(cameras))
    return found
