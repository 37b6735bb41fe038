"""From a photo to a template: one face, good enough, and nothing of the photo kept."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from actors.models.face_model import FaceModel
from hoaban.faces.quality import MEASURES, Refusal
from hoaban.faces.rows import QUALITY, REFUSAL, TEMPLATE
from hoaban.frames import Letterbox

MOST_BYTES = 10 * 2**20
MOST_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")

WORDS = {
    Refusal.UNSURE: "it is not clearly a face",
    Refusal.SMALL: "the face is too small",
    Refusal.ROLLED: "the head leans too far to a shoulder",
    Refusal.TURNED: "the face looks to the side",
    Refusal.TILTED: "the face looks up or down",
    Refusal.DARK: "the face is too dark",
    Refusal.BRIGHT: "the face is too bright",
    Refusal.BLURRED: "the face is blurred",
}


class EnrolmentError(ValueError):
    """The photo cannot be enrolled; the message says why and what to do."""


def template_of_photo(photo: bytes, model: FaceModel) -> tuple[NDArray[np.float32], dict[str, float]]:
    """The template of the one face in a photo, and its quality. Raises EnrolmentError."""
    picture = _decoded(photo)
    height, width = picture.shape[:2]
    letterbox = Letterbox.fit(width, height, model.input_width, model.input_height)
    if letterbox.scale < 1:
        size = max(1, round(width * letterbox.scale)), max(1, round(height * letterbox.scale))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    rows = model.faces(picture)
    if len(rows) == 0:
        raise EnrolmentError("no face was found in the photo; take one from the front, the face at least a tenth of it")
    if len(rows) > 1:
        raise EnrolmentError(f"{len(rows)} faces were found in the photo; cut it so that one is left")
    row = rows[0]
    refusal = Refusal(int(row[REFUSAL]))
    if refusal != Refusal.NONE:
        raise EnrolmentError(f"{WORDS[refusal]}; take another photo")
    quality = {name: round(float(value), 2) for name, value in zip(MEASURES, row[QUALITY], strict=True)}
    return row[TEMPLATE:].copy(), quality


def _decoded(photo: bytes) -> NDArray[np.uint8]:
    """(h, w, 3) BGR, turned as its EXIF says. The size is read before the pixels: a small file may claim billions."""
    try:
        with Image.open(io.BytesIO(photo), formats=FORMATS) as opened:
            width, height = opened.size
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        raise EnrolmentError(f"the photo is no picture that can be read; send {', '.join(FORMATS)}") from None
    if width * height > MOST_PIXELS:
        raise EnrolmentError(f"the photo has {width} x {height} pixels; make it smaller than {MOST_PIXELS:,} in all")
    picture = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise EnrolmentError("the photo is damaged; send it again")
    return np.asarray(picture, np.uint8)
