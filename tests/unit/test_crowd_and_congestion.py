"""Crowds and traffic jams over drawn scenes: each gathering, growth, dispersal and change of level is told once."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.detections import Tracks
from hoaban.fleet import Camera
from hoaban.rules import build_rules
from hoaban.rules.footprint import CELLS, CoverGrid
from tests.unit.drawn import play, standing

ZONE = {"id": "z", "polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 1.0], [0.1, 1.0]]}
# 100 pixels are 10 m, so the zone's 512 x 324 pixels are 51.2 x 32.4 m
CALIBRATION = {
    "id": "c",
    "measured": "2026-01-01",
    "picture": [[0, 0], [1, 0], [1, 1], [0, 1]],
    "ground_m": [[0, 36], [64, 36], [64, 0], [0, 0]],
}
Make = Callable[..., Camera]


def people(n: int) -> Tracks:
    return standing(*[(i, 80 + 40 * (i % 12), 100 + 50 * (i // 12)) for i in range(n)])


def crowd(make_camera: Make, **fields: object) -> Camera:
    return make_camera(zones=[ZONE], rules=[{"type": "crowd", "zone": "z", "at_least": 10} | fields])


def test_a_gathering_its_growth_and_its_end_are_told_once_each(make_camera: Make) -> None:
    counts = [*range(30), *[30] * 60, *range(30, 0, -1), *[0] * 40]
    told = play(crowd(make_camera, hold_s=1), [people(n) for n in counts])
    assert [f.extra["phase"] for _, f in told] == ["start", "grow", "end"]
    seen = [f.extra["count"] for _, f in told]
    assert 10 <= seen[0] <= 16
    assert seen[1] >= 1.5 * seen[0]
    assert seen[2] < 8
    assert told[2][1].extra["peak"] == 30


def test_a_detector_that_flickers_round_the_limit_does_not_toggle(make_camera: Make) -> None:
    rng = np.random.default_rng(3)
    true = [*[6] * 50, *[11] * 400, *[5] * 50]
    seen = [people(int(rng.binomial(n, 0.85))) for n in true]
    plain = crowd(make_camera, hold_s=0, smooth_s=0, clear_below=10)
    assert len(play(plain, seen)) > 10  # what hysteresis, smoothing and holding are for
    assert [f.extra["phase"] for _, f in play(crowd(make_camera, at_least=9), seen)] == ["start", "end"]


def test_few_frames_without_any_detection_do_not_end_a_crowd(make_camera: Make) -> None:
    frames = [people(12)] * 40 + [people(0)] * 14 + [people(12)] * 40
    assert [f.extra["phase"] for _, f in play(crowd(make_camera), frames)] == ["start"]


def test_density_is_per_square_metre_where_calibrated_and_else_per_picture(make_camera: Make) -> None:
    ((_, plain),) = play(crowd(make_camera), [people(12)] * 30)
    assert (plain.extra["density"], plain.extra["density_per"]) == (pytest.approx(12 / 0.72, abs=0.1), "picture")
    with pytest.raises(ValueError, match="needs a calibration"):
        crowd(make_camera, at_least=None, at_least_per_m2=0.007)
    rule = {"type": "crowd", "zone": "z", "at_least_per_m2": 0.007}
    measured = make_camera(zones=[ZONE], rules=[rule], calibration=CALIBRATION)
    ((_, found),) = play(measured, [people(12)] * 30)  # 0.007 * 1659 m2 = 11.6
    assert (found.extra["density_per"], found.extra["at_least"]) == ("m2", 12)
    assert found.extra["density"] == pytest.approx(12 / (51.2 * 32.4), abs=1e-3)


@pytest.mark.parametrize(
    ("fields", "words"), [({"at_least": None}, "missing"), ({"clear_below": 11}, "above at_least")]
)
def test_a_crowd_rule_that_cannot_be_is_refused(make_camera: Make, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        crowd(make_camera, **fields)


def traffic(second: float, speed: float, vehicles: int, length: float = 60) -> Tracks:
    """Vehicles one behind the other in four lanes that go at so many pixels a second, round and round."""
    feet = []
    for i in range(vehicles):
        start = (i // 4) * 500 / max(1, -(-vehicles // 4))
        feet.append((i, 70 + (start + speed * second) % 500, 120 + 60 * (i % 4), "car"))
    return standing(*feet, sizes={"car": (length, 40)})


def road(make_camera: Make, **fields: object) -> Camera:
    rule = {"type": "congestion", "zone": "z", "hold_s": 10} | fields
    return make_camera(zones=[ZONE], rules=[rule])


def drive(*parts: tuple[float, float, int]) -> list[Tracks]:
    """(seconds, pixels a second, vehicles) one after the other, ids going on."""
    frames, at = [], 0.0
    for seconds, speed, vehicles in parts:
        for _ in range(round(seconds * 5)):
            at += speed / 5
            frames.append(traffic(1.0, at, vehicles))
    return frames


def test_levels_follow_speed_and_cover_and_each_change_is_told_once(make_camera: Make) -> None:
    camera = road(make_camera, fuller_than=[0.05, 0.1, 0.15])
    # a car's length is sqrt(60 * 40) = 49 pixels, so free speed is 73 pixels a second
    told = play(camera, drive((40, 100, 16), (60, 18, 28), (60, 1, 28), (60, 100, 12)))
    assert [(f.extra["was"], f.extra["level"]) for _, f in told] == [
        ("free", "congested"),
        ("congested", "jam"),
        ("jam", "free"),
    ]
    assert told[0][0] == pytest.approx(40 + 10 + 10, abs=2)  # the smoothed speed needs ten seconds from 1.4 to 0.35
    assert told[1][1].extra["speed"] < 0.2


def test_a_red_light_shorter_than_hold_s_parked_cars_and_an_empty_road_are_no_jam(make_camera: Make) -> None:
    camera = road(make_camera, hold_s=40, fuller_than=[0.05, 0.1, 0.15])
    assert play(camera, drive((30, 100, 20), (30, 0, 20)) * 4) == []
    few = road(make_camera)
    assert play(few, drive((120, 0, 2))) == []
    assert play(few, drive((120, 100, 0))) == []


def test_speed_that_trembles_round_a_limit_changes_the_level_once(make_camera: Make) -> None:
    rng = np.random.default_rng(4)
    parts = [(1.0, float(rng.uniform(0.5, 0.7) * 73), 20) for _ in range(200)]
    told = play(road(make_camera, hold_s=5, fuller_than=[0.05, 0.5, 0.9]), drive(*parts))
    assert len(told) <= 1


def test_speed_is_in_kilometres_an_hour_where_calibrated(make_camera: Make) -> None:
    rule = {"type": "congestion", "zone": "z", "hold_s": 5, "free_speed": 60, "fuller_than": [0.05, 0.1, 0.9]}
    camera = make_camera(zones=[ZONE], rules=[rule], calibration=CALIBRATION)
    told = play(camera, drive((60, 50, 20)))  # 5 m/s = 18 km/h
    assert [f.extra["level"] for _, f in told] == ["congested"]
    assert told[0][1].extra["speed"] == pytest.approx(18, abs=1.5)
    assert told[0][1].extra["speed_unit"] == "km/h"


@pytest.mark.parametrize("fields", [{"slower_than": [0.1, 0.5, 0.6]}, {"fuller_than": [0.5, 0.1, 0.6]}])
def test_limits_out_of_order_are_refused(make_camera: Make, fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="in order"):
        road(make_camera, **fields)


def test_rules_say_what_they_measure_now(make_camera: Make) -> None:
    camera = make_camera(zones=[ZONE], rules=[{"type": "crowd", "zone": "z", "at_least": 3}])
    (rule,) = build_rules(camera.rules, camera.site_for(640, 360))
    assert rule.measures() == {
        "zone": "z", "phase": "clear", "count": 0, "density": 0.0, "density_per": "picture",
    }  # fmt: skip


@given(st.lists(st.tuples(*[st.floats(-100, 700)] * 4), max_size=6))
def test_cover_is_what_painting_the_boxes_says(corners: list[tuple[float, float, float, float]]) -> None:
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners], np.float32)
    grid = CoverGrid(np.array([[0, 0], [480, 0], [480, 480], [0, 480]], float))
    canvas = np.zeros((CELLS, CELLS), bool)
    for x1, y1, x2, y2 in boxes.astype(np.float64).reshape(-1, 4).tolist():
        left, top, right, bottom = (max(0, round(v / 10)) for v in (x1, (y1 + y2) / 2, x2, y2))
        canvas[top:bottom, left:right] = True
    assert grid.cover(boxes.reshape(-1, 4)) == pytest.approx(canvas.mean(), abs=0.06)
