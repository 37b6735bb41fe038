"""Incidents, work orders and reports in SQL: who may change what they read, and what is told of it."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from actors.incidents import Keeper
from actors.store import (
    EventStore,
    HandoverError,
    IncidentStore,
    NewReport,
    ReportStore,
    RetentionStore,
    StaleError,
    WorkOrderStore,
)
from actors.store.incident_keeping import Ground, follow, keep_time
from actors.store.incident_tables import handovers, incident_log, reports, work_orders
from actors.watchlist.key import KeyMissingError, WatchlistKey
from hoaban.access import Person
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from hoaban.incidents import IncidentSettings, NotAllowedError
from hoaban.incidents.settings import Severity
from hoaban.incidents.states import Action, Dismissal, OrderAction, ReportAction, ReportState, State
from hoaban.stream_health import health_finding

AN, BINH = Person("p1", "An"), Person("p2", "Bình")
GROUND = Ground(
    IncidentSettings.model_validate({"work_orders": {"maintainers": {"dbp": "Tổ bảo trì"}}}),
    {"gate": "dbp", "market": "db"},
    {"gate": (21.386, 103.017)},
)


def event(camera: str, time_s: float, finding: Finding | None = None) -> Event:
    finding = finding or Finding("intrusion", "r", int(time_s), "person", zone="door")
    provenance = Provenance(ModelRef("m", "1", "a" * 64), "c" * 64, "test")
    return bind(finding, FrameMeta(camera, int(time_s * 10), time_s, 100, 100), "shared", provenance)


def fault(camera: str, time_s: float, phase: str, name: str = "covered") -> Event:
    return event(camera, time_s, health_finding("camera_health", name, phase, f"lens {phase}"))  # type: ignore[arg-type]


@pytest.fixture
def events(store_url: str) -> Iterator[EventStore]:
    store = EventStore.open(store_url)
    yield store
    store.close()


@pytest.fixture
def store(events: EventStore) -> IncidentStore:
    """Two open incidents: 1 at gate, 2 at market."""
    events.write([event("gate", 1000.0), event("market", 1001.0)])
    follow(events.engine, GROUND, 1002.0)
    return IncidentStore(events.engine)


def test_of_two_people_who_saw_the_same_the_second_is_refused_and_nothing_is_lost(store: IncidentStore) -> None:
    seen = store.get(1)
    store.act(1, Action.ACKNOWLEDGE, seen.version, AN, 1010.0)
    with pytest.raises(StaleError):
        store.act(1, Action.DISMISS, seen.version, BINH, 1011.0, dismissal=Dismissal.TEST)
    assert (store.get(1).state, store.get(1).version) == ("acknowledged", 2)
    store.act(1, Action.COMMENT, 2, BINH, 1012.0, note="đang xem")
    assert [(line.who_name, line.action, line.note) for line in store.log(1)] == [
        ("Hoa Ban", "opened", None),
        ("An", "acknowledge", None),
        ("Bình", "comment", "đang xem"),
    ]


def test_a_further_event_does_not_make_what_a_person_saw_stale(events: EventStore, store: IncidentStore) -> None:
    seen = store.get(1)
    events.write([event("gate", 1003.0)])
    follow(events.engine, GROUND, 1004.0)
    assert store.act(1, Action.ACKNOWLEDGE, seen.version, AN, 1010.0).events == 2


def test_what_the_table_forbids_changes_nothing(store: IncidentStore) -> None:
    with pytest.raises(NotAllowedError, match="possible: acknowledge, assign, dismiss, comment"):
        store.act(1, Action.RESOLVE, 1, AN, 1010.0)
    with pytest.raises(KeyError):
        store.act(99, Action.COMMENT, 1, AN, 1010.0)
    assert store.get(1).version == 1


def test_the_log_cannot_be_rewritten(store: IncidentStore) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="only ever added to"), store._engine.begin() as connection:
        connection.execute(sa.update(incident_log).values(who_name="somebody else"))


def test_one_escalation_and_one_proposal_and_a_further_event_withdraws_it(
    events: EventStore, store: IncidentStore
) -> None:
    def told(action: str) -> int:
        return sum(line.action == action for line in store.log(1))

    for now_s in (1500.0, 1700.0, 1800.0, 2000.0, 3000.0):
        keep_time(events.engine, GROUND, now_s)
    assert (told("escalated"), told("resolve_proposed")) == (1, 1)
    assert store.get(1).escalated_s == 1700.0
    assert store.get(1).proposed_s == 2000.0
    events.write([event("gate", 1290.0)])
    follow(events.engine, GROUND, 3001.0)
    assert store.get(1).proposed_s is None
    assert store.get(1).state == "new"  # nothing but a person resolves it


def test_what_lasts_stays_one_incident_until_its_end_and_is_not_called_quiet(
    events: EventStore, store: IncidentStore
) -> None:
    def crowd(time_s: float, phase: str) -> int:
        finding = Finding("crowd", "c", zone="yard", extra={"phase": phase, "count": 9})
        events.write([event("gate", time_s, finding)])
        follow(events.engine, GROUND, time_s)
        keep_time(events.engine, GROUND, time_s)
        return store.page(camera="gate", limit=1)[0][0].number

    number = crowd(2000.0, "start")
    assert crowd(9000.0, "grow") == crowd(20_000.0, "end") == number
    assert store.get(number).events == 3
    told = [line.action for line in store.log(number)]
    assert "resolve_proposed" not in told
    keep_time(events.engine, GROUND, 20_900.0)
    assert store.get(number).proposed_s == 20_900.0
    assert crowd(21_000.0, "end") == number  # an end alone opens nothing
    assert crowd(22_000.0, "start") != number


def test_reopened_it_waits_and_escalates_anew(events: EventStore, store: IncidentStore) -> None:
    keep_time(events.engine, GROUND, 1700.0)
    store.act(1, Action.DISMISS, 1, AN, 1710.0, dismissal=Dismissal.FALSE_ALARM, note="bóng cây")
    assert store.get(1).dismissal == "false_alarm"
    reopened = store.act(1, Action.REOPEN, 2, AN, 5000.0)
    assert (reopened.state, reopened.escalated_s, reopened.dismissal) == ("new", None, None)
    keep_time(events.engine, GROUND, 5599.0)
    assert store.get(1).escalated_s is None
    keep_time(events.engine, GROUND, 5600.0)
    assert store.get(1).escalated_s == 5600.0


def test_pages_show_what_is_asked_for_and_only_cameras_that_may_be_seen(store: IncidentStore) -> None:
    def numbers(**wanted: object) -> list[int]:
        return [one.number for one in store.page(**wanted)[0]]  # type: ignore[arg-type]

    store.act(1, Action.ACKNOWLEDGE, 1, AN, 1010.0)
    assert numbers() == [2, 1]
    assert numbers(states=[State.NEW]) == [2]
    assert numbers(camera="gate") == numbers(district="dbp") == numbers(cameras=["gate"]) == [1]
    assert numbers(cameras=["gate"], camera="market") == []
    assert numbers(severity="low") == []
    assert numbers(since_s=1000.5) == [2]
    assert store.page(limit=1) == ([store.get(2)], 2)
    assert store.page(limit=1, cursor=2) == ([store.get(1)], None)
    assert [line.about for line in store.tail(0, 10, ["gate"])] == [1, 1]
    assert [line.seq for line in store.tail(2, 10)] == [3]
    assert store.last_line() == 3


def test_a_shift_is_handed_over_once_and_taken_by_the_other_alone(store: IncidentStore) -> None:
    store.act(1, Action.DISMISS, 1, AN, 1010.0, dismissal=Dismissal.TEST)
    given = store.hand_over(AN, BINH, "cẩn thận ở chợ", 1100.0)
    assert [(one["number"], one["state"]) for one in given.incidents] == [(2, "new")]
    for other in (AN, Person("p3", "Chi"), Person("p1", "Bình")):
        with pytest.raises(HandoverError, match="handed to Bình"):
            store.accept(given.number, other, 1101.0)
    assert store.accept(given.number, BINH, 1102.0).accepted_name == "Bình"
    with pytest.raises(HandoverError, match="already"):
        store.accept(given.number, BINH, 1103.0)
    assert [one.accepted_s for one in store.handovers()] == [1102.0]
    with store._engine.begin() as connection:  # as an earlier version let a name be typed
        connection.execute(sa.update(handovers).values(to_id=None, accepted_s=None))
    assert store.accept(given.number, Person("p9", "Bình"), 1104.0).accepted_id == "p9"


def orders_of(events: EventStore, *told: Event, until_s: float) -> WorkOrderStore:
    """The orders after these events, with the keeper looking at the time of each, every 100 s and at the end."""
    times = {one.time.timestamp() for one in told}
    for now_s in sorted(times | {float(now) for now in range(0, int(until_s), 100)} | {until_s}):
        events.write([one for one in told if one.time.timestamp() == now_s])
        follow(events.engine, GROUND, now_s)
        keep_time(events.engine, GROUND, now_s)
    return WorkOrderStore(events.engine)


def test_one_fault_is_one_order_though_it_flickers(events: EventStore) -> None:
    told = [fault("gate", 100.0 + 60 * n, "start" if n % 2 == 0 else "end") for n in range(30)]
    (order,) = orders_of(events, *told, until_s=2000.0).page()[0]
    assert (order.state, order.began_s, order.assignee, order.severity) == ("open", 100.0, "Tổ bảo trì", "high")
    assert order.due_s == order.opened_s + 24 * 3600


def test_an_order_ends_to_be_checked_comes_back_with_its_fault_and_a_person_finishes_it(events: EventStore) -> None:
    store = orders_of(events, fault("gate", 100.0, "start"), fault("gate", 1100.0, "end"), until_s=1390.0)
    assert store.get(1).state == "open"
    with pytest.raises(NotAllowedError):
        store.act(1, OrderAction.DONE, None, AN, 1391.0)
    store = orders_of(events, until_s=1400.0)
    assert (store.get(1).state, store.get(1).ended_s) == ("to_check", 1100.0)
    assert [(one.district, one.orders, one.mean_s) for one in store.repair_times()] == [("dbp", 1, 1000.0)]
    assert store.repair_times(since_s=1101.0) == store.repair_times(cameras=["market"]) == []
    store = orders_of(events, fault("gate", 1500.0, "start"), until_s=1510.0)
    assert (store.get(1).state, store.get(1).ended_s) == ("open", None)
    assert store.repair_times() == []
    store = orders_of(events, fault("gate", 2100.0, "end"), until_s=2500.0)
    store.act(1, OrderAction.DONE, store.get(1).version, AN, 2501.0)
    assert [line.action for line in store.log(1)] == ["opened", "fault_over", "fault_back", "fault_over", "done"]
    assert len(orders_of(events, fault("gate", 3000.0, "start"), until_s=3300.0).page()[0]) == 2


def test_a_cancelled_order_counts_for_no_mean_time(events: EventStore) -> None:
    store = orders_of(events, fault("gate", 100.0, "start"), fault("gate", 1100.0, "end"), until_s=1400.0)
    store.act(1, OrderAction.CANCEL, 2, AN, 1401.0, note="máy đã tháo")
    assert store.repair_times() == []


def test_short_faults_and_ends_without_a_beginning_open_nothing(events: EventStore) -> None:
    told = [fault("gate", 100.0, "start"), fault("gate", 250.0, "end"), fault("market", 90.0, "end")]
    assert orders_of(events, *told, until_s=1000.0).page()[0] == []


def test_a_fault_that_came_and_went_while_nobody_kept_is_an_order_to_check(events: EventStore) -> None:
    events.write([fault("gate", 100.0, "start"), fault("gate", 900.0, "end")])
    follow(events.engine, GROUND, 5000.0)
    keep_time(events.engine, GROUND, 5000.0)
    assert [one.state for one in WorkOrderStore(events.engine).page()[0]] == ["to_check"]


def test_the_database_itself_refuses_a_second_open_order_for_one_fault(events: EventStore) -> None:
    orders_of(events, fault("gate", 100.0, "start"), until_s=400.0)
    with events.engine.connect() as connection:
        row = dict(connection.execute(sa.select(work_orders)).mappings().one())
        with pytest.raises(sa.exc.IntegrityError):
            connection.execute(sa.insert(work_orders).values(row | {"number": 9}))


@pytest.fixture
def filed(events: EventStore, tmp_path: Path) -> ReportStore:
    return ReportStore(events.engine, lambda: WatchlistKey.load_or_make(tmp_path))


def new(**fields: object) -> NewReport:
    base = {"text": "Xe đổ", "happened_s": 900.0, "channel": "public", "contact": {"phone": "0912 345 678"}}
    return NewReport(**(base | fields))  # type: ignore[arg-type]


def test_a_citizen_finds_the_report_by_both_words_and_by_nothing_less(filed: ReportStore) -> None:
    report, code = filed.file(new(), AN, 1000.0)
    other, _ = filed.file(new(), AN, 1000.0)
    typed = f" {report.tracking[:4].lower()}-{report.tracking[4:]}"
    found = filed.of_citizen(typed, f"{code[:4]} {code[4:].lower()}")
    assert found is not None
    assert found.number == report.number
    for tracking, word in ((report.tracking, code[:-1]), (other.tracking, code), ("", ""), (report.tracking, "")):
        assert filed.of_citizen(tracking, word) is None


def test_personal_data_lie_sealed_and_open_only_for_their_report(filed: ReportStore, events: EventStore) -> None:
    report, code = filed.file(new(photo=(b"hidden", b"clear face")), AN, 1000.0)
    other, _ = filed.file(new(photo=(b"hidden", b"another")), AN, 1000.0)
    with events.engine.begin() as connection:
        row = connection.execute(sa.select(reports).where(reports.c.number == report.number)).one()
        assert not any(secret in repr(tuple(row)) for secret in ("0912 345 678", "clear face", code))
        moved = sa.update(reports).where(reports.c.number == other.number)
        connection.execute(moved.values(contact=row.contact, photo_clear=row.photo_clear))
    assert filed.contact(report.number) == {"phone": "0912 345 678"}
    assert (filed.photo(report.number), filed.clear_photo(report.number)) == (b"hidden", b"clear face")
    for read in (filed.contact, filed.clear_photo):
        with pytest.raises(KeyMissingError, match="not sealed with this key"):
            read(other.number)


def test_a_report_goes_from_its_receipt_to_an_answer_and_is_linked_on_both_sides(
    filed: ReportStore, store: IncidentStore
) -> None:
    report, code = filed.file(new(), AN, 1000.0)
    with pytest.raises(NotAllowedError):
        filed.act(1, ReportAction.CLOSE, 1, AN, 1001.0)
    filed.act(1, ReportAction.CHECK, 1, AN, 1002.0)
    filed.act(1, ReportAction.LINK, 2, AN, 1003.0, incident=2)
    with pytest.raises(KeyError):
        filed.act(1, ReportAction.LINK, 3, AN, 1003.0, incident=99)
    filed.act(1, ReportAction.NOTE, 3, BINH, 1004.0, note="internal")
    filed.act(1, ReportAction.ANSWER, 4, AN, 1005.0, answer="Đã xử lý")
    seen = filed.of_citizen(report.tracking, code)
    assert seen is not None
    assert (seen.state, seen.answer, seen.incident) == ("answered", "Đã xử lý", 2)
    assert [line.detail for line in store.log(2) if line.action == "report_linked"] == [{"report": 1}]
    assert [one.number for one in filed.page(states=[ReportState.ANSWERED], incident=2)[0]] == [1]


def test_closed_reports_are_erased_with_their_log_when_their_time_is_over_and_no_hold_keeps_them(
    filed: ReportStore, events: EventStore
) -> None:
    for _ in range(3):
        filed.file(new(), AN, 1000.0)
    for report in (1, 3):
        for number, action in enumerate((ReportAction.CHECK, ReportAction.ANSWER, ReportAction.CLOSE), 1):
            filed.act(report, action, number, AN, 1000.0, answer="x")
    retention = RetentionStore(events.engine)
    for unknown in ("99", "x"):
        with pytest.raises(KeyError):
            retention.hold("report", unknown, "court order", AN)
    retention.hold("report", "3", "court order", AN)
    about = ("reports_days", "closed for 1 day", "the system", "worker")
    assert retention.take_reports(1000.0, 10, *about, now_s=0, make=lambda *_: (b"{}", b"")) is None
    erasure = retention.take_reports(1000.1, 10, *about, now_s=0, make=lambda *_: (b"{}", b""))
    assert [(one["what"], one["number"]) for one in erasure.plan] == [("report", 1)]
    assert [one.number for one in filed.page()[0]] == [3, 2]
    assert filed.log(1) == []


def test_a_person_changes_the_severity_for_a_reason_and_the_log_keeps_it(store: IncidentStore) -> None:
    before = store.get(1)
    other = Severity.LOW if before.severity != "low" else Severity.HIGH
    with pytest.raises(StaleError):
        store.act(1, Action.GRADE, before.version + 1, AN, 1010.0, note="a cat", severity=other)
    changed = store.act(1, Action.GRADE, before.version, AN, 1010.0, note="a cat", severity=other)
    assert (changed.severity, changed.state, changed.version) == (other.value, before.state, before.version + 1)
    line = store.log(1)[-1]
    assert (line.action, line.note, line.detail) == ("grade", "a cat", {"severity": other.value})


@pytest.mark.parametrize("how", ["silent", "unseen"])
def test_what_lasts_at_a_camera_that_is_gone_ends_and_nobody_saw_when(
    events: EventStore, store: IncidentStore, how: str
) -> None:
    events.write([event("gate", 2000.0, Finding("crowd", "c", zone="yard", extra={"phase": "start", "count": 9}))])
    follow(events.engine, GROUND, 2000.0)
    number = store.page(camera="gate", limit=1)[0][0].number
    keep_time(events.engine, GROUND, 80_000.0, ["market"])
    assert [place.lasting for place in store.get(number).places] == [1]
    later = 80_001.0 if how == "silent" else 2000.0 + 86_401.0
    keep_time(events.engine, GROUND, later, ["gate"] if how == "silent" else [])
    keep_time(events.engine, GROUND, later + 1, ["gate"])
    assert [place.lasting for place in store.get(number).places] == [0]
    (told,) = [line for line in store.log(number) if line.action == "ended_unseen"]
    assert (told.detail["ended"], told.detail["last_s"]) == ("time unknown", 2000.0)
    assert store.get(number).proposed_s == later  # and a person is asked to resolve it


def test_the_keeper_calls_a_camera_silent_only_after_it_watched_it_for_so_long(
    events: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, float] = {}
    keeper = Keeper(SimpleNamespace(reported=lambda: told), events)  # type: ignore[arg-type]
    now = [100.0]
    monkeypatch.setattr("actors.incidents.time.monotonic", lambda: now[0])
    assert keeper._silent(["gate"], 60) == set()
    told["gate"], now[0] = 5.0, 150.0
    assert keeper._silent(["gate"], 60) == set()
    told.clear()  # the board lost its memory
    now[0] = 209.0
    assert keeper._silent(["gate"], 60) == set()
    now[0] = 210.0
    assert keeper._silent(["gate"], 60) == {"gate"}
    told["gate"] = 6.0
    assert keeper._silent(["gate"], 60) == set()
