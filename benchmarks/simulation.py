"""Simulated sources: what a frame costs, and what the detector of their colours finds of the truth.

`python -m benchmarks.simulation` prints two tables. CPU seconds of one thread, not wall-clock time: a busy machine does
not change them much.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from actors.sim_source import SimReader
from actors.source import open_frames
from hoaban.geometry import iou
from hoaban.sim.address import SCENES, parse_address
from hoaban.sim.colours import LABELS
from hoaban.sim.detect import find
from hoaban.sim.film import Film
from hoaban.sim.truth import FrameTruth, ObjectTruth

MIN_SCORE, MIN_OVERLAP, MIN_SIDE_PX, MIN_VISIBLE = 0.35, 0.4, 8, 0.5
SECONDS, EVERY = 60, 5
HARDER = ("", "&night=1", "&night=1&noise=4", "&occlusion=0.2", "&noise=10")


def main() -> None:
    cv2.setNumThreads(1)
    print("source, frames a CPU second: drawn; drawn, encoded and decoded; detector ms a frame")
    for scene in SCENES:
        source = f"sim://{scene}?seed=2&duration={SECONDS}"
        drawn = _rate(lambda source=source: sum(1 for _ in Film(parse_address(source)).shots()))
        coded = _rate(lambda source=source: sum(1 for _ in SimReader(source).frames()))
        print(f"{scene:9} {drawn:6.0f} {coded:6.0f} {_detector_ms(source):5.1f}")
    print(
        f"source, recall (half visible, at least {MIN_SIDE_PX} px), precision, at score {MIN_SCORE}, IoU {MIN_OVERLAP}"
    )
    for scene in SCENES:
        for harder in HARDER if scene == "junction" else HARDER[:1]:
            recall, precision = recall_and_precision(f"sim://{scene}?seed=2&duration={SECONDS}{harder}")
            print(f"{scene + harder:28} {recall:.3f} {precision:.3f}")


def recall_and_precision(source: str, every: int = EVERY) -> tuple[float, float]:
    """(recall, precision) of the detector on every so many frames."""
    told = rows_seen = right = clear_hits = 0
    frames = (record for record in Film(parse_address(source)).truth() if isinstance(record, FrameTruth))
    for frame, picture in zip(frames, open_frames(source, "sim"), strict=True):
        if frame.seq % every:
            continue
        rows = find(picture.frame.to_ndarray(format="bgr24"))
        rows = rows[rows[:, 4] >= MIN_SCORE]
        items = [item for item in frame.objects if item.label in LABELS]
        clear = {number for number, item in enumerate(items) if _is_clear(item)}
        told, rows_seen = told + len(clear), rows_seen + len(rows)
        if not items or not len(rows):
            continue
        overlap = iou(rows[:, :4], np.array([item.box for item in items]))
        overlap *= np.array([[LABELS[int(code)] == item.label for item in items] for code in rows[:, 5]])
        pairs = zip(*linear_sum_assignment(-overlap), strict=True)
        hits = {int(item) for row, item in pairs if overlap[row, item] >= MIN_OVERLAP}
        right, clear_hits = right + len(hits), clear_hits + len(hits & clear)
    return clear_hits / told, right / rows_seen


def _is_clear(item: ObjectTruth) -> bool:
    x1, y1, x2, y2 = item.box
    return item.visible >= MIN_VISIBLE and min(x2 - x1, y2 - y1) >= MIN_SIDE_PX


def _rate(run: Callable[[], int]) -> float:
    began = time.process_time()
    return run() / (time.process_time() - began)


def _detector_ms(source: str) -> float:
    pictures = [p.frame.to_ndarray(format="bgr24") for p in open_frames(source, "sim") if p.meta.seq % 20 == 0]
    began = time.process_time()
    for picture in pictures:
        find(picture)
    return (time.process_time() - began) / len(pictures) * 1000


if __name__ == "__main__":
    main()
