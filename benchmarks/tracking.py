"""The tracker on four kinds of material (benchmarks/tracking_material.py), judged by motmetrics, beside libraries.

`python -m benchmarks.tracking --compare` puts each library into a virtual environment of its own below benchmarks/out,
then does what `python -m benchmarks tracking` does: measures ours, and those libraries that are there.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import motmetrics
import numpy as np

from actors.models import find_clip
from benchmarks import tracking_material as material
from benchmarks.houses import House
from benchmarks.tracking_material import CLIP, Scene
from hoaban.geometry import iou
from hoaban.tracking import Tracker

MIN_IOU = 0.5
MIN_SCORE = 0.25
RATES = (10.0, 5.0, 3.0)
SEEDS = (11, 12, 13)
"""others than 1 to 8, on which the tracker's numbers were chosen"""
OBJECTS = (10, 200)
PAGE = Path(__file__).resolve().parents[1] / "docs" / "tracking.md"
NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True)
class Trackers(House):
    """A house of tracking libraries, and what tracking_worker.py can run in it."""

    libraries: tuple[str, ...]


ROBOFLOW = tuple(f"trackers {kind}" for kind in ("SORT", "ByteTrack", "OC-SORT", "BoT-SORT", "C-BIoU"))
LIBRARIES = (
    Trackers(("trackers==2.6.1", "supervision==0.31.2"), ROBOFLOW),
    Trackers(("supervision==0.30.9",), ("supervision ByteTrack",)),  # 0.31 has no ByteTrack
    Trackers(("norfair==2.3.0",), ("norfair",)),  # wants numpy below 2
)


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker made of a scene: each frame's ids and boxes, and its milliseconds of processor time."""

    ids: list[np.ndarray]
    boxes: list[np.ndarray]
    ms: float


def ours(scene: Scene) -> Tracked:
    """Hoa Ban's tracker."""
    tracker, ids, boxes, ms = Tracker(), [], [], []
    for now_s, detections in zip(scene.times_s, scene.detections, strict=True):
        began = time.process_time()
        tracks = tracker.update(detections, now_s)
        ms.append((time.process_time() - began) * 1e3)
        ids.append(tracks.ids)
        boxes.append(tracks.boxes)
    return Tracked(ids, boxes, float(np.median(ms)))


def theirs(house: Trackers, scenes: list[Scene]) -> dict[str, list[Tracked]]:
    """The libraries of a house: name -> what it made of each scene."""
    rows: dict[str, Any] = {}
    for k, scene in enumerate(scenes):
        rows[f"times_{k}"] = scene.times_s
        rows[f"count_{k}"] = [len(frame) for frame in scene.detections]
        for field in ("boxes", "scores", "classes"):
            rows[f"{field}_{k}"] = np.concatenate([getattr(frame, field) for frame in scene.detections])
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, **rows)
        worker = Path(__file__).with_name("tracking_worker.py")
        subprocess.run([house.python, worker, given, made, *house.libraries], check=True, env=house.environment())
        held = dict(np.load(made))
    answers: dict[str, list[Tracked]] = {}
    for name in house.libraries:
        for k in range(len(scenes)):
            count, ids, boxes, ms = (held[f"{name}/{k}/{field}"] for field in ("count", "ids", "boxes", "ms"))
            cuts = np.cumsum(count)[:-1]
            tracked = Tracked(np.split(ids, cuts), np.split(boxes, cuts), float(np.median(ms)))
            answers.setdefault(name, []).append(tracked)
    return answers


def judge(scene: Scene, tracked: Tracked) -> dict[str, float]:
    """MOTA, IDF1 and what they come from. Where the truth does not name all, only what is said of those named."""
    judged = motmetrics.MOTAccumulator(auto_id=False)
    for frame, there in scene.truth.items():
        overlap = iou(there.boxes, tracked.boxes[frame])
        judged.update(there.ids, tracked.ids[frame], np.where(overlap >= MIN_IOU, 1 - overlap, np.nan), frameid=frame)
    wanted = ["num_switches", "num_fragmentations", "num_misses", "num_objects"]
    if scene.whole:
        wanted = ["mota", "idf1", *wanted, "num_false_positives"]
    summary = motmetrics.metrics.create().compute(judged, metrics=wanted, name="x").iloc[0]
    names = len({int(name) for frame in tracked.ids for name in frame})
    return {name.removeprefix("num_"): float(summary[name]) for name in wanted} | {"ids": float(names)}


