"""What is over is taken out of the tables, in SQL. What is decided is decided in hoaban/evidence/retention.py."""

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.store.audit_pruning import prune
from actors.store.erasures import RECORDS_TURN, Erasure, ErasureStore, Make, as_erasure, begin, erasures, sign
from actors.store.evidence import TURN, CaseRow, evidence, may_be, plain_plate, tombstones
from actors.store.holds import HoldStore, held, holds, lasting, lasts, of_camera
from actors.store.incident_tables import reports
from actors.store.incidents import TURN as INCIDENTS_TURN
from actors.store.reports import delete_report, take_over
from actors.store.rows import body_digest
from actors.store.tables import events
from actors.store.turns import turn, wait_for
from hoaban.events import parse_time
from hoaban.evidence.erasures import Record
from hoaban.evidence.retention import Hold
from hoaban.evidence.review import State


@dataclass(frozen=True, slots=True)
class Group:
    """Events that have the same terms; first_s: capture time of the oldest."""

    type: str
    role: str | None
    camera: str
    days: int | None
    first_s: float


class Outside(Protocol):
    """A thing that lies outside these tables; see actors/elsewhere.py."""

    @property
    def id(self) -> str: ...

    def planned(self) -> dict[str, Any]:
        """As an erasure's record names it: what, id, sha256; event and event_sha256 where it is an event that these
        tables may take yet."""
        ...

    def held_by(self, holds: Iterable[Hold]) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Going:
    """What is to be erased: cases as they were read, events by ids, citizens' reports by numbers; and others,
    which lie outside these tables."""

    cases: Iterable[CaseRow] = ()
    events: Collection[str] = ()
    reports: Collection[int] = ()
    others: Collection[Outside] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """erasure: None when nothing could go. kept: id -> why it stays."""

    erasure: Erasure | None
    kept: Mapping[str, str]


