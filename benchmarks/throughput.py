"""Frames a second of 8 cameras through the actors, against a bare decode and model loop on the same clips and cores.

The bare loop is what a script would do: cv2.VideoCapture, a resized and padded picture, the same ONNX model, one
process a processor, each with one model thread. The cameras run in demand pacing: no frame is dropped, so both sides do
the same work, and ours tracks and applies rules on top. The two alternate; the ratio is taken pair by pair.

Beside frames a second stands the processor time that each frame cost, all processes of a side together (Ray's own and
the store's included): it tells the same where another program takes a share of the machine.
"""

import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import ray

from actors.camera import CameraActor
from actors.embedded_redis import EmbeddedRedis
from actors.inference import InferenceActor
from actors.link import Peer
from actors.local_ray import start_local
from actors.models import find_clip, find_model, load_detector
from hoaban.fleet import Camera
from hoaban.frames import Letterbox

CLIPS = ("pets-s2l1-v1.mp4", "road-a.mp4", "plaza.mp4", "one-by-one-person-detection.mp4")
CAMERAS = 8
SECONDS = 15.0
PAIRS = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """One side's result."""

    frames_per_s: float
    cpu_ms_per_frame: float


def cpu_seconds() -> float:
    """Processor time so far of this process and all that came from it and still run."""
    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _bare(clips: list[str], seconds: float, start: Any, frames: Any) -> None:
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), threads=1, device="cpu")
    detector.warm_up()
    captures = [cv2.VideoCapture(clip) for clip in clips]
    batch = np.full((1, detector.input_height, detector.input_width, 3), 114, np.uint8)
    start.wait()
    ends, count, cpu_s = time.perf_counter() + seconds, 0, time.process_time()
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
    frames.put((count, time.process_time() - cpu_s))


def bare_loop(clips: list[str], processors: int) -> Rate:
    """The bare loop's rate."""
    context = multiprocessing.get_context("spawn")
    start, frames = context.Barrier(processors), context.Queue()
    workers = [
        context.Process(target=_bare, args=(clips[i::processors], SECONDS, start, frames)) for i in range(processors)
    ]
    for worker in workers:
        worker.start()
    counts, cpu_s = zip(*(frames.get() for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    return Rate(sum(counts) / SECONDS, sum(cpu_s) / sum(counts) * 1e3)


def bench_camera(index: int, clip: str, **fields: Any) -> Camera:
    """A counting camera over a clip, as every benchmark uses it."""
    base = {"id": f"bench-{index}", "name": "bench", "role": "traffic_counting", "district": "d", "owner": "o"}
    rules = {
        "lines": [{"id": "in", "from": [0, 0.6], "to": [1, 0.6]}],
        "rules": [{"type": "line_count", "line": "in"}],
    }
    return Camera.model_validate(base | rules | {"source": clip, "model": "yolox-nano", "analysis_fps": 10} | fields)


@contextlib.contextmanager
def running(cameras: list[Camera], threads: int, folder: Path, redis_url: str, pacing: str) -> Iterator[list[Any]]:
    """Camera actors over one inference actor, all analysing; ended at the end."""
    session, node = os.urandom(4).hex(), ray.get_runtime_context().get_node_id()
    model = InferenceActor.options(num_cpus=0).remote("bench", session, ["yolox-nano"], threads, "cpu")
    ray.get(model.where.remote())
    peers = [Peer("bench", node, session)]
    actors = [
        CameraActor.options(num_cpus=0).remote(camera, peers, redis_url, str(folder), pacing) for camera in cameras
    ]
    try:
        while any(status["frames_analysed"] < 5 for status in statuses(actors)):
            time.sleep(0.2)
        yield actors
    finally:
        ray.get([actor.stop.remote() for actor in actors])
        for actor in [*actors, model]:
            ray.kill(actor)
        time.sleep(2)


def statuses(actors: list[Any]) -> list[dict[str, Any]]:
    """Each camera's status."""
    return ray.get([actor.status.remote() for actor in actors])


def through_actors(clips: list[str], processors: int, folder: Path, redis_url: str) -> Rate:
    """The rate of the same through camera actors and one inference actor."""
    # Every frame is analysed, as the bare loop does.
    every = {"analysis_fps": 60, "motion_gate": False}
    cameras = [bench_camera(index, clip, **every) for index, clip in enumerate(clips)]
    with running(cameras, processors, folder, redis_url, "demand") as actors:
        before, cpu_s, began = _analysed(actors), cpu_seconds(), time.perf_counter()
        time.sleep(SECONDS)
        frames, cpu_s, took_s = _analysed(actors) - before, cpu_seconds() - cpu_s, time.perf_counter() - began
    return Rate(frames / took_s, cpu_s / frames * 1e3)


def _analysed(actors: list[Any]) -> int:
    return sum(status["frames_analysed"] for status in statuses(actors))


@contextlib.contextmanager
def local_system() -> Iterator[tuple[Path, str]]:
    """Ray and a Redis-protocol server on this machine: (a folder, the server's address)."""
    with tempfile.TemporaryDirectory() as name:
        server = EmbeddedRedis(Path(name) / "valkey")
        redis_url = server.start()
        start_local(os.cpu_count() or 1)
        try:
            yield Path(name), redis_url
        finally:
            ray.shutdown()
            server.stop()


def measure(cameras: int = CAMERAS, pairs: int = PAIRS) -> dict[str, Any]:
    """The ratios and what they were made of."""
    processors = os.cpu_count() or 1
    clips = [str(find_clip(CLIPS[i % len(CLIPS)])) for i in range(cameras)]
    with local_system() as (folder, redis_url):
        found = [
            (bare_loop(clips, processors), through_actors(clips, processors, folder, redis_url)) for _ in range(pairs)
        ]
    return {
        "cameras": cameras,
        "bare_frames_per_s": [round(bare.frames_per_s, 1) for bare, _ in found],
        "actors_frames_per_s": [round(ours.frames_per_s, 1) for _, ours in found],
        "ratio_median": round(statistics.median(ours.frames_per_s / bare.frames_per_s for bare, ours in found), 3),
        "bare_cpu_ms_per_frame": [round(bare.cpu_ms_per_frame, 2) for bare, _ in found],
        "actors_cpu_ms_per_frame": [round(ours.cpu_ms_per_frame, 2) for _, ours in found],
        "cpu_ratio_median": round(
            statistics.median(bare.cpu_ms_per_frame / ours.cpu_ms_per_frame for bare, ours in found), 3
        ),
    }
