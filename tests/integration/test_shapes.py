"""Zones and lines through the API into the fleet file: checked, by one person at a time; and a camera's moments."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from streamlit.testing.v1 import AppTest

from actors.store import AuditStore, PeopleStore
from hoaban.access import Grant, Role
from hoaban.events import Finding
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system
from tests.integration.test_dashboard_pages import APP, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
DOOR = {"id": "door", "polygon": [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8]]}
IN = {"id": "in", "from": [0.1, 0.5], "to": [0.9, 0.5]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    zone = DOOR | {"polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}
    cameras = [{"id": id, "zones": [zone], "lines": [IN]} for id in NAMES]
    path = tmp_path / "fleet.yaml"
    path.write_text(f"# kept\ncameras: {json.dumps(cameras)}\n")
    return path


@pytest.fixture
def system(
    tmp_path: Path, file: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), fleet_files=(str(file),)) as running:
        people = PeopleStore(running.store.engine)
        people.add("Quản trị", Grant(Role.ADMIN), password="correct horse battery", by="test")
        answer = httpx.post(f"{running.url}/session", json={"name": "Quản trị", "password": "correct horse battery"})
        running.token = answer.json()["access_token"]
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_API_TOKEN", running.token)
        monkeypatch.setenv("HOABAN_LANG", "en")
        running.show_fleet()
        for camera in NAMES:
            running.report(camera)
        yield running


def ask(system: DashboardSystem, method: str, revision: str = "", **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {system.token}", "If-Match": f'"{revision}"'}
    return httpx.request(method, f"{system.url}/cameras/gate/shapes", headers=headers, **more)


def test_what_is_drawn_is_in_the_file_and_who_drew_it_in_the_record(system: DashboardSystem, file: Path) -> None:
    seen = ask(system, "GET").json()
    answer = ask(system, "PUT", seen["revision"], json={"zones": [DOOR], "lines": [IN]})
    assert answer.status_code == 200
    assert answer.json()["revision"] == ask(system, "GET").json()["revision"] != seen["revision"]
    text = file.read_text()
    assert text.startswith("# kept\n")
    cameras = {one["id"]: one for one in yaml.safe_load(text)["cameras"]}
    assert cameras["gate"]["zones"] == [DOOR]
    assert cameras["market"]["zones"] != [DOOR]
    records, _ = AuditStore(system.store.engine).page(action="fleet.shapes")
    assert {(one.who_name, one.camera, *one.detail["zones"]) for one in records} == {("Quản trị", "gate", "door")}
    assert records[0].outcome == "done"
    assert not list(file.parent.glob(".fleet.yaml.*"))


def test_who_comes_second_writes_nothing_over(system: DashboardSystem, file: Path) -> None:
    seen = ask(system, "GET").json()["revision"]
    assert ask(system, "PUT", seen, json={"zones": [DOOR], "lines": [IN]}).status_code == 200
    late = ask(system, "PUT", seen, json={"zones": [DOOR | {"polygon": [[0, 0], [1, 0], [1, 1]]}], "lines": [IN]})
    assert late.status_code == 412
    assert ask(system, "GET").json()["zones"] == [DOOR]


@pytest.mark.parametrize(
    ("zones", "lines", "why"),
    [
        ([DOOR | {"polygon": [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]}], [IN], "crosses itself"),
        ([DOOR], [], "'in'"),  # a rule counts at this line
        ([DOOR, DOOR], [IN], "twice"),
        ([DOOR], [IN | {"to": [0.1, 0.5]}], "no length"),
    ],
)
def test_what_would_break_the_fleet_is_refused_with_the_reason(
    system: DashboardSystem, file: Path, zones: list[Any], lines: list[Any], why: str
) -> None:
    before = file.read_text()
    answer = ask(system, "PUT", ask(system, "GET").json()["revision"], json={"zones": zones, "lines": lines})
    assert answer.status_code == 422
    assert why in answer.text
    assert file.read_text() == before


def test_the_editor_has_the_files_shapes_and_the_last_events_places(system: DashboardSystem) -> None:
    system.happen("gate", Finding("intrusion", "r", 1, "person", zone="door", bbox=(96.0, 144.0, 192.0, 288.0)))
    app = page(camera="gate", part="zones")
    (told,) = [data for one in app.get("bidi_component") if "spots" in (data := json.loads(one.proto.json))]
    assert told["zones"][0]["polygon"] == [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]
    assert told["spots"] == [[144 / 768, 288 / 576]]
    assert told["picture"].startswith("data:image/jpeg;base64,")


def test_a_moment_is_told_with_the_rule_that_fired_and_an_address_leads_to_it(system: DashboardSystem) -> None:
    now = time.time()
    first = system.happen(
        "gate", Finding("intrusion", "r", 41, "person", zone="door", bbox=(1.0, 2.0, 3.0, 4.0)), now - 90
    )
    system.happen("gate", Finding("crowd", "r", zone="door", extra={"phase": "start", "count": 7}), now - 30)
    assert "<dt>Saw</dt><dd>counted 7</dd>" in said(page(camera="gate", part="moments"))
    text = said(page(camera="gate", part="moments", moment=first.id))
    assert "<dt>Track</dt><dd>41</dd>" in text
    assert "Person entered door" in text
    assert "data:image/svg+xml" in text  # drawn as an image: Streamlit takes drawings out of HTML


def test_an_address_leads_to_a_moment_of_last_week_and_says_when_it_is_gone(system: DashboardSystem) -> None:
    now = time.time()
    old = system.happen("gate", Finding("intrusion", "r", 51, "person", zone="door"), now - 6 * 86400)
    near = system.happen("gate", Finding("crowd", "r", zone="door", extra={"phase": "start"}), now - 6 * 86400 + 60)
    system.happen("gate", Finding("crowd", "r", zone="door", extra={"phase": "start", "count": 7}), now - 30)
    app = page(camera="gate", part="moments", moment=old.id, at=old.to_cloudevent()["time"])
    text = said(app)
    assert f"<dd>{old.id}</dd>" in text
    assert "which lies further back" in text
    assert len(app.select_slider[0].options) == 2
    app.select_slider[0].set_value(near.id)
    assert f"<dd>{near.id}</dd>" in said(sound(app.run()))
    assert app.query_params["moment"] == near.id
    app.segmented_control(key="moment_hours").set_value(1)  # back to now
    text = said(sound(app.run()))
    assert "counted 7" in text
    assert "further back" not in text
    gone = said(page(camera="gate", part="moments", moment="ab" * 16, at="no time"))
    assert "The moment that the address names is not kept" in gone
    assert "counted 7" in gone


def page(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    app.run()
    app.switch_page(str(APP / "views" / "cameras.py"))
    for key, value in query.items():
        app.query_params[key] = value
    return sound(app.run())
