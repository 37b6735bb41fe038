"""Geometry by properties, rules by drawn trajectories."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.calibration import Calibration, Ground
from hoaban.detections import Detections, Tracks
from hoaban.events import Finding, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.geometry import inside, iou, segments_meet, signed_distance
from hoaban.pipeline import CameraPipeline
from hoaban.rules import build_rules
from hoaban.scene import Scene

W, H = 100, 100
coordinate = st.floats(-50, 150)
point = st.tuples(coordinate, coordinate)


@given(point, point, point, point)
def test_segments_meet_is_symmetric(a, b, c, d) -> None:
    a, b, c, d = (np.array(p) for p in (a, b, c, d))
    if np.hypot(*(c - d)) < 1 or np.hypot(*(a - b)) < 1:
        return
    sides = np.abs([*signed_distance(np.stack([a, b]), c, d), *signed_distance(np.stack([c, d]), a, b)])
    if sides.min() > 1e-6:
        assert segments_meet(a, b, c, d) == segments_meet(c, d, a, b) == segments_meet(b, a, c, d)


@given(point)
def test_inside_a_box_is_what_comparison_says(p) -> None:
    box = np.array([[10, 20], [60, 20], [60, 70], [10, 70]])
    if min(abs(p[0] - 10), abs(p[0] - 60), abs(p[1] - 20), abs(p[1] - 70)) > 1e-6:
        assert inside(np.array([p]), box)[0] == (10 < p[0] < 60 and 20 < p[1] < 70)


def test_iou_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]], float)
    assert np.allclose(iou(boxes, boxes), [[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 0]])


def at(*feet: tuple[int, float, float], label: str = "car") -> Tracks:
    """Tracks of 20-pixel boxes whose foot points are given as (id, x, y)."""
    ids = np.array([f[0] for f in feet], np.int64)
    boxes = np.array([[x - 5, y - 20, x + 5, y] for _, x, y in feet], np.float32).reshape(-1, 4)
    n = len(feet)
    return Tracks(ids, boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), np.full(n, 5, np.int32), (label,))


def run(camera: Camera, frames: Iterable[Tracks], fps: float = 10) -> list[Finding]:
    (rule,) = build_rules(camera.rules, camera.site_for(W, H))
    scenes = (Scene(FrameMeta("cam", i, i / fps, W, H), tracks) for i, tracks in enumerate(frames))
    return [finding for scene in scenes for finding in rule.update(scene)]


@pytest.fixture
def counting(make_camera: Callable[..., Camera]) -> Camera:
    line = {"id": "in", "from": [0.1, 0.7], "to": [0.9, 0.7]}
    return make_camera(lines=[line], rules=[{"type": "line_count", "line": "in", "classes": ["car"]}])


def test_down_across_a_line_from_left_to_right_is_forward(counting: Camera) -> None:
    (found,) = run(counting, [at((1, 50, y)) for y in range(50, 95, 5)])
    assert (found.direction, found.label, found.line, found.track) == ("forward", "car", "in", 1)


def test_up_is_backward_and_there_and_back_counts_each_once(counting: Camera) -> None:
    way = [*range(95, 45, -5), *range(50, 95, 5)]
    assert [f.direction for f in run(counting, [at((1, 50, y)) for y in way])] == ["backward", "forward"]


def test_a_trembling_box_on_the_line_counts_once(counting: Camera) -> None:
    way = [60, 65, 69.5, 70.5, 69.4, 70.9, 69.3, 71, 75, 80]
    assert len(run(counting, [at((1, 50, y)) for y in way])) == 1


def test_passing_beside_the_line_and_other_classes_do_not_count(counting: Camera) -> None:
    assert run(counting, [at((1, 95, y)) for y in range(50, 95, 5)]) == []
    assert run(counting, [at((1, 50, y), label="dog") for y in range(50, 95, 5)]) == []


def test_a_frame_gap_does_not_lose_a_crossing(counting: Camera) -> None:
    assert len(run(counting, [at((1, 50, 50)), at(), at(), at((1, 50, 90))])) == 1


ZONE = {"id": "z", "polygon": [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]}


def test_one_intrusion_a_visit(make_camera: Callable[..., Camera]) -> None:
    rule = {"type": "intrusion", "zone": "z", "min_inside_s": 0.5, "cooldown_s": 1}
    camera = make_camera(zones=[ZONE], rules=[rule])
    stay = [at((1, 50, 50))] * 30
    away = [at((1, 5, 50))] * 30
    found = run(camera, stay + away + stay)
    assert [f.track for f in found] == [1, 1]
    assert run(camera, [at((1, 50, 50))] * 4 + away) == []


def test_loitering_survives_a_short_gap_and_is_told_once(make_camera: Callable[..., Camera]) -> None:
    camera = make_camera(zones=[ZONE], rules=[{"type": "loitering", "zone": "z", "after_s": 3, "classes": ["car"]}])
    (found,) = run(camera, [at((1, 50, 50))] * 20 + [at()] * 5 + [at((1, 52, 50))] * 40)
    assert found.extra["inside_s"] == pytest.approx(3.0, abs=0.11)


def test_crowd_starts_and_ends_with_hysteresis(make_camera: Callable[..., Camera]) -> None:
    rule = {"type": "crowd", "zone": "z", "at_least": 3, "clear_below": 2, "hold_s": 1, "classes": ["car"]}
    camera = make_camera(zones=[ZONE], rules=[rule])

    def many(n: int) -> Tracks:
        return at(*[(i, 30 + 10 * i, 50) for i in range(n)])

    frames = [many(3)] * 5 + [many(2)] * 5 + [many(3)] * 20 + [many(2)] * 20 + [many(1)] * 20
    assert [f.extra["phase"] for f in run(camera, frames)] == ["start", "end"]


def drive(pipeline: CameraPipeline, ys: Iterable[float], start_s: float = 0.0, start: int = 0) -> list:
    events = []
    for i, y in enumerate(ys, start):
        box = np.array([[45, y - 20, 55, y]], np.float32)
        seen = Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("car",))
        events += pipeline.step(FrameMeta("cam", i, start_s + i / 10, W, H), seen).events
    return events


def test_pipeline_names_counts_and_resumes(counting: Camera) -> None:
    model = ModelRef("m", "1", "d" * 64)
    pipeline = CameraPipeline(counting, model, "0")
    (event,) = drive(pipeline, np.linspace(40, 95, 30))
    assert event.type == "hoaban.line_count"
    assert event.data["model"] == model.as_dict()
    assert event.data["config"] == counting.digest()
    assert pipeline.counts == {"in": {"forward": {"car": 1}}}
    (again,) = drive(CameraPipeline(counting, model, "0"), np.linspace(40, 95, 30))
    assert again.to_json() == event.to_json()
    successor = CameraPipeline(counting, model, "0")
    successor.restore(pipeline.checkpoint())
    drive(successor, np.linspace(40, 95, 30), start_s=100)
    assert successor.counts == {"in": {"forward": {"car": 2}}}


def test_pipeline_survives_a_clock_that_goes_back_and_another_frame_size(counting: Camera) -> None:
    pipeline = CameraPipeline(counting, ModelRef("m", "1", ""), "0")
    assert len(drive(pipeline, np.linspace(40, 95, 30), start_s=1000)) == 1
    assert len(drive(pipeline, np.linspace(40, 95, 30), start_s=0)) == 1
    pipeline.step(FrameMeta("cam", 99, 50.0, 2 * W, 2 * H), Detections.empty(("car",)))
    assert pipeline.zones == {}


def calibration(**fields: object) -> Calibration:
    base = {"id": "c1", "measured": "2026-01-01", "picture": [(0.2, 0.9), (0.8, 0.9), (0.6, 0.4), (0.4, 0.4)]}
    return Calibration.model_validate(base | {"ground_m": [(0, 0), (7, 0), (7, 30), (0, 30)]} | fields)


def test_a_calibration_maps_its_points_and_knows_the_horizon() -> None:
    ground = Ground(calibration(), 1000, 500)
    corners = np.array([[200, 450], [800, 450], [600, 200], [400, 200], [500, 450]])
    assert np.allclose(ground.to_metres(corners), [[0, 0], [7, 0], [7, 30], [0, 30], [3.5, 0]], atol=1e-6)
    assert np.isnan(ground.to_metres(np.array([[500, 10]]))).all()  # the road's edges meet at a height of 75


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ground_m": [(0, 0), (7, 0), (7, 30), (0, 30), (1, 1)]}, "as many of each"),
        ({"picture": [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4)]}, "on one line"),
    ],
)
def test_a_calibration_that_cannot_be_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        calibration(**fields)
