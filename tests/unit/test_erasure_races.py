"""An erasure that has begun, against decisions, holds, other workers and late recorders: one of them is first."""

import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from actors.proof.sealer import Sealer
from actors.purge import Purger
from actors.retention import Eraser
from actors.store import EvidenceRecords
from actors.store.erasures import LEASE_S, erasures
from actors.store.evidence import CaseRow, evidence
from actors.store.reports import NewReport, ReportStore
from actors.store.retention import Going
from hoaban.evidence import manifest as m
from hoaban.evidence.manifest import digest
from hoaban.evidence.retention import DAY_S
from hoaban.evidence.review import RefusedError, State, Verdict
from hoaban.evidence.signing import Signer
from tests.evidence import leave_candidate, red_light
from tests.postgres import Postgres
from tests.unit.test_retention import KEYS, OFFICER, SIGNER, System

BASIS = ("request", "12/2026: the purpose is met", "Officer")


@pytest.fixture
def system(tmp_path: Path, store_url: str) -> Iterator[System]:
    made = System(tmp_path, store_url)
    yield made
    made.store.close()


def rejected(system: System, at_day: float) -> str:
    case = system.case(at_day)
    system.records.decide(case, Verdict.REJECTED, "no_violation", "", 0, OFFICER)
    return case


def test_a_decision_or_a_hold_that_came_since_the_case_was_read_keeps_it(system: System) -> None:
    decided, held, of_camera, free = (rejected(system, 20000 + i) for i in range(4))
    read = [system.records.get(case) for case in (decided, held, of_camera, free)]
    system.records.decide(decided, Verdict.CONFIRMED, "seen_in_clip", "looked at again", 1, OFFICER)
    system.retention.hold("evidence", held, "court order", OFFICER)
    at_s = read[2].captured_s
    system.retention.hold("camera", read[2].camera, "accident", OFFICER, from_s=at_s, until_s=at_s + 1)
    begun = system.eraser.erase(read, [], *BASIS, now_s=at_s)
    assert set(begun.kept) == {decided, held, of_camera}
    assert [one["id"] for one in begun.erasure.plan] == [free]
    assert system.records.get(decided).state is State.CONFIRMED
    assert (system.root / decided / "manifest.json").exists()
    assert system.eraser.erase(read[:3], [], *BASIS, now_s=at_s).erasure is None


def test_what_is_being_erased_can_be_neither_decided_nor_held(system: System) -> None:
    case = rejected(system, 20000)
    row = system.records.get(case)
    system.retention.begin_erasure(Going([row]), *BASIS, "another", row.captured_s, system.eraser._record)
    with pytest.raises(RefusedError) as told:
        system.records.decide(case, Verdict.CONFIRMED, "seen_in_clip", "looked at again", 1, OFFICER)
    assert told.value.conflict
    with pytest.raises(RefusedError) as told:
        system.retention.hold("evidence", case, "court order", OFFICER)
    assert told.value.conflict
    hold = system.retention.hold("camera", row.camera, "accident", OFFICER)
    assert system.retention.too_late(hold) == [case]
    assert [one.id for one in system.records.kept()] == []


def test_a_hold_on_what_is_not_there_is_refused(system: System) -> None:
    event = system.event(100)
    for kind, subject in (("evidence", "gone"), ("camera", "gone")):
        with pytest.raises(KeyError):
            system.retention.hold(kind, subject, "court order", OFFICER)
    assert system.retention.hold("evidence", event, "its case is not sealed yet", OFFICER)


def test_a_hold_covers_a_camera_near_which_something_was_reported(system: System) -> None:
    filed = ReportStore(system.store.engine, lambda: None)  # type: ignore[arg-type,return-value]
    filed.file(NewReport("a tree fell", 1.0, "app", {}, camera="gate"), OFFICER, 2.0)
    assert system.retention.hold("camera", "gate", "court order", OFFICER)


