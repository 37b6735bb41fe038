"""Each page of the dashboard against the real API: what it says when all is well, at start, and when things fail."""

import ast
import gettext
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from dashboards import reasons, words
from hoaban.events import Finding
from hoaban.status import SourceState
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
APP = Path(words.__file__).parent


@pytest.fixture
def system(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4")) as running:
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_API_TOKEN", running.token)
        monkeypatch.setenv("HOABAN_LANG", "en")
        monkeypatch.delenv("HOABAN_PUBLIC_API_URL", raising=False)
        yield running


def opened(page: str = "situation") -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    app.run()
    if page != "situation":
        app.switch_page(str(APP / "views" / f"{page}.py")).run()
    return sound(app)


def sound(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def again(app: AppTest) -> AppTest:
    """Run the page once more, later than the second in which the parts of a page share answers."""
    for kept in app.session_state["answers"].values():
        kept.asked_s -= 60
    return sound(app.run())


def said(app: AppTest) -> str:
    """All words on the page."""
    parts = [element.proto.body for element in app.get("html")]
    for kind in ("markdown", "error", "warning", "info", "subheader", "caption"):
        parts += [str(element.value) for element in app.get(kind)]
    parts += [element.proto.text for element in app.get("progress")]
    return "\n".join(parts)


def on_wall(app: AppTest) -> dict[str, dict[str, object]]:
    """camera -> what the wall is told of it."""
    (shown,) = [
        data for component in app.get("bidi_component") if "tiles" in (data := json.loads(component.proto.json))
    ]
    return {tile["id"]: tile for tile in shown["tiles"]}


def test_before_the_fleet_is_read_the_page_says_that_the_system_starts(system: DashboardSystem) -> None:
    assert "waiting for the fleet" in said(opened())
    assert "waiting for the fleet" in said(opened("cameras"))


def test_start_up_shows_how_many_cameras_have_reported_until_one_lives(system: DashboardSystem) -> None:
    system.show_fleet()
    system.report("gate", SourceState.CONNECTING, last_frame_s=None)
    app = opened()
    assert "1 of 6 cameras have reported" in said(app)
    assert app.get("progress")[0].proto.value == 100 // 6
    assert on_wall(app)["gate"]["said"] == "connecting"
    assert on_wall(app)["school"]["state"] == "silent"
    system.report("gate")
    assert "have reported" not in said(again(app))


def test_states_are_told_by_sign_and_words_and_the_reason_is_on_the_tile(system: DashboardSystem) -> None:
    system.show_fleet()
    for camera in NAMES:
        system.report(camera)
    system.report("school", SourceState.FAILED, error="wrong user or password; correct them", last_frame_s=None)
    system.report("bridge", simulated=True)
    app = opened()
    assert "✕</span> 1 failed" in said(app)
    assert "●</span> 5 live" in said(app)
    tiles = on_wall(app)
    assert list(tiles) == list(NAMES)
    assert (tiles["school"]["sign"], tiles["school"]["note"]) == ("✕", "wrong user or password; correct them")
    assert [camera for camera, tile in tiles.items() if tile["simulated"]] == ["bridge"]


def test_the_addresses_of_pictures_work_and_stay_the_same_until_their_tickets_near_the_end(
    system: DashboardSystem,
) -> None:
    system.show_fleet()
    system.report("gate")
    app = opened()
    address = str(on_wall(app)["gate"]["address"])
    picture = httpx.get(address)
    assert (picture.status_code, picture.content[:2]) == (200, b"\xff\xd8")
    assert system.token not in address
    assert on_wall(again(app))["gate"]["address"] == address
    app.session_state["tickets"]["gate"] = (app.session_state["tickets"]["gate"][0], time.time() - 1)
    time.sleep(1.1)  # a ticket's signature holds whole seconds
    renewed = str(on_wall(again(app))["gate"]["address"])
    assert renewed != address
    assert httpx.get(renewed).status_code == 200


def test_events_are_told_in_words_newest_first_and_nothing_from_outside_becomes_markup(
    system: DashboardSystem,
) -> None:
    system.show_fleet()
    now = time.time()
    system.happen("gate", Finding("line_count", "r", 1, "car", line="in", direction="forward"), now - 20)
    system.happen("market", Finding("intrusion", "r", 2, "person", zone="<img src=x>"), now - 10)
    system.happen("square", Finding("crowd", "r", zone="door", extra={"phase": "start", "count": 7}), now - 5)
    system.happen("square", Finding("not_yet_known", "r", 3, "zebra", zone="door"), now)
    app = opened()
    text = said(app)
    order = [text.index(happening) for happening in ("Zebra not_yet_known door", "Crowd in door (7)", "Person entered")]
    assert order == sorted(order)
    assert "Car crossed in (forward)" in text
    assert "&lt;img src=x&gt;" in text
    assert "<img" not in text
    app.session_state["feed"] = "alerts"
    alerts = said(again(app))
    assert "Person entered" in alerts
    assert "Car crossed" not in alerts


def test_counts_of_today_are_those_of_the_api(system: DashboardSystem) -> None:
    system.show_fleet()
    now = time.time()
    for track in range(7):
        label = "car" if track < 4 else "truck"
        system.happen("gate", Finding("line_count", "r", track, label, line="in", direction="forward"), now + track)
    system.happen("gate", Finding("line_count", "r", 99, "bus", line="in", direction="forward"), now - 3 * 86400)
    text = said(opened())
    assert "<th>car</th><th>truck</th>" in text
    assert "<td>4</td><td>3</td><td>7</td>" in text
    assert "bus" not in text


def test_a_refused_fleet_file_is_shown_with_its_reason(system: DashboardSystem) -> None:
    system.show_fleet(errors=("fleet.yaml:9: cameras.0.analysis_fps: not a number; write 5",))
    assert "fleet.yaml:9: cameras.0.analysis_fps" in (text := said(opened()).replace("\\", ""))
    assert "The last good one, of 25/11/2026 16:00, runs until the file is mended." in text  # UTC+7


def test_the_page_of_cameras_shows_each_and_the_chosen_one_in_full(system: DashboardSystem) -> None:
    system.show_fleet()
    for camera in NAMES:
        system.report(camera)
    system.report("gate", SourceState.STALLED, error="no frame for 7 s", last_frame_s=time.time() - 7)
    app = opened("cameras")
    table = app.dataframe[0].value
    assert list(table["Camera"]) == [name for name, _, _ in NAMES.values()]
    assert table["State"][0] == "▲ no new picture"
    assert table["Newest picture"][0] == "7.0 s"
    assert table["Trouble"][0] == "no frame for 7 s"
    text = said(app)
    assert "rtsp://" in text
    assert "secret" not in text
    assert list(on_wall(app)) == ["gate"]


def test_a_live_camera_that_nobody_looks_at_is_not_shown_as_live(system: DashboardSystem) -> None:
    system.show_fleet()
    for camera in NAMES:
        system.report(camera, analysis_age_s=0.3)
    why = "not analysed for 90 s: model: no inference actor is known yet"
    system.report("gate", not_analysed=why, analysis_age_s=90.0)
    app = opened()
    assert "◇</span> 1 not analysed" in said(app)
    assert "●</span> 5 live" in said(app)
    assert (on_wall(app)["gate"]["state"], on_wall(app)["gate"]["note"]) == ("not_analysed", why)
    page = opened("cameras")
    assert page.dataframe[0].value["State"][0] == "◇ not analysed"
    assert "<dt>Newest analysed picture</dt><dd>90 s</dd>" in said(page)
    headers = {"Authorization": f"Bearer {system.token}"}
    answer = httpx.get(f"{system.url}/cameras/gate", headers=headers).json()["status"]
    assert (answer["not_analysed"], answer["analysis_age_s"]) == (why, 90.0)


def test_a_big_fleet_comes_in_pages_and_by_district(system: DashboardSystem) -> None:
    base = system.fleet.cameras[0]
    more = [base.model_copy(update={"id": f"c{n}", "name": f"C{n}"}) for n in range(20)]
    system.fleet = system.fleet.model_copy(update={"cameras": (*system.fleet.cameras, *more)})
    system.show_fleet()
    app = opened()
    assert len(on_wall(app)) == 16
    app.selectbox(key="district").set_value("db")
    assert list(on_wall(again(app))) == ["market", "school", "junction"]


def test_when_the_api_goes_away_the_page_says_so_and_keeps_what_it_knew(
    tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOABAN_LANG", "en")
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4")) as system:
        monkeypatch.setenv("HOABAN_API_URL", system.url)
        monkeypatch.setenv("HOABAN_API_TOKEN", system.token)
        system.show_fleet()
        system.report("gate")
        app, other = opened(), opened("cameras")
    for page in (app, other):
        assert "The API does not answer" in said(again(page))
    assert on_wall(app)["gate"]["state"] == "live"
    assert "The API does not answer" in said(opened())


def test_the_language_can_be_changed(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_LANG", "vi")
    system.show_fleet()
    system.report("gate")
    why = "rtsp://gate/1: not found; check the path"
    system.report("school", SourceState.FAILED, error=why, last_frame_s=None)
    app = opened()
    assert "đang chạy" in said(app)
    assert on_wall(app)["school"]["note"] == "rtsp://gate/1: không tìm thấy; kiểm tra đường dẫn"
    app.session_state["language"] = "en"
    assert "1 live" in said(again(app))
    assert on_wall(app)["school"]["note"] == why


def test_every_word_of_the_pages_is_in_the_vietnamese_catalogue() -> None:
    catalogue = gettext.translation("hoaban", words.LOCALE, ["vi"])
    spoken = {*words.TERMS.values(), *reasons.KNOWN, *reasons.WAYS}
    for file in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t":
                spoken |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    assert len(spoken) > 60
    known: dict[str, str] = catalogue._catalog  # type: ignore[attr-defined]
    assert spoken - set(known) == set()
    for text in spoken:
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", known[text])), text
    written = re.findall(
        r'^msgid (".+")\nmsgstr (".+")$', (words.LOCALE / "vi/LC_MESSAGES/hoaban.po").read_text(), re.M
    )
    source = {ast.literal_eval(key): ast.literal_eval(value) for key, value in written if key != '""'}
    assert source == {key: value for key, value in known.items() if key}, "hoaban.mo was not made from hoaban.po"
