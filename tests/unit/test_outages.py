"""No rule takes an outage of its camera for time in which something lasted."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoaban.detections import Detections
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.pipeline import CameraPipeline
from hoaban.watched import LONGEST_S, WatchedTime
from tests.unit.drawn import cut

LABELS = ("person", "car", "suitcase")
ZONE = {"id": "z", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
LINE = {"id": "l", "from": [0.5, 0.0], "to": [0.5, 1.0]}
RULES = {
    "crowd": {"zone": "z", "at_least": 3, "hold_s": 3},
    "congestion": {"zone": "z", "hold_s": 3, "smooth_s": 1, "fuller_than": [0.01, 0.02, 0.03]},
    "loitering": {"zone": "z", "after_s": 4},
    "intrusion": {"zone": "z", "min_inside_s": 1.5},
    "abandoned_object": {"zone": "z", "after_s": 4},
    "removed_object": {"zone": "z", "after_s": 4},
    "illegal_parking": {"zone": "z", "after_s": 4},
    "line_count": {"line": "l"},
    "line_crossing": {"line": "l"},
    "wrong_way": {"line": "l"},
    "camera_health": {"dark_s": 4, "frozen_s": 4, "blurred_s": 4, "covered_s": 4, "moved_s": 4},
}
"""each with durations that a second of an outage would fill"""
STEP_S = 0.2


def camera_with(make_camera: Callable[..., Camera], kind: str) -> Camera:
    rule = {"type": kind} | RULES[kind]
    return make_camera(role="traffic_enforcement", zones=[ZONE], lines=[LINE], rules=[rule], model="m")


def scene() -> tuple[Detections, np.ndarray]:
    """Three who stand, five cars that stand, a bag; and a picture that is much too dark."""
    people = [(100.0 + 60 * i, 100.0, 130.0 + 60 * i, 190.0, 0) for i in range(3)]
    cars = [(20.0 + 110 * i, 230.0, 110.0 + 110 * i, 300.0, 1) for i in range(5)]
    rows = np.array([*people, *cars, (500.0, 150.0, 530.0, 180.0, 2)], np.float32)
    found = Detections(rows[:, :4], np.full(len(rows), 0.9, np.float32), rows[:, 4].astype(np.int32), LABELS)
    return found, np.full((360, 640), 3, np.uint8)


def told(camera: Camera, times: Sequence[float]) -> list[tuple[int, str, Any]]:
    """(frame, type, phase) of each event."""
    pipeline, happened = CameraPipeline(camera, ModelRef("m", "1", "d"), "c"), list[tuple[int, Event]]()
    detections, picture = scene()
    for number, at_s in enumerate(times):
        frame = FrameMeta("cam", number, 1_800_000_000.0 + at_s, 640, 360)
        views = {view: cut(picture, view) for view in pipeline.views(frame)}
        happened += [(number, event) for event in pipeline.step(frame, detections, views).events]
    return [(number, event.type, event.data.get("phase") or event.data.get("fault")) for number, event in happened]


@pytest.mark.parametrize("kind", RULES)
@given(before=st.integers(2, 12), gap_s=st.floats(LONGEST_S + 0.1, 7200))
@settings(max_examples=5, deadline=None)
def test_a_gap_makes_no_event_by_itself(kind: str, before: int, gap_s: float) -> None:
    camera = camera_with(lambda **fields: Camera.model_validate(BASE | fields), kind)
    through = [STEP_S * number for number in range(before + 12)]
    broken = [at_s + (gap_s if number >= before else 0.0) for number, at_s in enumerate(through)]
    plain = told(camera, through)
    for number, *happened in told(camera, broken):
        # Never earlier than without the outage; and what comes upon the first frame after it would have come then.
        earlier = [frame for frame, *other in plain if other == happened and frame <= number]
        assert earlier
        assert number != before or before in earlier


BASE = {"id": "cam", "name": "C", "district": "d", "owner": "o", "source": "rtsp://127.0.0.1/none"}


@pytest.mark.parametrize(
    "kind", ["crowd", "congestion", "loitering", "intrusion", "abandoned_object", "illegal_parking"]
)
def test_what_lasts_is_told_all_the_same(kind: str, make_camera: Callable[..., Camera]) -> None:
    """Or the test before could not fail."""
    assert told(camera_with(make_camera, kind), [STEP_S * number for number in range(120)])


def test_a_crowd_that_was_seen_too_shortly_on_both_sides_of_an_outage_is_told_when_it_was_seen_long_enough(
    make_camera: Callable[..., Camera],
) -> None:
    camera = camera_with(make_camera, "crowd")
    times = [STEP_S * n for n in range(5)] + [60 + STEP_S * n for n in range(20)]
    ((number, *_),) = told(camera, times)
    assert 12 <= number <= 17


def test_a_camera_that_sends_less_than_it_should_has_its_durations_grow_slowly_not_never() -> None:
    watched = WatchedTime(rate=5)
    for at_s in range(0, 300, 3):
        watched.see(float(at_s))
    assert 99 * 3 - watched.lost_s == pytest.approx(99 * 0.2)
    assert WatchedTime(rate=1).lost_s == 0.0


def test_two_frames_within_the_limit_lose_nothing_and_a_clock_that_went_back_neither() -> None:
    watched = WatchedTime(rate=5)
    for at_s in (0.0, 0.2, 2.0, 4.0, 1.0, 1.2):
        watched.see(at_s)
    assert watched.lost_s == 0.0
