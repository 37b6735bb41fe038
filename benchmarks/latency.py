"""From frame to event: latency at 70 % load, and what happens at three times the load that can be served.

Latency of a frame: from the moment it was decoded until its tracks and rules are done and its events are published. The
measure for it is what the same frame costs a bare loop in decoding and the model, in this same run, one at a time: the
median over the median, and the 95th percentile over the median and over the loop's own 95th percentile, which tells how
much of the spread is the machine's.
"""

import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import ray
from numpy.typing import NDArray

from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from benchmarks.throughput import CAMERAS, CLIPS, bench_camera, local_system, running, statuses
from hoaban.latency import STAGES
from hoaban.scheduling import jain_index

LOAD = 0.7
SECONDS = 25.0
SETTLE_S = 30.0
OVERLOAD = 3.0
FAST_CLIP = "plaza.mp4"
"""30 frames a second: enough to ask for more than can be served"""


def decode_and_model(clips: list[str], frames: int = 60) -> list[float]:
    """Seconds of decoding one frame and running the model on it, for some frames of each clip, nothing else at work."""
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), threads=1, device="cpu")
    detector.warm_up()
    batch = np.empty((1, detector.input_height, detector.input_width, 3), np.uint8)
    took = []
    for clip in dict.fromkeys(clips):
        pictures = open_frames(clip, "bare")
        for _ in range(frames):
            began = time.perf_counter()
            picture = next(pictures)
            picture.model_input(detector.input_width, detector.input_height, batch[0])
            detector.infer(batch)
            took.append(time.perf_counter() - began)
        pictures.close()
    return took


def at_load(clips: list[str], frames_per_s: float, threads: int, folder: Path, redis_url: str) -> dict[str, Any]:
    """Latency percentiles of live cameras that ask for so many frames a second together."""
    rate = frames_per_s / len(clips)
    cameras = [bench_camera(i, clip, analysis_fps=rate, motion_gate=False) for i, clip in enumerate(clips)]
    with running(cameras, threads, folder, redis_url, "live") as actors:
        time.sleep(SETTLE_S)  # cameras that met at the start move apart
        before, began = statuses(actors), time.perf_counter()
        time.sleep(SECONDS)
        after, took_s = statuses(actors), time.perf_counter() - began
        stages = _stages(actors)
    served = sum(a["frames_analysed"] - b["frames_analysed"] for a, b in zip(after, before, strict=True))
    return {
        "asked_frames_per_s": round(frames_per_s, 1),
        "served_frames_per_s": round(served / took_s, 1),
        "p50_ms": _ms(stages.sum(axis=1), 50),
        "p95_ms": _ms(stages.sum(axis=1), 95),
    } | {f"{name}, p50 and p95_ms": [_ms(stages[:, i], 50), _ms(stages[:, i], 95)] for i, name in enumerate(STAGES)}


def _stages(actors: list[Any]) -> NDArray[np.float64]:
    """(n, stages) seconds of the last analysed frames of all cameras."""
    return np.array([row for actor in actors for row in ray.get(actor.latencies.remote())])


def _ms(seconds: NDArray[np.float64], percentile: float) -> float:
    return round(float(np.percentile(seconds, percentile)) * 1e3, 1)


def overloaded(capacity: float, threads: int, folder: Path, redis_url: str) -> dict[str, Any]:
    """Cameras with unlike wishes that ask for OVERLOAD times what can be served: ages, memory and fairness."""
    clip = str(find_clip(FAST_CLIP))
    wishes = [10.0, 15.0, 20.0, 30.0]
    # Decoding what is asked for takes its share of the processors too: about a quarter of them.
    count = max(4, round(OVERLOAD * 0.75 * capacity / (sum(wishes) / len(wishes))))
    rates = [wishes[i % len(wishes)] for i in range(count)]
    cameras = [bench_camera(i, clip, analysis_fps=rate, motion_gate=False) for i, rate in enumerate(rates)]
    with running(cameras, threads, folder, redis_url, "live") as actors:
        time.sleep(5)
        before, memory, began = statuses(actors), _memory(), time.perf_counter()
        time.sleep(SECONDS / 2)
        middle = _stages(actors).sum(axis=1)
        time.sleep(SECONDS / 2)
        after, grown, took_s = statuses(actors), _memory() - memory, time.perf_counter() - began
        end = _stages(actors).sum(axis=1)
    served = [(a["frames_analysed"] - b["frames_analysed"]) / took_s for a, b in zip(after, before, strict=True)]
    return {
        "cameras": count,
        "asked_over_served": round(sum(rates) / sum(served), 2),
        "jain_index": round(jain_index([s / rate for s, rate in zip(served, rates, strict=True)]), 4),
        "p95_ms_half_way": _ms(middle, 95),
        "p95_ms_at_the_end": _ms(end, 95),
        "oldest_ms": _ms(end, 100),
        "memory_growth_mb": round(grown / 2**20, 1),
        "memory_mb": round((memory + grown) / 2**20, 1),
    }


def _memory() -> int:
    """Bytes that this process's children hold for themselves, shared pages split among their users."""
    found = 0
    for process in psutil.Process().children(recursive=True):
        try:
            found += process.memory_full_info().pss
        except psutil.Error:
            continue
    return found


def measure(capacity: float) -> dict[str, Any]:
    """capacity: frames a second that the cameras reached together at full speed (benchmarks/throughput.py)."""
    processors = os.cpu_count() or 1
    clips = [str(find_clip(CLIPS[i % len(CLIPS)])) for i in range(CAMERAS)]
    with local_system() as (folder, redis_url):
        bare = decode_and_model(clips)
        load = at_load(clips, LOAD * capacity, processors, folder, redis_url)
        bare += decode_and_model(clips)
        over = overloaded(capacity, processors, folder, redis_url)
    p50_ms, p95_ms = (_ms(np.array(bare), percentile) for percentile in (50, 95))
    ratios = {
        "p50_over_bare_p50": round(load["p50_ms"] / p50_ms, 2),
        "p95_over_bare_p50": round(load["p95_ms"] / p50_ms, 2),
        "p95_over_bare_p95": round(load["p95_ms"] / p95_ms, 2),
    }
    return {
        "decode_and_model_p50_and_p95_ms": [p50_ms, p95_ms],
        "at_70_percent": load | ratios,
        "overload": over,
    }
