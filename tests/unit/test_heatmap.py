"""The heat map: seconds of standing, whatever the frame rate, that fade with their half-life."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.detections import Detections
from hoaban.events import ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.heatmap import HeatMap, HeatMapSettings
from hoaban.pipeline import CameraPipeline

NOBODY = np.zeros((0, 2), np.float32)


def standing(seconds: float, fps: float, settings: HeatMapSettings) -> HeatMap:
    heat = HeatMap(settings)
    for number in range(round(seconds * fps) + 1):
        heat.add(np.array([[320, 180]], np.float32), 640, 360, 100 + number / fps)
    return heat


@pytest.mark.parametrize("fps", [1, 5, 25])
def test_a_minute_of_standing_is_sixty_seconds_in_its_cell_at_any_frame_rate(fps: float) -> None:
    seconds = standing(60, fps, HeatMapSettings(half_life_s=1e6)).seconds
    assert seconds[18, 32] == pytest.approx(60, rel=1e-3)
    assert seconds.sum() == pytest.approx(60, rel=1e-3)


def test_what_was_fades_to_half_in_a_half_life_and_never_grows_beyond_its_limit() -> None:
    heat = standing(5000, 1, HeatMapSettings(half_life_s=100))
    limit = heat.seconds.max()
    assert limit == pytest.approx(100 / np.log(2), rel=0.01)
    heat.add(NOBODY, 640, 360, 100 + 5000 + 100)
    assert heat.seconds.max() == pytest.approx(limit / 2)


def test_a_long_silence_is_not_counted_as_standing_and_a_clock_that_goes_back_breaks_nothing() -> None:
    heat = HeatMap(HeatMapSettings(half_life_s=1e9))
    for now_s in (0.0, 3600.0, 10.0, 11.0):
        heat.add(np.array([[1, 1]], np.float32), 640, 360, now_s)
    assert heat.seconds.sum() == pytest.approx(2 + 1)


@given(st.lists(st.tuples(st.floats(-50, 700), st.floats(-50, 400)), max_size=20))
def test_every_foot_is_in_one_cell_also_at_and_beyond_the_edges(feet: list[tuple[float, float]]) -> None:
    heat = HeatMap(HeatMapSettings(columns=7, rows=5, half_life_s=1e9))
    heat.add(NOBODY, 640, 360, 0.0)
    heat.add(np.array(feet, np.float32).reshape(-1, 2), 640, 360, 1.0)
    assert heat.seconds.sum() == pytest.approx(len(feet))
    grid = heat.as_dict()["seconds"]
    assert (len(grid), len(grid[0])) == (5, 7)


def test_the_pipeline_keeps_it_for_cameras_that_ask_by_class_and_through_other_edits(
    make_camera: Callable[..., Camera],
) -> None:
    assert CameraPipeline(make_camera(), ModelRef("m", "1", ""), "0").heat_map is None
    camera = make_camera(heat_map={"classes": ["person"], "columns": 10, "rows": 10})
    pipeline = CameraPipeline(camera, ModelRef("m", "1", ""), "0")
    boxes = np.array([[50, 20, 54, 34], [80, 60, 98, 74]], np.float32)
    seen = Detections(boxes, np.full(2, 0.9, np.float32), np.array([0, 1], np.int32), ("person", "car"))
    for number in range(21):
        pipeline.step(FrameMeta("cam", number, number / 5, 100, 100), seen)
    before = pipeline.heat_map.seconds
    assert before[3, 5] == pytest.approx(4.0, abs=0.05)
    assert before.sum() == pytest.approx(before[3, 5])
    pipeline.reconfigure(camera.model_copy(update={"min_score": 0.5}))
    assert np.array_equal(pipeline.heat_map.seconds, before)
    pipeline.reconfigure(make_camera(heat_map={"columns": 20}))
    assert pipeline.heat_map.seconds.shape == (36, 20)
