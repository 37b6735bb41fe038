"""The terms of shared cameras: hours, analytics, viewers, retention."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from actors.source import SourceThread
from hoaban.access import Role
from hoaban.fleet import Camera
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.status import SourceState
from hoaban.terms import TOKEN_ROLES, OpenHours, Terms
from tests.unit.test_actors import video

HERE = ZoneInfo("Asia/Ho_Chi_Minh")
FLEET = """\
version: 1
province: {name: x, timezone: Asia/Ho_Chi_Minh}
districts: [{id: d, name: D}]
agencies: [{id: ward, name: W}, {id: police, name: P}]
cameras:
  - id: gate
    name: Gate
    role: shared
    district: d
    owner: ward
    source: a.mp4
    lines: [{id: in, from: [0, 0.5], to: [1, 0.5]}]
    rules:
      - {type: line_count, line: in}
      - {type: camera_health}
    terms:
      hours: [{from: 06:00, to: 22:00}]
      analytics: [line_count]
      viewers: [police]
      retention_days: 7
"""


def at(clock: str) -> float:
    return datetime.fromisoformat(f"2026-03-04T{clock}").replace(tzinfo=HERE).timestamp()


def test_terms_are_read_and_a_camera_without_them_is_open() -> None:
    camera = parse_fleet([("f", FLEET)], {}).cameras[0]
    assert camera.terms is not None
    assert (camera.terms.retention_days, camera.terms.viewers) == (7, ("police",))
    hours = OpenHours(camera.terms, camera.clock)
    assert hours.closed(at("06:00")) is None
    assert hours.closed(at("21:59")) is None
    assert "owner" in (hours.closed(at("22:00")) or "")
    assert OpenHours(None, HERE).closed(at("03:00")) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[line_count]", "[crowd]", "rules[0].type: 'line_count' is not among terms.analytics"),
        ("[line_count]", "[line_cuont]", "terms.analytics[0]: 'line_cuont' is no rule type"),
        ("viewers: [police]", "viewers: [army]", "terms.viewers[0]: 'army' is neither a role nor an agency"),
        ("retention_days: 7", "retention_days: 0", "terms.retention_days"),
        ("to: 22:00", "to: 25:00", "terms.hours[0].to"),
        ("retention_days: 7", "for_ever: true", "terms.for_ever: unknown key"),
    ],
)
def test_what_is_against_the_terms_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(FleetErrors) as caught:
        parse_fleet([("f", FLEET.replace(old, new))], {})
    assert any(words in str(error) for error in caught.value.errors), caught.value


def test_health_is_looked_after_whatever_the_owner_allows() -> None:
    text = FLEET.replace("analytics: [line_count]", "analytics: []").replace("- {type: line_count, line: in}\n", "")
    assert parse_fleet([("f", text)], {}).cameras[0].rules[0].type == "camera_health"


def test_pictures_are_for_those_who_are_named_and_for_the_owner() -> None:
    terms = Terms(viewers=("police", "admin"))
    assert terms.shows_to(["viewer"], "police", "ward")
    assert terms.shows_to(["viewer"], "ward", "ward")
    assert terms.shows_to(["admin"], None, "ward")
    assert not terms.shows_to(["viewer"], None, "ward")
    assert not terms.shows_to(["viewer"], "fire", "ward")
    assert Terms().shows_to(["viewer"], None, "ward")


def test_terms_speak_of_the_roles_that_tokens_have() -> None:
    assert set(TOKEN_ROLES) == set(Role)


def test_outside_the_hours_nothing_is_read_and_within_them_it_goes_on(
    tmp_path: Path, make_camera: Callable[..., Camera]
) -> None:
    got: list[float] = []
    clock = {"now": at("21:59:58")}
    camera = make_camera(
        str(video(tmp_path / "v.mp4", 60)),
        timezone="Asia/Ho_Chi_Minh",
        terms={"hours": [{"from": "06:00", "to": "22:00"}]},
    )

    def take(picture) -> None:
        got.append(clock["now"])
        clock["now"] += 0.25
        thread.ready()

    def wait_for(state: SourceState) -> None:
        ends = time.monotonic() + 20
        while thread.status().state is not state:
            assert time.monotonic() < ends, thread.status()
            time.sleep(0.01)

    thread = SourceThread(camera, take, pacing="demand", wall_clock=lambda: clock["now"])
    thread.start()
    wait_for(SourceState.PAUSED)
    assert thread.closed
    assert "owner" in (thread.status().error or "")
    assert len(got) == 8
    clock["now"] = at("06:00")
    wait_for(SourceState.LIVE)
    thread.stop()
    assert not thread.closed
    assert len(got) > 8
    assert all(at("06:00") <= s < at("22:00") for s in got)


def test_a_closed_camera_is_never_connected_to(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    camera = make_camera(
        str(tmp_path / "there-is-none.mp4"),
        timezone="Asia/Ho_Chi_Minh",
        terms={"hours": [{"from": "06:00", "to": "22:00"}]},
    )
    thread = SourceThread(camera, lambda picture: None, wall_clock=lambda: at("23:00"))
    thread.start()
    ends = time.monotonic() + 20
    while thread.status().state is not SourceState.PAUSED and time.monotonic() < ends:
        time.sleep(0.01)
    status = thread.status()
    thread.stop()
    assert (status.state, status.reconnects, status.frames_decoded) == (SourceState.PAUSED, 0, 0)
