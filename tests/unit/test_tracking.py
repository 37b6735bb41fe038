"""The tracker on drawn trajectories, at the rates at which cameras run; its parts by properties."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.association import Pairs
from hoaban.detections import Detections, Tracks
from hoaban.events import ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.geometry import iou
from hoaban.pipeline import CameraPipeline
from hoaban.tracking import Tracker

LABELS = ("person", "motorcycle", "car", "truck")
HEIGHT = 60.0
Seen = tuple[str, float, float, float]
"""class, x of the foot point, y of the foot point, score"""
rates = pytest.mark.parametrize("fps", [10.0, 5.0, 3.0])


def frame(objects: Sequence[Seen], tremble: np.random.Generator | None = None) -> Detections:
    """Boxes 60 pixels high, of the class's proportions, that tremble by 3 % of their size."""
    boxes = []
    for label, x, y, _ in objects:
        half = HEIGHT * (0.2 if label == "person" else 0.4)
        boxes.append(np.array([x - half, y - HEIGHT, x + half, y]))
        if tremble is not None:
            boxes[-1] += tremble.normal(0, 0.03, 4) * HEIGHT
    array = np.array(boxes, np.float32).reshape(-1, 4)
    scores = np.array([score for *_, score in objects], np.float32)
    return Detections(array, scores, np.array([LABELS.index(label) for label, *_ in objects], np.int32), LABELS)


def film(
    scene: Callable[[float], Sequence[Seen]], fps: float, seconds: float, tracker: Tracker | None = None
) -> list[Tracks]:
    """What the tracker makes of a scene, which says who is seen at a time."""
    tracker, tremble = tracker or Tracker(), np.random.default_rng(7)
    times = [index / fps for index in range(int(seconds * fps) + 1)]
    return [tracker.update(frame(scene(now_s), tremble), now_s) for now_s in times]


def ids(frames: Iterable[Tracks]) -> set[int]:
    return {int(name) for tracks in frames for name in tracks.ids}


@rates
def test_people_whose_ways_cross_keep_their_ids(fps: float) -> None:
    """Two walk towards each other at 1.4 m/s (50 pixels a second); for some frames their boxes lie upon each other."""

    def scene(now_s: float) -> list[Seen]:
        return [("person", 100 + 50 * now_s, 200, 0.9), ("person", 500 - 50 * now_s, 206, 0.9)]

    frames = film(scene, fps, 8)
    assert len(ids(frames)) == 2
    first, last = frames[int(fps)], frames[-1]
    left, right = (int(first.ids[row]) for row in np.argsort(first.boxes[:, 0]))
    assert last.ids[np.argsort(last.boxes[:, 0])].tolist() == [right, left]


@rates
def test_a_walker_hidden_for_a_second_comes_back_as_the_same(fps: float) -> None:
    def scene(now_s: float) -> list[Seen]:
        return [] if 3.0 < now_s < 4.0 else [("person", 100 + 50 * now_s, 200, 0.9)]

    frames = film(scene, fps, 7)
    assert len(ids(frames)) == 1
    assert len(frames[-1]) == 1


@rates
def test_one_who_leaves_and_another_who_comes_later_are_two(fps: float) -> None:
    def scene(now_s: float) -> list[Seen]:
        return [] if 2.0 < now_s < 4.5 else [("person", 300, 200, 0.9)]

    assert len(ids(film(scene, fps, 7))) == 2


@rates
def test_a_standing_person_is_one_track_that_stands(fps: float) -> None:
    frames = film(lambda now_s: [("person", 300, 200, 0.9)], fps, 60)
    assert len(ids(frames)) == 1
    feet = np.concatenate([tracks.ground_points() for tracks in frames[int(fps) :]])
    assert np.abs(feet - (300, 200)).max() < 0.1 * HEIGHT


