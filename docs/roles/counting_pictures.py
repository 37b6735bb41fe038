"""Makes traffic-counting.jpg, camera-health.jpg and shared.jpg. Run from the project's root:

python docs/roles/counting_pictures.py
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.blur import FaceBlur
from actors.models import find_clip, find_model, load_detector
from actors.picture import Picture
from actors.source import open_frames
from hoaban.detections import Detections
from hoaban.geometry import to_pixels

Image = NDArray[np.uint8]
FOLDER = Path(__file__).parent
LINE, ZONE, ZONE2, INK = (240, 200, 60), (180, 120, 240), (60, 190, 250), (255, 255, 255)
MIN_SCORE = 0.2


def frame(clip: str, number: int, width: int) -> Image:
    """A frame of a clip, faces and heads hidden, scaled to a width."""
    picture: Picture = next(islice(open_frames(str(find_clip(clip)), "picture"), number, None))
    detector = load_detector(find_model("yolox-nano"), device="cpu")
    pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
    (rows,) = detector.infer(pixels[None])
    people = rows[(rows[:, 5] == 0) & (rows[:, 4] >= MIN_SCORE)]
    meta = picture.meta
    boxes = Detections.from_rows(people, letterbox, detector.labels, meta.width, meta.height).boxes
    image, how = FaceBlur().apply(picture.bgr(meta.width), boxes)
    if how != "faces":
        raise SystemExit("YuNet's weights are missing: the picture would be a mosaic")
    scale = width / meta.width
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)


def said(image: Image, text: str, at: tuple[int, int], size: float = 0.6) -> None:
    for colour, width in (((0, 0, 0), 4), (INK, 1)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, width, cv2.LINE_AA)


def zone(image: Image, polygon: list[list[float]], colour: tuple[int, int, int]) -> None:
    corners = np.rint(to_pixels(polygon, image.shape[1], image.shape[0])).astype(np.int32)
    shade = image.copy()
    cv2.fillPoly(shade, [corners], colour)
    cv2.addWeighted(shade, 0.25, image, 0.75, 0, dst=image)
    cv2.polylines(image, [corners], True, colour, 2, cv2.LINE_AA)


def line(image: Image, start: list[float], end: list[float], name: str) -> None:
    """A line with the arrow of its forward direction: to its right, as one walks along it."""
    a, b = to_pixels([start, end], image.shape[1], image.shape[0])
    cv2.line(image, np.rint(a).astype(int).tolist(), np.rint(b).astype(int).tolist(), LINE, 3, cv2.LINE_AA)
    middle, along = (a + b) / 2, (b - a) / np.hypot(*(b - a))
    tip = middle + 55 * np.array([-along[1], along[0]])
    ends = (np.rint(middle).astype(int).tolist(), np.rint(tip).astype(int).tolist())
    cv2.arrowedLine(image, *ends, LINE, 3, cv2.LINE_AA, tipLength=0.3)
    said(image, name, (int(tip[0]) + 10, int(tip[1]) + 8))


def saved(image: Image, name: str) -> None:
    path = FOLDER / name
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(path.name, path.stat().st_size)


def counting() -> None:
    image = frame("highway-low.avi", 340, 1040)
    zone(image, [[0.355, 0.66], [0.48, 0.51], [0.695, 0.51], [0.61, 0.66]], ZONE)
    zone(image, [[0.615, 0.66], [0.70, 0.51], [0.87, 0.51], [0.83, 0.66]], ZONE2)
    line(image, [0.94, 0.60], [0.40, 0.60], "away, forward")
    line(image, [0.22, 0.27], [0.37, 0.47], "towards, forward")
    said(image, "lane: left", (430, 500))
    said(image, "lane: right", (690, 500))
    saved(image, "traffic-counting.jpg")


def health() -> None:
    street = frame("pets-s2l1-v1.mp4", 300, 400)
    altered: dict[str, Callable[[Image], Image]] = {
        "in order": lambda image: image,
        "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 2.5),
        "dark": lambda image: (image * 0.08).astype(np.uint8),
        "covered": lambda image: np.vstack([image[:60], np.full_like(image[60:], 55)]),
        "moved: shifted": lambda image: np.roll(image, 60, axis=1),
        "no fault: evening": lambda image: (image * 0.35).astype(np.uint8),
    }
    tiles = []
    for name, alter in altered.items():
        tile = alter(street).copy()
        said(tile, name, (12, 28), 0.7)
        tiles.append(tile)
    saved(np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])]), "camera-health.jpg")


def shared() -> None:
    image = frame("pets-s2l1-v1.mp4", 240, 900)
    line(image, [0.70, 0.22], [0.70, 0.80], "way, forward")
    terms = ("open 06:00 to 22:00; outside nothing is read", "allowed: line_count", "pictures: police, and the owner")
    for row, text in enumerate((*terms, "events kept 30 days")):
        said(image, text, (20, 40 + 30 * row), 0.65)
    saved(image, "shared.jpg")


if __name__ == "__main__":
    counting()
    health()
    shared()
