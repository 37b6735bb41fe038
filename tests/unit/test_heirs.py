"""Who comes out from behind a nearer vehicle goes on as the one that went in."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hoaban.detections import Tracks
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.rules import build_rules
from hoaban.rules.crossing import feet_hidden
from hoaban.rules.heirs import Heir, Heirs
from hoaban.scene import Scene
from hoaban.signals import Phase, SignalState, SignalView

W, H, LABELS = 400, 400, ("car", "motorcycle", "truck")
Seen = dict[int, tuple[str, tuple[float, float, float, float]]]
TRUCK = (170.0, 130.0, 240.0, 260.0)
STOP, LEFT = (
    {"id": "stop", "from": [0.1, 0.6], "to": [0.9, 0.6]},
    {"id": "left", "from": [0.15, 0.1], "to": [0.15, 0.5]},
)
TURN = {"type": "illegal_turn", "enter": "stop", "enter_direction": "backward", "leave": ["left"]}


@pytest.fixture
def site(make_camera: Callable[..., Camera]) -> Camera:
    return make_camera(lines=[STOP, LEFT], rules=[TURN], role="traffic_enforcement")


def scene(number: int, seen: Seen) -> Scene:
    ids = np.array(sorted(seen), np.int64)
    boxes = np.array([seen[i][1] for i in ids.tolist()], np.float32).reshape(-1, 4)
    classes = np.array([LABELS.index(seen[i][0]) for i in ids.tolist()], np.int32)
    tracks = Tracks(ids, boxes, np.ones(len(ids), np.float32), classes, np.full(len(ids), 9, np.int32), LABELS)
    return Scene(FrameMeta("c", number, 1_800_000_000.0 + number / 10, W, H), tracks)


def car(x: float, bottom: float, kind: str = "car", height: float = 30.0) -> tuple[str, tuple[float, ...]]:
    return kind, (x - 15, bottom - height, x + 15, bottom)


def heirs_of(frames: list[Seen]) -> dict[int, Heir]:
    watch, found = Heirs(), {}
    for number, seen in enumerate(frames):
        found |= watch.update(scene(number, seen))
    return found


def behind(hidden: int, cover: bool = True, out: str = "car", at: float = 160.0, left: float = 170.0) -> list[Seen]:
    """A car waits, a truck draws up before it and hides it, something comes out at its left."""
    truck: Seen = {2: ("truck", (left, *TRUCK[1:]))}
    waits: list[Seen] = [{1: car(200, 135, height=20), **truck} for _ in range(5)]
    return [*waits, *[truck if cover else {} for _ in range(hidden)], {3: car(at, 142, out), **truck}]


def test_the_one_that_comes_out_goes_on_for_the_one_that_went_in() -> None:
    found = heirs_of(behind(60))
    assert found[3].lost == 1
    assert found[3].unseen_s == pytest.approx(6.1, abs=0.01)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (behind(60, cover=False), "the place lay open for long, and nobody was there"),
        (behind(60, out="motorcycle"), "another kind of vehicle"),
        (behind(60, at=40.0), "far from what hid the lost one"),
        (behind(60, at=55.0, left=60.0), "at the far end of what hid it"),
        (behind(260), "too long ago"),
    ],
)
def test_who_is_no_heir(frames: list[Seen], why: str) -> None:
    assert 3 not in heirs_of(frames), why


def test_two_went_in_and_one_comes_out_it_is_the_nearer_one() -> None:
    truck: Seen = {9: ("truck", TRUCK)}
    both: Seen = {1: car(190, 135, height=20), 2: car(225, 135, height=20), **truck}
    found = heirs_of([both, both, *[truck] * 40, {12: car(160, 142), **truck}])
    assert found[12].lost == 1


def test_a_lost_one_that_is_seen_again_has_no_heir() -> None:
    frames = behind(10)
    again: Seen = {1: car(185, 140), **frames[-1]}
    assert 3 not in heirs_of([*frames[:-1], again])


def test_a_short_gap_is_bridged_along_the_way_and_no_further() -> None:
    drives: list[Seen] = [{1: car(100 + 6 * i, 200)} for i in range(20)]
    on = heirs_of([*drives, {}, {}, {}, {5: car(100 + 6 * 23, 200)}])
    elsewhere = heirs_of([*drives, {}, {}, {}, {5: car(100 + 6 * 23 - 80, 200)}])
    assert on[5].lost == 1
    assert elsewhere == {}


def test_a_turn_behind_a_truck_is_told_and_says_what_was_not_seen(site: Camera) -> None:
    (rule,) = build_rules(site.rules, site.site_for(W, H))
    truck: Seen = {2: ("truck", TRUCK)}
    comes: list[Seen] = [{1: car(200, 330 - 6 * i)} for i in range(33)]
    frames = [*comes, *[{1: car(200, 135, height=20), **truck}] * 5, *[truck] * 50]
    frames += [{3: car(160 - 8 * i, 142), **truck} for i in range(18)]
    found = [finding for number, seen in enumerate(frames) for finding in rule.update(scene(number, seen))]
    assert [(finding.kind, finding.track, finding.line) for finding in found] == [("illegal_turn", 3, "left")]
    assert found[0].extra["evidential"] is False
    assert "out of sight for 5.1 s" in "; ".join(found[0].extra["not_evidential_because"])


def across(lost: int, at: int) -> list[Seen]:
    """A car drives up over the stop line; from frame `at` on it is lost for some frames and then has another number."""
    drives: list[Seen] = [{1: car(200, 330 - 6 * i)} for i in range(at)]
    return [*drives, *[{}] * lost, *[{5: car(200, 330 - 6 * i)} for i in range(at + lost, 33)]]


def test_a_turn_whose_track_is_lost_on_the_line_is_told_and_says_so(site: Camera) -> None:
    (rule,) = build_rules(site.rules, site.site_for(W, H))
    leaves: list[Seen] = [{5: car(200 - 8 * i, 135)} for i in range(24)]
    frames = [*across(lost=3, at=15), *leaves]  # at 246 before the line at 240, then at 222
    found = [finding for number, seen in enumerate(frames) for finding in rule.update(scene(number, seen))]
    assert [(finding.kind, finding.track) for finding in found] == [("illegal_turn", 5)]
    assert "its track was lost at the line for 0.40 s" in "; ".join(found[0].extra["not_evidential_because"])
    assert found[0].extra["frames"]["before"]["bbox"] == [185.0, 216.0, 215.0, 246.0]


@pytest.mark.parametrize(("lost", "told"), [(0, True), (4, True), (16, False)])
def test_a_red_light_whose_track_is_lost_beyond_the_line_goes_on_as_its_heir(
    make_camera: Callable[..., Camera], lost: int, told: bool
) -> None:
    past = {"id": "past", "from": [0.1, 0.4], "to": [0.9, 0.4]}
    red = {"type": "red_light", "signal": "main", "line": "stop", "past": "past", "direction": "backward"}
    camera = make_camera(
        lines=[STOP, past], signals=[{"id": "main", "feed": {}}], rules=[red], role="traffic_enforcement"
    )
    (rule,) = build_rules(camera.rules, camera.site_for(W, H))
    phases, found = (Phase(SignalState.RED, 1_799_999_990.0, 1_799_999_990.0),), []
    for number, seen in enumerate(across(lost, at=18)):
        now = scene(number, seen)
        found += rule.update(replace(now, signals={"main": SignalView("main", "feed", phases, now.now_s)}))
    assert [(finding.kind, finding.track) for finding in found] == ([("red_light", 5)] if told else [])
    if told:
        why = "; ".join(found[0].extra["not_evidential_because"])
        assert "out of sight for 0.5 s" in why if lost else "out of sight for 0.1 s" in why


@pytest.mark.parametrize(
    ("nearer", "hidden"),
    [
        ((90.0, 190.0, 130.0, 260.0), True),
        ((98.0, 190.0, 118.0, 260.0), False),  # it stands before the middle, and both corners are in sight
        ((104.0, 150.0, 160.0, 260.0), False),  # before one half
        ((90.0, 150.0, 130.0, 196.0), False),  # further away
        ((90.0, 210.0, 130.0, 260.0), False),  # lower than the foot
    ],
)
def test_a_foot_is_hidden_where_most_of_the_lower_edge_is(
    nearer: tuple[float, float, float, float], hidden: bool
) -> None:
    tracks = scene(0, {1: ("car", (95.0, 160.0, 125.0, 200.0)), 2: ("truck", nearer)}).tracks
    assert feet_hidden(tracks, np.array([0])).tolist() == [hidden]
