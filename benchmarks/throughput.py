"""Frames a second of 8 cameras through the actors, against a bare decode and model loop on the same clips and cores.

The bare loop is what a script would do: cv2.VideoCapture, a resized and padded picture, the same ONNX model, one
process a processor, each with one model thread. The cameras run in demand pacing: no frame is dropped, so both sides do
the same work, and ours tracks and applies rules on top. The two alternate; the ratio is taken pair by pair.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ray

from actors.camera import CameraActor
from actors.embedded_redis import EmbeddedRedis
from actors.inference import InferenceActor
from actors.link import Peer
from actors.models import find_clip, find_model, load_detector
from hoaban.fleet import Camera
from hoaban.frames import Letterbox

CLIPS = ("pets-s2l1-v1.mp4", "road-a.mp4", "plaza.mp4", "one-by-one-person-detection.mp4")
CAMERAS = 8
SECONDS = 15.0
PAIRS = 3


def _bare(clips: list[str], seconds: float, start: Any, frames: Any) -> None:
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), threads=1, device="cpu")
    detector.warm_up()
    captures = [cv2.VideoCapture(clip) for clip in clips]
    batch = np.full((1, detector.input_height, detector.input_width, 3), 114, np.uint8)
    start.wait()
    ends, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        for index, capture in enumerate(captures):
            ok, picture = capture.read()
            if not ok:
                captures[index] = cv2.VideoCapture(clips[index])
                continue
            box = Letterbox.fit(picture.shape[1], picture.shape[0], detector.input_width, detector.input_height)
            fitted = cv2.resize(picture, None, fx=box.scale, fy=box.scale)
            batch[:] = 114
            batch[0, : fitted.shape[0], : fitted.shape[1]] = fitted
            detector.infer(batch)
            count += 1
    frames.put(count)


def bare_loop(clips: list[str], processors: int) -> float:
    """Frames a second of the bare loop."""
    context = multiprocessing.get_context("spawn")
    start, frames = context.Barrier(processors), context.Queue()
    workers = [
        context.Process(target=_bare, args=(clips[i::processors], SECONDS, start, frames)) for i in range(processors)
    ]
    for worker in workers:
        worker.start()
    total = sum(frames.get() for _ in workers)
    for worker in workers:
        worker.join()
    return total / SECONDS


def actors(clips: list[str], processors: int, folder: Path, redis_url: str) -> float:
    """Frames a second of the same through camera actors and one inference actor."""
    session, node = os.urandom(4).hex(), ray.get_runtime_context().get_node_id()
    model = InferenceActor.options(num_cpus=0).remote("bench", session, ["yolox-nano"], processors, "cpu")
    ray.get(model.where.remote())
    peers = [Peer("bench", node, session)]
    cameras = []
    for index, clip in enumerate(clips):
        camera = Camera.model_validate(
            {
                "id": f"bench-{index}",
                "name": "bench",
                "role": "traffic_counting",
                "district": "d",
                "owner": "o",
                "source": clip,
                "model": "yolox-nano",
                "analysis_fps": 10,
                "lines": [{"id": "in", "from": [0, 0.6], "to": [1, 0.6]}],
                "rules": [{"type": "line_count", "line": "in"}],
            }
        )
        cameras.append(CameraActor.options(num_cpus=0).remote(camera, peers, redis_url, str(folder), "demand"))
    while any(s["frames_analysed"] < 5 for s in ray.get([c.status.remote() for c in cameras])):
        time.sleep(0.2)
    before, began = _analysed(cameras), time.perf_counter()
    time.sleep(SECONDS)
    after, took = _analysed(cameras), time.perf_counter() - began
    ray.get([camera.stop.remote() for camera in cameras])
    for actor in [*cameras, model]:
        ray.kill(actor)
    time.sleep(2)
    return (after - before) / took


def _analysed(cameras: list[Any]) -> int:
    return sum(status["frames_analysed"] for status in ray.get([camera.status.remote() for camera in cameras]))


def measure() -> dict[str, Any]:
    """The ratio and what it was made of."""
    processors = os.cpu_count() or 1
    clips = [str(find_clip(CLIPS[i % len(CLIPS)])) for i in range(CAMERAS)]
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder) / "valkey")
        redis_url = server.start()
        ray.init(num_cpus=processors, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
        try:
            for _ in range(PAIRS):
                pairs.append((bare_loop(clips, processors), actors(clips, processors, Path(folder), redis_url)))
        finally:
            ray.shutdown()
            server.stop()
    return {
        "cameras": CAMERAS,
        "bare_frames_per_s": [round(bare, 1) for bare, _ in pairs],
        "actors_frames_per_s": [round(ours, 1) for _, ours in pairs],
        "ratio_median": round(statistics.median(ours / bare for bare, ours in pairs), 3),
    }
