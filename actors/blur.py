"""Faces made unrecognisable in a picture, before anyone sees it."""

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from actors.models import ModelError, find_model
from hoaban.detections import Floats
from hoaban.privacy import head_boxes

log = structlog.get_logger(__name__)

FACE_SCORE = 0.5
"""low on purpose: a blurred wall costs less than a seen face"""
FACE_GROWTH = 0.25
CELLS = 5
"""a hidden region is reduced to so many cells along its shorter side"""
MOSAIC_CELL = 16

Pixels = NDArray[np.uint8]


class FaceBlur:
    """Hides the faces that YuNet finds and the heads of the people a detector found.

    Without YuNet's weights nobody could say that no face is left, so the whole picture becomes a mosaic.
    """

    def __init__(self) -> None:
        self._faces: cv2.FaceDetectorYN | None = None
        try:
            package = find_model("yunet")
            self._faces = cv2.FaceDetectorYN.create(str(package.path), "", (320, 320), FACE_SCORE, 0.3, 500)
        except (ModelError, cv2.error) as error:
            log.warning("no face detector: whole pictures are shown as a mosaic", reason=str(error))

    def apply(self, picture: Pixels, people: Floats) -> tuple[Pixels, str]:
        """A picture with faces hidden, and how: "faces" or "mosaic".

        picture: (h, w, 3) uint8 BGR. people: (n, 4) xyxy boxes of persons in its pixels.
        """
        height, width = picture.shape[:2]
        if self._faces is None:
            small = cv2.resize(
                picture, (max(1, width // MOSAIC_CELL), max(1, height // MOSAIC_CELL)), interpolation=cv2.INTER_AREA
            )
            return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), "mosaic"
        self._faces.setInputSize((width, height))
        _, found = self._faces.detect(picture)
        hidden = picture.copy()
        for x1, y1, x2, y2 in [*_grown(found), *head_boxes(people).tolist()]:
            left, top, right, bottom = (
                max(0, int(x1)),
                max(0, int(y1)),
                min(width, int(x2) + 1),
                min(height, int(y2) + 1),
            )
            if right > left and bottom > top:
                hidden[top:bottom, left:right] = _pixelated(hidden[top:bottom, left:right])
        return hidden, "faces"


def _grown(found: NDArray[np.float32] | None) -> list[tuple[float, float, float, float]]:
    boxes = [] if found is None else found[:, :4].tolist()
    return [
        (x - FACE_GROWTH * w, y - FACE_GROWTH * h, x + (1 + FACE_GROWTH) * w, y + (1 + FACE_GROWTH) * h)
        for x, y, w, h in boxes
    ]


def _pixelated(region: Pixels) -> Pixels:
    height, width = region.shape[:2]
    cell = max(1, min(height, width) // CELLS)
    small = cv2.resize(region, (max(1, width // cell), max(1, height // cell)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
