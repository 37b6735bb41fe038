"""Number plates read by rapidocr's models (PP-OCRv4, Apache-2.0) from the crop of a vehicle.

Not on the frame path: a crop costs about a tenth of a second. A machine without the package does all but read plates.
"""

import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import structlog

from hoaban.plates import Character, Plate, TextLine, find_plate
from hoaban.scene import Pixels

log = structlog.get_logger(__name__)

LEAST_WIDTH = 320
"""a smaller crop is enlarged: the text detector was made for larger letters"""
MOST_WIDTH = 960
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. "


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read on a crop. plate: None when unknown. lines: all text there was, for a person to look at."""

    plate: Plate | None
    lines: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"plate": None if self.plate is None else self.plate.as_dict(), "lines": list(self.lines)}


class PlateReader:
    """Finds text lines and reads them, one confidence a character. Raises ImportError without rapidocr."""

    def __init__(self) -> None:
        from rapidocr_onnxruntime import RapidOCR

        self._ocr = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
        # By its default every crop is enlarged to 736 pixels; 320 read as many drawn plates at a quarter of the cost.
        self._ocr.text_det.limit_side_len = LEAST_WIDTH
        characters: list[str] = self._ocr.text_rec.postprocess_op.character
        self._letters = [(index, letter) for index, letter in enumerate(characters) if letter in ALPHABET and index]
        self._lock = threading.Lock()

    def read(self, crop: Pixels) -> Reading:
        """The plate on a crop of one vehicle. crop: (h, w, 3) uint8 BGR."""
        width = crop.shape[1]
        if min(crop.shape[:2]) < 8:
            return Reading(None, ())
        scale = min(max(1.0, LEAST_WIDTH / width), 4.0) if width < MOST_WIDTH else MOST_WIDTH / width
        sized = cv2.resize(
            crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        )
        with self._lock:
            boxes, _ = self._ocr.text_det(sized)
            if boxes is None or not len(boxes):
                return Reading(None, ())
            boxes = np.asarray(boxes, np.float32)
            pieces = self._ocr.get_crop_img_list(sized, boxes)
            lines = [self._line(piece, box / scale) for piece, box in zip(pieces, boxes, strict=True)]
        return Reading(find_plate(lines), tuple(line.text for line in lines if line.text))

    def _line(self, piece: Pixels, corners: np.ndarray) -> TextLine:
        recogniser = self._ocr.text_rec
        ratio = max(320 / 48, piece.shape[1] / piece.shape[0])
        steps = recogniser.session(recogniser.resize_norm_img(piece, ratio)[None].astype(np.float32))[0][0]
        low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return TextLine((low[0], low[1], high[0], high[1]), tuple(self._decode(steps)))

    def _decode(self, steps: np.ndarray) -> list[Character]:
        """Greedy CTC (Graves et al., ICML 2006) over the letters of plates.

        steps: (t, characters) probabilities, 0 is the blank. A character's confidence is the highest of its steps, out
        of all the model's characters, so that a Chinese sign which looks like a letter does not count as that letter.
        """
        columns = np.array([0, *(index for index, _ in self._letters)])
        letters = ["", *(letter for _, letter in self._letters)]
        narrowed = steps[:, columns]
        best, probability = narrowed.argmax(axis=1), narrowed.max(axis=1)
        found: list[Character] = []
        before = 0
        for step, index in enumerate(best.tolist()):
            if index and index == before:
                if probability[step] > found[-1].confidence:
                    found[-1] = Character(found[-1].text, float(probability[step]))
            elif index:
                found.append(Character(letters[index], float(probability[step])))
            before = index
        return found


def reader_or_reason() -> PlateReader | str:
    """A reader, or why there is none."""
    try:
        return PlateReader()
    except ImportError as error:
        missing = error.name or str(error)
        return f"plates are not read: {missing} is not installed; pip install --no-deps --requirement no-deps.txt"
