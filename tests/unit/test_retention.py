"""How long things are kept: the shortest term counts, a hold stops erasure, and what went stays provable."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy.exc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from actors.proof.archive import folder, to_zip, zipped
from actors.proof.files import PackageFiles
from actors.proof.sealer import Sealer
from actors.purge import Purger, PurgeTimer
from actors.retention import Eraser
from actors.store import AuditStore, EventStore, EvidenceRecords, ReportStore, RetentionStore
from actors.store.cases import SYSTEM
from actors.store.reports import NewReport
from hoaban.audit import PRUNED, broken
from hoaban.events import Event, Finding, Provenance, bind
from hoaban.evidence import manifest as m
from hoaban.evidence.erasures import Record, audit_cuts
from hoaban.evidence.retention import DAY_S, OWNER, Hold, Item, Retention, Term, sort_out
from hoaban.evidence.review import State, Verdict
from hoaban.evidence.signing import Signer, Trusted
from hoaban.evidence.verify import verify
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.frames import FrameMeta
from hoaban.incidents.states import ReportAction
from tests.evidence import MODEL, leave_candidate, red_light

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
"""the same in every process of a test"""
TRUSTED = Trusted([SIGNER.public_pem()])
KEYS = SimpleNamespace(signer=lambda: SIGNER, trusted=lambda: TRUSTED)
OFFICER = SimpleNamespace(id="o", name="Officer")
days = st.integers(1, 36500)
maybe = st.none() | days
instants = st.floats(0, 4e9, allow_nan=False)


@given(maybe, maybe, maybe, maybe)
def test_the_shortest_term_that_applies_counts_and_says_which(
    general: int | None, typed: int | None, of_role: int | None, owner: int | None
) -> None:
    settings = Retention(
        events_days=general,
        events_by_type={} if typed is None else {"crowd": typed},
        events_by_role={} if of_role is None else {"shared": of_role},
    )
    term = settings.events("crowd_end", "shared", owner)
    applying = [d for d in (general, typed, of_role, owner) if d is not None]
    assert term.days == min(applying, default=None)
    others = [d for d in (general, typed, of_role) if d is not None]
    assert term.rule != OWNER or owner <= min(others, default=owner)
    assert term.rule == OWNER or owner is None or owner >= min(others)
    other = settings.events("intrusion", "overview", owner)
    assert other.days == min((d for d in (general, owner) if d is not None), default=None)


@given(st.sampled_from([State.OPEN, State.CONFIRMED, State.REJECTED, State.DAMAGED]), st.booleans(), maybe)
def test_an_owners_term_limits_evidence_whatever_was_decided(state: State, evidential: bool, owner: int | None) -> None:
    own = Retention().evidence(state, evidential, None)
    assert own.days is not None
    assert Retention().evidence(state, evidential, owner).days == min(own.days, owner or own.days)


@given(instants, maybe, instants, st.lists(st.builds(Hold, st.just("h"), st.sampled_from(["evidence", "camera"]),
       st.sampled_from(["a", "cam", "x"]), st.just("r"), st.none() | instants, st.none() | instants,
       st.none() | instants, st.none() | instants), max_size=3))  # fmt: skip
def test_a_thing_goes_when_its_term_is_over_and_no_hold_lasts_that_covers_it(
    captured_s: float, term_days: int | None, now_s: float, holds: list[Hold]
) -> None:
    item = Item("a", "cam", captured_s, Term(term_days, "rule"))
    found = sort_out([item], holds, now_s)
    over = term_days is not None and captured_s + term_days * DAY_S < now_s
    kept = any(
        h.lifted_s is None
        and (h.ends_s is None or now_s < h.ends_s)
        and (
            h.subject == "a"
            if h.kind == "evidence"
            else h.subject == "cam"
            and (h.from_s is None or h.from_s <= captured_s)
            and (h.until_s is None or captured_s < h.until_s)
        )
        for h in holds
    )
    assert set(found.over) == ({"a"} if over and not kept else set())
    assert set(found.held) == ({"a"} if over and kept else set())


def test_audit_is_never_shorter_than_the_law_and_names_are_checked() -> None:
    assert Retention().audit_days >= Retention().audit_least_days
    with pytest.raises(ValidationError, match="audit_least_days"):
        Retention(audit_days=100)
    with pytest.raises(ValidationError):
        Retention(events_days=0)
    head = "version: 1\nprovince: {name: P}\nretention:\n  "
    assert parse_fleet([("f.yaml", head + "events_by_type: {crowd: 3}\n")], {}).retention.events_by_type == {"crowd": 3}
    for wrong, said in (("events_by_type: {crowdd: 3}", "'crowdd' is none of"), ("events_by_role: {x: 3}", "'x'")):
        with pytest.raises(FleetErrors, match=said):
            parse_fleet([("f.yaml", head + wrong + "\n")], {})


# In the stores


class System:
    """The stores of a system, and what purges them. fleet: as it is on the board."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.store = EventStore.open(store_url)
        self.records, self.retention = EvidenceRecords(self.store.engine), RetentionStore(self.store.engine)
        self.root = folder / "evidence"
        self.files = PackageFiles(str(self.root))
        self.fleet: dict[str, Any] | None = {"cameras": [], "retention": {}}
        self.eraser = Eraser(self.retention, self.records, self.files, KEYS)
        self.purger = Purger(SimpleNamespace(get_json=lambda _: self.fleet), self.eraser)  # type: ignore[arg-type]

    def terms(self, camera: str, days: int) -> None:
        self.fleet["cameras"].append({"id": camera, "terms": {"retention_days": days}})

    def event(self, at_day: float, kind: str = "line_count", camera: str = "cam", days: int | None = None) -> str:
        finding = Finding(kind, kind, track=int(at_day * 10), label="car", line="in", direction="forward")
        frame = FrameMeta(camera, 0, at_day * DAY_S, 10, 10)
        event = bind(finding, frame, "shared", Provenance(MODEL, "c", "0", retention_days=days))
        assert self.store.write([event]) == 1
        return event.id

    def case(self, at_day: float, **more: Any) -> str:
        event: Event = red_light(at_s=at_day * DAY_S, track=int(at_day * 10), **more)
        self.store.write([event])
        leave_candidate(self.root, event)
        assert Sealer(self.files, self.records, SIGNER).step() == 1
        return event.id

    def purge(self, at_day: float) -> int:
        total = 0
        while gone := self.purger.step(at_day * DAY_S):
            total += gone
        return total

    def vouched(self) -> set[tuple[int, str]]:
        """The cuts of the audit chain that signed records name."""
        kept = self.retention.records()
        return audit_cuts((Record(one.number, one.id, one.manifest, one.signature) for one in kept), TRUSTED)

    def left(self) -> set[str]:
        return {stored.event.id for stored in self.store.page(limit=1000).events}


