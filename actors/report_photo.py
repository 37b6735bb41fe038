"""A citizen's photo made harmless: decoded, cut off from all that it carried beside its pixels, faces hidden."""

import io
import threading

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from actors.blur import FaceBlur

FORMATS = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = 50_000_000
MOST_SIDE = 1920
QUALITY = 85
NOBODY = np.zeros((0, 4), np.float32)


class PhotoError(ValueError):
    """The photo cannot be taken; the message says why and what to do."""


class PhotoCleaner:
    """Thread safe. The face detector is loaded with the first photo."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blur: FaceBlur | None = None

    def clean(self, photo: bytes) -> tuple[bytes, bytes]:
        """(faces hidden, faces not hidden), both JPEG of at most MOST_SIDE pixels a side. Raises PhotoError.

        Both are encoded anew from the pixels: no EXIF with a place or a device, no bytes that some other program
        would run. Without the detector's weights the first is a mosaic.
        """
        picture = _pixels(photo)
        with self._lock:
            self._blur = self._blur or FaceBlur()
            hidden, _ = self._blur.apply(picture, NOBODY)
        return _jpeg(hidden), _jpeg(picture)


def _pixels(photo: bytes) -> np.ndarray:
    """(h, w, 3) uint8 BGR, turned as its EXIF says. Its size is read first: a small file may claim billions."""
    try:
        with Image.open(io.BytesIO(photo), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise PhotoError(f"{width} x {height} pixels are too many; make it smaller than {MOST_PIXELS:,}")
            opened.draft("RGB", (MOST_SIDE, MOST_SIDE))
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            upright.thumbnail((MOST_SIDE, MOST_SIDE))
            return np.asarray(upright)[:, :, ::-1].copy()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        raise PhotoError(f"this is no picture that can be read; send {', '.join(FORMATS)}") from None
    except (OSError, ValueError, SyntaxError) as error:  # Pillow tells broken files in all three
        if isinstance(error, PhotoError):
            raise
        raise PhotoError("the picture is damaged; send it again") from None


def _jpeg(picture: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
