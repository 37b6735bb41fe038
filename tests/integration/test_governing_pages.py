"""Watchlists, models, the cluster, the audit and one's settings: the pages and the routes that only they use."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from actors.audit_anchor import Anchor, advance
from actors.promotions import PromotionRegistry
from actors.store import AuditStore, PeopleStore
from actors.store.incident_keeping import Ground, follow
from hoaban.access import Grant, Role
from hoaban.evaluation.report import ModelIdentity
from hoaban.events import Finding
from hoaban.models.promotion import Step
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system
from tests.integration.test_dashboard_pages import APP, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
OLD, NEW = (
    {"name": "yolox-nano", "version": version, "sha256": digit * 64, "card": digit * 64, "labels": ["car"]}
    for version, digit in ["1a", "2b"]
)


@pytest.fixture
def system(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), data_dir=str(tmp_path)) as running:
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_LANG", "en")
        monkeypatch.delenv("HOABAN_PUBLIC_API_URL", raising=False)
        running.show_fleet()
        for camera in NAMES:
            running.report(camera, inference="inference:a")
        yield running


def sign_in(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch, name: str, *roles: Role) -> str:
    people = PeopleStore(system.store.engine)
    people.add(name, *map(Grant, roles), password="correct horse battery", by="test")
    answer = httpx.post(f"{system.url}/session", json={"name": name, "password": "correct horse battery"})
    token: str = answer.json()["access_token"]
    monkeypatch.setenv("HOABAN_API_TOKEN", token)
    return token


def page(name: str) -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    app.run()
    app.switch_page(str(APP / "views" / f"{name}.py"))
    return sound(app.run())


def told(app: AppTest) -> str:
    return "\n".join([said(app), *(str(one.value) for kind in (app.success, app.metric) for one in kind)])


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label and not button.disabled).click()
    return sound(app.run())


def ask(system: DashboardSystem, token: str, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, system.url + path, headers={"Authorization": f"Bearer {token}"}, **more)


def test_a_plate_is_proposed_by_one_and_approved_by_another(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    officer = sign_in(system, monkeypatch, "Officer Lò Văn Mai", Role.OFFICER)
    app = page("watchlist")
    values = {
        "Case or file number, not a name": "case 12/2026",
        "Plate, as written on it": "29B1-123.45",
        "Law that allows it": "Law 1",
        "Authority that ordered it": "Court",
        "Document": "No. 7",
    }
    for field in app.text_input:
        if field.label in values:
            field.set_value(values[field.label])
    assert "waits for another person" in told(press(app, "Propose"))
    (entry,) = ask(system, officer, "GET", "/watchlist/plates").json()
    assert (entry["subject"], entry["state"]) == ("case 12/2026", "waiting for approval")
    assert "29" in str(page("watchlist").dataframe[0].value["Plate"][0])
    approver = sign_in(system, monkeypatch, "Chi", Role.WATCHLIST_APPROVER)
    assert ask(system, approver, "POST", f"/watchlist/plates/{entry['id']}/approve").status_code == 200
    row = page("watchlist").dataframe[0].value.iloc[0]
    assert (row["State"], row["Approved by"]) == ("● active", "Chi")


def test_what_a_name_stands_for_is_shown_and_taken_back(
    system: DashboardSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scientist = sign_in(system, monkeypatch, "Hoa", Role.DATA_SCIENTIST)
    before, after = (ModelIdentity.model_validate(one) for one in (OLD, NEW))
    step = Step(
        kind="promote", place="yolox-nano", before=before, after=after, at=datetime.now(UTC), by="Hoa", report="c" * 64
    )
    PromotionRegistry(tmp_path).add(lambda _: step)
    app = page("models")
    text = told(app)
    assert "<b>yolox-nano</b> → <b>yolox-nano@2</b>" in text
    assert "not swapped yet" in text  # the cameras still report version 1
    answer = ask(
        system, scientist, "POST", "/models/rollback", json={"place": "yolox-nano", "why": "too slow at night"}
    )
    assert answer.status_code == 201
    assert answer.json()["after"] == "yolox-nano@1"
    assert (
        ask(system, scientist, "POST", "/models/rollback", json={"place": "yolox-nano", "why": "once more"}).status_code
        == 409
    )
    assert "too slow at night" in told(page("models"))
    outcomes = [one.outcome for one in AuditStore(system.store.engine).page(action="model.rollback")[0]]
    assert (outcomes[0], "done" in outcomes) == ("failed", True)  # the newest first: tried once more, in vain


def test_the_cluster_page_tells_of_the_machine_the_seats_and_a_plan(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(system, monkeypatch, "Hoa", Role.DATA_SCIENTIST)
    app = page("cluster")
    text = told(app)
    assert "● alive" in text
    assert "<td>inference:a</td>" in text
    assert "<td>6</td>" in text
    assert "waits for a model" not in text  # no camera tells of its stages
    stages = {"decode": 0.01, "send": 0.02, "queue": 0.043, "infer": 0.06, "return": 0.001}
    timing = {"budget_s": 0.5, "p95_s": 0.1, "stages_p95_s": stages, "late_stage": None, "rung": "no_shadow"}
    system.report("gate", latency=timing)
    text = told(page("cluster"))
    assert "waits for a model" in text
    assert "<td>traffic counting</td><td>10</td><td>20</td><td>43</td><td>60</td><td>1</td><td>0</td>" in text.lower()
    assert "<td>500 ms</td><td>1</td>" in text
    text = told(press(app, "Plan"))
    assert "By costs measured on" in text
    next(field for field in app.text_input if field.label.startswith("What if")).set_value("+2 nonsense")
    assert "nonsense" in told(press(app, "Plan"))


def test_the_record_is_read_with_filters_and_checked(
    system: DashboardSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditor = sign_in(system, monkeypatch, "Dung", Role.AUDITOR)
    store = AuditStore(system.store.engine)
    store.append("x", "An", "picture.unmask", "/cameras/gate/unmasked.jpg", camera="gate", reason="case 9")
    store.append("x", "An", "event.search", "camera=gate", camera="gate")
    app = page("audit")
    assert {"looked at faces unmasked", "searched events"} <= set(app.dataframe[0].value["Did what"])
    app.selectbox(key="audit_action").select("picture")
    sound(app.run())
    assert set(app.dataframe[0].value["Did what"]) == {"looked at faces unmasked"}
    assert app.query_params["action"] == "picture"
    advance(store, Anchor(tmp_path))
    answer = ask(system, auditor, "GET", "/audit/verification").json()
    assert answer["sound"]
    import sqlalchemy as sa

    with system.store.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER audit_no_update"))  # as somebody who owns the database may
        connection.execute(sa.text("UPDATE audit SET who_name = 'Nobody' WHERE action = 'picture.unmask'"))
    broken = ask(system, auditor, "GET", "/audit/verification").json()
    assert not broken["sound"]
    assert broken["wrong"]


def test_who_reads_the_record_does_not_write_refusals_into_it(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(system, monkeypatch, "Dung", Role.AUDITOR)
    store = AuditStore(system.store.engine)
    store.append("x", "An", "event.search", "camera=gate", camera="gate")
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    sound(app.run())  # the page that opens first: an auditor may look at no camera, and is not asked to
    assert NAMES["gate"][0] in set(app.dataframe[0].value["Camera"])
    for part in ("Whole?", "Unusual looks", "Terms", "Hidden zones"):
        app.segmented_control(key="audit_part").set_value(part)
        sound(app.run())
    assert [(one.action, one.subject) for one in store.page(outcome="refused")[0]] == []


def test_settings_hold_for_a_person_and_only_for_them(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sign_in(system, monkeypatch, "Other", Role.OPERATOR)
    token = sign_in(system, monkeypatch, "An", Role.OPERATOR)
    app = page("settings")
    assert "<dd>An</dd>" in told(app)
    next(box for box in app.selectbox if box.label == "Time zone").select("UTC")
    next(box for box in app.selectbox if box.label == "A sound for new incidents").select("high")
    assert "Saved." in told(press(app, "Save"))
    kept = ask(system, token, "GET", "/session/preferences").json()
    assert (kept["timezone"], kept["sound"], kept["notice"]) == ("UTC", "high", None)
    assert ask(system, other, "GET", "/session/preferences").json()["timezone"] is None
    wrong = ask(system, token, "PUT", "/session/preferences", json={"timezone": "Mars/Olympus"})
    assert wrong.status_code == 422
    assert json.loads(wrong.content)["status"] == 422


def test_a_persons_zone_and_language_hold_on_every_page(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = sign_in(system, monkeypatch, "An", Role.OPERATOR)
    captured = datetime(2026, 1, 1, 12, 0, 7, tzinfo=UTC)
    system.happen("gate", Finding("intrusion", "r", 1, "person", zone="door"), captured.timestamp())
    assert ">19:00:07<" in said(page("situation"))
    ask(system, token, "PUT", "/session/preferences", json={"timezone": "UTC", "language": "vi", "sound": "low"})
    text = said(page("situation"))
    assert ">12:00:07<" in text
    assert "đang chạy" in text


def test_new_incidents_are_told_from_the_severity_on_that_was_chosen(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = sign_in(system, monkeypatch, "An", Role.OPERATOR)
    ask(system, token, "PUT", "/session/preferences", json={"sound": "high", "notice": "low"})
    system.happen("market", Finding("loitering", "r", 1, "person", zone="door"))
    system.happen("gate", Finding("intrusion", "r", 2, "person", zone="door"))
    follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
    app = page("situation")
    (told_of,) = [d for one in app.get("bidi_component") if "alarms" in (d := json.loads(one.proto.json))]
    assert {(one["title"], one["sound"], one["notice"]) for one in told_of["alarms"]} == {
        ("low: Loitering", False, True),
        ("high: Intrusion", True, True),
    }