@pytest.fixture
def system(tmp_path: Path, store_url: str) -> Iterator[System]:
    made = System(tmp_path, store_url)
    yield made
    made.store.close()


def test_events_and_the_counts_made_of_them_go_by_the_owners_terms(system: System) -> None:
    for_ever, _, later = system.event(100), system.event(100.1, days=7), system.event(105, days=7)
    assert system.purge(107) == 0
    assert sum(row.n for row in system.store.counts()) == 3
    assert system.purge(107.2) == 1
    assert system.left() == {for_ever, later}
    assert sum(row.n for row in system.store.counts()) == 2
    system.terms("cam", 3)  # the owner shortens the terms: what was recorded under the old ones follows
    assert system.purge(108.5) == 2
    assert system.left() == set()


def test_nothing_goes_before_a_fleet_is_known(system: System) -> None:
    system.event(100, days=7)
    system.fleet = None
    assert system.purge(500) == 0


def test_types_and_roles_have_terms_of_their_own(system: System) -> None:
    count, _ = system.event(100), system.event(100, "crowd_end")
    system.fleet["retention"] = {"events_by_type": {"crowd": 2}}
    assert system.purge(103) == 1
    assert system.left() == {count}
    system.fleet["retention"] = {"events_by_role": {"shared": 2}}
    assert system.purge(103) == 1


