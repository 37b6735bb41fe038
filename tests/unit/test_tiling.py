"""Tiles: they cover the picture, each thing is found once whatever border cuts it, and small people are found."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.models import find_model, load_detector
from benchmarks import mosaic
from hoaban.detections import Floats
from hoaban.frames import Crop, Letterbox
from hoaban.geometry import iou
from hoaban.tiling import Part, Sweeps, Tiles, merge

SIZE = 1920, 1080
LABELS = ("person", "car")


@given(st.integers(1, 6), st.integers(1, 4), st.floats(0, 0.5), st.integers(200, 4000), st.integers(200, 3000))
def test_tiles_cover_the_picture_and_overlap_and_begin_at_even_places(
    columns: int, rows: int, overlap: float, width: int, height: int
) -> None:
    if columns * rows == 1:
        return
    crops = Tiles(columns=columns, rows=rows, overlap=overlap).crops(width, height)
    assert len(crops) == columns * rows
    seen = np.zeros((height, width), bool)
    for crop in crops:
        assert crop.left % 2 == crop.top % 2 == 0
        assert crop.left + crop.width <= width
        assert crop.top + crop.height <= height
        seen[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] = True
    assert seen.all()
    for before, after in pairwise(crops[:columns]):
        assert before.left + before.width - after.left >= overlap * min(before.width, after.width) - 4


def part(boxes: Floats, crop: Crop | None, label: int = 0, score: float = 0.8) -> Part:
    """What a perfect model sees of boxes (pixels of the picture) in a piece: those more than a fifth inside, cut."""
    letterbox = Letterbox.fit(*SIZE, 416, 416, crop)
    rows = []
    left, top, right, bottom = (0, 0, *SIZE) if crop is None else (
        crop.left, crop.top, crop.left + crop.width, crop.top + crop.height
    )  # fmt: skip
    for x1, y1, x2, y2 in boxes.tolist():
        a1, b1, a2, b2 = max(x1, left), max(y1, top), min(x2, right), min(y2, bottom)
        if a2 > a1 and b2 > b1 and (a2 - a1) * (b2 - b1) > (x2 - x1) * (y2 - y1) / 5:
            corners = np.array([a1 - left, b1 - top, a2 - left, b2 - top]) * letterbox.scale
            rows.append([*corners, score, label])
    return Part(np.array(rows, np.float32).reshape(-1, 6), letterbox)


def all_parts(boxes: Floats, tiles: Tiles, *, whole: bool) -> list[Part]:
    parts = [part(boxes, crop) for crop in tiles.crops(*SIZE)]
    return [part(boxes, None), *parts] if whole else [part(boxes[:0], None), *parts]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 47), st.integers(0, 13)), min_size=1, max_size=12, unique=True),
    st.integers(0, 30),
    st.integers(0, 40),
    st.booleans(),
)
def test_each_small_thing_is_found_once_wherever_it_stands(cells, dx: int, dy: int, whole: bool) -> None:
    """People of 30 x 70 pixels, smaller than the overlap of 128 x 119, at least 10 pixels apart."""
    boxes = np.array([[40 * i + dx % 10, 77 * j + dy % 7, 0, 0] for i, j in cells], np.float32)
    boxes[:, 2:] = boxes[:, :2] + (30, 70)
    found = merge(all_parts(boxes, Tiles(columns=3, rows=2), whole=whole), LABELS, *SIZE)
    assert len(found) == len(boxes)
    assert iou(boxes, found.boxes).max(axis=1).min() > 0.95


@pytest.mark.parametrize("whole", [True, False])
def test_a_thing_larger_than_the_overlap_is_whole_again(whole: bool) -> None:
    truck = np.array([[600, 300, 1250, 700]], np.float32)  # over four tiles and more
    found = merge(all_parts(truck, Tiles(columns=2, rows=2, overlap=0.1), whole=whole), LABELS, *SIZE)
    assert len(found) == 1
    assert iou(truck, found.boxes)[0, 0] > 0.95


def test_neighbours_in_one_tile_and_other_classes_stay_apart() -> None:
    crop = Crop(0, 0, 800, 600)
    pair = np.array([[100, 100, 130, 170], [112, 100, 142, 170]], np.float32)
    assert len(merge([part(pair[:0], None), part(pair, crop)], LABELS, *SIZE)) == 2
    one = pair[:1]
    assert len(merge([part(one, None), part(one, crop, label=1)], LABELS, *SIZE)) == 2
    assert len(merge([part(one, None), part(one, crop, score=0.9)], LABELS, *SIZE)) == 1


def test_without_tiles_a_sweep_is_the_whole_picture() -> None:
    sweep = Sweeps(None).begin(*SIZE)
    assert list(sweep.pieces) == [None]
    assert sweep.next() == 0


def test_tiles_that_a_sweep_had_no_time_for_come_first_in_the_next() -> None:
    tiles = Tiles(columns=3, rows=2)
    crops, sweeps = tiles.crops(*SIZE), Sweeps(tiles)
    order = []
    for done in (3, 3, 7, 1, 2):  # inputs that were answered, the whole picture included
        sweep = sweeps.begin(*SIZE)
        assert sweep.pieces[0] is None
        order.append([crops.index(piece) for piece in sweep.pieces[1:done]])
        sweep.parts = [part(np.zeros((0, 4), np.float32), piece) for piece in sweep.pieces[:done]]
        sweeps.end(sweep)
    assert order == [[0, 1], [2, 3], [4, 5, 0, 1, 2, 3], [], [4]]


def test_the_budget_sets_the_pace() -> None:
    tiles = Tiles(columns=3, rows=2, budget_fps=14)
    assert tiles.rate(5) == 2.0
    assert tiles.rate(1) == 1.0
    with pytest.raises(ValueError, match="2 to 24"):
        Tiles(columns=8, rows=8)


@pytest.mark.parametrize("size", [(641, 361), (1280, 720)])
def test_a_tile_of_a_picture_is_that_piece_of_it(size: tuple[int, int]) -> None:
    ys, xs = np.mgrid[: size[1], : size[0]]
    bgr = np.stack([xs * 255 / size[0], ys * 255 / size[1], 128 + 0 * xs], axis=-1).astype(np.uint8)
    picture = mosaic.as_picture(bgr)
    for crop in Tiles(columns=3, rows=2).crops(*size):
        fitted, letterbox = picture.model_input(416, 416, crop=crop)
        piece = bgr[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        wide, high = round(crop.width * letterbox.scale), round(crop.height * letterbox.scale)
        expected = cv2.resize(piece, (wide, high)).astype(int)
        assert np.abs(fitted[:high, :wide].astype(int) - expected).mean() < 4


def test_people_that_the_whole_picture_misses_are_found_in_tiles(clip, yolox: str) -> None:
    truth = clip(mosaic.CLIP).parents[1] / "truth"
    if not (truth / mosaic.TRUTH).exists():
        pytest.skip(f"{mosaic.TRUTH} is not beside the clips")
    detector = load_detector(find_model(yolox), threads=1, device="cpu")
    bgr, people = mosaic.mosaic(truth)
    picture = mosaic.as_picture(bgr)
    whole, precise = mosaic.recall_and_precision(mosaic.seen(picture, detector, None).boxes, people)
    tiled, precise_tiled = mosaic.recall_and_precision(mosaic.seen(picture, detector, Tiles()).boxes, people)
    assert whole <= 0.6
    assert tiled >= 0.85
    assert min(precise, precise_tiled) >= 0.85
