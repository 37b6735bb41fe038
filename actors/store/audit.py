"""The audit chain in SQL: records are only ever added, one writer at a time, each bound to the one before."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.tables import audit as table
from actors.store.tables import metadata
from hoaban.access.misuse import LOOK, UNMASK
from hoaban.audit import START, AuditRecord

READ_AT_ONCE = 1000
FILLED_WHEN_MADE = ("keeper_cursors",)


class AuditStore:
    """The chain. Raises sqlalchemy.exc.SQLAlchemyError when it cannot be written or read."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._clock = engine, clock

    @property
    def engine(self) -> Engine:
        return self._engine

    def append(
        self,
        who_id: str,
        who_name: str,
        action: str,
        subject: str,
        *,
        camera: str | None = None,
        reason: str | None = None,
        outcome: str = "done",
        detail: Mapping[str, Any] | None = None,
    ) -> AuditRecord:
        """Add a record; returned once it is on the disk."""
        with self._engine.begin() as connection:
            self._take_turn(connection)
            seq, previous, last_s = self._head(connection)
            record = AuditRecord(
                seq=seq + 1,
                # The order of the chain is the order of time: a clock set back does not make it a lie.
                at_s=max(round(self._clock(), 3), last_s),
                who_id=who_id,
                who_name=who_name,
                action=action,
                subject=subject,
                camera=camera,
                reason=reason,
                outcome=outcome,
                detail=dict(detail or {}),
            ).sealed(previous)
            connection.execute(sa.insert(table).values(_row(record)))
        return record

    def cut(self) -> tuple[int, str] | None:
        """Number and digest of the last record that was taken out of the beginning; None where it is whole."""
        query = sa.select(table.c.seq, table.c.previous).order_by(table.c.seq).limit(1)
        with self._engine.connect() as connection:
            first = connection.execute(query).one_or_none()
        return None if first is None or first.seq == 1 else (first.seq - 1, first.previous)

    def nothing_yet(self) -> bool:
        """Whether the whole database is as it was made: no record, no person, no event, nothing."""
        with self._engine.connect() as connection:
            filled = (
                connection.execute(sa.select(sa.literal(1)).select_from(one).limit(1)).first()
                for one in metadata.sorted_tables
                if one.name not in FILLED_WHEN_MADE
            )
            return not any(filled)

    def head(self) -> tuple[int, str]:
        """(seq, digest) of the newest record; (0, START) without any."""
        with self._engine.connect() as connection:
            return self._head(connection)[:2]

    def record(self, seq: int) -> AuditRecord | None:
        """The record with a number."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(table.c.seq == seq)).one_or_none()
        return None if row is None else AuditRecord(**row._mapping)

    def records(self, after: int | None = None) -> Iterator[AuditRecord]:
        """The whole chain, or what follows a number; in order of seq."""
        while True:
            query = sa.select(table).order_by(table.c.seq).limit(READ_AT_ONCE)
            if after is not None:
                query = query.where(table.c.seq > after)
            with self._engine.connect() as connection:
                found = [AuditRecord(**row._mapping) for row in connection.execute(query)]
            yield from found
            if len(found) < READ_AT_ONCE:
                return
            after = found[-1].seq

    def page(
        self,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        who: str | None = None,
        action: str | None = None,
        camera: str | None = None,
        outcome: str | None = None,
        cursor: int | None = None,
        limit: int = 100,
    ) -> tuple[list[AuditRecord], int | None]:
        """Records, the newest first, and the cursor of the next page. who: an id or a name. action: "picture.look", or
        the first part of several, "picture"."""
        query = sa.select(table).order_by(table.c.seq.desc()).limit(limit + 1)
        for condition in _conditions(since_s, until_s, who, action, camera, outcome):
            query = query.where(condition)
        if cursor is not None:
            query = query.where(table.c.seq < cursor)
        with self._engine.connect() as connection:
            found = [AuditRecord(**row._mapping) for row in connection.execute(query)]
        return found[:limit], found[limit - 1].seq if len(found) > limit else None

    def looks(self, since_s: float, until_s: float) -> list[AuditRecord]:
        """All looks at pictures between two times, in order."""
        query = sa.select(table).where(table.c.at_s >= since_s, table.c.at_s < until_s)
        query = query.where(table.c.action.in_([LOOK, UNMASK])).order_by(table.c.seq)
        with self._engine.connect() as connection:
            return [AuditRecord(**row._mapping) for row in connection.execute(query)]

    def _take_turn(self, connection: Connection) -> None:
        """Other writers, in whatever process, wait from here to the end of the transaction; readers do not."""
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("LOCK TABLE audit IN EXCLUSIVE MODE"))

    def _head(self, connection: Connection) -> tuple[int, str, float]:
        newest = sa.select(table.c.seq, table.c.digest, table.c.at_s).order_by(table.c.seq.desc()).limit(1)
        row = connection.execute(newest).one_or_none()
        return (0, START, 0.0) if row is None else (row.seq, row.digest, row.at_s)


def _conditions(
    since_s: float | None,
    until_s: float | None,
    who: str | None,
    action: str | None,
    camera: str | None,
    outcome: str | None,
) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if since_s is not None:
        found.append(table.c.at_s >= since_s)
    if until_s is not None:
        found.append(table.c.at_s < until_s)
    if who is not None:
        found.append((table.c.who_id == who) | (table.c.who_name == who))
    if action is not None:
        found.append((table.c.action == action) | table.c.action.startswith(f"{action}.", autoescape=True))
    if camera is not None:
        found.append(table.c.camera == camera)
    if outcome is not None:
        found.append(table.c.outcome == outcome)
    return found


def _row(record: AuditRecord) -> dict[str, Any]:
    return {column.name: getattr(record, column.name) for column in table.c}
