"""What a script with another library does, on its own: `python rivals_worker.py KIND SECONDS MODEL THREADS CLIP…`.

Runs in a virtual environment of its own and imports nothing of Hoa Ban. KIND: `supervision` is one loop over the clips
of one process; `pipeline` is one Roboflow InferencePipeline over all clips. Both run the same ONNX file with the same
decoder, track with supervision's ByteTrack and count over one line. Prints {"frames", "seconds"} of what was done after
the first frames. A clip that ends begins again.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import supervision as sv

SIDE, MIN_SCORE, NMS_IOU = 416, 0.25, 0.45
WARM_UP = 3
"""frames of each clip before the clock runs"""


class Model:
    """The detector: a picture in, supervision's detections out. threads: for one picture."""

    def __init__(self, path: str, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        cells = [np.mgrid[: SIDE // step, : SIDE // step][::-1].reshape(2, -1).T for step in (8, 16, 32)]
        self._grid = np.concatenate(cells).astype(np.float32)
        self._stride = np.concatenate([np.full(len(c), s) for c, s in zip(cells, (8, 16, 32), strict=True)])

    def __call__(self, picture: Any) -> sv.Detections:
        scale = min(SIDE / picture.shape[1], SIDE / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale)
        fitted = np.full((SIDE, SIDE, 3), 114, np.uint8)
        fitted[: small.shape[0], : small.shape[1]] = small
        output = self._session.run(None, {self._input: cv2.dnn.blobFromImage(fitted)})[0][0]
        likely = np.flatnonzero(output[:, 4] >= MIN_SCORE)
        cells, stride = output[likely], self._stride[likely, None]
        classes = cells[:, 5:].argmax(axis=1)
        scores = cells[:, 4] * cells[np.arange(len(cells)), 5 + classes]
        centres, sizes = (cells[:, :2] + self._grid[likely]) * stride, np.exp(cells[:, 2:4]) * stride
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1) / scale
        keep = scores >= MIN_SCORE
        seen = sv.Detections(boxes[keep].astype(np.float32), confidence=scores[keep], class_id=classes[keep])
        return seen.with_nms(NMS_IOU)


class Camera:
    """Tracks and a counted line of one clip."""

    def __init__(self, width: int, height: int) -> None:
        self._tracker = sv.ByteTrack()
        self._line = sv.LineZone(sv.Point(0, int(0.6 * height)), sv.Point(width, int(0.6 * height)))

    def see(self, detections: sv.Detections) -> None:
        self._line.trigger(self._tracker.update_with_detections(detections))


class Clock:
    """Counts frames once it runs, and says when the time is over."""

    def __init__(self, seconds: float, first: int) -> None:
        self._seconds, self._first, self._seen = seconds, first, 0
        self._began_s = 0.0
        self.frames, self.took_s = 0, 0.0

    def frame(self) -> bool:
        """One more is done; whether to go on."""
        self._seen += 1
        if self._seen == self._first:
            self._began_s = time.perf_counter()
        elif self._seen > self._first:
            self.frames, self.took_s = self._seen - self._first, time.perf_counter() - self._began_s
        return self.took_s < self._seconds


def endless(clip: str) -> Iterator[Any]:
    for _ in itertools.count():
        yield from sv.get_video_frames_generator(clip)


def supervision_loop(clock: Clock, detect: Model, clips: list[str]) -> None:
    sources, cameras = [endless(clip) for clip in clips], {}
    while True:
        for index, source in enumerate(sources):
            picture = next(source)
            if index not in cameras:
                cameras[index] = Camera(picture.shape[1], picture.shape[0])
            cameras[index].see(detect(picture))
            if not clock.frame():
                return


def pipeline(clock: Clock, detect: Model, clips: list[str]) -> None:
    os.environ.setdefault("TELEMETRY_OPT_OUT", "True")
    from inference import InferencePipeline

    cameras = {}

    def look(frames: list[Any]) -> list[dict[str, Any]]:
        return [{"seen": detect(frame.image)} for frame in frames]

    def take(predictions: Any, frames: Any) -> None:
        for prediction, frame in zip(predictions, frames, strict=True):
            if prediction is None or frame is None:
                continue
            if frame.source_id not in cameras:
                cameras[frame.source_id] = Camera(frame.image.shape[1], frame.image.shape[0])
            cameras[frame.source_id].see(prediction["seen"])
            if not clock.frame():
                os.write(1, _result(clock))
                os._exit(0)  # its `terminate` waits for sources that are still being read

    running = InferencePipeline.init_with_custom_logic(clips, look, take)
    running.start()
    running.join()


def _result(clock: Clock) -> bytes:
    return json.dumps({"frames": clock.frames, "seconds": clock.took_s}).encode() + b"\n"


KINDS: dict[str, Callable[[Clock, Model, list[str]], None]] = {"supervision": supervision_loop, "pipeline": pipeline}


def main() -> None:
    kind, seconds, model, threads, *clips = sys.argv[1:]
    cv2.setNumThreads(1)
    clock = Clock(float(seconds), WARM_UP * len(clips))
    KINDS[kind](clock, Model(model, int(threads)), clips)
    os.write(1, _result(clock))


if __name__ == "__main__":
    main()
