"""Hits of a watchlist name a person or a plate: told whole to who may see the lists, and without that to others."""

import time
from collections.abc import Iterator

import pytest

from hoaban.access import Grant, Role
from hoaban.events import Finding, bind
from hoaban.frames import FrameMeta
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
