"""The pages of incidents, field reports, maintenance and citizens against the real API."""

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from actors.store import IncidentStore, PeopleStore, ReportStore, WorkOrderStore
from actors.store.incident_keeping import Ground, follow, keep_time
from hoaban.access import Person, Role
from hoaban.events import Finding
from hoaban.incidents.states import Action, ReportAction
from hoaban.stream_health import health_finding
from tests.dashboard_system import DashboardSystem, dashboard_system
from tests.integration.test_cases_api import portrait
from tests.integration.test_dashboard_pages import APP, again, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PERSON = Person("p", "Chi")


@pytest.fixture
def system(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4")) as running:
        people = PeopleStore(running.store.engine)
        running.token = people.create_token("An", Role.OPERATOR)[1]
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_API_TOKEN", running.token)
        monkeypatch.setenv("HOABAN_INTAKE_TOKEN", people.create_token("intake", Role.INTAKE)[1])
        monkeypatch.setenv("HOABAN_LANG", "en")
        monkeypatch.delenv("HOABAN_PUBLIC_API_URL", raising=False)
        running.app.state.intake.store = ReportStore(running.store.engine, lambda: _key(tmp_path))
        running.show_fleet()
        yield running


def _key(folder: Path) -> Any:
    from actors.watchlist.key import WatchlistKey

    return WatchlistKey.load_or_make(folder)


def page(name: str) -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    app.run()
    app.switch_page(str(APP / "views" / f"{name}.py")).run()
    return sound(app)


def told(app: AppTest) -> str:
    return "\n".join([said(app), *(str(element.value) for element in [*app.success, *app.title, *app.text])])


def click(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label and not button.disabled).click()
    return sound(app.run())


def fill(app: AppTest, label: str, value: str) -> None:
    kinds = [*app.text_input, *app.text_area]
    next(element for element in kinds if element.label == label).set_value(value)


def keep(system: DashboardSystem, now_s: float | None = None) -> None:
    ground = Ground.of_fleet(system.board.get_json("fleet") or {})
    follow(system.store.engine, ground, time.time())
    keep_time(system.store.engine, ground, now_s or time.time())


def two_incidents(system: DashboardSystem) -> IncidentStore:
    """1: loitering, low; 2: an intrusion, high."""
    system.happen("market", Finding("loitering", "r", 1, "person", zone="door"))
    system.happen("gate", Finding("intrusion", "r", 2, "person", zone="<b>door"))
    keep(system)
    return IncidentStore(system.store.engine)


def test_the_queue_is_empty_and_says_so(system: DashboardSystem) -> None:
    assert "No incident here." in told(page("incidents"))


def test_the_worst_stands_first_and_is_handled_up_to_its_end(system: DashboardSystem) -> None:
    store = two_incidents(system)
    app = page("incidents")
    table = app.dataframe[0].value
    assert list(table["#"]) == [2, 1]
    assert list(table["Severity"]) == ["◆ high", "· low"]
    assert app.subheader[0].value == "#2 Intrusion"
    assert "&lt;b&gt;door" in told(app)
    assert "<b>door" not in told(app)
    app = click(app, "Acknowledge")
    assert "Acknowledged." in told(app)
    app = click(app, "Start")
    fill(app, "Comment", "đang đến nơi")
    app = click(app, "Comment")
    assert "đang đến nơi" in told(app)
    app = click(app, "Resolve")
    assert [store.get(2).state, store.get(1).state] == ["resolved", "new"]
    assert app.subheader[0].value == "#1 Loitering"  # the next one that waits
    assert [line.who_name for line in store.log(2)[1:]] == ["An"] * 4


def test_next_and_previous_walk_the_queue_and_have_keys(system: DashboardSystem) -> None:
    two_incidents(system)
    app = page("incidents")
    keys = {button.label: button.proto.shortcut for button in app.button if button.proto.shortcut}
    assert keys == {"Previous": "k", "Next": "j", "Acknowledge": "a", "Start": "s", "Resolve": "e"}
    app = click(app, "Next")
    assert app.subheader[0].value == "#1 Loitering"
    assert next(button for button in app.button if button.label == "Next").disabled
    assert click(app, "Previous").subheader[0].value == "#2 Intrusion"


def test_the_queues_filters_stand_in_the_address(system: DashboardSystem) -> None:
    two_incidents(system)
    app = page("incidents")
    assert len(app.dataframe[0].value) == 2
    next(box for box in app.selectbox if box.label == "Severity").set_value("low")
    sound(app.run())
    assert list(app.dataframe[0].value["Severity"]) == ["· low"]
    assert app.query_params["severity"] == "low"
    assert "state" not in app.query_params
    linked = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    linked.switch_page(str(APP / "views" / "incidents.py"))
    linked.query_params["severity"], linked.query_params["district"] = "high", "dbp"
    assert list(sound(linked.run()).dataframe[0].value["#"]) == [2]
    assert [box.value for box in linked.selectbox if box.label in ("Severity", "District")] == ["high", "dbp"]


def test_what_another_changed_meanwhile_is_told_and_not_overwritten(system: DashboardSystem) -> None:
    store = two_incidents(system)
    app = page("incidents")
    app.session_state["answers"]["incident-2"].asked_s += 60  # what is on the screen
    store.act(2, Action.ACKNOWLEDGE, 1, PERSON, time.time())
    app = click(app, "Acknowledge")
    assert "Not done: it has changed meanwhile" in told(app)
    assert store.get(2).version == 2


def test_dismissing_needs_words_and_escalation_is_told(system: DashboardSystem) -> None:
    store = two_incidents(system)
    keep(system, time.time() + 650)
    app = page("incidents")
    assert "Nobody has acknowledged it in time." in told(app)
    assert app.dataframe[0].value["Note"][0] == "ESCALATED"
    app = click(app, "Dismiss")
    assert store.get(2).state == "new"
    fill(app, "In words", "con chó")
    click(app, "Dismiss")
    assert (store.get(2).state, store.get(2).dismissal) == ("dismissed", "false_alarm")


def test_it_is_given_to_one_of_who_may_handle_it_and_graded_for_a_reason(system: DashboardSystem) -> None:
    store, people = two_incidents(system), PeopleStore(system.store.engine)
    assert "Nobody may be assigned here." in told(page("incidents"))
    people.add("Lan", Role.OPERATOR, agency="police", by="test")
    people.add("Xem", Role.VIEWER, by="test")
    app = page("incidents")
    who = next(box for box in app.selectbox if box.label == "Assigned to")
    assert (who.options, who.value) == (["Lan · police"], None)
    app = click(app, "Assign")
    assert store.get(2).assignee is None
    next(box for box in app.selectbox if box.label == "Assigned to").set_value("Lan")
    app = click(app, "Assign")
    assert "Assigned." in told(app)
    assert (store.get(2).assignee, store.log(2)[-1].detail) == ("Lan", {"assignee": "Lan"})
    assert dict(zip(app.dataframe[0].value["#"], app.dataframe[0].value["Assigned to"], strict=True)) == {
        1: "",
        2: "Lan",
    }
    next(box for box in app.selectbox if box.label == "New severity").set_value("critical")
    app = click(app, "Change the severity")
    assert store.get(2).severity == "high"
    fill(app, "Why its severity changes", "có <b>lửa</b>")
    app = click(app, "Change the severity")
    assert (store.get(2).severity, store.log(2)[-1].note) == ("critical", "có <b>lửa</b>")
    assert "Severity changed." in told(app)
    assert "<b>lửa" not in told(app)


def test_a_shift_is_handed_over_on_the_page(system: DashboardSystem) -> None:
    two_incidents(system)
    PeopleStore(system.store.engine).add("Bình", Role.OPERATOR, by="test")
    app = page("incidents")
    assert "No shift has been handed over yet." in told(app)
    next(box for box in app.selectbox if box.label == "Who takes over").set_value("Bình")
    fill(app, "What they must know", "chợ đông")
    app = click(app, "Sign and hand over")
    assert "An → Bình" in told(app)
    assert "#1 new, #2 new" in told(app)
    assert "it was handed to Bình" in told(click(app, "Accept"))


def test_who_may_not_see_incidents_is_told_so(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = PeopleStore(system.store.engine).create_token("admin", Role.ADMIN)[1]
    monkeypatch.setenv("HOABAN_API_TOKEN", admin)
    for name in ("incidents", "field_reports"):
        assert "Your roles do not show you" in told(page(name))


def test_without_the_api_the_pages_say_so(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_API_URL", "http://127.0.0.1:9/api/v1")
    for name in ("incidents", "field_reports", "work_orders"):
        assert "The API does not answer" in told(page(name))
    app = page("citizen")
    fill(app, "What happened?", "Xe máy đổ")
    fill(app, "Where? A street, a bridge, a shop …", "Cầu Mường Thanh")
    assert "This does not work at the moment" in told(click(app, "Send"))


def test_a_citizen_files_a_report_and_reads_its_answer(system: DashboardSystem) -> None:
    app = page("citizen")
    assert "Say in a few words" in told(click(app, "Send"))
    fill(app, "What happened?", "Xe máy đổ giữa đường")
    assert "Say where it happened." in told(click(app, "Send"))
    fill(app, "Where? A street, a bridge, a shop …", "Cầu Mường Thanh")
    fill(app, "Your telephone number or e-mail, if we may ask you", "0912 345 678")
    next(u for u in app.file_uploader).set_value(("me.jpg", portrait(), "image/jpeg"))
    app = click(app, "Send")
    assert "Your report has arrived." in told(app)
    tracking, code = (metric.value for metric in app.metric)
    store: ReportStore = system.app.state.intake.store
    assert store.contact(1) == {"phone": "0912 345 678"}
    assert store.get(1).has_photo
    store.act(1, ReportAction.CHECK, 1, PERSON, time.time())
    store.act(1, ReportAction.ANSWER, 2, PERSON, time.time(), answer="Đã dọn <b>xong</b>")
    app = page("citizen")
    fill(app, "Tracking number", tracking)
    fill(app, "Access code", "WRONG-CODE")
    assert "no report with this number" in told(click(app, "Look"))
    fill(app, "Access code", code)
    app = click(app, "Look")
    assert "answered" in told(app)
    assert app.text[0].value == "Đã dọn <b>xong</b>"


def test_without_a_token_of_its_own_the_citizens_page_takes_nothing(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOABAN_INTAKE_TOKEN")
    assert "Reports are not taken here" in told(page("citizen"))


def test_citizens_need_not_sign_in(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOABAN_API_TOKEN")
    assert "What has become of my report?" in [tab.label for tab in page("citizen").tabs]


def test_a_handler_takes_a_report_to_its_answer(system: DashboardSystem, tmp_path: Path) -> None:
    assert "No report waits here." in told(page("field_reports"))
    two_incidents(system)
    sent = {
        "text": "Có <b>người</b> lạ ở cổng",
        "landmark": "Cổng",
        "contact": {"phone": "0912 345 678"},
        "photo": base64.b64encode(portrait()).decode(),
    }
    headers = {"Authorization": f"Bearer {system.token}"}
    assert httpx.post(f"{system.url}/reports", json=sent, headers=headers, timeout=60).status_code == 201
    app = page("field_reports")
    assert app.dataframe[0].value["Text"][0] == "Có <b>người</b> lạ ở cổng"
    assert "&lt;b&gt;người" in told(app)
    assert len(app.image) == 1
    assert "0912 345 678" not in told(app)
    fill(app, "Reason, at least 10 letters; it is recorded", "ngắn")
    assert "0912 345 678" not in told(click(app, "Show"))
    fill(app, "Reason, at least 10 letters; it is recorded", "phải hỏi lại vị trí")
    app = click(app, "Show")
    assert "0912 345 678" in told(app)
    assert "0912 345 678" not in told(again(app))
    app = click(app, "Checked")
    app.number_input[0].set_value(2)
    app = click(app, "Link")
    assert app.dataframe[0].value["Incident"][0] == "#2"
    fill(app, "Answer to the citizen", "Đã xử lý")
    app = click(app, "Send the answer")
    store: ReportStore = system.app.state.intake.store
    assert (store.get(1).state, store.get(1).answer, store.get(1).incident) == ("answered", "Đã xử lý", 2)
    assert "No report waits here." in told(app)
    assert "#1" in told(page("incidents"))


def test_a_repair_from_its_order_to_its_mean_time(system: DashboardSystem) -> None:
    assert "No camera waits for repair." in told(page("work_orders"))
    now_s = time.time()
    PeopleStore(system.store.engine).add("Thợ", Role.OPERATOR, by="test")
    system.happen("gate", health_finding("camera_health", "covered", "start", "lens lost"), now_s - 7200)
    keep(system)
    app = page("work_orders")
    assert list(app.dataframe[0].value["State"]) == ["to be repaired"]
    assert "lens lost" in told(app)
    next(box for box in app.selectbox if box.label == "Assigned to").set_value("Thợ")
    app = click(app, "Assign")
    assert list(app.dataframe[0].value["Assigned to"]) == ["Thợ"]
    app = click(app, "Start")
    system.happen("gate", health_finding("camera_health", "covered", "end", "clear"), now_s - 3600)
    keep(system)
    app = again(app)
    assert "The camera says that the fault is over" in told(app)
    app = click(app, "Works again")
    assert WorkOrderStore(system.store.engine).get(1).state == "done"
    assert app.dataframe[0].value["Mean time"][0] == "60 min"


def test_the_pages_speak_vietnamese(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    two_incidents(system)
    monkeypatch.setenv("HOABAN_LANG", "vi")
    app = page("incidents")
    assert app.subheader[0].value == "#2 Xâm nhập"
    assert "Tiếp nhận" in [button.label for button in app.button]
    assert "Chưa có camera nào chờ sửa." in told(page("work_orders"))
    assert "Không có phản ánh nào đang chờ." in told(page("field_reports"))
    assert page("citizen").title[0].value == "Gửi phản ánh"
