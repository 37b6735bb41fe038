"""Faces as they travel from a face model to a camera: one float32 row a face, and the same as named arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Detections
from hoaban.faces.quality import MEASURES
from hoaban.frames import Letterbox

Floats = NDArray[np.float32]
FACE_LABEL = "face"

BOX, SCORE, CLASS = slice(0, 4), 4, 5
LANDMARKS = slice(6, 16)
QUALITY = slice(16, 16 + len(MEASURES))
REFUSAL = 16 + len(MEASURES)
TEMPLATE = REFUSAL + 1
"""where the template begins, to the row's end; zeros where the gate refused the face"""


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of one frame, parallel arrays.

    boxes: (n, 4) xyxy, landmarks: (n, 5, 2), both float32 pixels of the source frame. scores: (n,). measures: (n, 6),
    as hoaban.faces.quality measured them in the model's input. refusals: (n,) int32 `Refusal`. templates: (n, d)
    float32 of length 1, zeros where refused. Templates live no longer than this object: nobody may keep one.
    """

    boxes: Floats
    landmarks: Floats
    scores: Floats
    measures: Floats
    refusals: NDArray[np.int32]
    templates: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_rows(cls, rows: Floats, letterbox: Letterbox, width: int, height: int) -> "Faces":
        """From (n, k) float32 rows in model-input pixels. Raises ValueError for rows that carry no faces."""
        if rows.ndim != 2 or (len(rows) and rows.shape[1] <= TEMPLATE):
            raise ValueError(f"rows {rows.shape} carry no faces: more than {TEMPLATE} columns are expected")
        if len(rows) == 0:
            rows = np.zeros((0, TEMPLATE + 1), np.float32)
        scale = np.float32(letterbox.scale)
        limits = np.array([width, height, width, height], np.float32)
        return cls(
            boxes=np.clip(rows[:, BOX] / scale, 0, limits),
            landmarks=(rows[:, LANDMARKS] / scale).reshape(-1, 5, 2),
            scores=rows[:, SCORE].copy(),
            measures=rows[:, QUALITY].copy(),
            refusals=rows[:, REFUSAL].astype(np.int32),
            templates=rows[:, TEMPLATE:].copy(),
        )

    def detections(self) -> Detections:
        """The boxes alone, as a tracker takes them."""
        return Detections(self.boxes, self.scores, np.zeros(len(self), np.int32), (FACE_LABEL,))


def face_rows(found: Floats, measures: Floats, refusals: NDArray[np.int32], templates: Floats) -> Floats:
    """(n, k) float32 rows of (n, 16) box, score, class and landmarks, (n, 6) measures, (n,) refusals, (n, d)."""
    return np.column_stack([found, measures, refusals, templates]).astype(np.float32)