def test_what_a_watchlist_saw_has_a_term_of_its_own_unless_its_type_has(system: System) -> None:
    for kind in ("plate_watchlist", "face_watchlist"):
        assert Retention().events(kind, None, None) == Term(90, "watchlist_days")
        assert Retention(events_by_type={kind: 200}).events(kind, None, None).days == 200
    assert Retention(watchlist_days=5).events("line_count", None, None).days is None
    system.event(100, "plate_watchlist")
    assert system.purge(189.9) == 0
    assert system.purge(190.1) == 1


def test_citizens_reports_go_by_the_shorter_of_their_two_settings_with_a_signed_record(system: System) -> None:
    filed = ReportStore(system.store.engine, lambda: None)  # type: ignore[arg-type,return-value]
    filed.file(NewReport("a tree fell", 1.0, "app", {}), SYSTEM, 100 * DAY_S)
    for version, action in enumerate((ReportAction.CHECK, ReportAction.ANSWER, ReportAction.CLOSE), 1):
        filed.act(1, action, version, SYSTEM, 100 * DAY_S, answer="removed")
    system.fleet["incidents"] = {"reports": {"keep_days": 40}}
    assert system.purge(130) == 0
    system.fleet["retention"] = {"reports_days": 20}
    assert system.purge(130) == 1
    (erasure,) = system.retention.erasures()
    assert verify(_Pair(erasure.manifest, erasure.signature), TRUSTED).problems == []
    (gone,) = json.loads(erasure.manifest)["erased"]
    assert (gone["what"], gone["number"], erasure.rule) == ("report", 1, "reports_days")
    assert "tree" not in erasure.manifest.decode()


def test_audit_records_go_when_the_laws_term_is_over_and_the_chain_stays_verifiable(system: System) -> None:
    at_s = [100 * DAY_S]
    chain = AuditStore(system.store.engine, clock=lambda: at_s[0])
    for day in range(100, 110):
        at_s[0] = day * DAY_S
        chain.append("p", "Person", "picture.look", f"camera {day}")
    anchored = chain.head()
    system.fleet["retention"] = {"audit_days": 2000}
    assert system.purge(2100) == 0
    assert system.purge(2105.5) == 6
    kept = list(chain.records())
    assert [one.seq for one in kept] == [7, 8, 9, 10, 11]
    assert (kept[-1].action, kept[-1].detail["through"]) == (PRUNED, 6)
    vouched = system.vouched()
    for head in (None, anchored, chain.head()):
        assert broken(kept, head, vouched=vouched) == []
    assert "vouches" in broken(kept)[0]
    (erasure,) = system.retention.erasures()
    assert verify(_Pair(erasure.manifest, erasure.signature), TRUSTED).problems == []
    assert erasure.rule == "audit_days"
    # One more gone than was pruned, none that says so, or another cut told: each is found.
    assert "missing" in broken(kept[1:], vouched=vouched)[0]
    assert "missing" in broken(kept[:-1], vouched=vouched)[0]
    told = replace(kept[-1], detail=kept[-1].detail | {"digest": "0" * 64}).sealed(kept[-1].previous)
    assert "missing" in broken([*kept[:-1], told], vouched=vouched)[0]
    assert system.purge(4200) == 5  # the first cut's own record too: the later one covers it
    assert broken(chain.records(), vouched=system.vouched()) == []