@pytest.mark.parametrize("fps", [10.0, 5.0])
@pytest.mark.parametrize("metres_s", [4, 8, 11])
def test_a_fast_motorcycle_is_one_track_from_its_second_frame_on(fps: float, metres_s: float) -> None:
    """At 11 m/s (6.5 heights a second) and 5 fps, two boxes of it lie more than a box apart."""
    speed = metres_s / 1.7 * HEIGHT
    frames = film(lambda now_s: [("motorcycle", 50 + speed * now_s, 200, 0.8)], fps, 3)
    assert len(ids(frames)) == 1
    assert [len(tracks) for tracks in frames] == [0] + [1] * (len(frames) - 1)


def test_motorcycles_one_behind_the_other_stay_apart() -> None:
    """A column of three at 6 m/s, 4 m from one to the next, at 5 fps: each is where the next one was not yet."""
    speed = 6 / 1.7 * HEIGHT

    def scene(now_s: float) -> list[Seen]:
        places = [speed * now_s - gap for gap in (0, 140, 280)]
        return [("motorcycle", x, 200, 0.8) for x in places if 0 < x < 1200]

    frames = film(scene, 5, 5)
    assert len(ids(frames)) == 3
    for tracks in frames:
        assert tracks.ids.tolist() == sorted(tracks.ids)
        along = tracks.boxes[np.argsort(tracks.ids), 0]
        assert (np.diff(along) < 0).all()  # who came first leads


@rates
def test_what_appears_far_off_is_not_taken_for_what_just_appeared(fps: float) -> None:
    def scene(now_s: float) -> list[Seen]:
        return [("person", 100, 200, 0.9)] if now_s < 0.5 / fps else [("person", 100 + 5 * HEIGHT, 200, 0.9)]

    frames = film(scene, fps, 2)
    assert len(frames[1]) == 0  # the second one is new too
    assert len(ids(frames)) == 1


@rates
def test_a_detector_that_flickers_does_not_break_a_track(fps: float) -> None:
    """Scores fall to 0.3 every other frame; every fifth frame misses the person."""

    def scene(now_s: float) -> list[Seen]:
        index = round(now_s * fps)
        return [] if index % 5 == 4 else [("person", 100 + 50 * now_s, 200, 0.3 if index % 2 and index > 1 else 0.9)]

    frames = film(scene, fps, 10)
    assert len(ids(frames)) == 1
    assert all(len(tracks) == 1 for index, tracks in enumerate(frames) if index % 5 != 4 and index)


def test_two_who_become_one_box_leave_it_to_one_of_them() -> None:
    """Whose it becomes may be settled once; an id that changed to and fro would be many visits."""

    def scene(now_s: float) -> list[Seen]:
        left, right = 100 + 30 * min(now_s, 3.0), 280 - 30 * min(now_s, 3.0)
        return [("person", left, 200, 0.9)] + ([("person", right, 200, 0.9)] if now_s < 2.8 else [])

    alone = [tracks.ids.tolist() for tracks in film(scene, 5, 6) if len(tracks) == 1]
    assert len(alone) == 17
    assert sum(before != after for before, after in pairwise(alone)) <= 1


def test_a_weak_thing_begins_no_track_unless_the_camera_says_so() -> None:
    """A sign that a detector takes for a person scores 0.5 to 0.59 all day."""

    def scene(now_s: float) -> list[Seen]:
        return [("person", 300, 200, 0.5 + 0.09 * abs(np.sin(now_s)))]

    assert ids(film(scene, 5, 20)) == set()
    assert len(ids(film(scene, 5, 20, Tracker(begin=0.5)))) == 1


def test_a_van_seen_as_car_and_as_truck_is_one_track_of_the_surer_class() -> None:
    def scene(now_s: float) -> list[Seen]:
        x = 100 + 60 * now_s
        return [("car", x, 200, 0.7), ("truck", x + 2, 200, 0.8), ("person", x, 200, 0.9)]

    tracker = Tracker()
    frames = [tracker.update(frame(scene(index / 5)), index / 5) for index in range(20)]
    assert len(ids(frames)) == 2
    assert sorted(frames[-1].label(row) for row in range(2)) == ["person", "truck"]


def test_cars_side_by_side_are_two() -> None:
    frames = film(lambda now_s: [("car", 100, 200, 0.8), ("truck", 120, 200, 0.8)], 5, 2)
    assert len(ids(frames)) == 2


