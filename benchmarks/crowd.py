"""How well people are counted: pets-s2l1-v1.mp4 through the pipeline of a crowd camera, against three counts.

By eye (20 frames, benchmarks/counts), public truth (7 frames) and public detections (all frames; a detector's, not
truth). The figure judged is the crowd rule's own: the tracks in a zone over the whole picture, by the median of a
second. The error stated is the mean absolute one, in people.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from hoaban.fleet import Camera
from hoaban.pipeline import CameraPipeline

CLIP, TRUTH, PUBLIC = "pets-s2l1-v1.mp4", "PETS09-S2L1_gt_subset.txt", "PETS09-S2L1_det.txt"
EYE = Path(__file__).with_name("counts") / "pets-s2l1-people.yaml"
WHOLE = {"id": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}


def our_counts() -> tuple[dict[int, int], dict[int, int]]:
    """frame (from 1) -> people by the crowd rule, and by the plain number of tracks in that frame."""
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), threads=1, device="cpu")
    camera = Camera.model_validate(
        {
            "id": "pets",
            "name": "pets",
            "role": "face_crowd",
            "district": "d",
            "owner": "o",
            "source": CLIP,
            "analysis_fps": 10,
            "zones": [WHOLE],
            "rules": [{"type": "crowd", "zone": "all", "at_least": 6}],
        }
    )
    pipeline = CameraPipeline(camera, detector.ref, "bench")
    smooth, plain = {}, {}
    for number, picture in enumerate(open_frames(str(find_clip(CLIP)), "pets"), 1):
        pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
        pipeline.step_rows(picture.meta, detector.infer(pixels[None])[0], letterbox, detector.labels)
        smooth[number] = pipeline.measures()["crowd:all"]["count"]
        plain[number] = pipeline.zones["all"].get("person", 0)
    return smooth, plain


def rows_per_frame(path: Path) -> dict[int, int]:
    """frame -> number of rows of a MOT file."""
    frames, counts = np.unique(np.loadtxt(path, delimiter=",", comments="#")[:, 0].astype(int), return_counts=True)
    return dict(zip(frames.tolist(), counts.tolist(), strict=True))


def compare(ours: dict[int, int], other: dict[int, int]) -> dict[str, Any]:
    """Over the frames that both have: mean absolute error, mean error (below 0: we see too few), the worst."""
    off = np.array([ours[frame] - other[frame] for frame in sorted(ours.keys() & other.keys())])
    people = float(np.mean([other[frame] for frame in ours.keys() & other.keys()]))
    return {
        "frames": len(off),
        "people_mean": round(people, 2),
        "mae": round(float(np.abs(off).mean()), 3),
        "mean_error": round(float(off.mean()), 3),
        "worst": int(np.abs(off).max()),
    }


def measure(truth: Path) -> dict[str, Any]:
    """The errors of our counts, plain and smoothed, and of the public detections."""
    eye = {int(frame): int(n) for frame, n in yaml.safe_load(EYE.read_text())["people"].items()}
    public = rows_per_frame(truth / PUBLIC)
    others = {"eye": eye, "public truth": rows_per_frame(truth / TRUTH), "public detections": public}
    smooth, plain = our_counts()
    ours = {"crowd rule": smooth, "tracks of the frame": plain}
    figures: dict[str, Any] = {
        f"{name} against {against}": compare(counts, other)
        for name, counts in ours.items()
        for against, other in others.items()
    }
    return figures | {"public detections against eye": compare(public, eye)}
