"""Faults of streams, silence of processes, and the uptime that follows from them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.schedule import Hours, Schedule
from hoaban.status import SourceState
from hoaban.stream_health import SilenceWatch, StreamHealth
from hoaban.uptime import FaultChange, Uptime, awake, both, by_district, camera_uptime, fault_intervals, length, union

LIVE, FAILED, STALLED = SourceState.LIVE, SourceState.FAILED, SourceState.STALLED
CONNECTING, PAUSED = SourceState.CONNECTING, SourceState.PAUSED


def follow(*states: tuple[float, SourceState]) -> list[tuple[str, str, float]]:
    """Changes while each of these states begins at its second and the last one lasts a minute."""
    watch, told = StreamHealth(), []
    for index, (begin_s, state) in enumerate(states):
        end_s = states[index + 1][0] if index + 1 < len(states) else begin_s + 60
        now_s = begin_s
        while now_s < end_s:
            told += [(c.fault, c.phase, c.since_s) for c in watch.update(state, begin_s, "why", now_s)]
            now_s += 1
    return told


def test_a_stream_that_is_down_begins_a_fault_and_ends_it_when_frames_come() -> None:
    states = [(0, CONNECTING), (2, LIVE), (100, STALLED), (110, FAILED), (200, LIVE)]
    assert follow(*states) == [
        ("offline", "end", 2),
        ("stalled", "start", 100),
        ("stalled", "end", 110),
        ("offline", "start", 110),
        ("offline", "end", 200),
    ]


def test_a_stream_that_blinks_is_not_told_each_time() -> None:
    blinking = [(10.0 + 2 * i, FAILED if i % 2 == 0 else LIVE) for i in range(40)]
    told = follow((0, LIVE), *blinking, (100, LIVE))
    assert told[:1] == [("offline", "end", 0)]
    assert len(told) <= 3
    assert follow((0, LIVE), (50, FAILED), (51, LIVE)) == [("offline", "end", 0)]


def test_a_new_connection_and_the_owners_hours_are_no_faults() -> None:
    assert follow((0, LIVE), (50, CONNECTING), (53, LIVE)) == [("offline", "end", 0)]
    assert follow((0, PAUSED)) == []
    assert follow((0, FAILED), (30, PAUSED)) == [("offline", "start", 0), ("offline", "end", 30)]


def test_a_camera_that_says_nothing_is_silent_since_its_last_report() -> None:
    watch = SilenceWatch()
    assert watch.update(["a", "b"], {"a": 100.0}, 100) == {}
    assert watch.update(["a", "b"], {"a": 110.0}, 114) == {}
    changes = watch.update(["a", "b"], {"a": 110.0}, 127)
    assert {c: (x.fault, x.phase, x.since_s) for c, x in changes.items()} == {
        "a": ("silent", "start", 110.0),
        "b": ("silent", "start", 100),
    }
    assert watch.update(["a", "b"], {"a": 110.0}, 200) == {}
    successor = SilenceWatch(watch.silent)
    assert successor.update(["a", "b"], {"a": 110.0}, 201) == {}
    back = successor.update(["a", "b"], {"a": 300.0}, 301)
    assert {c: (x.phase, x.since_s) for c, x in back.items()} == {"a": ("end", 300.0)}
    assert successor.update(["a"], {"a": 300.0}, 302)["b"].phase == "end"


def changes(*rows: tuple[float, str, str]) -> list[FaultChange]:
    return [FaultChange("cam", fault, phase, time_s) for time_s, fault, phase in rows]


def test_uptime_counts_what_is_down_once() -> None:
    told = changes((10, "offline", "start"), (15, "silent", "start"), (20, "offline", "end"), (30, "silent", "end"))
    told += changes((50, "dark", "start"), (60, "dark", "end"))
    uptime = camera_uptime(told, 0, 100, known_since_s=-50)
    assert (uptime.expected_s, uptime.down_s, uptime.faulty_s) == (100, 20, 30)
    assert (uptime.up, uptime.sound) == (0.8, 0.7)


def test_what_began_before_or_is_not_over_counts_within_the_window() -> None:
    before = changes((-500, "offline", "start"), (40, "offline", "end"), (90, "stalled", "start"))
    assert camera_uptime(before, 0, 100, known_since_s=-900).down_s == 50
    assert camera_uptime([], 0, 100, known_since_s=0, silent_since_s=75).down_s == 25
    again = changes((10, "offline", "start"), (12, "offline", "start"), (20, "offline", "end"), (25, "offline", "end"))
    assert fault_intervals(again, 100) == {"offline": [(10, 20)]}


def test_a_camera_counts_from_when_it_is_known_and_not_before() -> None:
    assert camera_uptime([], 0, 100, known_since_s=80).expected_s == 20
    assert camera_uptime([], 0, 100, known_since_s=None).up is None
    assert camera_uptime([], 0, 100, known_since_s=100).up is None


def test_nothing_is_expected_of_a_shared_camera_outside_its_hours() -> None:
    here = ZoneInfo("Asia/Ho_Chi_Minh")
    hours = Schedule([Hours.model_validate({"from": "06:00", "to": "18:00"})], here)
    midnight = datetime(2026, 3, 4, tzinfo=here).timestamp()
    at_five, at_seven = midnight + 5 * 3600, midnight + 7 * 3600
    told = changes((at_five, "offline", "start"), (at_seven, "offline", "end"))
    uptime = camera_uptime(told, midnight, midnight + 86400, known_since_s=0, hours=hours)
    assert (uptime.expected_s, uptime.down_s) == (12 * 3600, 3600)
    assert length(awake(hours, midnight + 30, midnight + 86400 + 30)) == 12 * 3600


def test_districts_add_up_their_cameras_time() -> None:
    uptimes = {"a": Uptime(100, 10, 20), "b": Uptime(300, 0, 0), "c": Uptime()}
    found = by_district(uptimes, {"a": "x", "b": "x", "c": "y"})
    assert found["x"] == Uptime(400, 10, 20)
    assert found["x"].up == pytest.approx(0.975)
    assert found["y"].up is None


spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda p: (float(min(p)), float(max(p)))), max_size=8
)


@given(spans, spans)
def test_intervals_are_what_their_seconds_are(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> None:
    def seconds(intervals: list[tuple[float, float]]) -> set[int]:
        return {s for begin, end in intervals for s in range(int(begin), int(end))}

    assert length(union(a)) == len(seconds(a))
    assert length(both(union(a), union(b))) == len(seconds(a) & seconds(b))


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["offline", "dark"]), st.sampled_from(["start", "end"]))))
def test_uptime_stays_within_its_bounds(rows: list[tuple[float, str, str]]) -> None:
    uptime = camera_uptime(changes(*rows), 20, 80, known_since_s=0)
    assert 0 <= uptime.down_s <= uptime.faulty_s <= uptime.expected_s == 60
