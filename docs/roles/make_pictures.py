"""Makes the pictures of docs/roles from clips, faces blurred.

`python docs/roles/make_pictures.py`, from the project's folder (with it on PYTHONPATH).
"""

from pathlib import Path

import cv2
import numpy as np

from actors.blur import FaceBlur
from actors.models import find_clip, find_model, load_detector
from actors.picture import Picture
from actors.source import open_frames
from actors.tile import BOX, LINE, ZONE, Tile, with_heat
from benchmarks import mosaic
from hoaban.detections import Floats
from hoaban.heatmap import HeatMap, HeatMapSettings
from hoaban.tiling import Tiles

FOLDER = Path(__file__).parent
GRID, WHOLE = (90, 220, 90), (60, 60, 230)
DETECTOR = load_detector(find_model("yolox-nano"), threads=1, device="cpu")


def frame(number: int) -> Picture:
    """Frame `number` (from 1) of the walkers' clip."""
    for count, picture in enumerate(open_frames(str(find_clip(mosaic.CLIP)), "doc"), 1):
        if count == number:
            return picture
    raise ValueError(f"the clip has no frame {number}")


def blurred(picture: Picture) -> tuple[np.ndarray, Floats]:
    """The picture in BGR with faces hidden, and the people in it."""
    people = mosaic.seen(picture, DETECTOR, Tiles(columns=2, rows=2, overlap=0.3)).boxes
    image, how = FaceBlur().apply(picture.frame.to_ndarray(format="bgr24"), people)
    if how != "faces":
        raise SystemExit("YuNet's weights are needed: without them the whole picture is a mosaic")
    return image, people


def area(image: np.ndarray, name: str, *corners: tuple[float, float]) -> None:
    points = (np.array(corners) * (image.shape[1], image.shape[0])).astype(np.int32)
    cover = image.copy()
    cv2.fillPoly(cover, [points], ZONE)
    cv2.addWeighted(cover, 0.18, image, 0.82, 0, dst=image)
    cv2.polylines(image, [points], True, ZONE, 2, cv2.LINE_AA)
    write(image, name, points[points[:, 1].argmin()] + (6, 18), ZONE)


def line(image: np.ndarray, name: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    size = np.array([image.shape[1], image.shape[0]])
    a, b = (np.array([start, end]) * size).astype(int)
    cv2.arrowedLine(image, a.tolist(), b.tolist(), LINE, 2, cv2.LINE_AA, tipLength=0.04)
    write(image, name, a - (90, 8), LINE)


def write(image: np.ndarray, text: str, place: np.ndarray, colour: tuple[int, int, int]) -> None:
    for shade, thickness in (((0, 0, 0), 4), (colour, 1)):
        cv2.putText(image, text, place.tolist(), cv2.FONT_HERSHEY_SIMPLEX, 0.5, shade, thickness, cv2.LINE_AA)


def boxes(image: np.ndarray, people: Floats, colour: tuple[int, int, int] = BOX, thick: int = 1) -> None:
    for x1, y1, x2, y2 in people.astype(int).tolist():
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)


def save(name: str, image: np.ndarray, quality: int = 82) -> None:
    path = FOLDER / name
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    print(path, path.stat().st_size)


def neighbourhood() -> None:
    image, people = blurred(frame(541))
    area(image, "lawn: intrusion at night, loitering", (0.0, 0.43), (0.55, 0.66), (0.98, 0.99), (0.0, 0.99))
    area(image, "forecourt: abandoned_object, removed_object", (0.33, 0.24), (0.62, 0.24), (0.72, 0.55), (0.3, 0.48))
    line(image, "gate: line_crossing", (0.74, 0.22), (0.9, 0.7))
    boxes(image, people)
    save("neighbourhood.jpg", image)


def crowd() -> None:
    image, people = blurred(frame(701))
    area(image, "square: crowd", (0.0, 0.3), (0.6, 0.2), (0.99, 0.3), (0.99, 0.85), (0.55, 0.64), (0.0, 0.42))
    boxes(image, people)
    save("crowd.jpg", image)


def overview() -> None:
    """Left: what the whole picture (red) and what tiles alone (yellow) find. Right: a heat map."""
    bgr, _ = mosaic.mosaic(mosaic.truth_folder())
    picture = mosaic.as_picture(bgr)
    whole, tiled = (mosaic.seen(picture, DETECTOR, tiles).boxes for tiles in (None, Tiles()))
    image, _ = FaceBlur().apply(bgr, tiled)
    for crop in Tiles().crops(mosaic.WIDTH, mosaic.HEIGHT):
        corner = crop.left + crop.width, crop.top + crop.height
        cv2.rectangle(image, (crop.left, crop.top), corner, GRID, 2)
    boxes(image, tiled, thick=3)
    boxes(image, whole, WHOLE, thick=3)
    heat = HeatMap(HeatMapSettings(columns=48, rows=36))
    last = None
    for count, shown in enumerate(open_frames(str(find_clip(mosaic.CLIP)), "doc")):
        if count % 5 == 0:
            people = mosaic.seen(shown, DETECTOR, None).boxes
            feet = np.column_stack([(people[:, 0] + people[:, 2]) / 2, people[:, 3]])
            heat.add(feet, shown.meta.width, shown.meta.height, shown.meta.captured_s)
            last = shown
    if last is None:
        raise SystemExit(f"{mosaic.CLIP} holds no frame")
    under, _ = blurred(last)
    jpeg = cv2.imencode(".jpg", under)[1].tobytes()
    warm = cv2.imdecode(np.frombuffer(with_heat(Tile(jpeg, 0, 0.0, "faces"), heat.seconds).jpeg, np.uint8), 1)
    left = cv2.resize(image, (960, 540), interpolation=cv2.INTER_AREA)
    right = cv2.resize(warm, (720, 540), interpolation=cv2.INTER_AREA)
    save("overview.jpg", np.hstack([left, right]), 78)


if __name__ == "__main__":
    neighbourhood()
    crowd()
    overview()
