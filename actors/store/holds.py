"""Legal holds, in SQL. What a hold covers is decided in hoaban/evidence/retention.py, and here in SQL alike."""

import secrets
import time
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.columns import String
from actors.store.evidence import TURN, Who, evidence
from actors.store.incident_tables import reports
from actors.store.tables import events, metadata
from actors.store.turns import turn
from hoaban.evidence.retention import Hold
from hoaban.evidence.review import RefusedError, State

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("id", String(32), primary_key=True),
    sa.Column("kind", String(16), nullable=False),
    sa.Column("subject", String(64), nullable=False),
    sa.Column("reason", String(2000), nullable=False),
    sa.Column("from_s", sa.Float(53)),
    sa.Column("until_s", sa.Float(53)),
    sa.Column("ends_s", sa.Float(53)),
    sa.Column("by_id", String(64), nullable=False),
    sa.Column("by_name", String(128), nullable=False),
    sa.Column("at_s", sa.Float(53), nullable=False),
    sa.Column("lifted_s", sa.Float(53)),
    sa.Column("lifted_by", String(128)),
    sa.Column("lifted_reason", String(2000)),
)

ABOUT = ("id", "kind", "subject", "reason", "from_s", "until_s", "ends_s", "lifted_s")
"""columns that say what a hold covers; the others say whose it is"""


class HoldStore:
    """On the event store's engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hold(
        self,
        kind: str,
        subject: str,
        reason: str,
        by: Who,
        *,
        from_s: float | None = None,
        until_s: float | None = None,
        ends_s: float | None = None,
        known: Collection[str] = (),
    ) -> Hold:
        """Begin a hold. known: cameras of which there is, or will be, something to keep, whatever is stored here.

        Raises KeyError for a subject that is not stored nor known, RefusedError for one that goes already.
        """
        row = {"id": secrets.token_hex(8), "kind": kind, "subject": subject, "reason": reason, "from_s": from_s}
        row |= {"until_s": until_s, "ends_s": ends_s, "by_id": by.id, "by_name": by.name, "at_s": time.time()}
        with turn(self._engine, TURN) as connection:
            if kind != "camera" or subject not in known:
                _check_subject(connection, kind, subject)
            connection.execute(sa.insert(holds).values(row))
        return next(hold for hold, _ in self.holds() if hold.id == row["id"])

    def lift(self, id: str, reason: str, by: Who) -> bool:
        """End a hold; False when there is none, or it was lifted already. It stays on record."""
        values = {"lifted_s": time.time(), "lifted_by": by.name, "lifted_reason": reason}
        with self._engine.begin() as connection:
            there = (holds.c.id == id) & holds.c.lifted_s.is_(None)
            return connection.execute(sa.update(holds).where(there).values(values)).rowcount > 0

    def holds(self) -> list[tuple[Hold, dict[str, Any]]]:
        """All holds, those that are over too, each with who began and who lifted it."""
        with self._engine.connect() as connection:
            rows = [dict(row._mapping) for row in connection.execute(sa.select(holds).order_by(holds.c.at_s))]
        return [(_hold(row), {n: v for n, v in row.items() if n not in ABOUT}) for row in rows]

    def too_late(self, hold: Hold) -> list[str]:
        """Cases that a hold would keep and whose erasure had begun before it."""
        query = sa.select(evidence.c.id, evidence.c.camera, evidence.c.captured_s)
        with self._engine.connect() as connection:
            going = connection.execute(query.where(evidence.c.state == State.ERASING)).all()
        return [row.id for row in going if hold.covers(row.id, row.camera, row.captured_s)]


def held(table: sa.Table, time_s: sa.Column[float], now_s: float) -> sa.ColumnElement[bool]:
    """Whether a hold lasts that covers a row: as Hold.lasts and Hold.covers, in SQL."""
    covers = ((holds.c.kind == "evidence") & (holds.c.subject == table.c.id)) | of_camera(table.c.camera, time_s)
    return sa.select(holds.c.id).where(lasts(now_s), covers).exists()


def lasting(connection: Connection, now_s: float) -> list[Hold]:
    """Those that last, as of a transaction: in TURN none can come meanwhile."""
    return [_hold(dict(row._mapping)) for row in connection.execute(sa.select(holds).where(lasts(now_s)))]


def lasts(now_s: float) -> sa.ColumnElement[bool]:
    return holds.c.lifted_s.is_(None) & (holds.c.ends_s.is_(None) | (holds.c.ends_s > now_s))


def of_camera(camera: sa.Column[str], time_s: sa.Column[float]) -> sa.ColumnElement[bool]:
    after = holds.c.from_s.is_(None) | (time_s >= holds.c.from_s)
    before = holds.c.until_s.is_(None) | (time_s < holds.c.until_s)
    return (holds.c.kind == "camera") & (holds.c.subject == camera) & after & before


def _hold(row: Mapping[str, Any]) -> Hold:
    return Hold(**{name: row[name] for name in ABOUT})


def _check_subject(connection: Connection, kind: str, subject: str) -> None:
    """Raises KeyError, RefusedError: a hold on what is not there would keep nothing, and look as if it did."""
    if kind == "evidence":
        state = connection.execute(sa.select(evidence.c.state).where(evidence.c.id == subject)).scalar()
        if state in (State.ERASING, State.ERASED):
            raise RefusedError(f"it is {state} already: nothing can keep it", conflict=True)
        seen = state or connection.execute(sa.select(events.c.id).where(events.c.id == subject)).first()
    elif kind == "report":
        known = subject.isascii() and subject.isdecimal() and len(subject) < 16
        seen = known and connection.execute(sa.select(reports.c.number).where(reports.c.number == int(subject))).first()
    else:
        seen = None
        for table in (events, evidence, reports):
            there = sa.select(sa.literal(1)).where(table.c.camera == subject).limit(1)
            seen = seen or connection.execute(there).first()
    if not seen:
        raise KeyError(subject)
