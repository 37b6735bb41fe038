"""The words SIMULATED / MÔ PHỎNG in a corner of every simulated picture, so that nobody takes it for a real one."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

WORDS = "SIMULATED / MO PHONG"
FONT = cv2.FONT_HERSHEY_SIMPLEX


def stamp(picture: NDArray[np.uint8]) -> None:
    """Write the mark into the top left corner, in place. picture: (h, w, 3) BGR."""
    height, width = picture.shape[:2]
    label = _label(min(width, round(height * 16 / 9)))
    picture[: label.shape[0], : label.shape[1]] = label


@lru_cache(maxsize=8)
def _label(width: int) -> NDArray[np.uint8]:
    """(h, w, 3) of the mark for pictures of that width: about a third of it, white on black, without any colour."""
    (unit, height), _ = cv2.getTextSize(WORDS, FONT, 1.0, 1)
    scale = 0.36 * width / unit
    text_w, text_h = round(unit * scale), round(height * scale)
    stroke = max(1, round(width / 640))
    margin = max(3, text_h // 2)
    label = np.full((text_h * 2 + margin * 2, text_w + margin * 2, 3), 16, np.uint8)
    base = label.shape[0] - margin
    cv2.putText(label, WORDS, (margin, base), FONT, scale, (235, 235, 235), stroke, cv2.LINE_AA)
    # OpenCV's built-in letters have no marks: Ô takes a roof, Ỏ a hook.
    for letter, mark in ((WORDS.index("MO") + 1, _ROOF), (WORDS.index("PHO") + 2, _HOOK)):
        before = cv2.getTextSize(WORDS[:letter], FONT, scale, 1)[0][0]
        letter_w = cv2.getTextSize("O", FONT, scale, 1)[0][0]
        points = np.array(mark) * (text_h * 0.5, -text_h * 0.5) + (margin + before + letter_w / 2, base - text_h * 1.1)
        cv2.polylines(label, [np.round(points * 8).astype(np.int32)], False, (235, 235, 235), stroke, cv2.LINE_AA, 3)
    return label


_ROOF = ((-0.6, 0.1), (0.0, 0.8), (0.6, 0.1))
_HOOK = ((-0.3, 0.9), (0.1, 1.15), (0.35, 0.85), (0.05, 0.5), (0.0, 0.1))
