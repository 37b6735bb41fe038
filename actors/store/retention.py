"""Holds, erasures and what is over, in SQL. What is decided is decided in hoaban/evidence/retention.py."""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.columns import String
from actors.store.evidence import Who, evidence
from actors.store.tables import Sequence64, events, metadata
from hoaban.evidence.manifest import digest
from hoaban.evidence.retention import Hold
from hoaban.evidence.review import State

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
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Group:
    """Events that have the same terms; first_s: capture time of the oldest."""

    type: str
    role: str | None
    camera: str
    days: int | None
    first_s: float


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure. plan: what goes. manifest, signature: the record of it, None until it is done."""

    id: str
    rule: str
    basis: str
    by_name: str
    begun_s: float
    plan: list[dict[str, Any]]
    manifest: bytes | None
    signature: bytes | None


class RetentionStore:
    """On the event store's engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Holds

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
    ) -> Hold:
        """Begin a hold."""
        row = {"id": secrets.token_hex(8), "kind": kind, "subject": subject, "reason": reason, "from_s": from_s}
        row |= {"until_s": until_s, "ends_s": ends_s, "by_id": by.id, "by_name": by.name, "at_s": time.time()}
        with self._engine.begin() as connection:
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
        about = ("id", "kind", "subject", "reason", "from_s", "until_s", "ends_s", "lifted_s")
        return [
            (Hold(**{name: row[name] for name in about}), {n: v for n, v in row.items() if n not in about})
            for row in rows
        ]

    # Events

    def groups(self) -> list[Group]:
        """Which kinds of events there are."""
        key = [events.c.type, events.c.role, events.c.camera, events.c.retention_days]
        query = sa.select(*key, sa.func.min(events.c.time_s)).group_by(*key)
        with self._engine.connect() as connection:
            return [Group(*row) for row in connection.execute(query)]

    def take_events(
        self, group: Group, before_s: float, holds: Iterable[Hold], most: int, rule: str, basis: str, by_name: str
    ) -> Erasure | None:
        """Delete at most `most` events of a group captured before a time, and begin the erasure that says so, in one.

        Those that a hold covers stay, and those whose case is kept: they go with it. None when nothing went.
        """
        same = [events.c.type == group.type, events.c.camera == group.camera, events.c.time_s < before_s]
        same += [_equal(events.c.role, group.role), _equal(events.c.retention_days, group.days)]
        cases = sa.select(evidence.c.id).where(evidence.c.erased_s.is_(None))
        query = sa.select(events.c.id, events.c.time_s, events.c.body).where(*same, events.c.id.not_in(cases))
        for hold in holds:
            query = query.where(~_covered(hold))
        with self._engine.begin() as connection:
            rows = connection.execute(query.order_by(events.c.time_s).limit(most)).all()
            if not rows:
                return None
            connection.execute(sa.delete(events).where(events.c.id.in_([row.id for row in rows])))
            lines = sorted(f"{row.id} {_digest(row.body)}\n" for row in rows)
            gone = {
                "what": "events",
                "type": group.type,
                "camera": group.camera,
                "count": len(rows),
                "first_s": rows[0].time_s,
                "last_s": rows[-1].time_s,
                "ids_and_digests_sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
            }
            id = _begin(connection, rule, basis, by_name, [gone])
        return self.erasure(id)

    def find_events(
        self, cameras: Sequence[str] | None, since_s: float, until_s: float, most: int
    ) -> list[Mapping[str, Any]]:
        """Events of cameras captured in [since_s, until_s), as CloudEvents, oldest first."""
        query = sa.select(events.c.body).where(events.c.time_s >= since_s, events.c.time_s < until_s)
        if cameras is not None:
            query = query.where(events.c.camera.in_(list(cameras)))
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(events.c.time_s).limit(most)).scalars())

    def events_by_id(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """id -> CloudEvent, of those that are there."""
        query = sa.select(events.c.id, events.c.body).where(events.c.id.in_(list(ids)))
        with self._engine.connect() as connection:
            return {row.id: row.body for row in connection.execute(query)}

    def event_digests(self, ids: Sequence[str]) -> dict[str, str]:
        """id -> sha256 of its stored JSON (keys sorted, no spaces), of those that are there."""
        return {id: _digest(body) for id, body in self.events_by_id(ids).items()}

    # Erasures

    def begin_erasure(self, rule: str, basis: str, by_name: str, plan: list[dict[str, Any]]) -> Erasure:
        """Write down what will go, before anything does: a killed process leaves what can be finished."""
        with self._engine.begin() as connection:
            id = _begin(connection, rule, basis, by_name, plan)
        return self.erasure(id)

    def forget(self, plan: list[dict[str, Any]]) -> None:
        """Take a plan's cases, events and files out of the tables. Done again it does nothing more."""
        cases = [one["id"] for one in plan if one["what"] == "evidence"]
        gone = [one["id"] for one in plan if one["what"] in ("evidence", "event")]
        values = {"state": State.ERASED, "erased_s": time.time(), "plate": None, "doubts": [], "missing": {}}
        with self._engine.begin() as connection:
            connection.execute(sa.update(evidence).where(evidence.c.id.in_(cases)).values(values | {"files": {}}))
            connection.execute(sa.delete(events).where(events.c.id.in_(gone)))
            for one in plan:
                if one["what"] == "file":
                    self._forget_file(connection, one["id"], one["name"])

    def _forget_file(self, connection: Connection, case: str, name: str) -> None:
        there = evidence.c.id == case
        row = connection.execute(sa.select(evidence.c.files, evidence.c.missing).where(there)).one()
        files = {other: entry for other, entry in row.files.items() if other != name}
        missing = row.missing | {name: "erased: its term is over"}
        connection.execute(sa.update(evidence).where(there).values(files=files, missing=missing))

    def end_erasure(self, id: str, manifest: bytes, signature: bytes) -> None:
        """It is done, and this is its record."""
        with self._engine.begin() as connection:
            there = (erasures.c.id == id) & erasures.c.signature.is_(None)
            connection.execute(sa.update(erasures).where(there).values(manifest=manifest, signature=signature))

    def unfinished(self) -> list[Erasure]:
        with self._engine.connect() as connection:
            query = sa.select(erasures).where(erasures.c.signature.is_(None)).order_by(erasures.c.seq)
            return [_erasure(row) for row in connection.execute(query)]

    def erasure(self, id: str) -> Erasure:
        """Raises KeyError."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(erasures).where(erasures.c.id == id)).one_or_none()
        if row is None:
            raise KeyError(id)
        return _erasure(row)

    def erasures(self, most: int = 200) -> list[Erasure]:
        """The newest first."""
        with self._engine.connect() as connection:
            query = sa.select(erasures).order_by(erasures.c.seq.desc()).limit(most)
            return [_erasure(row) for row in connection.execute(query)]

    def last_record(self) -> str | None:
        """The sha256 of the newest record, which the next one names: none can be taken out unseen."""
        done = sa.select(erasures.c.manifest).where(erasures.c.manifest.is_not(None))
        with self._engine.connect() as connection:
            data = connection.execute(done.order_by(erasures.c.seq.desc()).limit(1)).scalar()
        return None if data is None else digest(data)


def _begin(connection: Connection, rule: str, basis: str, by_name: str, plan: list[dict[str, Any]]) -> str:
    id = secrets.token_hex(8)
    row = {"id": id, "rule": rule, "basis": basis, "by_name": by_name, "begun_s": time.time(), "plan": plan}
    connection.execute(sa.insert(erasures).values(row))
    return id


def _covered(hold: Hold) -> sa.ColumnElement[bool]:
    """As Hold.covers, in SQL."""
    if hold.kind == "evidence":
        return events.c.id == hold.subject
    covered: sa.ColumnElement[bool] = events.c.camera == hold.subject
    if hold.from_s is not None:
        covered &= events.c.time_s >= hold.from_s
    if hold.until_s is not None:
        covered &= events.c.time_s < hold.until_s
    return covered


def _equal(column: sa.Column[Any], value: object) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _digest(body: Mapping[str, Any]) -> str:
    return digest(json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


def _erasure(row: sa.Row[Any]) -> Erasure:
    return Erasure(row.id, row.rule, row.basis, row.by_name, row.begun_s, row.plan, row.manifest, row.signature)
