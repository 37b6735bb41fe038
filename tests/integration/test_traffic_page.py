"""The page of traffic, and the counts as a file: what is shown is what was stored, and the export leaves its trace."""

import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from actors.store import AuditStore
from hoaban.events import Finding
from tests.dashboard_system import DashboardSystem, dashboard_system
from tests.integration.test_dashboard_pages import APP, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def system(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4")) as running:
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_API_TOKEN", running.token)
        monkeypatch.setenv("HOABAN_LANG", "en")
        running.show_fleet()
        yield running


def page(**query: str) -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    app.run()
    app.switch_page(str(APP / "views" / "traffic.py"))
    for key, value in query.items():
        app.query_params[key] = value
    return sound(app.run())


def cross(system: DashboardSystem, camera: str, track: int, label: str, lane: str = "in") -> None:
    finding = Finding("line_count", "r", track, label, line="in", direction="forward", extra={"lane": lane})
    system.happen(camera, finding, time.time() - 1)


def test_counts_by_lane_and_class_turns_and_the_level_of_service(system: DashboardSystem) -> None:
    for track in range(5):
        cross(system, "gate", track, "car" if track < 3 else "bus", "in" if track < 4 else "out")
    system.happen("bridge", Finding("turning_count", "t", 9, "car", line="east", extra={"from": "north", "to": "east"}))
    measure = {"zone": "road", "level": "jam", "count": 9, "speed": 3.4, "speed_unit": "km/h"}
    system.report("gate", measures={"congestion": measure})
    system.report("bridge", measures={"congestion": measure | {"level": "free", "speed_unit": "lengths/s"}})
    text = said(page(span="hour"))
    assert "<td>in</td><td>3</td><td>1</td><td>4</td>" in text
    assert "<td>out</td><td>·</td><td>1</td><td>1</td>" in text
    assert "<td>north</td><td>1</td>" in text
    assert "■ jam" in text
    assert text.count("not calibrated") == 1


def test_the_filter_of_a_gateway_is_in_the_address(system: DashboardSystem) -> None:
    cross(system, "gate", 1, "car")
    cross(system, "market", 2, "truck")
    both = page(span="hour")
    assert "Chợ trung tâm" in said(both)
    app = page(span="hour", camera="gate")
    assert "Cửa ngõ phía Nam" in said(app)
    assert "Chợ trung tâm" not in said(app)
    app.selectbox(key="gateway_choice").select_index(0)
    assert "camera" not in sound(app.run()).query_params


def test_a_time_without_crossings_says_so(system: DashboardSystem) -> None:
    assert "Nothing has crossed a line" in "\n".join(str(one.value) for one in page().info)


def test_the_file_holds_the_same_counts_and_that_it_was_taken_is_recorded(system: DashboardSystem) -> None:
    cross(system, "gate", 1, "car")
    cross(system, "gate", 2, "=1+1")  # a model's card may name its classes so
    answer = httpx.get(f"{system.url}/counts.csv", headers={"Authorization": f"Bearer {system.token}"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["camera"], row["lane"], row["class"], row["n"]) for row in rows] == [
        ("gate", "in", "'=1+1", "1"),
        ("gate", "in", "car", "1"),
    ]
    assert all(row["from"].endswith("+07:00") for row in rows)
    records, _ = AuditStore(system.store.engine).page(action="counts.export")
    assert [json.loads(json.dumps(dict(one.detail)))["bucket"] for one in records] == [900]
    assert httpx.get(f"{system.url}/counts.csv").status_code == 401


def test_crowds_are_told_with_their_density_and_a_heat_map_is_shown_where_one_is_kept(system: DashboardSystem) -> None:
    warm = system.fleet.cameras[2]
    again = type(warm).model_validate(warm.model_dump(by_alias=True) | {"heat_map": {}})
    kept = tuple(again if camera.id == warm.id else camera for camera in system.fleet.cameras)
    system.fleet = system.fleet.model_copy(update={"cameras": kept})
    system.show_fleet()
    full = {"zone": "door", "phase": "crowd", "count": 31, "density": 0.52, "density_per": "m2"}
    system.report("square", measures={"crowd": full})
    system.report("market", measures={"crowd": full | {"phase": "clear", "count": 2, "density_per": "picture"}})
    system.happen("square", Finding("crowd", "r", zone="door", extra={"phase": "start", "count": 31}))
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30).run()
    app.switch_page(str(APP / "views" / "crowd.py"))
    text = said(sound(app.run()))
    assert text.index("gathering") < text.index("clear")
    assert "<td>31</td><td>0.52</td>" in text
    assert "<td>2</td><td>–</td>" in text
    assert "Crowd in door (31)" in text
    (wall,) = [data for one in app.get("bidi_component") if "tiles" in (data := json.loads(one.proto.json))]
    assert "/cameras/bridge/heatmap.jpg?ticket=" in wall["tiles"][0]["address"]
