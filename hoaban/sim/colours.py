"""The colours by which simulated objects are told apart: one direction of the chroma plane for each class.

Shade, night and grey noise change a colour's brightness and the length of its chroma, not its direction, and H.264
keeps both; so a direction is a code that survives the way to the detector. Directions are degrees of atan2(Cr, Cb),
eleven of them, evenly spaced: the lamps of a signal have three, so that nothing takes a lamp for a car.
"""

import numpy as np
from numpy.typing import NDArray

STEP = 360 / 11
_ORDER = (
    "red lamp",
    "bus",
    "yellow lamp",
    "suitcase",
    "green lamp",
    "truck",
    "car",
    "motorcycle",
    "bicycle",
    "person",
    "backpack",
)
DIRECTIONS = {name: (109 + STEP * place) % 360 for place, name in enumerate(_ORDER)}
"""name -> degrees; red, yellow and green lie within 9 degrees of the true ones"""

LABELS = ("person", "bicycle", "car", "motorcycle", "bus", "truck", "backpack", "suitcase")
"""what a simulated detector speaks of, as COCO names them"""

CHROMA = 78.0
"""length of a class's chroma in full light, of 127 at the most"""
BRIGHT = 150.0


def bgr(
    direction: float, brightness: float = 1.0, chroma: float = CHROMA, luma: float = BRIGHT
) -> tuple[int, int, int]:
    """The colour of a direction. brightness: 0..1, scales it as less light would. ITU-R BT.601 matrix."""
    u, v = chroma * np.cos(np.radians(direction)), chroma * np.sin(np.radians(direction))
    red, green, blue = luma + 1.402 * v, luma - 0.344136 * u - 0.714136 * v, luma + 1.772 * u
    # A colour outside the cube would be cut off, which turns its direction: it is drawn towards grey instead.
    over = max(1.0, *(abs(c - luma) / max((255 - luma) if c > luma else luma, 1.0) for c in (red, green, blue)))
    blue, green, red = ((luma + (c - luma) / over) * brightness for c in (blue, green, red))
    return round(blue), round(green), round(red)


def code_table() -> NDArray[np.uint8]:
    """(256, 256) indexed [Cb, Cr]: 1 + index into LABELS of the class with that chroma; 0 for grey and for lamps."""
    u, v = np.meshgrid(np.arange(256) - 128, np.arange(256) - 128, indexing="ij")
    direction = np.degrees(np.arctan2(v, u)) % 360
    place = np.round(((direction - 109) % 360) / STEP).astype(int) % len(_ORDER)
    code = np.array([LABELS.index(name) + 1 if name in LABELS else 0 for name in _ORDER], np.uint8)
    return np.asarray(code[place], np.uint8)
