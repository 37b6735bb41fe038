"""Makes plate-watchlist.jpg: the zone of a plate rule over a frame of sim://junction. From the root:

python docs/roles/plate_watchlist_picture.py

The picture is a drawing: its vehicles bear no plates, and there is no face in it to hide.
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from actors.models import find_model, load_detector
from actors.source import open_frames
from hoaban.detections import Detections
from hoaban.fleet import SIM_MODEL
from hoaban.geometry import inside, to_pixels

SOURCE = "sim://junction?seed=3&duration=40&size=1280x720&noise=1"
FRAME = 300
ZONE = [[0.82, 0.99], [0.42, 0.99], [0.445, 0.68], [0.735, 0.68]]
MIN_HEIGHT = 0.08
VEHICLES = ("car", "motorcycle", "bus", "truck")
AREA, READ, LEFT_OUT = (60, 190, 250), (90, 220, 90), (150, 150, 150)  # BGR


def main() -> None:
    picture = next(islice(open_frames(SOURCE, "gate-1"), FRAME, None))
    width, height = picture.meta.width, picture.meta.height
    detector = load_detector(find_model(SIM_MODEL), device="cpu")
    pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
    (rows,) = detector.infer(pixels[None])
    found = Detections.from_rows(rows, letterbox, detector.labels, width, height)
    image, corners = picture.bgr(width), to_pixels(ZONE, width, height)
    layer = image.copy()
    cv2.fillPoly(layer, [np.rint(corners).astype(np.int32)], AREA)
    image = np.asarray(cv2.addWeighted(layer, 0.2, image, 0.8, 0), np.uint8)
    cv2.polylines(image, [np.rint(corners).astype(np.int32)], True, AREA, 2, cv2.LINE_AA)
    for label in VEHICLES:
        boxes = found.of(label).boxes
        feet = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]])
        near = inside(feet, corners) & (boxes[:, 3] - boxes[:, 1] >= MIN_HEIGHT * height)
        for (x1, y1, x2, y2), is_read in zip(np.rint(boxes).astype(int).tolist(), near.tolist(), strict=True):
            cv2.rectangle(image, (x1, y1), (x2, y2), READ if is_read else LEFT_OUT, 2 if is_read else 1, cv2.LINE_AA)
    said(image, "zone of the plate rule", (24, height - 76), AREA)
    said(image, "read: stands in it, and is high enough", (24, height - 48), READ)
    said(image, "not read: elsewhere, or lower than min_height", (24, height - 20), LEFT_OUT)
    out = Path(__file__).with_name("plate-watchlist.jpg")
    cv2.imwrite(str(out), image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(out, out.stat().st_size)


def said(image: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    for shade, thick in (((0, 0, 0), 5), (colour, 2)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.75, shade, thick, cv2.LINE_AA)


if __name__ == "__main__":
    main()
