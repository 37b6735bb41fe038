"""The map of the first page, links to a camera or an incident, and pages that are listed by what a person may do."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from actors.store import PeopleStore
from actors.store.incident_keeping import Ground, follow
from dashboards.map import _outlines
from hoaban.access import Role
from hoaban.events import Finding
from hoaban.status import SourceState
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system
from tests.integration.test_dashboard_pages import APP, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture
def system(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4")) as running:
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_LANG", "en")
        monkeypatch.delenv("HOABAN_PUBLIC_API_URL", raising=False)
        sign_in(running, monkeypatch, Role.OPERATOR)
        places = {"gate": {"lat": 21.40, "lon": 103.0}, "market": {"lat": 21.37, "lon": 103.1, "surveyed": False}}
        cameras = [
            camera.model_copy(update={"location": places.get(camera.id)})
            if camera.id not in places
            else camera.model_validate(camera.model_dump(by_alias=True) | {"location": places[camera.id]})
            for camera in running.fleet.cameras
        ]
        running.fleet = running.fleet.model_copy(update={"cameras": tuple(cameras)})
        running.show_fleet()
        for camera in NAMES:
            running.report(camera)
        yield running


def sign_in(system: DashboardSystem, monkeypatch: pytest.MonkeyPatch, *roles: Role) -> None:
    token = PeopleStore(system.store.engine).create_token("An " + " ".join(roles), *roles)[1]
    monkeypatch.setenv("HOABAN_API_TOKEN", token)


def page(name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    app.run()
    app.switch_page(str(APP / "views" / f"{name}.py"))
    for key, value in query.items():
        app.query_params[key] = value
    return sound(app.run())


def on_map(app: AppTest) -> dict[str, Any]:
    (found,) = [data for one in app.get("bidi_component") if "outline" in (data := json.loads(one.proto.json))]
    return found


def test_the_map_has_every_camera_that_has_a_place_in_its_state_and_the_incidents(system: DashboardSystem) -> None:
    system.report("gate", SourceState.FAILED, error="wrong password", last_frame_s=None)
    system.happen("market", Finding("intrusion", "r", 1, "person", zone="door"))
    follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30).run()
    shown = on_map(sound(app))
    assert {one["id"]: one["state"] for one in shown["cameras"]} == {"gate": "failed", "market": "live"}
    assert [one["surveyed"] for one in shown["cameras"]] == [True, False]
    assert [(one["number"], one["camera"], one["fresh"]) for one in shown["incidents"]] == [(1, "market", True)]
    assert "4 cameras have no place" in shown["note"]
    assert "no official border" in shown["note"]
    assert "Open incidents · 1" in said(app)


def test_the_outline_is_a_closed_ring_around_the_provinces_capital() -> None:
    (ring,) = _outlines()["Điện Biên"]
    assert ring[0] == ring[-1]
    lon, lat, inside = (
        103.02,
        21.39,
        False,
    )  # a point is inside when a ray from it crosses the ring an odd number of times
    for (x1, y1), (x2, y2) in itertools.pairwise(ring):
        if (y1 > lat) != (y2 > lat) and lon < (x2 - x1) * (lat - y1) / (y2 - y1) + x1:
            inside = not inside
    assert inside


def test_an_address_leads_to_a_camera_and_to_an_incident(system: DashboardSystem) -> None:
    for number, camera in enumerate(("market", "gate")):
        system.happen(camera, Finding("intrusion", "r", number, "person", zone="door"))
    follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
    assert page("cameras", camera="school").subheader[0].value == NAMES["school"][0]
    app = page("incidents", incident="1")
    assert app.subheader[0].value.startswith("#1 ")
    assert app.query_params["incident"] == "1"
    assert page("incidents", incident="2").subheader[0].value.startswith("#2 ")


@pytest.mark.parametrize(
    ("role", "listed", "hidden"),
    [
        (Role.VIEWER, {"situation", "incidents", "cameras"}, {"violations", "subjects", "work_orders"}),
        (Role.OFFICER, {"violations", "subjects"}, {"work_orders"}),
    ],
)
def test_only_pages_that_a_person_has_a_use_for_are_listed(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch, role: Role, listed: set[str], hidden: set[str]
) -> None:
    sign_in(system, monkeypatch, role)
    made: dict[str, str] = {}
    import streamlit as st

    original = st.Page

    def remembered(page: Path, **more: Any) -> Any:
        made[page.stem] = more["visibility"]
        return original(page, **more)

    monkeypatch.setattr(st, "Page", remembered)
    sound(AppTest.from_file(str(APP / "app.py"), default_timeout=30).run())
    assert listed <= {name for name, how in made.items() if how == "visible"}
    assert hidden <= {name for name, how in made.items() if how == "hidden"}


def test_who_has_not_signed_in_is_offered_the_form_and_the_page_for_citizens_alone(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    monkeypatch.delenv("HOABAN_API_TOKEN")
    monkeypatch.setenv("HOABAN_INTAKE_TOKEN", "whatever")
    positions: list[str] = []
    original = st.navigation
    monkeypatch.setattr(st, "navigation", lambda pages, *, position: positions.append(position) or original(pages))
    app = sound(AppTest.from_file(str(APP / "app.py"), default_timeout=30).run())
    assert positions == ["hidden"]
    assert [one.label for one in app.text_input][:2] == ["Name", "Password"]
    assert [one.proto.label for one in app.get("page_link")] == ["For citizens: report something"]
    sign_in(system, monkeypatch, Role.OPERATOR)
    sound(AppTest.from_file(str(APP / "app.py"), default_timeout=30).run())
    assert positions == ["hidden", "top"]