def test_of_decisions_and_erasures_at_the_same_moment_one_counts(system: System) -> None:
    for round_ in range(6):
        case = rejected(system, 20000 + round_)
        row, gate, outcome = system.records.get(case), threading.Barrier(2), []

        def erase(row=row, gate=gate, outcome=outcome) -> None:
            gate.wait()
            outcome.append(system.eraser.erase([row], [], *BASIS, now_s=row.captured_s).erasure is not None)

        eraser = threading.Thread(target=erase)
        eraser.start()
        gate.wait()
        try:
            system.records.decide(case, Verdict.CONFIRMED, "seen_in_clip", "looked at again", 1, OFFICER)
            decided = True
        except RefusedError:
            decided = False
        eraser.join()
        assert outcome == [not decided]
        assert system.records.get(case).state is (State.CONFIRMED if decided else State.ERASED)
        assert (system.root / case).exists() is decided


def test_two_workers_finish_an_erasure_once_and_records_never_fork(system: System) -> None:
    cases = [rejected(system, 20000 + i) for i in range(8)]
    for case in cases:
        row = system.records.get(case)
        system.retention.begin_erasure(Going([row]), *BASIS, "dead", row.captured_s, system.eraser._record)
        system.retention.release(system.retention.unfinished()[-1].id, "dead")
    removed: list[str] = []
    remove = system.files.remove

    def counted(package: str, **more: str) -> None:
        removed.append(package)
        remove(package, **more)

    system.files.remove = counted  # type: ignore[method-assign]
    workers = [Eraser(system.retention, system.records, system.files, KEYS) for _ in range(3)]
    threads = [threading.Thread(target=worker.finish) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(name for name in removed if not name.startswith(".")) == sorted(cases)
    records = system.retention.records()
    assert [one.number for one in records] == list(range(1, 9))
    for before, after in itertools.pairwise(records):
        assert f'"previous":"{digest(before.manifest)}"'.encode() in after.manifest
    assert system.retention.unfinished() == []


def test_a_lease_keeps_others_away_until_it_ends_whatever_becomes_of_the_clock(system: System) -> None:
    row = system.records.get(rejected(system, 20000))
    begun = system.retention.begin_erasure(Going([row]), *BASIS, "one", row.captured_s, system.eraser._record)
    id, now_s = begun.erasure.id, begun.erasure.begun_s
    assert system.retention.lease("other", now_s + 1) is None
    assert system.retention.lease("one", now_s + 1).id == id
    assert system.retention.lease("other", now_s + 2 * LEASE_S).id == id
    assert system.retention.lease("third", now_s - 10 * DAY_S).id == id  # made by a clock that was set back since


def test_what_two_workers_do_at_once_all_the_same_is_one_record(system: System) -> None:
    """A worker that stood still for longer than its lease goes on beside the one that took over."""
    row = system.records.get(rejected(system, 20000))
    begun = system.retention.begin_erasure(Going([row]), *BASIS, "one", row.captured_s, system.eraser._record).erasure
    late = Eraser(system.retention, system.records, system.files, KEYS)
    first = system.eraser._finish(begun)
    again = late._finish(begun)
    assert (first.manifest, first.signature, first.number) == (again.manifest, again.signature, again.number)
    assert first.done_s == again.done_s


def test_what_is_erased_before_it_was_sealed_is_not_sealed_later(system: System) -> None:
    event = red_light(at_s=20000 * DAY_S, track=3, retention_days=1)
    event.data["evidence"] = event.id
    system.store.write([event])
    assert system.purge(20002) == 1
    leave_candidate(system.root, event)  # a recorder that is slower than the term
    sealer = Sealer(system.files, system.records, SIGNER)
    assert sealer.step() == 0
    assert not (system.root / event.id).exists()
    with pytest.raises(KeyError):
        system.records.get(event.id)


def test_an_event_whose_evidence_is_not_sealed_yet_stays_until_the_evidences_own_term_is_over(system: System) -> None:
    event, lost = red_light(at_s=20000 * DAY_S, track=3), red_light(at_s=20000 * DAY_S, track=4)
    for one in (event, lost):
        one.data["evidence"] = one.id
    plain = system.event(20000)
    system.store.write([event, lost])
    leave_candidate(system.root, event)  # and the sealer is down
    system.fleet["retention"] = {"events_days": 1, "evidence_days": {"open": 100}}
    assert system.purge(20002) == 1
    assert system.left() == {event.id, lost.id}
    assert plain not in system.left()
    begun = system.eraser.erase([], [event.id], *BASIS, now_s=20002 * DAY_S)
    assert (begun.erasure, set(begun.kept)) == (None, {event.id})
    assert Sealer(system.files, system.records, SIGNER).step() == 1
    system.records.decide(event.id, Verdict.CONFIRMED, "seen_in_clip", "", 0, OFFICER)
    assert system.purge(20100.5) == 1
    assert system.left() == {event.id}


def test_what_is_written_late_of_an_erased_case_is_removed(system: System) -> None:
    case = rejected(system, 20000)
    event = red_light(at_s=20000 * DAY_S, track=200000)
    system.eraser.erase([system.records.get(case)], [], *BASIS, now_s=0)
    leave_candidate(system.root, event)
    assert event.id == case
    (system.root / ".redacted" / case).mkdir(parents=True)
    assert Sealer(system.files, system.records, SIGNER).step() == 0
    assert not (system.root / case).exists()
    assert not (system.root / ".redacted" / case).exists()


def test_sealing_and_erasing_at_the_same_moment_leave_no_files_without_a_case(system: System) -> None:
    for round_ in range(4):
        event = red_light(at_s=(20000 + round_) * DAY_S, track=round_, retention_days=1)
        event.data["evidence"] = event.id
        system.store.write([event])
        leave_candidate(system.root, event)
        sealer, gate = Sealer(system.files, EvidenceRecords(system.store.engine), SIGNER), threading.Barrier(2)
        purger = Purger(system.purger._board, system.eraser)

        def seal(sealer=sealer, gate=gate) -> None:
            gate.wait()
            sealer.step()

        thread = threading.Thread(target=seal)
        thread.start()
        gate.wait()
        while purger.step((20002 + round_) * DAY_S):
            pass
        thread.join()
        while purger.step((20002 + round_) * DAY_S):
            pass
        sealer.step()
        assert system.left() == set()
        assert not (system.root / event.id).exists()


def erase_and_die(folder: Path, url: str, case: str, at_step: int) -> None:
    """Die as by kill -9 just before a step of an erasure."""
    system, steps = System(folder, url), itertools.count()
    for owner, name in (
        (system.eraser, "_record"),
        (system.files, "remove"),
        (system.files, "remove_file"),
        (system.retention, "finish_erasure"),
    ):
        step = getattr(owner, name)

        def dying(*given: object, step=step, **more: object) -> object:
            if next(steps) == at_step:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*given, **more)

        setattr(owner, name, dying)
    system.eraser.erase([system.records.get(case)], [], *BASIS, now_s=0)


