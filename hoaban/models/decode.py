"""From a network's output to rows (x1, y1, x2, y2, score, class), in model-input pixels.

Scores are filtered before boxes are decoded: of some thousand candidates a handful is left.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
MOST_ROWS = 300


def yolox_rows(output: Floats, width: int, height: int, min_score: float, nms_iou: float) -> Floats:
    """Rows of a YOLOX output.

    output: (cells, 5 + classes) float32: centre offset and log size in strides, objectness, class scores, for strides
    8, 16, 32. Formula: Ge et al., YOLOX: Exceeding YOLO Series in 2021, section 2.1, and its published demo code.
    Raises ValueError when the number of cells does not belong to a width x height input.
    """
    grid, strides = _grid(width, height)
    if output.ndim != 2 or len(output) != len(grid) or output.shape[1] < 6:
        raise ValueError(f"output {output.shape} is not ({len(grid)}, 5 + classes), as a {width}x{height} input gives")
    likely = np.flatnonzero(output[:, 4] >= min_score)  # the product below is never above objectness
    cells = output[likely]
    classes = cells[:, 5:].argmax(axis=1)
    scores = cells[:, 4] * cells[np.arange(len(cells)), 5 + classes]
    keep = scores >= min_score
    cells, likely, classes, scores = cells[keep], likely[keep], classes[keep], scores[keep]
    stride = strides[likely, None]
    centres = (cells[:, :2] + grid[likely]) * stride
    sizes = np.exp(cells[:, 2:4]) * stride
    return suppress(np.column_stack([centres - sizes / 2, centres + sizes / 2, scores, classes]), nms_iou)


def fastestdet_rows(output: Floats, width: int, height: int, min_score: float, nms_iou: float) -> Floats:
    """Rows of a FastestDet output.

    output: (5 + classes, rows, columns) float32: objectness, centre offset, size, class scores, one box a cell.
    Formula: the decoder published with dog-qiuqiu/FastestDet: score = objectness^0.6 * class^0.4, offsets by tanh,
    sizes by the logistic function as fractions of the picture.
    """
    if output.ndim != 3 or output.shape[0] < 6:
        raise ValueError(f"output {output.shape} is not (5 + classes, rows, columns)")
    _, rows, columns = output.shape
    cells = output.reshape(output.shape[0], -1).T
    classes = cells[:, 5:].argmax(axis=1)
    best = cells[np.arange(len(cells)), 5 + classes]
    scores = np.clip(cells[:, 0], 0, 1) ** 0.6 * np.clip(best, 0, 1) ** 0.4
    keep = np.flatnonzero(scores >= min_score)
    cells, classes, scores = cells[keep], classes[keep], scores[keep]
    centre_x = (keep % columns + np.tanh(cells[:, 1])) / columns * width
    centre_y = (keep // columns + np.tanh(cells[:, 2])) / rows * height
    half_w, half_h = width / (1 + np.exp(-cells[:, 3])) / 2, height / (1 + np.exp(-cells[:, 4])) / 2
    boxes = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
    return suppress(np.column_stack([*boxes, scores, classes]), nms_iou)


def suppress(rows: NDArray[np.floating], nms_iou: float) -> Floats:
    """Class-wise non-maximum suppression of (n, 6 or more) rows; the best first, at most MOST_ROWS."""
    rows = rows.astype(np.float32, copy=False)
    if len(rows) == 0:
        return rows
    boxes = rows[:, :4].copy()
    boxes[:, 2:] -= boxes[:, :2]
    # Without a threshold of its own: the rows were filtered already.
    found = cv2.dnn.NMSBoxesBatched(boxes.tolist(), rows[:, 4].tolist(), rows[:, 5].astype(int).tolist(), 0.0, nms_iou)
    kept = np.asarray(found, np.intp)[:MOST_ROWS]
    result: Floats = rows[kept]
    return result


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> tuple[Floats, Floats]:
    """(cells, 2) cell corners in strides, x first, and (cells,) strides."""
    corners, strides = [], []
    for stride in (8, 16, 32):
        ys, xs = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack([xs, ys], axis=-1).reshape(-1, 2))
        strides.append(np.full(corners[-1].shape[0], stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)
