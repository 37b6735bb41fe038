"""Erasures that were begun, their signed records, and who finishes them, in SQL."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.columns import String
from actors.store.evidence import TURN
from actors.store.tables import Sequence64, metadata
from actors.store.turns import turn, wait_for
from hoaban.evidence.manifest import canonical, digest

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("seq", Sequence64, primary_key=True, autoincrement=True),
    sa.Column("id", String(32), nullable=False, unique=True),
    sa.Column("rule", String(128), nullable=False),
    sa.Column("basis", String(2000), nullable=False),
    sa.Column("by_name", String(128), nullable=False),
    sa.Column("begun_s", sa.Float(53), nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
    sa.Column("manifest", sa.LargeBinary),
    sa.Column("signature", sa.LargeBinary),
    sa.Column("number", sa.Integer),  # of its record: 1, 2, 3, …; no two name the same one before them
    sa.Column("done_s", sa.Float(53)),
    sa.Column("worker", String(32)),  # who finishes it, and for how long nobody else does
    sa.Column("leased_until_s", sa.Float(53)),
    sa.Index("erasures_number", "number", unique=True),
    sqlite_autoincrement=True,
)

LEASE_S = 300.0
RECORDS_TURN = "erasure records"
"""taken after TURN by who takes both"""


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure. plan: what goes. manifest, signature: the record of it, None until it is signed.

    number: of the record. done_s: when all of it was gone, None until then.
    """

    id: str
    rule: str
    basis: str
    by_name: str
    begun_s: float
    plan: list[dict[str, Any]]
    manifest: bytes | None
    signature: bytes | None
    number: int | None
    done_s: float | None

    @property
    def sha256(self) -> str:
        """Of what is signed of it. Raises ManifestError where that cannot be signed."""
        told = {"id": self.id, "rule": self.rule, "basis": self.basis, "by": self.by_name, "plan": self.plan}
        return digest(canonical(told))


Make = Callable[[Erasure, str | None], tuple[bytes, bytes]]
"""makes the record of an erasure, and its signature, from the sha256 of the record before"""


class ErasureStore:
    """On the event store's engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lease(self, worker: str, now_s: float, id: str | None = None, leave: Sequence[str] = ()) -> Erasure | None:
        """An erasure that is not done, to be finished by this worker alone: the oldest that nobody else has, or the
        one with this id, again; none of those to leave alone. None where there is none."""
        # A lease that ends far later than any can was made by a clock that has been set back since.
        free = erasures.c.worker.is_(None) | erasures.c.leased_until_s.is_(None) | (erasures.c.worker == worker)
        free |= ~erasures.c.leased_until_s.between(now_s, now_s + 2 * LEASE_S)
        open_ = erasures.c.done_s.is_(None) & free & erasures.c.id.not_in(list(leave))
        with turn(self._engine, TURN) as connection:
            query = sa.select(erasures.c.id).where(open_).order_by(erasures.c.seq).limit(1)
            found = connection.execute(query if id is None else query.where(erasures.c.id == id)).scalar()
            if found is None:
                return None
            values = {"worker": worker, "leased_until_s": now_s + LEASE_S}
            connection.execute(sa.update(erasures).where(erasures.c.id == found).values(values))
        return self.erasure(found)

    def release(self, id: str, worker: str) -> None:
        """Leave an erasure that could not be finished now to whoever comes first."""
        with self._engine.begin() as connection:
            own = (erasures.c.id == id) & (erasures.c.worker == worker)
            connection.execute(sa.update(erasures).where(own).values(worker=None, leased_until_s=None))

    def unfinished(self) -> list[Erasure]:
        with self._engine.connect() as connection:
            query = sa.select(erasures).where(erasures.c.done_s.is_(None)).order_by(erasures.c.seq)
            return [as_erasure(row) for row in connection.execute(query)]

    def erasure(self, id: str) -> Erasure:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(erasures).where(erasures.c.id == id)).one_or_none()
        if row is None:
            raise KeyError(id)
        return as_erasure(row)

    def erasures(self, most: int = 200) -> list[Erasure]:
        """The newest first."""
        with self._engine.connect() as connection:
            query = sa.select(erasures).order_by(erasures.c.seq.desc()).limit(most)
            return [as_erasure(row) for row in connection.execute(query)]

    def records(self, rule: str | None = None) -> list[Erasure]:
        """All that have a record, or those by a rule, in the order of the records."""
        with self._engine.connect() as connection:
            query = sa.select(erasures).where(erasures.c.number.is_not(None)).order_by(erasures.c.number)
            if rule is not None:
                query = query.where(erasures.c.rule == rule)
            return [as_erasure(row) for row in connection.execute(query)]


def begin(
    connection: Connection, rule: str, basis: str, by_name: str, plan: list[dict[str, Any]], worker: str, make: Make
) -> str:
    """Write down what goes, with its signed record, in the transaction that takes it; the id. Takes RECORDS_TURN.

    An erasure that lies there without a record was written by an earlier version, or by somebody who has no key.
    """
    id, now_s = secrets.token_hex(8), time.time()
    row = {"id": id, "rule": rule, "basis": basis, "by_name": by_name, "begun_s": now_s, "plan": plan}
    row |= {"worker": worker, "leased_until_s": now_s + LEASE_S}
    connection.execute(sa.insert(erasures).values(row))
    wait_for(connection, RECORDS_TURN)
    sign(connection, id, make)
    return id


def sign(connection: Connection, id: str, make: Make) -> None:
    """Give an erasure a record, unless it has one. In RECORDS_TURN."""
    row = connection.execute(sa.select(erasures).where(erasures.c.id == id)).one()
    if row.signature is not None:
        return
    newest = sa.select(erasures.c.number, erasures.c.manifest).where(erasures.c.number.is_not(None))
    last = connection.execute(newest.order_by(erasures.c.number.desc()).limit(1)).one_or_none()
    manifest, signature = make(as_erasure(row), None if last is None else digest(last.manifest))
    values = {"manifest": manifest, "signature": signature, "number": 1 if last is None else last.number + 1}
    connection.execute(sa.update(erasures).where(erasures.c.id == id).values(values))


def as_erasure(row: sa.Row[Any]) -> Erasure:
    about = (row.id, row.rule, row.basis, row.by_name, row.begun_s, row.plan)
    return Erasure(*about, row.manifest, row.signature, row.number, row.done_s)
