"""What each further camera costs, from few to a province's 212: processor time and memory against their number.

Simulated cameras at a low rate, so that two processors are enough for all of them: what is looked for is a cost that
grows faster than the number, not what a busy camera costs (that is `capacity`). A camera's processes are added to those
that run; at each step all of them are measured together. HOABAN_LINEAR_CAMERAS=8,16,32 names other steps.

The slope is that of a least-squares line through the steps; its deviation, how far the cost of the cameras added at any
one step is off it. A step for which there is no memory is left out, and said so.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray

from actors.camera import CameraActor
from actors.inference import InferenceActor
from actors.link import Peer
from benchmarks.throughput import bench_camera, cpu_seconds, local_system, statuses

STEPS = (8, 32, 64, 212)
SOURCE = "sim://yard?size=160x90&fps=1&noise=0&codec=mjpeg&seed={}"
AT_ONCE = 4
SETTLE_S, WINDOW_S = 15.0, 40.0
LEFT_FREE_BYTES = 2 * 2**30
START_LIMIT_S = 1800.0


def steps() -> tuple[int, ...]:
    named = os.environ.get("HOABAN_LINEAR_CAMERAS", "")
    return tuple(sorted({int(one) for one in named.split(",")})) if named else STEPS


def measure() -> dict[str, Any]:
    """Each step, the slopes over the number of cameras, and how far single steps are off them.

    processors: in use by all processes. mb: proportional set size of the cameras' processes. frames_kept: analysed, of
    those that came.
    """
    found: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    cameras: list[Any] = []
    with local_system() as (folder, redis_url):
        session, node = os.urandom(4).hex(), ray.get_runtime_context().get_node_id()
        model = InferenceActor.options(num_cpus=0).remote("bench", session, ["sim-colours"], 1, "cpu")
        ray.get(model.where.remote())
        peer = Peer("bench", node, session)
        for count in steps():
            if found and (short := _short_of(count - len(cameras), found[-1])):
                left_out[str(count)] = short
                continue
            _start_until(count, cameras, peer, redis_url, folder)
            time.sleep(SETTLE_S)
            found.append(_look(cameras))
            print(f"linear: {found[-1]}", flush=True)
    shown: dict[str, Any] = {}
    for step in found:
        shown[f"{step['cameras']} cameras"] = {
            "processors": step["cpu"],
            "mb": step["mb"],
            "frames_kept": step["frames_kept"],
        }
    for count, why in left_out.items():
        shown[f"{count} cameras"] = {"left_out": why}
    return shown | {"processors a camera": line(found, "cpu"), "mb a camera": line(found, "mb")}


def line(found: list[dict[str, Any]], what: str) -> dict[str, float]:
    """The least-squares line of a measured quantity over the number of cameras; empty for fewer than two steps.

    worst_deviation: the greatest share by which the cost of one camera between two steps differs from the slope.
    """
    if len(found) < 2:
        return {}
    counts, costs = (np.array([step[name] for step in found], float) for name in ("cameras", what))
    slope, base = np.polyfit(counts, costs, 1)
    between = np.diff(costs) / np.diff(counts)
    worst = float(np.max(np.abs(between / slope - 1)))
    return {"slope": round(float(slope), 5), "base": round(float(base), 3), "worst_deviation": round(worst, 3)}


def _short_of(more: int, last: dict[str, Any]) -> str:
    needed = more * last["mb"] / last["cameras"] * 2**20 + LEFT_FREE_BYTES
    free = psutil.virtual_memory().available
    if needed <= free:
        return ""
    return f"{needed / 2**30:.1f} GiB are needed with what stays free, {free / 2**30:.1f} GiB are there"


def _start_until(count: int, cameras: list[Any], peer: Peer, redis_url: str, folder: Path) -> None:
    """A few at a time, so that none waits for its turn to start so long that its stream is given up."""
    ends_s = time.monotonic() + START_LIMIT_S
    while len(cameras) < count:
        first = len(cameras)
        for index in range(first, min(first + AT_ONCE, count)):
            camera = bench_camera(
                index, SOURCE.format(index), model="sim-colours", analysis_fps=1, motion_gate=False, pre_roll_s=0
            )
            cameras.append(CameraActor.options(num_cpus=0).remote(camera, [peer], redis_url, str(folder), "live"))
        while not all(one["frames_analysed"] for one in statuses(cameras[first:])):
            if time.monotonic() > ends_s:
                raise TimeoutError(f"{count} cameras are not all analysed after {START_LIMIT_S:.0f} s")
            time.sleep(0.5)


def _look(cameras: list[Any]) -> dict[str, Any]:
    """A window of all of them together. cpu: processors in use by all processes; mb: proportional set size."""
    before, began_cpu_s, began_s = _analysed(cameras), cpu_seconds(), time.monotonic()
    time.sleep(WINDOW_S)
    cpu_s, window_s = cpu_seconds() - began_cpu_s, time.monotonic() - began_s
    analysed = _analysed(cameras) - before
    pids = [one["pid"] for one in statuses(cameras)]
    mb = sum(psutil.Process(pid).memory_full_info().pss for pid in pids) / 2**20
    return {
        "cameras": len(cameras),
        "cpu": round(cpu_s / window_s, 4),
        "mb": round(mb, 1),
        "frames_kept": round(analysed / (window_s * len(cameras)), 3),
    }


def _analysed(cameras: list[Any]) -> int:
    return sum(one["frames_analysed"] for one in statuses(cameras))
