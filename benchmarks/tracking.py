"""The tracker against public truth on pets-s2l1-v1.mp4: MOTA and IDF1 by motmetrics, public and own detections.

The truth at hand covers a few frames only, so identity is judged over few chances to go wrong: read the figures as a
check that nothing is broken, not as a rank among trackers.
"""

import time
from pathlib import Path
from typing import Any

import cv2
import motmetrics
import numpy as np

from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from hoaban.detections import Detections
from hoaban.geometry import iou
from hoaban.tracking import Tracker

CLIP, TRUTH, PUBLIC = "pets-s2l1-v1.mp4", "PETS09-S2L1_gt_subset.txt", "PETS09-S2L1_det.txt"
MIN_IOU = 0.5


def _rows(path: Path) -> dict[int, np.ndarray]:
    """frame (from 1) -> rows of a MOT file: id, left, top, width, height, score."""
    table = np.loadtxt(path, delimiter=",", comments="#")
    return {int(frame): table[table[:, 0] == frame][:, 1:7] for frame in np.unique(table[:, 0])}


def _public(path: Path) -> list[Detections]:
    found = _rows(path)
    frames = []
    for frame in range(1, max(found) + 1):
        rows = found.get(frame, np.zeros((0, 6)))
        boxes = np.concatenate([rows[:, 1:3], rows[:, 1:3] + rows[:, 3:5]], axis=1).astype(np.float32)
        scores = np.clip(rows[:, 5], 0, 1).astype(np.float32)
        frames.append(Detections(boxes, scores, np.zeros(len(rows), np.int32), ("person",)))
    return frames


def _ours() -> list[Detections]:
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), device="cpu")
    frames = []
    for picture in open_frames(str(find_clip(CLIP)), "pets"):
        pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
        rows = detector.infer(pixels[None])[0]
        rows = rows[(rows[:, 5] == 0) & (rows[:, 4] >= 0.35)]
        size = picture.meta.width, picture.meta.height
        frames.append(Detections.from_rows(rows, letterbox, detector.labels, *size))
    return frames


def _judge(frames: list[Detections], truth: dict[int, np.ndarray]) -> dict[str, Any]:
    tracker, judge = Tracker(), motmetrics.MOTAccumulator(auto_id=False)
    busy_s = 0.0
    for number, detections in enumerate(frames, 1):
        began = time.process_time()
        tracks = tracker.update(detections, number / 10)
        busy_s += time.process_time() - began
        if number not in truth:
            continue
        rows = truth[number]
        overlap = iou(np.concatenate([rows[:, 1:3], rows[:, 1:3] + rows[:, 3:5]], axis=1), tracks.boxes)
        distances = np.where(overlap >= MIN_IOU, 1 - overlap, np.nan)
        judge.update(rows[:, 0].astype(int), tracks.ids, distances, frameid=number)
    wanted = ["mota", "idf1", "num_switches", "num_misses", "num_false_positives", "num_objects"]
    summary = motmetrics.metrics.create().compute(judge, metrics=wanted, name="x").iloc[0]
    figures = {name: round(float(summary[name]), 3) for name in wanted}
    return figures | {"ms_per_frame": round(busy_s / len(frames) * 1e3, 3)}


def measure(truth_folder: Path) -> dict[str, Any]:
    """Figures for public detections and for yolox-nano's."""
    truth = _rows(truth_folder / TRUTH)
    return {
        "truth_frames": len(truth),
        "public detections": _judge(_public(truth_folder / PUBLIC), truth),
        "yolox-nano": _judge(_ours(), truth),
    }