class RetentionStore(HoldStore, ErasureStore):
    """Holds, erasures, and what takes things into one; make: the record of it, signed in the same transaction."""

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
        make: Make,
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
            lines = sorted(f"{row.id} {body_digest(row.body)}\n" for row in rows)
            gone = {
                "what": "events",
                "type": group.type,
                "camera": group.camera,
                "count": len(rows),
                "first_s": rows[0].time_s,
                "last_s": rows[-1].time_s,
                "ids_and_digests_sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
            }
            id = begin(connection, rule, basis, by_name, [gone], worker, make)
        return self.erasure(id)

    def take_reports(
        self, before_s: float, most: int, rule: str, basis: str, by_name: str, worker: str, now_s: float, make: Make
    ) -> Erasure | None:
        """Delete citizens' reports closed before a time that no hold covers, and begin the erasure that says so."""
        with turn(self._engine, INCIDENTS_TURN) as connection:
            wait_for(connection, TURN)
            plan = take_over(connection, (reports.c.closed_s < before_s) & _unheld_reports(now_s), most, now_s)
            id = begin(connection, rule, basis, by_name, plan, worker, make) if plan else None
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
        """Prune the audit chain of what was written before a time, with the signed record that says so, in
        one: no cut is ever there that nobody vouches for."""
        with turn(self._engine, TURN) as connection:
            gone = prune(connection, before_s, most, now_s, by_name, basis)
            id = begin(connection, rule, basis, by_name, [gone], worker, make) if gone else None
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

    def begin_erasure(
        self,
        going: Going,
        rule: str,
        basis: str,
        by_name: str,
        worker: str,
        now_s: float,
        make: Make,
    ) -> Begun:
        """Take it, and write down what will go: a killed process leaves what can be finished. From here on nothing
        brings it back. What a hold keeps, a case that was decided since it was read, and a report that is not closed
        are not taken.
        """
        others = [(one, one.planned()) for one in going.others]  # which reads them: before anybody waits
        plan: list[dict[str, Any]] = []
        kept: dict[str, str] = {}
        ids = list(going.events)
        with turn(self._engine, INCIDENTS_TURN if going.reports else TURN) as connection:
            if going.reports:
                wait_for(connection, TURN)
                free = reports.c.number.in_(going.reports) & _unheld_reports(now_s)
                taken = take_over(connection, free, len(going.reports), now_s)
                plan += taken
                left = set(going.reports) - {one["number"] for one in taken}
                kept |= {report_id(number): "it is not closed, held, or was erased meanwhile" for number in left}
            for case in going.cases:
                as_read = (evidence.c.id == case.id) & (evidence.c.state == case.state)
                as_read &= (evidence.c.version == case.version) & ~held(evidence, evidence.c.captured_s, now_s)
                # Compared and set in one statement: it decides whether the erasure or the decision was first.
                if connection.execute(sa.update(evidence).where(as_read).values(state=State.ERASING)).rowcount == 0:
                    kept[case.id] = "it was decided, held or erased meanwhile"
                    continue
                files = {"manifest_sha256": case.manifest_sha256, "files": case.files}
                plan.append({"what": "evidence", "id": case.id, **files})
            holding = lasting(connection, now_s) if others else []
            for one, planned in others:
                if (hold := one.held_by(holding)) is None:
                    plan.append(planned)
                else:
                    kept[one.id] = f"a legal hold keeps it ({hold})"
            rows = connection.execute(
                sa.select(events.c.id, events.c.body).where(events.c.id.in_(ids), _free(now_s))
            ).all()
            _delete_events(connection, rows, now_s)
            plan += [{"what": "event", "id": row.id, "sha256": body_digest(row.body)} for row in rows]
            kept |= dict.fromkeys(set(ids) - {row.id for row in rows}, "it is held, or was erased meanwhile")
            id = begin(connection, rule, basis, by_name, plan, worker, make) if plan else None
        return Begun(self.erasure(id) if id else None, kept)

    def begin_clip(
        self, case: CaseRow, name: str, rule: str, basis: str, by_name: str, worker: str, now_s: float, make: Make
    ) -> Erasure | None:
        """Take one file of a case; None where a hold keeps it, or the case goes as a whole."""
        gone = {"what": "file", "id": case.id, "name": name, "sha256": case.files[name]["sha256"]}
        with turn(self._engine, TURN) as connection:
            there = (evidence.c.id == case.id) & ~held(evidence, evidence.c.captured_s, now_s)
            there &= evidence.c.state.not_in([State.ERASING, State.ERASED])
            if not _unlist(connection, there, name):
                return None
            id = begin(connection, rule, basis, by_name, [gone], worker, make)
        return self.erasure(id)

    def vouch(self, id: str, sha256: str, make: Make) -> None:
        """Sign an erasure that an earlier version began: as somebody looked at it, and as it lies there.

        sha256: of what was looked at (Erasure.sha256). Raises KeyError, and ValueError for one that has a record or is
        another by now, for a cut of the audit chain (a forged one would be believed), and for what a hold keeps.
        """
        with turn(self._engine, TURN) as connection:
            wait_for(connection, RECORDS_TURN)
            row = connection.execute(sa.select(erasures).where(erasures.c.id == id)).one_or_none()
            if row is None:
                raise KeyError(id)
            erasure = as_erasure(row)
            if erasure.manifest is not None or erasure.signature is not None:
                raise ValueError("it has a record")
            if erasure.sha256 != sha256:
                raise ValueError("it is not what was looked at: its plan has another digest")
            if any(one["what"] == "audit" for one in erasure.plan):
                raise ValueError("it names a cut of the audit chain: nobody vouches for such a one later")
            named, now_s = [one.get("id") for one in erasure.plan], time.time()
            for table, time_s in ((evidence, evidence.c.captured_s), (events, events.c.time_s)):
                there = table.c.id.in_(named) & held(table, time_s, now_s)
                if kept := connection.execute(sa.select(table.c.id).where(there)).scalars().first():
                    raise ValueError(f"a legal hold keeps {kept}, which it names")
            sign(connection, id, make)

    def take_up(self, records: Sequence[Record]) -> int:
        """Begin anew what signed records (of one chain, from its first on) say was erased and a restored database does
        not know: how many. What they name in the tables goes as when it was erased; terms take batches of events again.

        Raises ValueError where they are not of this database's chain, or end before it: what they lack would come back.
        """
        with turn(self._engine, INCIDENTS_TURN) as connection:
            wait_for(connection, TURN)
            wait_for(connection, RECORDS_TURN)
            query = sa.select(erasures).where(erasures.c.number.is_not(None)).order_by(erasures.c.number)
            known = {row.number: row.manifest for row in connection.execute(query)}
            if any(known.get(record.number, record.manifest) != record.manifest for record in records):
                raise ValueError("records of erasures in it are of another system than the database")
            newest, last = max(known, default=0), max((record.number for record in records), default=0)
            if last < newest:
                raise ValueError(
                    f"records of erasures end at {last}, and the database has {newest}: cut off, or too old"
                )
            fresh = [record for record in records if record.number not in known]
            for record in fresh:
                body = json.loads(record.manifest)
                row = {"id": record.id, "rule": body["rule"], "basis": body["basis"], "by_name": body["by"]}
                row |= {"begun_s": parse_time(body["erased_at"]).timestamp(), "plan": body["erased"]}
                row |= {"manifest": record.manifest, "signature": record.signature, "number": record.number}
                begun = sa.select(erasures.c.id).where(erasures.c.id == record.id)
                if connection.execute(begun).first():  # it was begun when the backup was made, by an earlier version
                    connection.execute(sa.update(erasures).where(erasures.c.id == record.id).values(row))
                else:
                    connection.execute(sa.insert(erasures).values(row))
                for one in body["erased"]:
                    if one["what"] == "evidence":
                        there = (evidence.c.id == one["id"]) & (evidence.c.state != State.ERASED)
                        connection.execute(sa.update(evidence).where(there).values(state=State.ERASING))
                    elif one["what"] == "report":
                        delete_report(connection, one["number"], one["tracking_sha256"])
        return len(fresh)

    def finish_erasure(self, erasure: Erasure, now_s: float) -> None:
        """All of it is gone: take its cases out of the tables. Done again it does nothing more.

        An erasure that an earlier version began (before 0009_proof) has its events and files in the tables still, and
        an event that had been put aside may have been handed to the store again since.
        """
        cases = [one["id"] for one in erasure.plan if one["what"] == "evidence"]
        named = [one["id"] for one in erasure.plan if one["what"] == "event"]
        values = {"state": State.ERASED, "erased_s": now_s, "plate": None, "doubts": [], "missing": {}, "files": {}}
        with turn(self._engine, TURN) as connection:
            there = evidence.c.id.in_(cases) & (evidence.c.state == State.ERASING)
            connection.execute(sa.update(evidence).where(there).values(values))
            connection.execute(sa.delete(events).where(events.c.id.in_(cases)))
            there = sa.select(events.c.id, events.c.body).where(events.c.id.in_(named))
            rows = list(connection.execute(there).all())
            handed = {one["event"]: one["event_sha256"] for one in erasure.plan if "event_sha256" in one}
            there = sa.select(events.c.id, events.c.body).where(events.c.id.in_(handed))
            rows += [row for row in connection.execute(there) if body_digest(row.body) == handed[row.id]]
            _delete_events(connection, rows, now_s)
            for one in erasure.plan:
                if one["what"] == "file":
                    _unlist(connection, evidence.c.id == one["id"], one["name"])
            undone = (erasures.c.id == erasure.id) & erasures.c.done_s.is_(None)
            connection.execute(sa.update(erasures).where(undone).values(done_s=now_s, leased_until_s=None))


def _unlist(connection: Connection, there: sa.ColumnElement[bool], name: str) -> bool:
    """Take a file out of what a case lists; False when it is not listed there."""
    row = connection.execute(sa.select(evidence.c.files, evidence.c.missing).where(there)).one_or_none()
    if row is None or name not in row.files:
        return False
    files = {other: entry for other, entry in row.files.items() if other != name}
    missing = row.missing | {name: "erased: its term is over"}
    connection.execute(sa.update(evidence).where(there).values(files=files, missing=missing))
    return True


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
    return ~held(events, events.c.time_s, now_s) & ~kept & (gone | unrecorded)


def report_id(number: int) -> str:
    """How an answer names a report among ids of other things."""
    return f"report {number}"


def _unheld_reports(now_s: float) -> sa.ColumnElement[bool]:
    keeps = lasts(now_s) & (
        ((holds.c.kind == "report") & (holds.c.subject == sa.cast(reports.c.number, sa.String)))
        | of_camera(reports.c.camera, reports.c.happened_s)
    )
    return ~sa.select(holds.c.id).where(keeps).exists()


def _equal(column: sa.Column[Any], value: object) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value
