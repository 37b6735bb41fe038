"""Time in which no frame came is no time observed, and an edit that touches no rule restarts none."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hoaban.detections import Detections
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.pipeline import CameraPipeline
from hoaban.tracking import Tracker

BEGAN_S = 1_800_000_000.0
KERB = {"id": "kerb", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
LINE = {"id": "in", "from": [0.5, 0.0], "to": [0.5, 1.0]}
PARKING = {"type": "illegal_parking", "zone": "kerb", "after_s": 60}
CAR = (300.0, 150.0, 400.0, 210.0)


def seen(*boxes: Sequence[float]) -> Detections:
    number = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(number, 0.9, np.float32),
        np.zeros(number, np.int32),
        ("car",),
    )


def told(
    camera: Camera, frames: Sequence[tuple[float, Detections]], edit: tuple[float, Camera] | None = None
) -> list[Event]:
    pipeline, found = CameraPipeline(camera, ModelRef("m", "1", "d"), "c"), list[Event]()
    for number, (at_s, detections) in enumerate(frames):
        if edit is not None and edit[0] <= at_s:
            pipeline.reconfigure(edit[1])
            edit = None
        found += pipeline.step(FrameMeta("c", number, BEGAN_S + at_s, 640, 360), detections).events
    return found


def standing(from_s: float, until_s: float, *boxes: Sequence[float]) -> list[tuple[float, Detections]]:
    return [(float(at_s), seen(*(boxes or (CAR,)))) for at_s in np.arange(from_s, until_s, 0.2)]


@pytest.fixture
def parking(make_camera: Callable[..., Camera]) -> Callable[..., Camera]:
    def make(**fields: Any) -> Camera:
        return make_camera(role="traffic_enforcement", zones=[KERB], rules=[PARKING], **fields)

    return make


def test_a_parked_car_is_not_charged_with_the_time_of_an_outage(parking: Callable[..., Camera]) -> None:
    camera = parking()
    assert len(told(camera, standing(0, 70))) == 1
    assert told(camera, standing(0, 10) + standing(610, 620)) == []
    (event,) = told(camera, standing(0, 10) + standing(610, 680))
    assert event.data["stood_s"] == pytest.approx(60, abs=1)


def test_a_clock_that_was_set_ahead_charges_nobody(parking: Callable[..., Camera]) -> None:
    assert told(parking(), standing(0, 10) + standing(140, 145)) == []


def test_a_renamed_camera_tells_nothing_twice_and_nothing_late(parking: Callable[..., Camera]) -> None:
    renamed = parking(name="Another name")
    (after,) = told(parking(), standing(0, 200), edit=(130, renamed))
    (before,) = told(parking(), standing(0, 200), edit=(40, renamed))
    assert after.time == before.time
    assert before.data["config"] == renamed.digest() != after.data["config"]


def test_a_rule_that_was_edited_begins_anew(parking: Callable[..., Camera]) -> None:
    (rule,) = parking().rules
    edited = parking().model_copy(update={"rules": (rule.model_copy(update={"after_s": 50.0}),)})
    (event,) = told(parking(), standing(0, 95), edit=(40, edited))
    assert event.time.timestamp() - BEGAN_S == pytest.approx(90, abs=1)


@pytest.mark.parametrize(("gap_s", "same"), [(1.0, True), (2.0, False), (60.0, False), (3600.0, False)])
def test_a_lost_track_does_not_wake_up_after_its_time(gap_s: float, same: bool) -> None:
    tracker = Tracker()
    for number in range(10):
        before = tracker.update(seen(CAR), 0.2 * number)
    tracker.update(seen(CAR), 1.8 + gap_s)
    after = tracker.update(seen(CAR), 2.0 + gap_s)
    assert (after.ids.tolist() == before.ids.tolist()) is same


def test_a_camera_of_few_frames_keeps_its_tracks() -> None:
    tracker = Tracker(rate=0.5)
    ids = {tuple(tracker.update(seen(CAR), 2.0 * number).ids.tolist()) for number in range(10)}
    assert len(ids - {()}) == 1


def test_two_cars_on_either_side_of_a_line_and_an_outage_are_no_crossing(make_camera: Callable[..., Camera]) -> None:
    camera = make_camera(lines=[LINE], rules=[{"type": "line_count", "line": "in"}])
    left, right = (250.0, 150.0, 310.0, 190.0), (340.0, 150.0, 400.0, 190.0)
    assert told(camera, standing(0, 10, left) + standing(30, 40, right)) == []