def test_evidence_goes_by_its_verdict_and_takes_its_event_and_every_file_along(system: System) -> None:
    rejected, confirmed = system.case(20000), system.case(20001)
    system.records.decide(rejected, Verdict.REJECTED, "no_violation", "", 0, OFFICER)
    system.records.decide(confirmed, Verdict.CONFIRMED, "seen_in_clip", "", 0, OFFICER)
    system.files.write(f".redacted/{rejected}", {"at.jpg": b"x", "redaction.json": b"{}"}, last="redaction.json")
    assert system.purge(20029.9) == 0
    assert system.purge(20030.1) == 1
    assert system.left() == {confirmed}
    assert [path.name for path in system.root.iterdir() if path.name != ".redacted"] == [confirmed]
    assert list((system.root / ".redacted").iterdir()) == []
    gone = system.records.get(rejected)
    assert (gone.state, gone.plate, gone.files) == (State.ERASED, None, {})
    assert [d.verdict for d in system.records.decisions(rejected)] == ["rejected"]  # who decided stays
    assert system.purge(20001 + 1825.1) == 1


def test_an_owners_term_ends_even_confirmed_evidence_and_a_hold_keeps_it(system: System) -> None:
    one, other = system.case(20000, retention_days=7), system.case(20001, retention_days=7)
    system.records.decide(one, Verdict.CONFIRMED, "seen_in_clip", "", 0, OFFICER)
    hold = system.retention.hold("evidence", one, "court order 12/2026", OFFICER)
    assert system.purge(20010) == 1
    assert system.left() == {one}
    assert system.records.get(other).state is State.ERASED
    assert system.retention.lift(hold.id, "withdrawn", OFFICER)
    assert not system.retention.lift(hold.id, "again", OFFICER)
    assert system.purge(20010) == 1
    ((kept, about),) = system.retention.holds()
    assert (kept.lifted_s is not None, about["by_name"], about["lifted_reason"]) == (True, "Officer", "withdrawn")


def test_a_clip_may_go_before_its_stills_and_the_package_still_verifies(system: System) -> None:
    case, held = system.case(20000), system.case(20001)
    redacted = {"clip.mp4": b"x", "redaction.json": b'{"how": "faces", "files": {"clip.mp4": {}, "at.jpg": {}}}'}
    system.files.write(f".redacted/{case}", redacted, last="redaction.json")
    system.retention.hold("evidence", held, "court order", OFFICER)
    system.fleet["retention"] = {"clips_days": 5}
    assert system.purge(20010) == 1
    assert system.purge(20010) == 0
    left = {path.name for path in (system.root / case).iterdir()}
    assert "clip.mp4" not in left
    assert "at.jpg" in left
    found = verify(folder(system.root / case), TRUSTED)
    assert (found.problems, found.erased) == ([], ["clip.mp4"])
    assert json.loads(system.files.read(f".redacted/{case}", "redaction.json"))["files"] == {"at.jpg": {}}
    assert not system.files.has(f".redacted/{case}", "clip.mp4")
    assert "erased" in system.records.get(case).missing["clip.mp4"]
    assert verify(folder(system.root / held), TRUSTED).erased == []
    # The record excuses that one file of that one package, and only as long as it is what was signed.
    (system.root / case / "at.jpg").unlink()
    assert {p.file for p in verify(folder(system.root / case), TRUSTED).problems} == {"at.jpg"}
    for name in (m.ERASED, m.ERASED_SIGNATURE):
        (system.root / held / name).write_bytes((system.root / case / name).read_bytes())
    (system.root / held / "clip.mp4").unlink()
    assert {p.file for p in verify(folder(system.root / held), TRUSTED).problems} == {"clip.mp4", m.ERASED}
    (system.root / case / m.ERASED_SIGNATURE).unlink()
    assert {p.file for p in verify(folder(system.root / case), TRUSTED).problems} >= {"clip.mp4", m.ERASED}


