"""Makes face-watchlist.jpg: the zone of a face rule over a frame of a clip, faces hidden. Run from the project's root:

python docs/roles/face_watchlist_picture.py
"""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from actors.blur import FaceBlur
from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from hoaban.detections import Detections
from hoaban.faces.pipeline import EDGE
from hoaban.geometry import to_pixels

FRAME = 135
ZONE = [[0.02, 0.36], [0.6, 0.36], [0.98, 0.99], [0.02, 0.99]]
COLOUR, SHADE = (60, 190, 250), 0.35
MIN_SCORE = 0.2


def main() -> None:
    picture = next(islice(open_frames(str(find_clip("plaza.mp4")), "square"), FRAME, None))
    detector = load_detector(find_model("yolox-nano"), device="cpu")
    pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
    (rows,) = detector.infer(pixels[None])
    people = rows[(rows[:, 5] == 0) & (rows[:, 4] >= MIN_SCORE)]
    meta = picture.meta
    boxes = Detections.from_rows(people, letterbox, detector.labels, meta.width, meta.height).boxes
    image, how = FaceBlur().apply(picture.bgr(meta.width), boxes)
    if how != "faces":
        raise SystemExit("YuNet's weights are missing: the picture would be a mosaic")
    scale = 1280 / meta.width
    image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    corners = np.rint(to_pixels(ZONE, image.shape[1], image.shape[0])).astype(np.int32)
    shown = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(shown, [corners], 255)
    cv2.polylines(shown, [corners], True, 255, round(2 * EDGE * image.shape[1]))
    hidden = shown == 0
    image[hidden] = (image[hidden] * SHADE + 114 * (1 - SHADE)).astype(np.uint8)
    cv2.polylines(image, [corners], True, COLOUR, 3, cv2.LINE_AA)
    text = "zone of the face rule: only faces in it are searched; grey never reaches the face model"
    for colour, width in (((0, 0, 0), 4), (COLOUR, 1)):
        cv2.putText(image, text, (24, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.75, colour, width, cv2.LINE_AA)
    out = Path(__file__).with_name("face-watchlist.jpg")
    cv2.imwrite(str(out), image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(out, out.stat().st_size)


if __name__ == "__main__":
    main()
