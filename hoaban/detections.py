"""Detections and tracks: parallel arrays, one row an object, the same through the whole system.

Boxes are xyxy pixels of the source frame, float32, unless a name says otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.frames import Letterbox

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model saw in one frame.

    boxes: (n, 4) float32 xyxy pixels of the source frame. scores: (n,) float32 in 0..1.
    classes: (n,) int32, indices into `labels`.
    """

    boxes: Floats
    scores: Floats
    classes: Ints
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> "Detections":
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), labels)

    @classmethod
    def from_rows(
        cls, rows: Floats, letterbox: Letterbox, labels: tuple[str, ...], width: int, height: int
    ) -> "Detections":
        """Detections from a model's rows.

        rows: (n, 6) float32: x1, y1, x2, y2 in model-input pixels, score, class index.
        Boxes are mapped back through `letterbox` and clipped to the `width` x `height` source frame.
        """
        boxes = rows[:, :4] / np.float32(letterbox.scale)
        if letterbox.crop is not None:
            boxes += np.array([letterbox.crop.left, letterbox.crop.top] * 2, np.float32)
        np.maximum(boxes, 0, out=boxes)
        np.minimum(boxes, np.array([width, height, width, height], np.float32), out=boxes)
        return cls(boxes, rows[:, 4].copy(), rows[:, 5].astype(np.int32), labels)

    def of(self, label: str) -> "Detections":
        """The rows of one class."""
        return self.select(np.array([name == label for name in self.labels], bool)[self.classes])

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """The rows that `keep` (a mask or indices) names."""
        return Detections(self.boxes[keep], self.scores[keep], self.classes[keep], self.labels)


@dataclass(frozen=True, slots=True)
class Tracks:
    """The confirmed tracks that were seen in one frame.

    ids: (n,) int64, unique while the camera's actor lives. boxes, scores, classes, labels: as in `Detections`.
    hits: (n,) int32, in how many analysed frames the track was matched, this one included.
    """

    ids: Ids
    boxes: Floats
    scores: Floats
    classes: Ints
    hits: Ints
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> "Tracks":
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int32),
            labels,
        )

    def ground_points(self) -> Floats:
        """(n, 2) float32: the middle of each box's lower edge, where the object stands on the ground."""
        return foot_points(self.boxes)

    def label(self, row: int) -> str:
        """The class name of a row."""
        return self.labels[int(self.classes[row])]


def foot_points(boxes: Floats) -> Floats:
    """(n, 2) the middle of the lower edge of each of (n, 4) boxes."""
    points = boxes[:, 2:].copy()
    points[:, 0] += boxes[:, 0]
    points[:, 0] /= 2
    return points
