"""Counting by class, direction and lane, turning counts and speeds, by drawn ways."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoaban.detections import Detections, Tracks
from hoaban.events import Finding, ModelRef
from hoaban.fleet import Camera
from hoaban.fleet_text import FleetErrors, parse_fleet
from hoaban.frames import FrameMeta
from hoaban.pipeline import CameraPipeline
from hoaban.rules import build_rules
from hoaban.rules.speed import speed_kmh
from hoaban.scene import Scene

W, H = 1000, 500
CALIBRATION = {
    "id": "c1",
    "measured": "2026-01-01",
    "picture": [(0.2, 0.9), (0.8, 0.9), (0.6, 0.4), (0.4, 0.4)],
    "ground_m": [(0, 0), (7, 0), (7, 30), (0, 30)],
}
LINE = {"id": "in", "from": [0.0, 0.7], "to": [1.0, 0.7]}
LANES = [
    {"id": "left", "polygon": [[0.0, 0.4], [0.5, 0.4], [0.5, 1.0], [0.0, 1.0]]},
    {"id": "right", "polygon": [[0.5, 0.4], [0.9, 0.4], [0.9, 1.0], [0.5, 1.0]]},
]


def at(*feet: tuple[int, float, float], label: str = "car") -> Tracks:
    """Tracks of 40-pixel boxes whose foot points are given as (id, x, y)."""
    ids = np.array([f[0] for f in feet], np.int64)
    boxes = np.array([[x - 10, y - 40, x + 10, y] for _, x, y in feet], np.float32).reshape(-1, 4)
    n = len(feet)
    return Tracks(ids, boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), np.full(n, 5, np.int32), (label,))


def run(camera: Camera, frames: Iterable[Tracks], fps: float = 10, **scene: object) -> list[Finding]:
    (rule,) = build_rules(camera.rules, camera.site_for(W, H))
    scenes = (Scene(FrameMeta("cam", i, i / fps, W, H), tracks, **scene) for i, tracks in enumerate(frames))
    return [finding for scene in scenes for finding in rule.update(scene)]


@pytest.fixture
def road(make_camera: Callable[..., Camera]) -> Callable[..., Camera]:
    def make(rule: dict[str, object] | None = None, **fields: object) -> Camera:
        rules = [{"type": "line_count", "line": "in"} | (rule or {})]
        return make_camera(**({"lines": [LINE], "zones": LANES, "rules": rules} | fields))

    return make


def test_the_lane_is_where_the_line_is_crossed(road: Callable[..., Camera]) -> None:
    camera = road({"lanes": ["left", "right"]})
    ways = {1: (300, 300), 2: (700, 700), 3: (480, 530), 4: (950, 950)}
    frames = [
        at(*[(i, a + (b - a) * (y - 300) / 100, y) for i, (a, b) in ways.items()]) for y in np.arange(300, 401, 10)
    ]
    assert {f.track: f.extra["lane"] for f in run(camera, frames)} == {1: "left", 2: "right", 3: "right", 4: None}
    assert [f.extra for f in run(road(), frames)] == [{}] * 4


def test_one_who_stands_on_the_line_and_goes_back_is_not_counted(road: Callable[..., Camera]) -> None:
    way = [*range(300, 350, 5), *[352, 353, 352, 353] * 5, *range(350, 300, -5)]
    assert run(road(), [at((1, 300, y)) for y in way]) == []


def test_one_who_stands_on_the_line_for_a_minute_and_goes_on_is(road: Callable[..., Camera]) -> None:
    way = [300, 310, 320, 330, *[351] * 600, 360, 370]
    assert len(run(road(), [at((1, 300, y)) for y in way])) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.floats(10, 990), st.floats(200, 495)), max_size=60))
def test_crossings_of_many_are_the_crossings_of_each(steps: list[tuple[int, float, float]]) -> None:
    camera = Camera.model_validate(
        {"id": "c", "name": "c", "role": "traffic_counting", "district": "d", "owner": "o", "source": "a.mp4"}
        | {"lines": [LINE], "rules": [{"type": "line_count", "line": "in"}]}
    )
    frames = [at(*{i: (i, x, y) for i, x, y in steps[k : k + 6]}.values()) for k in range(0, len(steps), 6)]

    def told(found: list[Finding]) -> list[tuple[int | None, str | None]]:
        return sorted((f.track, f.direction) for f in found)

    def only(tracks: Tracks, track: int) -> Tracks:
        keep = tracks.ids == track
        n = int(keep.sum())
        return Tracks(
            tracks.ids[keep], tracks.boxes[keep], tracks.scores[:n], tracks.classes[:n], tracks.hits[:n], tracks.labels
        )

    alone = [run(camera, [only(f, i) for f in frames]) for i in range(1, 13)]
    assert told(run(camera, frames)) == told([f for found in alone for f in found])


def metres(y_m: float) -> tuple[float, float]:
    """Pixels of the place y_m metres up the middle of the calibrated road."""
    picture = (np.array(CALIBRATION["picture"]) * (W, H)).astype(np.float32)
    back = cv2.getPerspectiveTransform(np.array(CALIBRATION["ground_m"], np.float32), picture)
    x, y = cv2.perspectiveTransform(np.array([[[3.5, y_m]]], np.float32), back)[0, 0]
    return float(x), float(y)


def test_a_speed_is_an_estimate_from_the_calibrated_ground(road: Callable[..., Camera]) -> None:
    camera = road(calibration=CALIBRATION)
    noise = np.random.default_rng(1).normal(0, 0.3, 60)
    frames = [at((1, *metres(28 - 12.5 * i / 10 + noise[i]))) for i in range(21)]
    (found,) = run(camera, frames)
    speed = found.extra["speed"]
    assert speed["kmh"] == pytest.approx(45, rel=0.1)
    assert (speed["estimate"], speed["calibration"]) == (True, "c1")


def test_no_speed_without_what_it_needs(road: Callable[..., Camera]) -> None:
    frames = [at((1, *metres(28 - 1.25 * i))) for i in range(21)]
    two = [at((1, *metres(20))), at((1, *metres(2)))]
    assert "speed" not in run(road(), frames)[0].extra
    assert "speed" not in run(road(calibration=CALIBRATION), two, fps=1)[0].extra
    over = CALIBRATION | {"valid_until": "1969-12-31"}
    assert "speed" not in run(road(calibration=over), frames)[0].extra
    assert "speed" not in run(road(calibration=CALIBRATION), frames, faults={"moved": "turned"})[0].extra
    assert "speed" in run(road(calibration=CALIBRATION), frames)[0].extra


@given(st.floats(-40, 40), st.floats(-40, 40), st.integers(3, 25))
def test_the_speed_of_an_even_way_is_exact(vx: float, vy: float, n: int) -> None:
    times = np.arange(n) / 12.5
    found = speed_kmh(times, np.column_stack([vx * times + 3, vy * times - 7]))
    truth = 3.6 * float(np.hypot(vx, vy))
    assert found == pytest.approx(truth, abs=1e-6) if truth < 199 else (found is None or found < 201)


def test_points_that_make_no_way_have_no_speed() -> None:
    times = np.arange(10) / 10
    wild = np.array([[0, 0], [9, 3], [1, 8], [7, 1], [2, 9], [9, 9], [0, 4], [8, 2], [3, 7], [5, 0]], float)
    assert speed_kmh(times, wild) is None
    assert speed_kmh(times, np.column_stack([100 * times, 0 * times])) is None
    assert speed_kmh(times[:2], wild[:2]) is None


JUNCTION = [
    {"id": "north", "from": [0.4, 0.3], "to": [0.6, 0.3]},
    {"id": "south", "from": [0.4, 0.8], "to": [0.6, 0.8]},
    {"id": "east", "from": [0.7, 0.4], "to": [0.7, 0.7]},
]


def way(*corners: tuple[float, float], step: float = 20) -> list[tuple[float, float]]:
    """Points every `step` pixels along a line through the corners."""
    points = []
    for a, b in pairwise(corners):
        n = max(1, round(float(np.hypot(b[0] - a[0], b[1] - a[1])) / step))
        points += [(a[0] + (b[0] - a[0]) * k / n, a[1] + (b[1] - a[1]) * k / n) for k in range(n)]
    return [*points, corners[-1]]


def turns(camera: Camera, points: list[tuple[float, float]], fps: float = 10) -> list[tuple[str, str]]:
    found = run(camera, [at((1, *point)) for point in points], fps)
    return [(f.extra["from"], f.extra["to"]) for f in found]


@pytest.fixture
def junction(make_camera: Callable[..., Camera]) -> Camera:
    rule = {"type": "turning_count", "lines": ["north", "south", "east"], "max_s": 20}
    return make_camera(lines=JUNCTION, rules=[rule])


def test_a_turn_goes_from_the_line_come_over_to_the_line_left_by(junction: Camera) -> None:
    assert turns(junction, way((500, 100), (500, 280), (900, 280))) == [("north", "east")]
    assert turns(junction, way((500, 480), (500, 80))) == [("south", "north")]
    assert turns(junction, way((900, 280), (500, 280), (500, 480))) == [("east", "south")]


def test_half_a_passage_a_trembling_box_and_one_too_slow_make_no_turn(junction: Camera) -> None:
    assert turns(junction, way((500, 100), (500, 300))) == []
    shaking = [(500.0, 140.0 + 20 * (k % 2)) for k in range(20)]
    assert turns(junction, [*shaking, *way((500, 160), (500, 280), (900, 280))]) == [("north", "east")]
    slow = way((500, 100), (500, 280), (900, 280))
    assert turns(junction, slow, fps=0.5) == []


def test_turning_round_and_two_passages_of_one_track(junction: Camera) -> None:
    assert turns(junction, way((500, 100), (500, 280), (560, 280), (560, 100)), fps=5) == [("north", "north")]
    round_trip = way((500, 100), (500, 280), (900, 280), (600, 280), (500, 460))
    assert turns(junction, round_trip) == [("north", "east"), ("east", "south")]


@pytest.mark.parametrize("fps", [1.0, 2.0, 8.0, 25.0])
def test_counts_do_not_depend_on_the_frame_rate(road: Callable[..., Camera], fps: float) -> None:
    """Through tracker and pipeline: walkers a second and a half apart, at walking pace in the picture."""
    pipeline = CameraPipeline(road(), ModelRef("m", "1", ""), "0")
    duration_s, events = 40.0, []
    for k in range(int(duration_s * fps)):
        now_s = k / fps
        ys = [(200 + 12 * (now_s - start), 100 + 150 * n) for n, start in enumerate((0, 2, 5, 9))]
        boxes = np.array([[x - 20, y - 100, x + 20, y] for y, x in ys if 200 <= y < 480], np.float32).reshape(-1, 4)
        n = len(boxes)
        seen = Detections(boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), ("person",))
        events += pipeline.step(FrameMeta("cam", k, now_s, W, H), seen).events
    assert [e.type for e in events] == ["hoaban.line_count"] * 4
    assert pipeline.counts == {"in": {"forward": {"person": 4}}}


def test_another_resolution_in_the_middle_keeps_the_counts(road: Callable[..., Camera]) -> None:
    pipeline = CameraPipeline(road(), ModelRef("m", "1", ""), "0")
    for k in range(120):
        scale = 1 if k < 60 else 2
        y = (250 + 5 * (k % 60)) * scale
        x = 500 * scale
        box = np.array([[x - 20, y - 80, x + 20, y]], np.float32)
        seen = Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("car",))
        pipeline.step(FrameMeta("cam", k, k / 10, W * scale, H * scale), seen)
    assert pipeline.counts == {"in": {"forward": {"car": 2}}}


def test_the_pipeline_keeps_turning_counts_beside_the_lines(junction: Camera) -> None:
    pipeline = CameraPipeline(junction, ModelRef("m", "1", ""), "0")
    for k, (x, y) in enumerate(way((500, 100), (500, 280), (900, 280), step=8)):
        box = np.array([[x - 20, y - 40, x + 20, y]], np.float32)
        seen = Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("car",))
        pipeline.step(FrameMeta("cam", k, k / 10, W, H), seen)
    assert pipeline.turns == {"north": {"east": {"car": 1}}}
    successor = CameraPipeline(junction, ModelRef("m", "1", ""), "0")
    successor.restore(pipeline.checkpoint())
    assert successor.turns == pipeline.turns
    assert successor.counts == pipeline.counts == {}


def test_lanes_and_lines_that_are_not_there_are_told() -> None:
    text = """\
version: 1
province: {name: x}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - id: a
    name: A
    role: traffic_counting
    district: d
    owner: o
    source: a.mp4
    lines: [{id: in, from: [0, 0.5], to: [1, 0.5]}]
    rules:
      - {type: line_count, line: in, lanes: [one]}
      - {type: turning_count, lines: [in, out]}
      - {type: turning_count, id: twice, lines: [in, in]}
"""
    with pytest.raises(FleetErrors) as caught:
        parse_fleet([("f", text)], {})
    told = [str(error) for error in caught.value.errors]
    assert any("rules[0].lanes" in line and "no zone 'one'" in line for line in told)
    assert any("rules[1].lines" in line and "no line 'out'" in line for line in told)
    assert any("named twice" in line for line in told)
