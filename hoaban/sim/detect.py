"""Finds simulated things in a decoded picture by the colours that tell their classes: pixels in, rows out."""

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.sim.colours import BRIGHT, DIRECTIONS, LABELS, bgr, code_table

LEAST_CHROMA = 12
"""of 127: less is grey, whatever its direction"""
OUTLINE = 1.12
"""a pixel with this many times the chroma that its class has for its brightness is dark by itself: an outline into
which video coding has let its neighbours' colour run"""
SMALLEST_PX = 8
"""things with fewer pixels are not told from noise"""
FULL_SCORE_PX = 50


def find(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 6) float32 rows x1, y1, x2, y2 in pixels of the picture, score, index into LABELS; the best first.

    picture: (h, w, 3) BGR. The score tells how much of its box a thing fills and how many pixels it has: what is half
    hidden, far away or lost in noise gets a low one.
    """
    codes = _classes(picture)
    found = [np.zeros((0, 6))]
    for code in np.flatnonzero(np.bincount(codes.ravel(), minlength=len(LABELS) + 1)[1:] >= SMALLEST_PX) + 1:
        mask = (codes == code).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        stats = stats[1:count]
        x, y, width, height, area = stats[(stats[:, 4] >= SMALLEST_PX) & (stats[:, 2:4].min(axis=1) >= 2)].T
        fill = np.minimum(1.0, area / (0.55 * width * height))
        size = np.minimum(1.0, 0.2 + 0.8 * area / FULL_SCORE_PX)
        found.append(np.column_stack([x, y, x + width, y + height, fill * size, np.full(len(x), code - 1)]))
    rows = np.concatenate(found).astype(np.float32)
    return rows[np.lexsort((rows[:, 1], rows[:, 0], -rows[:, 4]))]


def _classes(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) 1 + index into LABELS, 0 where there is nothing."""
    luma, red, blue = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2YCrCb))
    # Chroma came at half the resolution; a mean of neighbours costs it nothing and quietens the noise.
    red, blue = cv2.blur(red, (3, 3)), cv2.blur(blue, (3, 3))
    grey = np.full_like(red, 128)
    coloured = cv2.max(cv2.absdiff(red, grey), cv2.absdiff(blue, grey))
    where = np.flatnonzero(np.asarray(coloured) >= LEAST_CHROMA * 0.7)
    red_there, blue_there = np.asarray(red).ravel()[where], np.asarray(blue).ravel()[where]
    codes = np.zeros(luma.size, np.uint8)
    bright = np.asarray(luma).ravel()[where] >= _LEAST_LUMA[blue_there, red_there]
    codes[where] = _CODES[blue_there, red_there] * bright
    return codes.reshape(luma.shape)


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Indexed [Cb, Cr]: the class, 0 for none; the least luma of a thing's own colour."""
    steps = np.arange(256) - 128.0
    length = np.hypot(steps[:, None], steps[None])
    codes = np.where(length >= LEAST_CHROMA, code_table(), 0)
    saturation = np.array([1.0, *(_saturation(label) for label in LABELS)])
    return codes.astype(np.uint8), np.clip(length / (OUTLINE * saturation[codes]), 0, 255).astype(np.uint8)


def _saturation(label: str) -> float:
    """Length of a class's chroma over its luma."""
    _, red, blue = cv2.cvtColor(np.array([[bgr(DIRECTIONS[label])]], np.uint8), cv2.COLOR_BGR2YCrCb)[0, 0].tolist()
    return float(np.hypot(red - 128, blue - 128) / BRIGHT)


_CODES, _LEAST_LUMA = _tables()
