"""What a camera told the beginning of is ended by whoever goes on with it: once, whatever happened in between."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hoaban.detections import Detections
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.lasting import OpenHappenings
from hoaban.pipeline import CameraPipeline

LABELS = ("person", "car", "suitcase")
ZONE = {"id": "z", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
CROWD = {"type": "crowd", "zone": "z", "at_least": 3, "hold_s": 1}
JAM = {"type": "congestion", "zone": "z", "hold_s": 1, "smooth_s": 0.5, "fuller_than": [0.01, 0.02, 0.03]}
BAG = {"type": "abandoned_object", "zone": "z", "after_s": 2, "picture": False}
BEGAN_S = 1_800_000_000.0
PEOPLE = [(100.0 + 60 * i, 100.0, 130.0 + 60 * i, 190.0, 0) for i in range(3)]
CARS = [(20.0 + 110 * i, 230.0, 110.0 + 110 * i, 300.0, 1) for i in range(5)]
SUITCASE = [(500.0, 150.0, 530.0, 180.0, 2)]
CASES = pytest.mark.parametrize(
    ("rule", "boxes"), [(CROWD, PEOPLE), (JAM, CARS), (BAG, SUITCASE)], ids=["crowd", "congestion", "abandoned_object"]
)
Box = tuple[float, float, float, float, int]


def run(
    pipeline: CameraPipeline, from_s: float, until_s: float, boxes: Sequence[Box], size: tuple[int, int] = (640, 360)
) -> list[Event]:
    rows = np.array(boxes, np.float32).reshape(-1, 5)
    seen = Detections(rows[:, :4], np.full(len(rows), 0.9, np.float32), rows[:, 4].astype(np.int32), LABELS)
    return [
        event
        for at_s in np.arange(from_s, until_s, 0.2)
        for event in pipeline.step(FrameMeta("cam", round(at_s * 5), BEGAN_S + at_s, *size), seen).events
    ]


def pipeline_of(camera: Camera) -> CameraPipeline:
    return CameraPipeline(camera, ModelRef("m", "1", "d"), "c")


def begun(pipeline: CameraPipeline, boxes: Sequence[Box]) -> list[Event]:
    told = run(pipeline, 0, 12, boxes)
    (last,) = told[-1:]
    assert last.data.get("phase") == "start" or last.data["level"] != "free"
    return told


def is_end(event: Event) -> bool:
    return event.data.get("phase") == "end" or event.data.get("level") == "free"


@CASES
def test_a_restart_goes_on_with_what_is_open(make_camera: Callable[..., Camera], rule: dict, boxes: list[Box]) -> None:
    camera = make_camera(zones=[ZONE], rules=[rule])
    left = OpenHappenings()
    for event in begun(pipeline_of(camera), boxes):
        left.take(event)
    after = pipeline_of(camera)
    after.resume(left.drain(), BEGAN_S + 12)
    assert run(after, 20, 30, boxes) == []  # nothing is told twice
    (end,) = run(after, 30, 60, [])
    assert is_end(end)
    assert end.data.get("reason") != "unknown"


@CASES
def test_one_that_was_away_for_long_ends_it_unseen_and_begins_anew(
    make_camera: Callable[..., Camera], rule: dict, boxes: list[Box]
) -> None:
    camera = make_camera(zones=[ZONE], rules=[rule], resume_s=60)
    left = OpenHappenings()
    for event in begun(pipeline_of(camera), boxes):
        left.take(event)
    after = pipeline_of(camera)
    after.resume(left.drain(), BEGAN_S + 12)
    first, *more = run(after, 600, 612, boxes)
    assert is_end(first)
    assert first.data["reason"] == "unknown"
    assert first.data.get("count") is None
    assert [is_end(event) for event in more] == [False] * len(more)
    assert more
    assert len({event.id for event in (first, *more)}) == 1 + len(more)


@CASES
def test_an_edit_of_another_rule_or_another_picture_size_loses_no_end(
    make_camera: Callable[..., Camera], rule: dict, boxes: list[Box]
) -> None:
    camera = make_camera(zones=[ZONE], rules=[rule])
    pipeline = pipeline_of(camera)
    begun(pipeline, boxes)
    pipeline.reconfigure(make_camera(zones=[ZONE], rules=[rule, {"type": "intrusion", "zone": "z"}]))
    assert [event for event in run(pipeline, 12, 20, boxes) if event.data["rule"] != "intrusion:z"] == []
    assert run(pipeline, 20, 20.2, boxes, size=(642, 360)) == []
    (end,) = run(pipeline, 20.2, 40, [], size=(642, 360))
    assert is_end(end)


def test_a_rule_that_is_taken_away_ends_what_it_told(make_camera: Callable[..., Camera]) -> None:
    pipeline = pipeline_of(make_camera(zones=[ZONE], rules=[CROWD]))
    begun(pipeline, PEOPLE)
    pipeline.reconfigure(make_camera(zones=[ZONE], rules=[]))
    (end,) = run(pipeline, 12, 20, PEOPLE)
    assert (end.data["phase"], end.data["reason"], end.data["rule"]) == ("end", "unknown", "crowd:z")


def test_a_clock_that_goes_back_an_hour_neither_loses_nor_doubles(make_camera: Callable[..., Camera]) -> None:
    pipeline = pipeline_of(make_camera(zones=[ZONE], rules=[CROWD]))
    begun(pipeline, PEOPLE)
    assert run(pipeline, -3600, -3590, PEOPLE) == []
    (end,) = run(pipeline, -3590, -3570, [])
    assert is_end(end)


LOITERING = {"type": "loitering", "zone": "z", "after_s": 4}
INTRUSION = {"type": "intrusion", "zone": "z"}
PARKING = {"type": "illegal_parking", "zone": "z", "after_s": 4}
STAYS = pytest.mark.parametrize(
    ("rule", "boxes"),
    [
        (LOITERING, PEOPLE[:1]), (INTRUSION, PEOPLE[:1]), (PARKING, CARS[:1]),
        (LOITERING | {"schedule": [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}]}, PEOPLE[:1]),
    ],
    ids=["loitering", "intrusion", "illegal_parking", "loitering on schedule"],
)  # fmt: skip
ENFORCING = {"role": "traffic_enforcement"}


@STAYS
def test_who_stays_over_a_restart_is_told_once(
    make_camera: Callable[..., Camera], rule: dict, boxes: list[Box]
) -> None:
    camera = make_camera(zones=[ZONE], rules=[rule], **ENFORCING)
    (told,) = run(pipeline_of(camera), 0, 12, boxes)
    another = [(x1 + 300, y1, x2 + 300, y2, label) for x1, y1, x2, y2, label in boxes]
    after = pipeline_of(camera)
    after.resume([], BEGAN_S + 12, [told])
    (other,) = run(after, 20, 40, [*boxes, *another])  # the one who was told stays silent, and nobody else
    assert other.data["bbox"][0] == pytest.approx(boxes[0][0] + 300, abs=5)
    assert run(after, 40, 70, []) == []
    assert len(run(after, 70, 90, boxes)) == 1  # he comes again


@STAYS
def test_who_comes_after_a_restart_or_a_long_one_is_told(
    make_camera: Callable[..., Camera], rule: dict, boxes: list[Box]
) -> None:
    camera = make_camera(zones=[ZONE], rules=[rule], resume_s=60, **ENFORCING)
    (told,) = run(pipeline_of(camera), 0, 12, boxes)
    later, long = pipeline_of(camera), pipeline_of(camera)
    later.resume([], BEGAN_S + 12, [told])
    assert run(later, 20, 60, []) == []
    assert len(run(later, 60, 80, boxes)) == 1
    long.resume([], BEGAN_S + 12, [told])
    assert len(run(long, 600, 620, boxes)) == 1


@STAYS
def test_who_stays_over_another_picture_size_or_edit_is_told_once(
    make_camera: Callable[..., Camera], rule: dict, boxes: list[Box]
) -> None:
    pipeline = pipeline_of(make_camera(zones=[ZONE], rules=[rule], **ENFORCING))
    assert len(run(pipeline, 0, 12, boxes)) == 1
    half = [(x1 / 2, y1 / 2, x2 / 2, y2 / 2, label) for x1, y1, x2, y2, label in boxes]
    assert run(pipeline, 12, 30, half, size=(320, 180)) == []
    pipeline.reconfigure(make_camera(zones=[ZONE], rules=[rule, CROWD], **ENFORCING))
    assert run(pipeline, 30, 50, half, size=(320, 180)) == []


@pytest.mark.parametrize(("rule", "after_s"), [(INTRUSION, 100), (LOITERING, 700)], ids=["intrusion", "loitering"])
def test_who_was_told_long_before_a_restart_may_be_another_by_now(
    make_camera: Callable[..., Camera], rule: dict, after_s: float
) -> None:
    camera = make_camera(zones=[ZONE], rules=[rule])
    (told,) = run(pipeline_of(camera), 0, 12, PEOPLE[:1])
    after = pipeline_of(camera)
    after.resume([], BEGAN_S + after_s - 5, [told])
    assert len(run(after, after_s, after_s + 10, PEOPLE[:1])) == 1
