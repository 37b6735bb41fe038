"""From frame to event: latency at 70 % load, and what happens at three times the load that can be served.

Latency of a frame: from the moment it was decoded until its tracks and rules are done and its events are published. The
measure for it is what the same frame costs a bare loop in decoding and the model, in this same run, one at a time.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import ray

from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from benchmarks.throughput import CAMERAS, CLIPS, bench_camera, local_system, running, statuses
from hoaban.scheduling import jain_index

LOAD = 0.7
SECONDS = 25.0
OVERLOAD = 3.0
FAST_CLIP = "plaza.mp4"
"""30 frames a second: enough to ask for more than can be served"""


def decode_and_model_s(clips: list[str], frames: int = 60) -> float:
    """Median seconds of decoding one frame and running the model on it, nothing else at work."""
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
    return statistics.median(took)


def at_load(clips: list[str], frames_per_s: float, threads: int, folder: Path, redis_url: str) -> dict[str, float]:
    """Latency percentiles of live cameras that ask for so many frames a second together."""
    rate = frames_per_s / len(clips)
    cameras = [bench_camera(i, clip, analysis_fps=rate, motion_gate=False) for i, clip in enumerate(clips)]
    with running(cameras, threads, folder, redis_url, "live") as actors:
        time.sleep(3)  # the start is not the steady state
        before, began = statuses(actors), time.perf_counter()
        time.sleep(SECONDS)
        after, took_s = statuses(actors), time.perf_counter() - began
        latencies = np.array([value for actor in actors for value in ray.get(actor.latencies.remote())])
    served = sum(a["frames_analysed"] - b["frames_analysed"] for a, b in zip(after, before, strict=True))
    return {
        "asked_frames_per_s": round(frames_per_s, 1),
        "served_frames_per_s": round(served / took_s, 1),
        "p50_ms": round(float(np.percentile(latencies, 50)) * 1e3, 1),
        "p95_ms": round(float(np.percentile(latencies, 95)) * 1e3, 1),
    }


def overloaded(capacity: float, threads: int, folder: Path, redis_url: str) -> dict[str, Any]:
    """Cameras with unlike wishes that ask for OVERLOAD times what can be served: ages, memory and fairness."""
    clip = str(find_clip(FAST_CLIP))
    wishes = [10.0, 15.0, 20.0, 30.0]
    count = max(4, round(OVERLOAD * capacity / (sum(wishes) / len(wishes))))
    rates = [wishes[i % len(wishes)] for i in range(count)]
    cameras = [bench_camera(i, clip, analysis_fps=rate, motion_gate=False) for i, rate in enumerate(rates)]
    with running(cameras, threads, folder, redis_url, "live") as actors:
        time.sleep(5)
        before, memory, began = statuses(actors), _memory(), time.perf_counter()
        time.sleep(SECONDS / 2)
        middle = np.array([v for a in actors for v in ray.get(a.latencies.remote())])
        time.sleep(SECONDS / 2)
        after, grown, took_s = statuses(actors), _memory() - memory, time.perf_counter() - began
        end = np.array([v for a in actors for v in ray.get(a.latencies.remote())])
    served = [(a["frames_analysed"] - b["frames_analysed"]) / took_s for a, b in zip(after, before, strict=True)]
    return {
        "cameras": count,
        "asked_over_served": round(sum(rates) / sum(served), 2),
        "jain_index": round(jain_index([s / rate for s, rate in zip(served, rates, strict=True)]), 4),
        "p95_ms_half_way": round(float(np.percentile(middle, 95)) * 1e3, 1),
        "p95_ms_at_the_end": round(float(np.percentile(end, 95)) * 1e3, 1),
        "oldest_ms": round(float(end.max()) * 1e3, 1),
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
        bare_s = decode_and_model_s(clips)
        load = at_load(clips, LOAD * capacity, processors, folder, redis_url)
        bare_s = (bare_s + decode_and_model_s(clips)) / 2
        over = overloaded(capacity, processors, folder, redis_url)
    ratios = {f"{name}_over_bare": round(load[f"{name}_ms"] / (bare_s * 1e3), 2) for name in ("p50", "p95")}
    return {"decode_and_model_ms": round(bare_s * 1e3, 1), "at_70_percent": load | ratios, "overload": over}