def test_a_hold_on_a_camera_keeps_what_it_saw_in_that_time(system: System) -> None:
    within, after = system.event(100, days=1), system.event(101, days=1)
    system.retention.hold("camera", "cam", "accident", OFFICER, until_s=100.5 * DAY_S, ends_s=time.time() + 1e9)
    assert system.purge(200) == 1
    assert system.left() == {within}
    assert after not in system.left()


def test_an_erasure_can_be_shown_and_checked_by_anyone_with_the_public_key(system: System) -> None:
    case = system.case(20000, retention_days=1)
    manifest = (system.root / case / m.MANIFEST).read_bytes()
    system.purge(20002)
    system.event(100, days=1)
    system.event(100.5, days=1)
    system.purge(20002)
    events, evidence = system.retention.erasures()
    for erasure in (events, evidence):
        found = verify(_Pair(erasure.manifest, erasure.signature), TRUSTED)
        assert found.problems == []
        assert found.manifest.kind == m.ERASURE
    (gone,) = json.loads(evidence.manifest)["erased"]
    assert (gone["id"], gone["manifest_sha256"]) == (case, m.digest(manifest))
    assert json.loads(evidence.manifest)["rule"] == OWNER
    (batch,) = json.loads(events.manifest)["erased"]
    assert (batch["count"], batch["type"], batch["camera"]) == (2, "hoaban.line_count", "cam")
    assert json.loads(events.manifest)["previous"] == m.digest(evidence.manifest)
    forged = evidence.manifest.replace(case.encode(), b"0" * len(case))
    assert not verify(_Pair(forged, evidence.signature), TRUSTED).ok


class _Pair:
    names, oddities = (m.MANIFEST, m.SIGNATURE), ()

    def __init__(self, manifest: bytes, signature: bytes) -> None:
        self._files = {m.MANIFEST: manifest, m.SIGNATURE: signature}

    def read(self, name: str) -> bytes:
        return self._files[name]


def test_an_erasure_that_was_cut_off_is_finished_and_then_signed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = system.case(20000, retention_days=1)

    def cut_off(*_: object) -> None:
        raise OSError("storage is away")

    with monkeypatch.context() as away:
        away.setattr(system.retention, "finish_erasure", cut_off)
        with pytest.raises(OSError, match="away"):
            system.purger.step(20002 * DAY_S)
    (begun,) = system.retention.unfinished()
    assert begun.done_s is None
    assert system.records.get(case).state is State.ERASING
    assert system.purge(20002) == 1
    assert system.retention.unfinished() == []
    assert system.records.get(case).state is State.ERASED
    assert len(system.retention.erasures()) == 1


def test_decisions_and_erasure_records_cannot_be_taken_back(system: System) -> None:
    case = system.case(20000, retention_days=1)
    system.records.decide(case, Verdict.REJECTED, "no_violation", "", 0, OFFICER)
    system.purge(20002)
    for statement in ("DELETE FROM decisions", "UPDATE decisions SET verdict = 'confirmed'", "DELETE FROM erasures"):
        with pytest.raises(sqlalchemy.exc.DatabaseError, match="only ever added"), system.store.engine.begin() as c:
            c.exec_driver_sql(statement)


def test_a_purge_that_fails_is_tried_again_and_stops_nobody(system: System) -> None:
    calls: list[float] = []

    class Failing:
        def step(self, now_s: float) -> int:
            calls.append(now_s)
            raise OSError("away")

    timer = PurgeTimer(Failing())  # type: ignore[arg-type]
    timer.tick()
    timer.tick()
    assert len(calls) == 1


def test_an_erasure_record_is_a_package_of_its_own(system: System, tmp_path: Path) -> None:
    system.event(100, days=1)
    system.purge(20002)
    (erasure,) = system.retention.erasures()
    (tmp_path / "e.zip").write_bytes(to_zip("erasure", {m.MANIFEST: erasure.manifest, m.SIGNATURE: erasure.signature}))
    assert verify(zipped(tmp_path / "e.zip"), TRUSTED).ok
