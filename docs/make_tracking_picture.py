"""Draws docs/tracking.jpg: `python docs/make_tracking_picture.py TRUTH_FOLDER`, from the project's folder."""

import sys
from pathlib import Path

import cv2
import numpy as np

from actors.blur import FaceBlur
from actors.models import find_clip
from actors.source import open_frames
from benchmarks import tracking_material as material
from hoaban.tracking import Tracker

FRAME, SCALE = 50, 1.4
TRUTH, DETECTION, TRACK = (80, 220, 80), (60, 60, 230), (255, 200, 60)


def main(truth_folder: Path) -> None:
    """Truth, detections and tracks of one frame of the PETS clip, faces hidden."""
    frames, tracker = material.own_detections(0.25), Tracker()
    tracks = [tracker.update(seen, index / material.PETS_FPS) for index, seen in enumerate(frames[:FRAME])][-1]
    seen, there = frames[FRAME - 1], material.people(material.mot_rows(truth_folder / material.TRUTH)[FRAME])
    picture = next(p for p in open_frames(str(find_clip(material.CLIP)), "pets") if p.meta.seq == FRAME - 1)
    hidden, how = FaceBlur().apply(picture.bgr(picture.meta.width), np.concatenate([seen.boxes, tracks.boxes]))
    if how != "faces":
        raise SystemExit("no face detector: the picture would be a mosaic")
    image = cv2.resize(hidden, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    for boxes, colour, thick in ((there.boxes, TRUTH, 2), (seen.boxes, DETECTION, 1), (tracks.boxes, TRACK, 1)):
        for left, top, right, bottom in (boxes * SCALE).astype(int).tolist():
            cv2.rectangle(image, (left, top), (right, bottom), colour, thick, cv2.LINE_AA)
    for name, (left, _, _, bottom) in zip(tracks.ids, (tracks.boxes * SCALE).astype(int).tolist(), strict=True):
        cv2.putText(image, str(name), (left, bottom + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, TRACK, 2, cv2.LINE_AA)
    for score, (left, top, *_) in zip(seen.scores, (seen.boxes * SCALE).astype(int).tolist(), strict=True):
        place = left, top - 4
        cv2.putText(image, f"{score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, DETECTION, 1, cv2.LINE_AA)
    target = Path(__file__).with_name("tracking.jpg")
    cv2.imwrite(str(target), image[100:640], [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
