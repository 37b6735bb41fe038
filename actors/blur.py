"""Faces made unrecognisable in a picture, before anyone sees it."""

from collections.abc import Sequence

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from actors.models import ModelError, find_model
from hoaban.detections import Detections, Floats
from hoaban.privacy import PEOPLE_WORDS, PLATED_WORDS, VEHICLE_WORDS, head_boxes, named, plate_boxes

log = structlog.get_logger(__name__)

FACE_GROWTH = 0.25
CELLS = 5
"""a hidden region is reduced to so many cells along its shorter side"""
MOSAIC_CELLS = 40
"""across a picture of which nothing may be recognised, whatever its size"""
PLATE_CELLS = 20
"""along the height of a vehicle"""

Pixels = NDArray[np.uint8]


class FaceBlur:
    """Hides the faces that YuNet finds and the heads of the people a detector found.

    Without YuNet's weights nobody could say that no face is left, so the whole picture becomes a mosaic.
    """

    def __init__(self) -> None:
        # Imported here: a camera that nobody looks at need not hold ONNX Runtime.
        from actors.faces import FaceDetector

        self._faces: FaceDetector | None = None
        try:
            self._faces = FaceDetector(find_model("yunet"))
        except ModelError as error:
            log.warning("no face detector: whole pictures are shown as a mosaic", reason=str(error))

    def apply(self, picture: Pixels, people: Floats) -> tuple[Pixels, str]:
        """A picture with faces hidden, and how: "faces" or "mosaic".

        picture: (h, w, 3) uint8 BGR. people: (n, 4) xyxy boxes of persons in its pixels.
        """
        height, width = picture.shape[:2]
        if self._faces is None:
            return mosaic(picture), "mosaic"
        hidden = picture.copy()
        faces = _grown(self._faces.boxes(picture))
        for x1, y1, x2, y2 in np.concatenate([faces, head_boxes(people)]).tolist():
            left, top = max(0, int(x1)), max(0, int(y1))
            right, bottom = min(width, int(x2) + 1), min(height, int(y2) + 1)
            if right > left and bottom > top:
                hidden[top:bottom, left:right] = pixelated(hidden[top:bottom, left:right])
        return hidden, "faces"


def hide_plates(picture: Pixels, vehicles: Floats) -> None:
    """Make plates unreadable in an (h, w, 3) uint8 picture, in place, where the vehicle around stays what it is.

    vehicles: (n, 4) xyxy boxes in its pixels. A plate is a tenth of its vehicle's height or less, so of cells of a
    twentieth it is two high.
    """
    height, width = picture.shape[:2]
    for (x1, y1, x2, y2), whole in zip(plate_boxes(vehicles).tolist(), vehicles.tolist(), strict=True):
        left, top = max(0, int(x1)), max(0, int(y1))
        right, bottom = min(width, int(x2) + 1), min(height, int(y2) + 1)
        if right > left and bottom > top:
            cell = max(2, round((whole[3] - whole[1]) / PLATE_CELLS))
            picture[top:bottom, left:right] = _in_cells(picture[top:bottom, left:right], cell)


def anonymous(picture: Pixels, seen: Sequence[Detections], blur: FaceBlur) -> tuple[Pixels, str]:
    """A picture for people who label: nobody to be recognised, no plate to be read; and how, as FaceBlur says it.

    seen: what models saw in it, in its pixels. Where they are `blind`, it is a mosaic.
    """
    if blind([one.labels for one in seen]):
        return mosaic(picture), "mosaic"
    hidden, how = blur.apply(picture, _boxes(seen, PEOPLE_WORDS))
    hide_plates(hidden, _boxes(seen, VEHICLE_WORDS))
    return hidden, how


def blind(labels: Sequence[Sequence[str]]) -> str | None:
    """What models with these labels cannot tell so that it could be hidden, in words; None when they can tell all.

    Where one of them has no class for people, nobody knows which of its boxes are some; where none has a class for
    vehicles, nobody looked for what carries plates.
    """
    if not all(named(of_one, PEOPLE_WORDS) for of_one in labels):
        return "people"
    return None if any(named(of_one, PLATED_WORDS) for of_one in labels) else "vehicles"


def mosaic(picture: Pixels) -> Pixels:
    """The whole of an (h, w, 3) uint8 picture in MOSAIC_CELLS cells across."""
    width = picture.shape[1]
    return _in_cells(picture, max(1, -(-width // MOSAIC_CELLS)))


def _boxes(seen: Sequence[Detections], words: frozenset[str]) -> Floats:
    """(n, 4) boxes of all that any of the models took for one of these, of whatever score."""
    found = [one.of(label).boxes for one in seen for label in sorted(named(one.labels, words))]
    return np.concatenate([np.zeros((0, 4), np.float32), *found])


def _grown(boxes: Floats) -> Floats:
    margin = (boxes[:, 2:] - boxes[:, :2]) * np.float32(FACE_GROWTH)
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def pixelated(region: Pixels) -> Pixels:
    """An (h, w, 3) uint8 region in CELLS cells along its shorter side."""
    return _in_cells(region, max(1, min(region.shape[:2]) // CELLS))


def _in_cells(region: Pixels, cell: int) -> Pixels:
    """An (h, w, 3) uint8 region in cells of so many pixels."""
    height, width = region.shape[:2]
    small = cv2.resize(region, (max(1, width // cell), max(1, height // cell)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
