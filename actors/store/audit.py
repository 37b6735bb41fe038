"""The audit chain in SQL: records are only ever added, one writer at a time, each bound to the one before."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.tables import audit as table
from hoaban.audit import START, AuditRecord

READ_AT_ONCE = 1000


class AuditStore:
    """The chain. Raises sqlalchemy.exc.SQLAlchemyError when it cannot be written or read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
                at_s=max(round(time.time(), 3), last_s),
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

    def head(self) -> tuple[int, str]:
        """(seq, digest) of the newest record; (0, START) without any."""
        with self._engine.connect() as connection:
            return self._head(connection)[:2]

    def records(self) -> Iterator[AuditRecord]:
        """The whole chain, oldest first, in order of seq."""
        after: int | None = None
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


def _row(record: AuditRecord) -> dict[str, Any]:
    return {column.name: getattr(record, column.name) for column in table.c}
