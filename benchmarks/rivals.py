"""Frames a second of 8 cameras, against what one writes with other libraries.

All read the same clips and run the same ONNX file on the same processors, track, and count over one line. One process
of `supervision` is the loop of its tutorials, with a model thread for each processor; a process each processor, with a
share of the clips and one model thread, is the most that can be had where nothing is shared. Roboflow's
`InferencePipeline` takes all clips in one process. They alternate with us; each ratio is ours over theirs, pair by
pair. Live streams, restarts, events, storage and an interface are ours alone, and are in our figure.

`python -m benchmarks.rivals --install` puts the libraries (7 GB) where this looks for them; without, it is left out.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors.models import find_clip, find_model
from benchmarks.houses import House
from benchmarks.throughput import CAMERAS, CLIPS, SECONDS, local_system, through_actors

HOUSE = House(("inference==1.8.3", "supervision==0.30.9"))
RUNTIME = "onnxruntime==1.32.0"
"""the version that we run; the one that `inference` asks for is older and slower"""
WORKER = Path(__file__).with_name("rivals_worker.py")
PAIRS = 2


def _frames_per_s(kind: str, shares: list[list[str]], threads: int) -> float:
    """The rate of a worker for each share of the clips, all at once."""
    model = str(find_model("yolox-nano").path)
    workers = [
        subprocess.Popen(
            [HOUSE.python, WORKER, kind, str(SECONDS), model, str(threads), *share],
            env=HOUSE.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for share in shares
    ]  # fmt: skip
    told = [json.loads(worker.communicate()[0].splitlines()[-1]) for worker in workers]
    return float(sum(one["frames"] / one["seconds"] for one in told))


def measure() -> dict[str, Any]:
    """The ratios and what they were made of."""
    if not HOUSE.stands:
        return {"left out": "the libraries are not installed: python -m benchmarks.rivals --install"}
    processors = os.cpu_count() or 1
    clips = [str(find_clip(CLIPS[i % len(CLIPS)])) for i in range(CAMERAS)]
    shares = [clips[i::processors] for i in range(processors)]
    rivals: dict[str, Callable[[], float]] = {
        "supervision, one process": lambda: _frames_per_s("supervision", [clips], processors),
        "supervision, a process each processor": lambda: _frames_per_s("supervision", shares, 1),
        "InferencePipeline": lambda: _frames_per_s("pipeline", [clips], processors),
    }
    found: dict[str, dict[str, list[float]]] = {name: {"ours": [], "theirs": []} for name in rivals}
    with local_system() as (folder, redis_url):
        for _ in range(PAIRS):
            for name, rival in rivals.items():
                found[name]["theirs"].append(round(rival(), 1))
                ours = through_actors(clips, processors, folder, redis_url)
                found[name]["ours"].append(round(ours.frames_per_s, 1))
    return {
        name: {
            "ours, frames/s": sides["ours"],
            "theirs, frames/s": sides["theirs"],
            "ratio": round(statistics.median(o / t for o, t in zip(sides["ours"], sides["theirs"], strict=True)), 2),
        }
        for name, sides in found.items()
    }


def install() -> None:
    """Put the libraries where `measure` looks for them."""
    HOUSE.build()
    command = [HOUSE.python, "-m", "pip", "install", "--quiet", "--no-deps", RUNTIME]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--install"]:
        install()
    else:
        from benchmarks.__main__ import run

        run(["rivals"])
