"""Small things in large pictures: the picture is shown to the model whole, and then in overlapping pieces.

As in slicing-aided inference (Akyon, Altinuc, Temizel: Slicing Aided Hyper Inference, ICIP 2022), with a budget: the
whole picture always goes first, and where time is too short the pieces take turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hoaban.detections import Detections, Floats
from hoaban.frames import Crop, Letterbox
from hoaban.geometry import iou
from hoaban.shapes import Strict

MOST_TILES = 24
INPUTS = 32
"""more than the model inputs of one picture: input `piece` of frame `seq` has the number seq * INPUTS + piece"""
SAME_IOU = 0.3
"""two boxes of different pieces that overlap so much are one thing: seen small, its box is rough"""
SAME_SHARE, SAME_SIZE = 0.7, 4.0
"""as are two of which one holds so much of the other, unless it is so many times as large"""
JOIN_SHARE = 0.7
"""of the smaller side that two cut sights of one thing have in common along their border"""
CUT_SHARE = 0.6
"""of a box that its piece's border cut, so much lies in another box: it is a part of that one"""


class Tiles(Strict):
    """How a camera's picture is cut up for the model, and how much of the model it may use for it."""

    columns: int = Field(3, ge=1, le=8)
    rows: int = Field(2, ge=1, le=8)
    overlap: float = Field(
        0.2, ge=0, le=0.5, description="share of a tile that it shares with its neighbour; small things must fit in"
    )
    budget_fps: float = Field(10.0, gt=0, description="model inputs a second, whole pictures and tiles together")

    @model_validator(mode="after")
    def _not_too_many(self) -> "Tiles":
        if not 1 < self.columns * self.rows <= MOST_TILES:
            raise ValueError(f"{self.columns} x {self.rows} tiles; give 2 to {MOST_TILES}, or leave tiles out")
        return self

    @property
    def inputs(self) -> int:
        """Model inputs of one picture."""
        return 1 + self.columns * self.rows

    def rate(self, wanted_fps: float) -> float:
        """Pictures a second that the budget allows, at most what is wanted."""
        return min(wanted_fps, self.budget_fps / self.inputs)

    def crops(self, width: int, height: int) -> list[Crop]:
        """The tiles of a width x height picture, row by row; even offsets and sides, since 4:2:0 colour is halved."""
        across, down = _spans(width, self.columns, self.overlap), _spans(height, self.rows, self.overlap)
        return [Crop(left, top, right - left, bottom - top) for top, bottom in down for left, right in across]


def _spans(length: int, count: int, overlap: float) -> list[tuple[int, int]]:
    side = length / (count - (count - 1) * overlap)
    spans = []
    for index in range(count):
        begin = index * side * (1 - overlap)
        end = length if index == count - 1 else min(length, 2 * ceil((begin + side) / 2))
        spans.append((2 * floor(begin / 2), end))
    return spans


@dataclass(frozen=True, slots=True)
class Part:
    """What the model saw in one input. rows: (n, 6) float32 in its pixels: x1, y1, x2, y2, score, class."""

    rows: Floats
    letterbox: Letterbox


@dataclass(slots=True)
class Sweep:
    """One picture on its way through the model: which piece comes next, and what was seen so far.

    pieces: None for the whole picture, first; then crops.
    """

    pieces: Sequence[Crop | None] = (None,)
    parts: list[Part] = field(default_factory=list)

    def next(self) -> int | None:
        """Index of the piece that comes next; None when all were seen."""
        return len(self.parts) if len(self.parts) < len(self.pieces) else None


class Sweeps:
    """Begins sweeps over a camera's pictures. Without tiles a sweep is the whole picture alone.

    whole: leave the tiles out for now.
    """

    def __init__(self, tiles: Tiles | None) -> None:
        self._tiles = tiles
        self._first = 0
        self.whole = False

    def begin(self, width: int, height: int) -> Sweep:
        """A sweep over a picture; its tiles begin where the last one that was cut short ended."""
        if self._tiles is None or self.whole:
            return Sweep()
        crops = self._tiles.crops(width, height)
        return Sweep([None, *crops[self._first :], *crops[: self._first]])

    def end(self, sweep: Sweep) -> None:
        """The sweep ended, complete or cut short."""
        if self._tiles is not None and len(sweep.pieces) > 1 and sweep.parts:
            self._first = (self._first + len(sweep.parts) - 1) % (self._tiles.inputs - 1)


