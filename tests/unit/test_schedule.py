"""Hours at which rules are awake: midnight, week days, time zones, and what a fleet file may say."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hoaban.fleet import Camera
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.schedule import WEEK, Hours, Schedule
from tests.unit.drawn import play, standing

HERE = ZoneInfo("Asia/Ho_Chi_Minh")


def schedule(*hours: dict[str, object], zone: ZoneInfo = HERE) -> Schedule:
    return Schedule([Hours.model_validate(h) for h in hours], zone)


def at(text: str, zone: ZoneInfo = HERE) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("time", "awake"),
    [
        ("2026-01-30T21:59:59", False),  # a Friday
        ("2026-01-30T22:00:00", True),
        ("2026-01-31T04:59:59", True),  # Friday's night, though Saturday is not named
        ("2026-01-31T05:00:00", False),
        ("2026-01-31T22:30:00", False),  # Saturday's night is not named
        ("2026-01-30T02:00:00", False),  # Thursday's neither
    ],
)
def test_hours_over_midnight_belong_to_the_day_they_begin(time: str, awake: bool) -> None:
    assert schedule({"days": ["fri"], "from": "22:00", "to": "05:00"}).awake(at(time)) is awake


def test_no_hours_is_always_and_several_add_up() -> None:
    assert schedule().awake(0)
    noon_and_evening = schedule({"from": "12:00", "to": "13:00"}, {"from": "18:00"})
    awake = [hour for hour in range(24) if noon_and_evening.awake(at(f"2026-03-01T{hour:02d}:30:00"))]
    assert awake == [12, 18, 19, 20, 21, 22, 23]


def test_the_wall_clock_of_the_zone_counts_where_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    office = schedule({"from": "08:00", "to": "09:00"}, zone=berlin)
    winter, summer = at("2026-03-28T08:30:00", berlin), at("2026-03-29T08:30:00", berlin)
    assert summer - winter == 23 * 3600  # clocks went forward in between
    assert office.awake(winter)
    assert office.awake(summer)
    assert not office.awake(winter + 24 * 3600)


@given(
    st.sets(st.sampled_from(WEEK), min_size=1),
    st.integers(0, 24 * 60 - 1),
    st.integers(1, 24 * 60 - 1),
    st.integers(0, 7 * 24 * 60 - 1),
)
def test_a_week_minute_by_minute_is_what_counting_on_says(days, begin: int, length: int, minute: int) -> None:
    """Awake exactly in the `length` minutes that follow the beginning on each named day."""
    end = (begin + length) % (24 * 60)
    hours = {
        "days": sorted(days),
        "from": f"{begin // 60:02d}:{begin % 60:02d}",
        "to": f"{end // 60:02d}:{end % 60:02d}",
    }
    monday = datetime(2026, 2, 2, tzinfo=HERE)
    since = [(minute - WEEK.index(day) * 24 * 60 - begin) % (7 * 24 * 60) for day in days]
    moment = (monday + timedelta(minutes=minute)).timestamp()
    assert schedule(hours).awake(moment) is any(s < length for s in since)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        ({"from": "25:00", "to": "05:00"}, "pattern"),
        ({"from": "05:00", "to": "05:00"}, "same time"),
        ({"from": "00:00", "to": "00:00"}, "same time"),
        ({"days": []}, "at least 1"),
        ({"days": ["sunday"]}, "'sun'"),
        ({"until": "05:00"}, "Extra inputs"),
    ],
)
def test_hours_that_cannot_be_are_refused(hours: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Hours.model_validate(hours)


def test_an_unquoted_hour_that_yaml_takes_for_a_number_is_understood() -> None:
    hours = Hours.model_validate(yaml.safe_load("{from: 22:00, to: 05:30}"))
    assert (hours.from_, hours.to) == ("22:00", "05:30")


FLEET = """\
version: 1
province: {name: P, timezone: Europe/Berlin}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - id: c
    name: C
    role: neighbourhood
    district: d
    owner: o
    source: rtsp://127.0.0.1/x
    zones: [{id: z, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}]
    rules:
      - {type: intrusion, zone: z, schedule: [{from: 22:00, to: 29:00}]}
"""


def test_a_fleet_file_with_wrong_hours_is_told_where_and_the_province_gives_the_zone() -> None:
    with pytest.raises(FleetErrors, match=r"f\.yaml:14: cameras\[0\]\.rules\[0\].*schedule\[0\]\.to"):
        parse_fleet([("f.yaml", FLEET)], {})
    (camera,) = parse_fleet([("f.yaml", FLEET.replace("29:00", "05:00"))], {}).cameras
    assert camera.timezone == "Europe/Berlin"
    assert str(camera.site_for(10, 10).timezone) == "Europe/Berlin"


def test_who_is_there_when_the_hours_begin_is_reported_then(make_camera: Callable[..., Camera]) -> None:
    zone = {"id": "z", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    rule = {"type": "intrusion", "zone": "z", "schedule": [{"from": "22:00", "to": "05:00"}]}
    camera = make_camera(zones=[zone], rules=[rule], timezone="Asia/Ho_Chi_Minh")
    frames = [standing((1, 300, 300))] * 5 * 120
    (found,) = play(camera, frames, begin_s=at("2026-01-30T21:59:00"))
    assert found[0] == pytest.approx(60.6, abs=0.11)
    assert play(camera, frames, begin_s=at("2026-01-30T20:00:00")) == []
