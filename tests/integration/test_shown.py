"""Hits of a watchlist name a person or a plate: told whole to who may see the lists, and without that to others."""

import time
from collections.abc import Iterator

import pytest

from actors.store.incident_keeping import Ground, follow, keep_time
from hoaban.access import Grant, Role, Scope
from hoaban.events import Finding, bind
from hoaban.frames import FrameMeta
from hoaban.stream_health import health_finding
from serve.feed import _told
from tests.api_system import PROVENANCE, Api, running_api

SECRET = "29B112345"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("shown")
    with running_api(folder, data_dir=str(folder)) as running:
        hit = Finding(
            "plate_watchlist", "plates", track=1, label="car", zone="gate", extra={"plate": SECRET, "entry": "e1"}
        )
        running.store.write([bind(hit, FrameMeta("gate", 7, time.time() - 60, 10, 10), "shared", PROVENANCE)])
        running.event("gate")
        yield running


def fault_order(api: Api, camera: str) -> int:
    """The work order of a camera whose lens is covered."""
    fault, now_s = health_finding("camera_health", "covered", "start", "lens lost"), time.time()
    api.store.write([bind(fault, FrameMeta(camera, 0, now_s - 4000, 10, 10), "shared", PROVENANCE)])
    ground = Ground.of_fleet(api.board.get_json("fleet") or {})
    follow(api.store.engine, ground, now_s)
    keep_time(api.store.engine, ground, now_s)
    orders = api.get("/work-orders", api.token(Grant(Role.OPERATOR)), camera=camera).json()["work_orders"]
    return int(orders[0]["number"])


@pytest.mark.parametrize(("role", "whole"), [(Role.VIEWER, False), (Role.OPERATOR, False), (Role.OFFICER, True)])
def test_the_list_of_events_tells_hits_by_the_right_to_see_the_lists(api: Api, role: Role, whole: bool) -> None:
    answer = api.get("/events", api.token(Grant(role)))
    assert (SECRET in answer.text) is whole
    hit = next(e["event"] for e in answer.json()["events"] if e["event"]["type"] == "hoaban.plate_watchlist")
    assert (hit["source"], hit["data"]["camera"], hit["data"]["zone"]) == ("/cameras/gate", "gate", "gate")
    assert ("withheld" in hit["data"]) is not whole


def test_the_stream_holds_a_hit_both_ways(api: Api) -> None:
    told = {
        _told(stored).camera: _told(stored) for stored in api.store.tail(0) if stored.event.type.endswith("_watchlist")
    }
    hit = told["gate"]
    assert hit.withheld is not None
    assert SECRET.encode() in hit.message
    assert SECRET.encode() not in hit.withheld
    other = next(_told(s) for s in api.store.tail(0) if s.event.type == "hoaban.line_count")
    assert other.withheld is None


@pytest.mark.parametrize("time_", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_no_clock_can_show_is_refused_before_it_is_kept(api: Api, time_: str) -> None:
    officer = api.token(Grant(Role.OFFICER))
    hold = {"kind": "camera", "subject": "gate", "reason": "investigation 12/2026", "ends": time_}
    assert api.ask("POST", "/holds", officer, json=hold).status_code == 422
    assert api.get("/holds", officer).status_code == 200
    report = {"text": "Xe đổ giữa đường", "lat": 21.3, "lon": 103.0, "happened_at": time_}
    assert api.ask("POST", "/reports", officer, json=report).status_code == 422
    for path in ("/events", "/counts", "/counts/turns"):
        assert api.get(path, officer, since=time_, bucket=900).status_code == 422


def test_what_is_out_of_reach_is_told_of_as_what_is_not_there(api: Api) -> None:
    south = api.token(Grant(Role.OPERATOR, Scope(districts=frozenset({"south"}))))
    number = fault_order(api, "gate")
    out_of_reach, none = (api.get(f"/work-orders/{n}", south) for n in (number, 999_999))
    assert (out_of_reach.status_code, none.status_code) == (404, 404)
    assert out_of_reach.json()["detail"] == none.json()["detail"].replace("999999", str(number))


def test_notes_on_a_report_are_for_who_handles_it(api: Api) -> None:
    officer, viewer = api.token(Grant(Role.OFFICER)), api.token(Grant(Role.VIEWER))
    report = {"text": "Xe đổ giữa đường", "landmark": "nhà ông 0912 345 678"}
    filed = api.ask("POST", "/reports", officer, json=report)
    assert filed.status_code == 201, filed.text
    number = api.get("/reports", officer).json()["reports"][0]["number"]
    note = {"note": "chị Lan, 0987 654 321", "version": 1}
    assert api.ask("POST", f"/reports/{number}/note", officer, json=note).status_code == 200
    assert "0987 654 321" in api.get(f"/reports/{number}", officer).text
    seen = api.get(f"/reports/{number}", viewer)
    assert seen.status_code == 200
    assert "0987" not in seen.text
    assert "0912 345" not in seen.text
