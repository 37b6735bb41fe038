"""Lines that several rules watch are looked at together: each gives what it would give alone."""

import numpy as np
import pytest

from hoaban.detections import Tracks
from hoaban.frames import FrameMeta
from hoaban.rules.base import Site
from hoaban.rules.crossing import LineWatch
from hoaban.rules.line_sides import LineSides
from hoaban.scene import Scene
from hoaban.shapes import Line

WIDTH, HEIGHT = 640, 360
LINES = {
    "across": Line.model_validate({"id": "across", "from": [0.0, 0.5], "to": [1.0, 0.52]}),
    "down": Line.model_validate({"id": "down", "from": [0.5, 0.0], "to": [0.48, 1.0]}),
}


def site() -> Site:
    return Site({}, LINES, WIDTH, HEIGHT)


def walks(seed: int, frames: int = 150, count: int = 12) -> list[Scene]:
    """People who wander, hide each other, and are now and then not seen."""
    rng = np.random.default_rng(seed)
    feet, ids = rng.uniform((0, 60), (WIDTH, HEIGHT), (count, 2)), np.arange(count)
    speeds, scenes = rng.normal(0, 8, (count, 2)), []
    for seq in range(frames):
        speeds += rng.normal(0, 2, speeds.shape)
        feet = np.clip(feet + speeds, (0, 60), (WIDTH, HEIGHT))
        speeds[(feet <= (0, 60)) | (feet >= (WIDTH, HEIGHT))] *= -1
        seen = rng.random(count) > 0.1
        boxes = np.hstack([feet - np.array([12, 60]), feet + np.array([12, 0])])[seen].astype(np.float32)
        number = int(seen.sum())
        hits, classes = np.full(number, seq + 1, np.int32), np.zeros(number, np.int32)
        tracks = Tracks(ids[seen], boxes, np.ones(number, np.float32), classes, hits, ("person",))
        scenes.append(Scene(FrameMeta("c", seq, seq / 5, WIDTH, HEIGHT), tracks))
    return scenes


@pytest.mark.parametrize("seed", range(4))
def test_line_watches_of_one_camera_do_not_disturb_each_other(seed: int) -> None:
    shared = site()
    together = {name: LineWatch.at_foot(shared, name, ("person",), 3) for name in LINES}
    alone = {name: LineWatch.at_foot(site(), name, ("person",), 3) for name in LINES}
    found = 0
    for scene in walks(seed):
        for name in LINES:
            crossings = together[name].update(scene)
            assert crossings == alone[name].update(scene)
            np.testing.assert_array_equal(together[name].distances, alone[name].distances)
            found += len(crossings)
    assert found > 20


@pytest.mark.parametrize("seed", range(4))
def test_sides_of_several_lines_do_not_disturb_each_other(seed: int) -> None:
    def sides(lines: tuple[str, ...]) -> LineSides:
        place = site()
        return LineSides.of(place, lines, ("person",), place.shared.rows)

    together, alone = sides(tuple(LINES)), {name: sides((name,)) for name in LINES}
    found = 0
    for scene in walks(seed):
        crossings = together.update(scene.tracks, scene.now_s)
        for name in LINES:
            mine = alone[name].update(scene.tracks, scene.now_s)[name]
            assert [(c.track, c.forward, c.point.tolist()) for c in crossings[name]] == [
                (c.track, c.forward, c.point.tolist()) for c in mine
            ]
            found += len(mine)
    assert found > 20
