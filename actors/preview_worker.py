"""The process of a preview (actors/preview.py): other zones, lines and rules over what a camera recorded.

One job as JSON on stdin, one answer as JSON on stdout: {"error": why} or what was found. It yields to all else on its
machine, uses one thread, and ends by itself at its limit with what it has seen by then.
"""

import base64
import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from actors.blur import FaceBlur
from actors.looking import Looker
from actors.models import ModelError, find_model, load_detector
from actors.picture import Picture
from actors.privacy import PrivacyMask
from actors.source import SourceError, open_frames
from actors.tile import JPEG_QUALITY, draw
from hoaban.admission import Admission
from hoaban.events import format_time, utc
from hoaban.fleet import Camera
from hoaban.preview import Pair, Preview, untried
from hoaban.shapes import Zone
from hoaban.tiling import Part, merge

MOST_PICTURES = 6
PICTURE_WIDTH = 480
RED = (60, 70, 235)  # BGR


class Stills:
    """The first frames that differ, as people may see them: faces hidden, the tried shapes and what was found drawn."""

    def __init__(self, camera: Camera) -> None:
        self._camera, self._blur = camera, FaceBlur()
        self.made: list[dict[str, Any]] = []

    def take(self, picture: Picture, parts: list[Part], labels: tuple[str, ...], pair: Pair) -> None:
        if not pair.differ or len(self.made) >= MOST_PICTURES:
            return
        meta = picture.meta
        image = picture.bgr(PICTURE_WIDTH)
        scale = np.float32(image.shape[1] / meta.width)
        people = merge(parts, labels, meta.width, meta.height).of("person").boxes
        image, how = self._blur.apply(image, people * scale)
        image = draw(image, self._camera, None, float(scale))
        before, after = ({event.id: event for event in events} for events in (pair.present, pair.tried))
        changed = before.keys() ^ after.keys()
        for event in (before | after).values():
            if event.id in changed and event.data["bbox"] is not None:
                x1, y1, x2, y2 = (int(value * scale) for value in event.data["bbox"])
                cv2.rectangle(image, (x1, y1), (x2, y2), RED, 2, cv2.LINE_AA)
        ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if ok:
            self.made.append(
                {
                    "at": format_time(utc(meta.captured_s)),
                    "events": sorted(changed),
                    "blur": how,
                    "jpeg": base64.b64encode(jpeg.tobytes()).decode(),
                }
            )


def work(job: dict[str, Any]) -> dict[str, Any]:
    """See actors.preview.Job for the fields. Raises SourceError, ModelError."""
    ends_s = time.monotonic() + job["limit_s"]
    present, tried = (Camera.model_validate(job[side]) for side in ("present", "tried"))
    detector = load_detector(find_model(job["model"]), threads=1, device="cpu")
    preview, looker, stills = Preview(present, tried, detector.ref), Looker(detector, tried.tiles), Stills(tried)
    admission = Admission.of_scene(tried)
    hidden = PrivacyMask(Zone.model_validate(zone) for zone in job["hidden"])
    seen = failed = 0
    first_s = last_s = None
    whole = True
    for picture in open_frames(job["source"], tried.id, privacy=hidden):
        meta = replace(
            picture.meta, captured_s=picture.meta.captured_s + job["from_s"], simulated=tried.source.simulated
        )
        first_s = meta.captured_s if first_s is None else first_s
        if time.monotonic() > ends_s or meta.captured_s - first_s > job["most_s"]:
            whole = False
            break
        picture, last_s = Picture(meta, picture.frame), meta.captured_s
        if not admission.admit(meta.captured_s, picture.luma):
            continue
        try:
            parts = looker.look(picture)
            pair = preview.step(meta, parts, detector.labels, picture.views(preview.views(meta)))
        except Exception as error:  # as live: the frame is left out, counted and told
            failed += 1
            print(f"frame {meta.seq} not analysed: {error!r}", file=sys.stderr)
            continue
        seen += 1
        stills.take(picture, parts, detector.labels, pair)
    return preview.told() | {
        "from": None if first_s is None else format_time(utc(first_s)),
        "media_s": 0.0 if first_s is None or last_s is None else round(last_s - first_s, 3),
        "frames": seen,
        "failed": failed + looker.failed,
        "whole": whole,
        "model": f"{detector.ref.name}@{detector.ref.version}",
        "untried": untried(tried),
        "pictures": stills.made,
    }


def main() -> None:
    os.nice(19)
    cv2.setNumThreads(1)
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        answer = work(json.load(sys.stdin))
    except (SourceError, ModelError) as error:
        answer = {"error": str(error)}
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(answer, out, allow_nan=False)


if __name__ == "__main__":
    main()