def scenes(truth_folder: Path) -> dict[str, list[Scene]]:
    """What is judged: name -> scenes whose figures are averaged."""
    public, own = material.public_detections(truth_folder), material.own_detections(MIN_SCORE)
    found = {
        "pets, public detections": [material.pets(truth_folder, public, "pets")],
        "pets, yolox-nano": [material.pets(truth_folder, own, "pets")],
    }
    whole = {
        "chains, public detections": [material.chains(public, public, "chains")],
        "chains, yolox-nano": [material.chains(public, own, "chains")],
        "tud": [material.tud(seed) for seed in SEEDS],
        "walkers": [material.drawn(walkers=24, riders=0, seed=seed) for seed in SEEDS],
        "drawn": [material.drawn(seed=seed) for seed in SEEDS],
    }
    for name, several in whole.items():
        found |= {f"{name}, {fps:g} fps": [scene.at(fps) for scene in several] for fps in RATES}
    return found


def measure(folder: Path) -> dict[str, Any]:
    """tracker -> scene -> figures; "not installed" for a library that is not there."""
    judged, timed = scenes(folder), {f"{n} objects": material.moving(n) for n in OBJECTS}
    flat = [scene for several in judged.values() for scene in several] + list(timed.values())
    made: dict[str, list[Tracked] | None] = {"hoaban": [ours(scene) for scene in flat]}
    for house in LIBRARIES:
        made |= theirs(house, flat) if house.stands else dict.fromkeys(house.libraries)
    return {
        name: NOT_INSTALLED if tracked is None else _figures(judged, list(timed), iter(tracked))
        for name, tracked in made.items()
    }


def _figures(judged: dict[str, list[Scene]], timed: list[str], tracked: Iterable[Tracked]) -> dict[str, Any]:
    answers = iter(tracked)
    figures: dict[str, Any] = {}
    for name, several in judged.items():
        each = [judge(scene, next(answers)) for scene in several]
        figures[name] = {key: round(float(np.mean([one[key] for one in each])), 3) for key in each[0]}
    return figures | {"ms_per_frame": {name: round(next(answers).ms, 3) for name in timed}}


def table(measured: dict[str, Any]) -> str:
    """The figures as a Markdown table, one tracker a line."""
    rates = [f"{fps:g} fps" for fps in RATES]
    made = ("tud", "walkers", "drawn")
    heads = ["", *(f"{name}: IDF1" for name in made), "chains: switches", "ids", "ms at 10 / 200"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for tracker, figures in measured.items():
        if "ms_per_frame" not in figures:
            continue
        cells = [tracker]
        cells += [" / ".join(f"{figures[f'{name}, {rate}']['idf1']:.2f}" for rate in rates) for name in made]
        chains = [figures[f"chains, {who}, 5 fps"] for who in ("public detections", "yolox-nano")]
        cells += [" / ".join(f"{one[what]:.0f}" for one in chains) for what in ("switches", "ids")]
        cells.append(" / ".join(f"{ms:.2f}" for ms in figures["ms_per_frame"].values()))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def truth_table(measured: dict[str, Any]) -> str:
    """Each tracker on the frames with public truth, as a Markdown table."""
    lines = ["| | MOTA | IDF1 | switches | misses | false | of |", "|---|---|---|---|---|---|---|"]
    for tracker, figures in measured.items():
        if "ms_per_frame" not in figures:
            continue
        for who in ("public detections", "yolox-nano"):
            found = figures[f"pets, {who}"]
            counts = [f"{found[key]:.0f}" for key in ("switches", "misses", "false_positives", "objects")]
            cells = [f"{tracker}, {who}", f"{found['mota']:.3f}", f"{found['idf1']:.3f}", *counts]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_page(measured: dict[str, Any]) -> None:
    """Renew the tables of docs/tracking.md: between two marks each, the rest is left as it was written.

    A run without the libraries leaves the page alone, since it would show no comparison any more.
    """
    if NOT_INSTALLED in measured.values():
        return
    text = PAGE.read_text()
    for mark, lines in (("truth", truth_table(measured)), ("trackers", table(measured))):
        before, _, rest = text.partition(f"<!-- {mark} -->\n")
        after = rest.partition(f"<!-- end of {mark} -->")[2]
        text = f"{before}<!-- {mark} -->\n{lines}\n<!-- end of {mark} -->{after}"
    PAGE.write_text(text)


def install() -> None:
    """Put the libraries where `measure` looks for them."""
    for house in LIBRARIES:
        house.build()


def truth_folder() -> Path:
    """Where the truth of clips lies: HOABAN_TRUTH, by default beside the clips."""
    return Path(os.environ.get("HOABAN_TRUTH") or find_clip(CLIP).parents[1] / "truth")


if __name__ == "__main__":
    from benchmarks.__main__ import run

    if "--compare" in sys.argv[1:]:
        install()
    run(["tracking"])
