"""Intrusion, line crossing and loitering over drawn trajectories: one happening is one finding."""

from collections.abc import Callable

import numpy as np
import pytest

from hoaban.detections import Tracks
from hoaban.fleet import Camera
from hoaban.rules.lineage import Lineage
from tests.unit.drawn import play, standing

ZONE = {"id": "z", "polygon": [[0.2, 0.2], [0.8, 0.2], [0.8, 0.9], [0.2, 0.9]]}
LINE = {"id": "gate", "from": [0.0, 0.5], "to": [1.0, 0.5]}
Make = Callable[..., Camera]


def watching(make_camera: Make, **rule: object) -> Camera:
    return make_camera(zones=[ZONE], lines=[LINE], rules=[rule])


def test_an_id_switch_in_the_zone_is_no_second_intrusion(make_camera: Make) -> None:
    camera = watching(make_camera, type="intrusion", zone="z")
    stay = [standing((1, 300 + i, 250)) for i in range(20)]
    lost = [standing()] * 4
    again = [standing((7, 325 + i, 250)) for i in range(20)]
    assert [f.track for _, f in play(camera, stay + lost + again)] == [1]


def test_another_person_elsewhere_is_a_second_intrusion(make_camera: Make) -> None:
    camera = watching(make_camera, type="intrusion", zone="z")
    frames = [standing((1, 200, 250))] * 20 + [standing((1, 200, 250), (7, 450, 250))] * 20
    assert [f.track for _, f in play(camera, frames)] == [1, 7]


def test_small_boxes_are_left_out_below_min_height(make_camera: Make) -> None:
    camera = watching(make_camera, type="intrusion", zone="z", min_height=0.1)
    frames = [standing((1, 300, 250), (2, 400, 250, "motorcycle"), (3, 350, 250, "dog"))] * 20
    assert [f.label for _, f in play(camera, frames)] == ["person"]  # 60 of 360 pixels; the motorcycle has 35


def test_a_step_over_the_edge_and_back_is_one_intrusion(make_camera: Make) -> None:
    camera = watching(make_camera, type="intrusion", zone="z", cooldown_s=5)
    inside, outside = [standing((1, 135, 250))], [standing((1, 120, 250))]
    assert len(play(camera, (inside * 3 + outside * 2) * 10)) == 1
    assert len(play(camera, inside * 10 + outside * 50 + inside * 10)) == 2  # ten seconds away


def walk(ys: np.ndarray, track: int = 1, label: str = "person") -> list[Tracks]:
    return [standing((track, 300, float(y), label)) for y in ys]


@pytest.mark.parametrize(("direction", "told"), [("forward", 1), ("backward", 0), ("both", 1)])
def test_a_line_is_watched_in_its_direction(make_camera: Make, direction: str, told: int) -> None:
    camera = watching(make_camera, type="line_crossing", line="gate", direction=direction)
    found = play(camera, walk(np.linspace(100, 280, 20)))
    assert [(f.kind, f.direction, f.line) for _, f in found] == [("line_crossing", "forward", "gate")] * told


def test_pacing_over_a_line_is_told_once_in_each_direction_within_the_cooldown(make_camera: Make) -> None:
    camera = watching(make_camera, type="line_crossing", line="gate", cooldown_s=60)
    way = np.concatenate([np.linspace(130, 230, 10), np.linspace(230, 130, 10)])
    assert [f.direction for _, f in play(camera, walk(np.tile(way, 5)))] == ["forward", "backward"]


def test_a_crossing_is_seen_through_an_id_switch_at_the_line(make_camera: Make) -> None:
    camera = watching(make_camera, type="line_crossing", line="gate")
    frames = walk(np.linspace(130, 172, 10)) + [standing()] * 2 + walk(np.linspace(190, 250, 10), track=9)
    assert [f.direction for _, f in play(camera, frames)] == ["forward"]


def test_loitering_goes_on_through_lost_tracks_and_new_numbers(make_camera: Make) -> None:
    camera = watching(make_camera, type="loitering", zone="z", after_s=20)
    frames: list[Tracks] = []
    for number in range(6):  # a new number each 5 s, each after 3 s out of sight
        frames += [standing((number, 300 + number * 5, 250))] * 25 + [standing()] * 15
    ((when, found),) = play(camera, frames)
    assert when == pytest.approx(20, abs=4)  # told when next seen
    assert found.extra["inside_s"] >= 20


def test_people_who_pass_one_after_the_other_do_not_loiter(make_camera: Make) -> None:
    camera = watching(make_camera, type="loitering", zone="z", after_s=10)
    frames: list[Tracks] = []
    for number in range(20):  # each crosses the zone in 3 s, far from where the one before him was last seen
        frames += [standing((number, 140 + 24 * step, 250)) for step in range(15)]
    assert play(camera, frames) == []


def test_a_stay_beyond_the_radius_or_the_gap_begins_anew(make_camera: Make) -> None:
    camera = watching(make_camera, type="loitering", zone="z", after_s=10, gap_s=3)
    near, far = [standing((1, 200, 250))] * 40, [standing((2, 450, 250))] * 40
    assert play(camera, near + far) == []
    assert play(camera, near + [standing()] * 20 + [standing((2, 200, 250))] * 40) == []
    assert len(play(camera, near + [standing()] * 10 + [standing((2, 200, 250))] * 40)) == 1


def test_lineage_gives_one_heir_and_returns_the_number_to_its_first_bearer() -> None:
    lineage = Lineage(gap_s=4)
    numbers = [
        lineage.update(standing(*feet), second).ids.tolist()
        for second, feet in enumerate(
            [
                [(1, 100, 100), (2, 300, 100)],
                [(2, 300, 100)],
                [(2, 300, 100), (3, 110, 100), (4, 95, 100)],  # two appear where one was lost
                [(1, 100, 100), (2, 300, 100), (3, 110, 100), (4, 95, 100)],  # and the lost one was there all the time
                [(2, 300, 100), (4, 95, 100)],
            ]
        )
    ]
    assert numbers[0] == [1, 2]
    assert sorted(numbers[2]) == [1, 2, 3]
    assert numbers[3] == [1, 2, 3, 4]
    assert numbers[4] == [2, 4]


def test_a_person_is_not_heir_to_a_thing() -> None:
    lineage = Lineage()
    lineage.update(standing((1, 100, 100, "suitcase")), 0.0)
    lineage.update(standing(), 1.0)
    assert lineage.update(standing((2, 100, 100), (3, 101, 100, "suitcase")), 2.0).ids.tolist() == [2, 1]
