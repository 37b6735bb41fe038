"""What a batch of several pictures gains on a processor: the pinned detectors, by threads and batch.

Run by itself: `python -m benchmarks.batching`. All combinations take turns, many times over, and the least time of each
stands: what else runs on the machine can only add to it. Processor time is that of all threads together.
"""

import itertools
import time

import numpy as np

from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from hoaban.models.backend import Detector

MODELS = ("yolox-nano", "fastestdet")
THREADS = (1, 2)
BATCHES = (1, 2, 4, 8)
ROUNDS = 40


def main() -> None:
    cases: dict[tuple[str, int, int], Detector] = {}
    for name, threads in itertools.product(MODELS, THREADS):
        single = load_detector(find_model(name), threads=threads, device="cpu")
        many = load_detector(find_model(name), threads=threads, device="cpu", most=max(BATCHES))
        cases |= {(name, threads, batch): single if batch == 1 else many for batch in BATCHES}
    picture = next(open_frames(str(find_clip("pets-s2l1-v1.mp4")), "bench"))
    wall = {case: float("inf") for case in cases}
    cpu = dict(wall)
    for _ in range(ROUNDS):
        for case, detector in cases.items():
            fitted, _ = picture.model_input(detector.input_width, detector.input_height)
            pictures = np.stack([fitted] * case[2])
            began, cpu_began = time.perf_counter(), time.process_time()
            detector.infer(pictures)
            wall[case] = min(wall[case], (time.perf_counter() - began) / case[2])
            cpu[case] = min(cpu[case], (time.process_time() - cpu_began) / case[2])
    print("| model | threads | " + " | ".join(f"batch {batch}" for batch in BATCHES) + " |")
    print("|---|---|" + "---|" * len(BATCHES))
    for name, threads in itertools.product(MODELS, THREADS):
        cells = [f"{wall[name, threads, batch] * 1e3:.1f} / {cpu[name, threads, batch] * 1e3:.1f}" for batch in BATCHES]
        print(f"| {name} | {threads} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
