"""Tracking libraries over given detections: `python tracking_worker.py IN.npz OUT.npz NAME…`, in their own venv.

Imports nothing of Hoa Ban. IN holds, for each scene k: times_k (n,), count_k (n,), boxes_k, scores_k, classes_k, all
frames' rows one after the other. OUT gets, for each library NAME and scene k: NAME/k/count, NAME/k/ids, NAME/k/boxes,
and NAME/k/ms, a frame's time. Libraries know no classes, so each class has a tracker of its own. All get Hoa Ban's
thresholds (begin at 0.6, sure from 0.5, confirmed by the second hit, lost after 1.5 s); the rest is their default.
"""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

BEGIN, SURE, HITS, LOST_S = 0.6, 0.5, 2, 1.5
Step = Callable[[Any, Any, float], tuple[Any, Any]]


def roboflow(kind: str, fps: float) -> Step:
    """The Roboflow `trackers` package."""
    import supervision
    import trackers

    shared = {"lost_track_buffer": round(LOST_S * 30), "frame_rate": fps, "minimum_consecutive_frames": HITS}
    if kind != "OCSORT":
        shared["track_activation_threshold"] = BEGIN
    if kind != "SORT":
        shared["high_conf_det_threshold"] = SURE
    if kind == "BoTSORT":
        shared["enable_cmc"] = False  # no pictures here, and fixed cameras do not move
    tracker = getattr(trackers, f"{kind}Tracker")(**shared)

    def step(boxes: Any, scores: Any, now_s: float) -> tuple[Any, Any]:
        seen = supervision.Detections(boxes, confidence=scores, class_id=np.zeros(len(boxes), int))
        found = tracker.update(seen, timestamp=now_s)
        known = found.tracker_id >= 0
        return found.tracker_id[known], found.xyxy[known]

    return step


def supervision_bytetrack(fps: float) -> Step:
    """ByteTrack as `supervision` had it before 0.31; it begins tracks at its threshold + 0.1."""
    import supervision

    tracker = supervision.ByteTrack(
        track_activation_threshold=BEGIN - 0.1,
        lost_track_buffer=round(LOST_S * 30),
        frame_rate=fps,
        minimum_consecutive_frames=HITS,
    )

    def step(boxes: Any, scores: Any, now_s: float) -> tuple[Any, Any]:
        seen = supervision.Detections(boxes, confidence=scores, class_id=np.zeros(len(boxes), int))
        found = tracker.update_with_detections(seen)
        return found.tracker_id, found.xyxy

    return step


def norfair_iou(fps: float) -> Step:
    """norfair with its IoU distance. It has no second stage, so it gets the sure detections only."""
    import norfair

    patience = max(2, round(LOST_S * fps))
    tracker = norfair.Tracker("iou", 0.8, hit_counter_max=patience, initialization_delay=HITS - 1)

    def step(boxes: Any, scores: Any, now_s: float) -> tuple[Any, Any]:
        sure = [norfair.Detection(box.reshape(2, 2), data=now_s) for box in boxes[scores >= SURE]]
        found = [track for track in tracker.update(sure) if track.last_detection.data == now_s]
        return np.array([t.id for t in found]), np.array([t.estimate.reshape(4) for t in found]).reshape(-1, 4)

    return step


MAKERS: dict[str, Callable[[float], Step]] = {
    "trackers SORT": lambda fps: roboflow("SORT", fps),
    "trackers ByteTrack": lambda fps: roboflow("ByteTrack", fps),
    "trackers OC-SORT": lambda fps: roboflow("OCSORT", fps),
    "trackers BoT-SORT": lambda fps: roboflow("BoTSORT", fps),
    "trackers C-BIoU": lambda fps: roboflow("CBIoU", fps),
    "supervision ByteTrack": supervision_bytetrack,
    "norfair": norfair_iou,
}


def run(make: Callable[[float], Step], scene: dict[str, Any]) -> dict[str, Any]:
    """Ids and boxes of all frames, and each frame's milliseconds of processor time."""
    times, ends = scene["times"], np.cumsum(scene["count"])
    fps = (len(times) - 1) / (times[-1] - times[0])
    steps: dict[int, Step] = {int(kind): make(fps) for kind in np.unique(scene["classes"])}
    ids, boxes, ms, count = [], [], [], []
    for now_s, start, end in zip(times, ends - scene["count"], ends, strict=True):
        rows = {name: scene[name][start:end] for name in ("boxes", "scores", "classes")}
        inputs = [(k, rows["boxes"][rows["classes"] == k], rows["scores"][rows["classes"] == k]) for k in steps]
        began = time.process_time()
        answers = [(kind, steps[kind](seen, scores, float(now_s))) for kind, seen, scores in inputs]
        ms.append((time.process_time() - began) * 1e3)
        ids += [np.asarray(found, np.int64) * 100 + kind for kind, (found, _) in answers]
        boxes += [np.asarray(where, float).reshape(-1, 4) for _, (_, where) in answers]
        count.append(sum(len(found) for _, (found, _) in answers))
    return {"count": count, "ids": np.concatenate(ids), "boxes": np.concatenate(boxes), "ms": ms}


def main(source: str, target: str, *names: str) -> None:
    """Run the named libraries."""
    warnings.simplefilter("ignore")
    held = np.load(source)
    scenes = {int(key.split("_")[1]) for key in held.files}
    answers = {}
    for name in names:
        for k in sorted(scenes):
            scene = {field: held[f"{field}_{k}"] for field in ("times", "count", "boxes", "scores", "classes")}
            answers |= {f"{name}/{k}/{field}": value for field, value in run(MAKERS[name], scene).items()}
    np.savez(target, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
