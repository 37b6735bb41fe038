"""Small people in a large picture: recall of the whole picture against tiles, on a mosaic with public truth.

Six frames of PETS09-S2L1 view 1, whose people the public truth knows, stand side by side at 640x480 each in a
1920x1080 picture, as one high mast would see them: a person is about 64 of 1080 pixels high, and 14 of the 234 that a
416-pixel model is shown.
"""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from actors.models import find_clip, find_model, load_detector
from actors.picture import Picture
from actors.source import open_frames
from hoaban.detections import Detections, Floats
from hoaban.frames import FrameMeta
from hoaban.geometry import iou
from hoaban.models.backend import Detector
from hoaban.tiling import Part, Sweeps, Tiles, merge

CLIP, TRUTH = "pets-s2l1-v1.mp4", "PETS09-S2L1_gt_subset.txt"
FRAMES = (1, 10, 20, 30, 40, 50)
WIDTH, HEIGHT, CELL = 1920, 1080, (640, 480)
MIN_SCORE = 0.35


def truth_folder() -> Path:
    """Beside the clips."""
    return find_clip(CLIP).parents[1] / "truth"


def mosaic(truth: Path) -> tuple[NDArray[np.uint8], Floats]:
    """(1080, 1920, 3) BGR, and the (n, 4) boxes of the people in it."""
    table = np.loadtxt(truth / TRUTH, delimiter=",")
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    boxes = []
    for number, source in enumerate(open_frames(str(find_clip(CLIP)), "mosaic"), 1):
        if number > FRAMES[-1]:
            break
        if number not in FRAMES:
            continue
        row, column = divmod(FRAMES.index(number), 3)
        left, top = column * CELL[0], 60 + row * CELL[1]
        frame = source.frame.to_ndarray(format="bgr24")
        picture[top : top + CELL[1], left : left + CELL[0]] = cv2.resize(frame, CELL, interpolation=cv2.INTER_AREA)
        scale = CELL[0] / frame.shape[1]
        for x, y, wide, high in table[table[:, 0] == number][:, 2:6] * scale:
            boxes.append([left + x, top + y, left + x + wide, top + y + high])
    return picture, np.array(boxes, np.float32)


def as_picture(bgr: NDArray[np.uint8]) -> Picture:
    """A picture as a decoder gives it."""
    frame = av.VideoFrame.from_ndarray(bgr, "bgr24").reformat(format="yuv420p")
    return Picture(FrameMeta("mosaic", 0, 0.0, bgr.shape[1], bgr.shape[0]), frame)


def seen(picture: Picture, detector: Detector, tiles: Tiles | None) -> Detections:
    """People that the model finds in a picture, by the code that cameras run."""
    width, height = picture.meta.width, picture.meta.height
    parts = []
    for crop in Sweeps(tiles).begin(width, height).pieces:
        pixels, letterbox = picture.model_input(detector.input_width, detector.input_height, crop=crop)
        (rows,) = detector.infer(pixels[None])
        parts.append(Part(rows[(rows[:, 4] >= MIN_SCORE) & (rows[:, 5] == 0)], letterbox))
    return merge(parts, detector.labels, width, height)


def recall_and_precision(found: Floats, truth: Floats, min_iou: float = 0.4) -> tuple[float, float]:
    """One to one, by IoU. The truth's boxes were drawn by people and are looser than a model's: 0.4 is enough."""
    overlap = iou(truth, found)
    pairs = zip(*linear_sum_assignment(-overlap), strict=True)
    hits = sum(bool(overlap[pair] >= min_iou) for pair in pairs)
    return hits / len(truth), hits / max(1, len(found))


def measure(truth: Path) -> dict[str, Any]:
    """Recall and precision of the whole picture and of several tilings."""
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), device="cpu")
    bgr, boxes = mosaic(truth)
    figures: dict[str, Any] = {"people": len(boxes)}
    for tiles in (None, Tiles(columns=3, rows=2), Tiles(columns=4, rows=3)):
        found = seen(as_picture(bgr), detector, tiles)
        recall, precision = recall_and_precision(found.boxes, boxes)
        name = f"{tiles.columns}x{tiles.rows} tiles" if tiles else "whole picture"
        figures[name] = {
            "inputs": tiles.inputs if tiles else 1,
            "recall": round(recall, 3),
            "precision": round(precision, 3),
            "found": len(found),
        }
    return figures