@pytest.mark.parametrize("at_step", range(8))
def test_an_eraser_killed_at_each_step_leaves_what_the_next_one_finishes_once(tmp_path: Path, at_step: int) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    system = System(tmp_path, url)
    case, other = rejected(system, 20000), rejected(system, 20001)
    process = multiprocessing.get_context("spawn").Process(target=erase_and_die, args=(tmp_path, url, case, at_step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    if at_step == 0:  # before the record was signed: nothing was begun, nothing is gone
        assert system.retention.unfinished() == []
        assert system.records.get(case).state is State.REJECTED
        assert (system.root / case / "manifest.json").exists()
        system.store.close()
        return
    (begun,) = system.retention.unfinished()
    assert system.records.get(case).state is State.ERASING
    assert system.eraser.finish() == 0  # the dead one's lease lasts yet
    assert system.retention.lease(system.eraser._worker, begun.begun_s + 1.5 * LEASE_S) is not None
    assert system.eraser.finish() == 1
    assert not (system.root / case).exists()
    assert system.records.get(case).state is State.ERASED
    assert [one.number for one in system.retention.records()] == [1]
    assert begun.manifest == system.retention.records()[0].manifest
    assert system.records.get(other).state is State.REJECTED
    assert (system.root / other / "manifest.json").exists()
    system.store.close()


@pytest.mark.parametrize("how", ["unsigned", "another's key", "a record of something else", "changed afterwards"])
def test_an_erasure_that_somebody_wrote_into_the_database_deletes_nothing(system: System, how: str) -> None:
    """Who can write the tables, and has no key, gets nothing deleted from the evidence by it."""
    kept, gone = rejected(system, 20000), rejected(system, 20001)
    done = system.eraser.erase([system.records.get(gone)], [], *BASIS, now_s=0).erasure
    with system.store.engine.begin() as connection:
        connection.execute(sa.update(evidence).where(evidence.c.id == kept).values(state=State.ERASING))
        plan = [{"what": "evidence", "id": kept, "manifest_sha256": "0", "files": {}}]
        row = {"id": "planted", "rule": BASIS[0], "basis": BASIS[1], "by_name": BASIS[2], "begun_s": 1.0, "plan": plan}
        if how == "another's key":
            thief = Signer.make()
            about = {"key": thief.id, "at": "2026-01-01T00:00:00Z", "rule": BASIS[0], "basis": BASIS[1], "by": BASIS[2]}
            record = m.canonical(m.of_erasure("planted", **about, previous=m.digest(done.manifest), erased=plan))
            row |= {"manifest": record, "signature": thief.sign(record), "number": 2}
        if how == "a record of something else":
            row |= {"manifest": done.manifest, "signature": done.signature, "number": 2}
        if how == "changed afterwards":
            again = {"plan": plan, "done_s": None}
            connection.execute(sa.update(erasures).where(erasures.c.id == done.id).values(again))
        else:
            connection.execute(sa.insert(erasures).values(row))
    assert system.eraser.finish() == 0
    assert "not signed" in system.eraser.stuck
    assert (system.root / kept / "manifest.json").exists()
    assert system.records.get(kept).state is State.ERASING


def test_an_erasure_that_cannot_be_finished_stops_no_other_and_is_told(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, other, event = rejected(system, 20000), rejected(system, 20001), system.event(20001, days=1)
    remove, is_locked = system.files.remove, [True]

    def refusing(package: str, **more: str) -> None:
        if is_locked[0] and package.endswith(locked):
            raise PermissionError(13, "the bucket has an object lock")
        remove(package, **more)

    system.files.remove = refusing  # type: ignore[method-assign]
    with pytest.raises(PermissionError):
        system.eraser.erase([system.records.get(locked)], [], *BASIS, now_s=0)
    (begun,) = system.retention.unfinished()
    assert system.purge(20031.5) >= 2
    assert system.records.get(other).state is State.ERASED
    assert event not in system.left()
    assert system.purger.stuck.startswith(f"erasure {begun.id} cannot be finished: ")
    assert "object lock" in system.purger.stuck
    is_locked[0] = False
    assert system.purge(20031.5) == 0  # it is left alone for a while
    monkeypatch.setattr(time, "monotonic", lambda now_s=time.monotonic: now_s() + 1000)
    assert system.purge(20031.5) == 1
    assert (system.records.get(locked).state, system.purger.stuck) == (State.ERASED, "")


def test_an_owner_is_kept_beside_an_erasure_without_either_being_given_up(tmp_path: Path, postgres: Postgres) -> None:
    """An erasure takes cases one by one, in its order; whose they are is written to all at once. On PostgreSQL each
    would wait for a row of the other."""
    system = System(tmp_path, postgres.create())
    first, second = (system.records.get(rejected(system, 20000 + i)) for i in range(2))
    kept: list[int] = []
    owner = threading.Thread(target=lambda: kept.append(system.records.keep_owner(first.camera, "ward", None)))

    def one_by_one() -> Iterator[CaseRow]:
        yield second
        owner.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while True:
            with system.store.engine.connect() as connection:
                if connection.exec_driver_sql(waiting).scalar_one():
                    break
            time.sleep(0.02)
        yield first

    begun = system.retention.begin_erasure(
        Going(one_by_one()), *BASIS, "worker", first.captured_s, system.eraser._record
    )
    owner.join()
    assert [one["id"] for one in begun.erasure.plan] == [second.id, first.id]
    assert kept == [2]
    system.store.close()
