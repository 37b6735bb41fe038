"""Holds, erasures and what is over, in SQL. What is decided is decided in hoaban/evidence/retention.py."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.audit_pruning import prune
from actors.store.columns import String
from actors.store.evidence import TURN, CaseRow, Who, evidence, may_be, plain_plate, tombstones
from actors.store.incident_tables import reports
from actors.store.incidents import TURN as INCIDENTS_TURN
from actors.store.reports import take_over
from actors.store.tables import Sequence64, events, metadata
from actors.store.turns import turn, wait_for
from hoaban.evidence.manifest import digest
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
class Group:
    """Events that have the same terms; first_s: capture time of the oldest."""

    type: str
    role: str | None
    camera: str
    days: int | None
    first_s: float


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


Make = Callable[[Erasure, str | None], tuple[bytes, bytes]]
"""makes the record of an erasure, and its signature, from the sha256 of the record before"""


@dataclass(frozen=True, slots=True)
class Begun:
    """erasure: None when nothing could go. kept: id -> why it stays."""

    erasure: Erasure | None
    kept: Mapping[str, str]


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
        about = ("id", "kind", "subject", "reason", "from_s", "until_s", "ends_s", "lifted_s")
        return [
            (Hold(**{name: row[name] for name in about}), {n: v for n, v in row.items() if n not in about})
            for row in rows
        ]

    def too_late(self, hold: Hold) -> list[str]:
        """Cases that a hold would keep and whose erasure had begun before it."""
        query = sa.select(evidence.c.id, evidence.c.camera, evidence.c.captured_s)
        with self._engine.connect() as connection:
            going = connection.execute(query.where(evidence.c.state == State.ERASING)).all()
        return [row.id for row in going if hold.covers(row.id, row.camera, row.captured_s)]

    # Events

    def groups(self) -> list[Group]:
        """Which kinds of events there are."""
        key = [events.c.type, events.c.role, events.c.camera, events.c.retention_days]
        query = sa.select(*key, sa.func.min(events.c.time_s)).group_by(*key)
        with self._engine.connect() as connection:
            return [Group(*row) for row in connection.execute(query)]

    def take_events(
        self,
        group: Group,
        before_s: float,
        unsealed_before_s: float,
        most: int,
        rule: str,
        basis: str,
        by_name: str,
        worker: str,
        now_s: float,
    ) -> Erasure | None:
        """Delete at most `most` events of a group captured before a time, and begin the erasure that says so, in one.

        Those that a hold covers stay, and those whose case is kept: they go with it. One whose evidence is recorded and
        not sealed yet goes when it was captured before unsealed_before_s. None when nothing went.
        """
        same = [events.c.type == group.type, events.c.camera == group.camera, events.c.time_s < before_s]
        same += [_equal(events.c.role, group.role), _equal(events.c.retention_days, group.days)]
        query = sa.select(events.c.id, events.c.time_s, events.c.body).where(*same, _free(now_s, unsealed_before_s))
        with turn(self._engine, TURN) as connection:
            rows = connection.execute(query.order_by(events.c.time_s).limit(most)).all()
            if not rows:
                return None
            _delete_events(connection, rows, now_s)
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
            id = _begin(connection, rule, basis, by_name, [gone], worker)
        return self.erasure(id)

    def take_reports(
        self, before_s: float, most: int, rule: str, basis: str, by_name: str, worker: str, now_s: float
    ) -> Erasure | None:
        """Delete citizens' reports closed before a time that no hold covers, and begin the erasure that says so."""
        held = _lasts(now_s) & (
            ((holds.c.kind == "report") & (holds.c.subject == sa.cast(reports.c.number, sa.String)))
            | _of_camera(reports.c.camera, reports.c.happened_s)
        )
        with turn(self._engine, INCIDENTS_TURN) as connection:
            wait_for(connection, TURN)
            free = ~sa.select(holds.c.id).where(held).exists()
            plan = take_over(connection, before_s, free, most, now_s)
            id = _begin(connection, rule, basis, by_name, plan, worker) if plan else None
        return self.erasure(id) if id else None

    def take_audit(
        self,
        before_s: float,
        most: int,
        rule: str,
        basis: str,
        by_name: str,
        worker: str,
        now_s: float,
        make: Make,
    ) -> Erasure | None:
        """Prune the audit chain of what was written before a time, with the signed record (as `sign`) that says so, in
        one: no cut is ever there that nobody vouches for."""
        with turn(self._engine, TURN) as connection:
            gone = prune(connection, before_s, most, now_s, by_name, basis)
            id = _begin(connection, rule, basis, by_name, [gone], worker) if gone else None
            if id:
                wait_for(connection, RECORDS_TURN)
                _sign(connection, id, make)
        return self.erasure(id) if id else None

    def find_events(
        self, cameras: Sequence[str] | None, since_s: float, until_s: float, most: int
    ) -> list[Mapping[str, Any]]:
        """Events of cameras captured in [since_s, until_s), as CloudEvents, oldest first."""
        query = sa.select(events.c.body).where(events.c.time_s >= since_s, events.c.time_s < until_s)
        if cameras is not None:
            query = query.where(events.c.camera.in_(list(cameras)))
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(events.c.time_s).limit(most)).scalars())

    def events_by_plate(
        self, plate: str, cameras: Sequence[str], since_s: float | None, until_s: float | None, most: int
    ) -> list[Mapping[str, Any]]:
        """Events that name a plate, or may, as CloudEvents, oldest first. cameras: of these alone; none: of all."""
        query = sa.select(events.c.body).where(may_be(events.c.plate, plain_plate(plate) or ""))
        if cameras:
            query = query.where(events.c.camera.in_(list(cameras)))
        if since_s is not None:
            query = query.where(events.c.time_s >= since_s)
        if until_s is not None:
            query = query.where(events.c.time_s < until_s)
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(events.c.time_s).limit(most)).scalars())

    def events_by_id(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """id -> CloudEvent, of those that are there."""
        query = sa.select(events.c.id, events.c.body).where(events.c.id.in_(list(ids)))
        with self._engine.connect() as connection:
            return {row.id: row.body for row in connection.execute(query)}

    # Erasures

    def begin_erasure(
        self,
        cases: Iterable[CaseRow],
        ids: Sequence[str],
        rule: str,
        basis: str,
        by_name: str,
        worker: str,
        now_s: float,
    ) -> Begun:
        """Take cases, as they were read, and events (ids), and write down what will go: a killed process leaves what
        can be finished. From here on nothing brings them back; what a hold keeps, and a case that was decided since it
        was read, are not taken.
        """
        plan: list[dict[str, Any]] = []
        kept: dict[str, str] = {}
        with turn(self._engine, TURN) as connection:
            for case in cases:
                as_read = (evidence.c.id == case.id) & (evidence.c.state == case.state)
                as_read &= (evidence.c.version == case.version) & ~_held(evidence, evidence.c.captured_s, now_s)
                # Compared and set in one statement: it decides whether the erasure or the decision was first.
                if connection.execute(sa.update(evidence).where(as_read).values(state=State.ERASING)).rowcount == 0:
                    kept[case.id] = "it was decided, held or erased meanwhile"
                    continue
                files = {"manifest_sha256": case.manifest_sha256, "files": case.files}
                plan.append({"what": "evidence", "id": case.id, **files})
            rows = connection.execute(
                sa.select(events.c.id, events.c.body).where(events.c.id.in_(list(ids)), _free(now_s))
            ).all()
            _delete_events(connection, rows, now_s)
            plan += [{"what": "event", "id": row.id, "sha256": _digest(row.body)} for row in rows]
            kept |= dict.fromkeys(set(ids) - {row.id for row in rows}, "it is held, or was erased meanwhile")
            id = _begin(connection, rule, basis, by_name, plan, worker) if plan else None
        return Begun(self.erasure(id) if id else None, kept)

    def begin_clip(
        self, case: CaseRow, name: str, rule: str, basis: str, by_name: str, worker: str, now_s: float
    ) -> Erasure | None:
        """Take one file of a case; None where a hold keeps it, or the case goes as a whole."""
        gone = {"what": "file", "id": case.id, "name": name, "sha256": case.files[name]["sha256"]}
        with turn(self._engine, TURN) as connection:
            there = (evidence.c.id == case.id) & ~_held(evidence, evidence.c.captured_s, now_s)
            there &= evidence.c.state.not_in([State.ERASING, State.ERASED])
            if not _unlist(connection, there, name):
                return None
            id = _begin(connection, rule, basis, by_name, [gone], worker)
        return self.erasure(id)

    def sign(self, id: str, make: Make) -> Erasure:
        """Give an erasure its record, once, whoever asks: make(erasure, sha256 of the record before)."""
        with turn(self._engine, RECORDS_TURN) as connection:
            _sign(connection, id, make)
        return self.erasure(id)

    def finish_erasure(self, erasure: Erasure, now_s: float) -> None:
        """All of it is gone: take its cases out of the tables. Done again it does nothing more.

        An erasure that an earlier version began (before 0009_proof) has its events and files in the tables still.
        """
        cases = [one["id"] for one in erasure.plan if one["what"] == "evidence"]
        named = [one["id"] for one in erasure.plan if one["what"] == "event"]
        values = {"state": State.ERASED, "erased_s": now_s, "plate": None, "doubts": [], "missing": {}, "files": {}}
        with turn(self._engine, TURN) as connection:
            there = evidence.c.id.in_(cases) & (evidence.c.state == State.ERASING)
            connection.execute(sa.update(evidence).where(there).values(values))
            connection.execute(sa.delete(events).where(events.c.id.in_(cases)))
            there = sa.select(events.c.id, events.c.body).where(events.c.id.in_(named))
            _delete_events(connection, connection.execute(there).all(), now_s)
            for one in erasure.plan:
                if one["what"] == "file":
                    _unlist(connection, evidence.c.id == one["id"], one["name"])
            undone = (erasures.c.id == erasure.id) & erasures.c.done_s.is_(None)
            connection.execute(sa.update(erasures).where(undone).values(done_s=now_s, leased_until_s=None))

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

    def records(self, rule: str | None = None) -> list[Erasure]:
        """All that have a record, or those by a rule, in the order of the records."""
        with self._engine.connect() as connection:
            query = sa.select(erasures).where(erasures.c.number.is_not(None)).order_by(erasures.c.number)
            if rule is not None:
                query = query.where(erasures.c.rule == rule)
            return [_erasure(row) for row in connection.execute(query)]


def _begin(connection: Connection, rule: str, basis: str, by_name: str, plan: list[dict[str, Any]], worker: str) -> str:
    id, now_s = secrets.token_hex(8), time.time()
    row = {"id": id, "rule": rule, "basis": basis, "by_name": by_name, "begun_s": now_s, "plan": plan}
    row |= {"worker": worker, "leased_until_s": now_s + LEASE_S}
    connection.execute(sa.insert(erasures).values(row))
    return id


def _sign(connection: Connection, id: str, make: Make) -> None:
    row = connection.execute(sa.select(erasures).where(erasures.c.id == id)).one()
    if row.signature is not None:
        return
    newest = sa.select(erasures.c.number, erasures.c.manifest).where(erasures.c.number.is_not(None))
    last = connection.execute(newest.order_by(erasures.c.number.desc()).limit(1)).one_or_none()
    manifest, signature = make(_erasure(row), None if last is None else digest(last.manifest))
    values = {"manifest": manifest, "signature": signature, "number": 1 if last is None else last.number + 1}
    connection.execute(sa.update(erasures).where(erasures.c.id == id).values(values))


def _unlist(connection: Connection, there: sa.ColumnElement[bool], name: str) -> bool:
    """Take a file out of what a case lists; False when it is not listed there."""
    row = connection.execute(sa.select(evidence.c.files, evidence.c.missing).where(there)).one_or_none()
    if row is None or name not in row.files:
        return False
    files = {other: entry for other, entry in row.files.items() if other != name}
    missing = row.missing | {name: "erased: its term is over"}
    connection.execute(sa.update(evidence).where(there).values(files=files, missing=missing))
    return True


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


def _delete_events(connection: Connection, rows: Sequence[sa.Row[Any]], now_s: float) -> None:
    """rows: id, body. What a recorder has written of one, and nobody has sealed yet, is not sealed any more."""
    connection.execute(sa.delete(events).where(events.c.id.in_([row.id for row in rows])))
    if recorded := [row.id for row in rows if row.body["data"].get("evidence")]:
        known = set(connection.execute(sa.select(tombstones.c.id).where(tombstones.c.id.in_(recorded))).scalars())
        if fresh := [{"id": id, "at_s": now_s} for id in recorded if id not in known]:
            connection.execute(sa.insert(tombstones), fresh)


def _free(now_s: float, unsealed_before_s: float | None = None) -> sa.ColumnElement[bool]:
    """Events that no hold covers, and whose case is not kept: they go with it.

    Evidence that is recorded and not sealed yet is kept as a case is, until its own term is over: unsealed_before_s.
    """
    cases = sa.select(evidence.c.id).where(evidence.c.id == events.c.id)
    gone = cases.where(evidence.c.state == State.ERASED).exists()
    gone |= sa.select(tombstones.c.id).where(tombstones.c.id == events.c.id).exists()
    unrecorded = events.c.body["data"]["evidence"].as_string().is_(None)
    if unsealed_before_s is not None:
        unrecorded |= events.c.time_s < unsealed_before_s
    kept = cases.where(evidence.c.state != State.ERASED).exists()
    return ~_held(events, events.c.time_s, now_s) & ~kept & (gone | unrecorded)


def _held(table: sa.Table, time_s: sa.Column[float], now_s: float) -> sa.ColumnElement[bool]:
    """Whether a hold lasts that covers a row: as Hold.lasts and Hold.covers, in SQL."""
    covers = ((holds.c.kind == "evidence") & (holds.c.subject == table.c.id)) | _of_camera(table.c.camera, time_s)
    return sa.select(holds.c.id).where(_lasts(now_s), covers).exists()


def _lasts(now_s: float) -> sa.ColumnElement[bool]:
    return holds.c.lifted_s.is_(None) & (holds.c.ends_s.is_(None) | (holds.c.ends_s > now_s))


def _of_camera(camera: sa.Column[str], time_s: sa.Column[float]) -> sa.ColumnElement[bool]:
    after = holds.c.from_s.is_(None) | (time_s >= holds.c.from_s)
    before = holds.c.until_s.is_(None) | (time_s < holds.c.until_s)
    return (holds.c.kind == "camera") & (holds.c.subject == camera) & after & before


def _equal(column: sa.Column[Any], value: object) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _digest(body: Mapping[str, Any]) -> str:
    return digest(json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


def _erasure(row: sa.Row[Any]) -> Erasure:
    about = (row.id, row.rule, row.basis, row.by_name, row.begun_s, row.plan)
    return Erasure(*about, row.manifest, row.signature, row.number, row.done_s)