def merge(parts: Sequence[Part], labels: tuple[str, ...], width: int, height: int) -> Detections:
    """The parts of one width x height picture as one list of detections, each thing once.

    A thing that lies across a border is seen in two tiles, or whole in one and cut in the other. Whole sights come
    first, then the surer ones; a sight is dropped when a better one of its class overlaps it (IoU), or, if a border
    cut it, holds most of it. Two cut sights on both sides of one border that nobody saw whole are joined.
    """
    every = [Detections.from_rows(part.rows, part.letterbox, labels, width, height) for part in parts]
    if len(every) == 1:
        return every[0]
    boxes = np.concatenate([seen.boxes for seen in every])
    scores = np.concatenate([seen.scores for seen in every])
    classes = np.concatenate([seen.classes for seen in every])
    piece = np.repeat(np.arange(len(every)), [len(seen) for seen in every])
    cut = np.concatenate([_cut_sides(s.boxes, p.letterbox, width, height) for s, p in zip(every, parts, strict=True)])
    kept = _suppress(boxes, scores, classes, piece, cut)
    return Detections(boxes[kept], scores[kept], classes[kept], labels)


def _cut_sides(boxes: Floats, letterbox: Letterbox, width: int, height: int) -> NDArray[np.bool_]:
    """(n, 4) which sides (left, top, right, bottom) of boxes lie at a border of their piece that is not the picture's.

    Boxes tremble, so within 1.5 % of the piece is at its border.
    """
    crop = letterbox.crop
    if crop is None or len(boxes) == 0:
        return np.zeros((len(boxes), 4), bool)
    first, size = np.array([crop.left, crop.top]), np.array([crop.width, crop.height])
    last, near = first + size, np.maximum(2.0, 0.015 * size)
    begins = (boxes[:, :2] <= first + near) & (first > 0)
    ends = (boxes[:, 2:] >= last - near) & (last < (width, height))
    return np.concatenate([begins, ends], axis=1)


def _suppress(
    boxes: Floats,
    scores: NDArray[np.float32],
    classes: NDArray[np.int32],
    piece: NDArray[np.intp],
    cut_sides: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Rows to keep, best first. `boxes` and `cut_sides` of joined rows grow in place."""
    cut: NDArray[np.bool_] = np.asarray(cut_sides.any(axis=1))
    order = np.lexsort((-scores, cut))
    overlap, share, areas = iou(boxes, boxes), _share(boxes), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    # Within one piece the model's own suppression has spoken; neighbours there may well overlap.
    rivals = (classes[:, None] == classes[None]) & (piece[:, None] != piece[None])
    alive = np.ones(len(boxes), bool)
    kept = []
    for row in order:
        if not alive[row]:
            continue
        kept.append(row)
        others = rivals[row] & alive
        part = others & cut & (share[:, row] > CUT_SHARE)
        halves = _joined(boxes, cut_sides, row, others & cut & ~part) if cut[row] else np.zeros(len(boxes), bool)
        held = np.maximum(share[row], share[:, row]) > SAME_SHARE
        alike = np.maximum(areas, areas[row]) < SAME_SIZE * np.minimum(areas, areas[row])
        alive &= ~(part | halves | (others & ((overlap[row] > SAME_IOU) | (held & alike))))
        alive[row] = True
    return np.array(kept, np.intp)


def _share(boxes: Floats) -> NDArray[np.float64]:
    """(n, n) how much of each box (row) lies in each other one (column)."""
    a, b = boxes[:, None].astype(np.float64), boxes[None].astype(np.float64)
    shared = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).prod(axis=1)
    return np.asarray(shared / np.maximum(areas, 1e-9)[:, None])


def _joined(boxes: Floats, cut: NDArray[np.bool_], row: int, others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) which of the others continue a cut box; it grows over them in place, until none is left.

    Of two that continue each other, facing sides are cut; they overlap, and share most of the shorter cut side.
    """
    joined = np.zeros(len(boxes), bool)
    while True:
        low, high = np.maximum(boxes[:, :2], boxes[row, :2]), np.minimum(boxes[:, 2:], boxes[row, 2:])
        smaller = np.minimum(boxes[:, 2:] - boxes[:, :2], boxes[row, 2:] - boxes[row, :2])
        share = (high - low) / np.maximum(smaller, 1e-9)
        facing = (cut[:, :2] & cut[row, 2:]) | (cut[:, 2:] & cut[row, :2])
        along = facing & (share[:, ::-1] > JOIN_SHARE)
        more = others & ~joined & (share.min(axis=1) > 0) & along.any(axis=1)
        if not more.any():
            return joined
        joined |= more
        boxes[row, :2] = np.minimum(boxes[row, :2], boxes[more, :2].min(axis=0))
        boxes[row, 2:] = np.maximum(boxes[row, 2:], boxes[more, 2:].max(axis=0))
        cut[row] |= cut[more].any(axis=0)