def test_a_gap_of_frames_over_a_standing_person_changes_nothing() -> None:
    """The motion gate lets one frame a second through where nothing moves."""
    tracker = Tracker()
    seen = [tracker.update(frame([("person", 300, 200, 0.9)]), now_s) for now_s in (0.0, 0.2, 0.4, 1.4, 2.4, 3.4)]
    assert len(ids(seen)) == 1


def test_the_same_frames_give_the_same_tracks() -> None:
    chance = np.random.default_rng(3)
    crowd = [
        frame([("person", *chance.uniform(0, 600, 2), chance.uniform(0.3, 0.99)) for _ in range(40)]) for _ in range(30)
    ]
    one, other = Tracker(), Tracker()
    for index, seen in enumerate(crowd):
        a, b = one.update(seen, index / 5), other.update(seen, index / 5)
        assert a.ids.tobytes() == b.ids.tobytes()
        assert a.boxes.tobytes() == b.boxes.tobytes()


def test_an_edited_begin_score_holds_from_the_next_frame_on(make_camera: Callable[..., Camera]) -> None:
    pipeline = CameraPipeline(make_camera(), ModelRef("m", "1", ""), "0")
    weak = frame([("person", 300, 200, 0.55)])

    def tracks_of(frames: range) -> int:
        return sum(len(pipeline.step(FrameMeta("cam", i, i / 5, 640, 480), weak).tracks) for i in frames)

    assert tracks_of(range(5)) == 0
    pipeline.reconfigure(make_camera(begin_score=0.5))
    assert tracks_of(range(5, 10)) == 4


def test_zones_count_by_class(make_camera: Callable[..., Camera]) -> None:
    left = {"id": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
    everywhere = {"id": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    pipeline = CameraPipeline(make_camera(zones=[left, everywhere]), ModelRef("m", "1", ""), "0")
    pipeline.step(FrameMeta("cam", 0, 0.0, 640, 480), Detections.empty(LABELS))
    assert pipeline.zones == {"left": {}, "all": {}}
    street = [("person", 100, 200, 0.9), ("person", 200, 200, 0.9), ("car", 500, 200, 0.9)]
    for index in (1, 2):
        pipeline.step(FrameMeta("cam", index, index / 5, 640, 480), frame(street))
    assert pipeline.zones == {"left": {"person": 2}, "all": {"person": 2, "car": 1}}


box = st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(0, 30)] * 2).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(st.lists(box, max_size=6), st.lists(box, max_size=6))
def test_overlap_of_many_is_overlap_of_each_two(a: list[Seen], b: list[Seen]) -> None:
    many = iou(np.array(a, float).reshape(-1, 4), np.array(b, float).reshape(-1, 4))
    assert many.shape == (len(a), len(b))
    for i, (left, top, right, bottom) in enumerate(a):
        for j, (other_left, other_top, other_right, other_bottom) in enumerate(b):
            wide = max(0, min(right, other_right) - max(left, other_left))
            tall = max(0, min(bottom, other_bottom) - max(top, other_top))
            both = (right - left) * (bottom - top) + (other_right - other_left) * (other_bottom - other_top)
            assert many[i, j] == pytest.approx(wide * tall / (both - wide * tall) if wide * tall > 0 else 0)


@given(st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.floats(0.01, 1), max_size=12))
def test_the_chosen_pairs_are_the_best_of_all(gains: dict[tuple[int, int], float]) -> None:
    tracks, rows = np.array(sorted(gains), np.intp).reshape(-1, 2).T
    chosen, taken = Pairs(tracks, rows, np.array([gains[pair] for pair in sorted(gains)])).best()
    assert len(set(chosen.tolist())) == len(chosen) == len(set(taken.tolist()))
    total = sum(gains[int(t), int(r)] for t, r in zip(chosen, taken, strict=True))
    best = max(sum(gains.get((t, r), 0) for t, r in enumerate(way)) for way in permutations(range(5)))
    assert total == pytest.approx(best)
