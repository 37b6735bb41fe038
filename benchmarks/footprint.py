"""What a camera costs before it analyses anything: memory and start-up, beside a Ray actor that does nothing."""

import os
import statistics
import time
from typing import Any

import psutil
import ray

from actors.camera import CameraActor
from actors.inference import InferenceActor
from actors.link import Peer
from actors.models import find_clip
from benchmarks.throughput import CLIPS, bench_camera, local_system

COUNT = 6


@ray.remote
class Empty:
    """An actor that does nothing."""

    def status(self) -> dict[str, Any]:
        return {"pid": os.getpid()}


def _pss(pid: int) -> float:
    return psutil.Process(pid).memory_full_info().pss / 2**20


def measure() -> dict[str, Any]:
    """Each kind is started COUNT times, one after the other; medians."""
    clips = [str(find_clip(CLIPS[i % len(CLIPS)])) for i in range(COUNT)]
    empty: list[tuple[float, float]] = []
    cameras: list[tuple[float, float, float]] = []
    with local_system() as (folder, redis_url):
        session, node = os.urandom(4).hex(), ray.get_runtime_context().get_node_id()
        model = InferenceActor.options(num_cpus=0).remote("bench", session, ["yolox-nano"], 1, "cpu")
        ray.get(model.where.remote())
        kept = []
        for index, clip in enumerate(clips):
            began = time.perf_counter()
            actor = Empty.options(num_cpus=0).remote()
            pid = ray.get(actor.status.remote())["pid"]
            empty.append((time.perf_counter() - began, _pss(pid)))
            began = time.perf_counter()
            camera = CameraActor.options(num_cpus=0).remote(
                bench_camera(index, clip, analysis_fps=2),
                [Peer("bench", node, session)],
                redis_url,
                str(folder),
                "live",
            )
            ray.get(camera.ping.remote())
            answered_s = time.perf_counter() - began
            while not (status := ray.get(camera.status.remote()))["frames_analysed"]:
                time.sleep(0.02)
            cameras.append((answered_s, time.perf_counter() - began, 0.0))
            kept += [actor, (camera, status["pid"])]
        time.sleep(10)  # a full pre-roll ring is part of what a camera holds
        pss = [_pss(pid) for _, pid in kept[1::2]]
        model_mb = _pss(next(p.pid for p in psutil.process_iter(["cmdline"]) if "InferenceActor" in _line(p)))
    return {
        "empty_actor_start_s": round(statistics.median(start for start, _ in empty), 2),
        "empty_actor_mb": round(statistics.median(mb for _, mb in empty), 1),
        "camera_start_s": round(statistics.median(start for start, _, _ in cameras), 2),
        "camera_first_analysed_s": round(statistics.median(first for _, first, _ in cameras), 2),
        "camera_mb": round(statistics.median(pss), 1),
        "inference_mb": round(model_mb, 1),
    }


def _line(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or [])
