"""What a candidate beside the model that counts costs this one: the waits of its frames, with and without, in turn.

Cameras of a steady rate offer frames to one inference process through shared memory, as live ones do. For some seconds
a sample of the frames that were answered goes to the candidate as well, for some seconds none does, and again: so that
whatever else the machine does meets both alike. The ratio of the 95th percentiles is over all frames of either kind.
"""

import json
import multiprocessing
import os
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors import wire
from actors.channel import SPARE
from actors.link import LinkedModel, ModelLink, Peer

PRIMARY, CANDIDATE = "yolox-nano", "fastestdet@1.0.0"
CAMERAS, FPS, SAMPLE, THREADS = 4, 5.0, 0.5, 2
TURN_S, PAIRS = 4.0, 12
WARM_S = 5.0


def _serve(session: str, stop: Any) -> None:
    from actors.inference import InferenceService

    InferenceService("bench", session, [PRIMARY, CANDIDATE], threads=THREADS, device="cpu")
    stop.wait()


class _Camera:
    """A camera that offers a frame each 1 / FPS seconds, and to the candidate what `shadowed` lets through."""

    def __init__(self, number: int, session: str) -> None:
        peer = Peer("bench", "here", session)
        self.waits: list[tuple[float, float]] = []
        """(when offered, seconds to the answer)"""
        self.looks = self.sampled = 0
        self.shadowed = False
        self._number, self._offered = number, {}
        self._picture = np.random.default_rng(number).integers(0, 255, (416, 416, 3), np.uint8)
        hello = {"camera": f"c{number}", "rate": FPS}
        self._link = ModelLink(hello | {"model": PRIMARY}, [peer], "here", self._on_result)
        shadow = {"camera": f"c{number}/shadow", "model": CANDIDATE, "rate": FPS * SAMPLE, SPARE: True}
        self._shadow = ModelLink(shadow, [peer], "here", self._on_look)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        for part in (self._link, self._shadow, self._thread):
            part.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._link.stop()
        self._shadow.stop()

    def _run(self) -> None:
        seq, due_s = 0, time.monotonic() + self._number / (CAMERAS * FPS)
        while not self._stopping.wait(max(0.0, due_s - time.monotonic())):
            due_s += 1 / FPS
            seq += 1
            self._offered[seq] = time.monotonic()
            self._link.offer(seq, self._fill)

    def _fill(self, into: NDArray[np.uint8], model: LinkedModel) -> None:
        into[:] = self._picture[: into.shape[0], : into.shape[1]]

    def _on_result(self, result: wire.Result, _: LinkedModel) -> None:
        offered_s = self._offered.pop(result.seq, None)
        if offered_s is not None:
            self.waits.append((offered_s, time.monotonic() - offered_s))
        if self.shadowed and result.seq % round(1 / SAMPLE) == 0:
            self.sampled += self._shadow.offer(result.seq, self._fill)

    def _on_look(self, result: wire.Result, _: LinkedModel) -> None:
        self.looks += 1


def measure() -> dict[str, Any]:
    """Waits of the primary's frames with and without a candidate; their ratio."""
    session, context = os.urandom(4).hex(), multiprocessing.get_context("spawn")
    stop = context.Event()
    server = context.Process(target=_serve, args=(session, stop), daemon=True)
    server.start()
    cameras = [_Camera(number, session) for number in range(CAMERAS)]
    for camera in cameras:
        camera.start()
    while not all(camera.waits for camera in cameras):
        time.sleep(0.1)
    for camera in cameras:
        camera.shadowed = True
    time.sleep(WARM_S)
    for camera in cameras:
        camera.looks = camera.sampled = 0
    turns: list[tuple[bool, float, float]] = []
    for turn in range(2 * PAIRS):
        # With, without, without, with: a machine that grows slower favours neither.
        with_it = turn % 4 in (0, 3)
        for camera in cameras:
            camera.shadowed = with_it
        time.sleep(0.25)
        began = time.monotonic()
        time.sleep(TURN_S)
        turns.append((with_it, began, time.monotonic()))
    for camera in cameras:
        camera.stop()
    stop.set()
    server.join(10)
    found = {kind: _within(cameras, [turn[1:] for turn in turns if turn[0] is kind]) for kind in (True, False)}
    looks, sampled = (sum(getattr(camera, name) for camera in cameras) for name in ("looks", "sampled"))
    p95 = {kind: float(np.percentile(waits, 95)) for kind, waits in found.items()}
    return {
        "primary": PRIMARY,
        "candidate": CANDIDATE,
        "cameras": CAMERAS,
        "fps": FPS,
        "sample": SAMPLE,
        "threads": THREADS,
        "frames": {"with": len(found[True]), "without": len(found[False])},
        "p50_ms": {"with": _ms(found[True], 50), "without": _ms(found[False], 50)},
        "p95_ms": {"with": _ms(found[True], 95), "without": _ms(found[False], 95)},
        "p95_ratio": round(p95[True] / p95[False], 3),
        "looks": looks,
        "sampled": sampled,
    }


def _within(cameras: list[_Camera], turns: list[tuple[float, float]]) -> list[float]:
    return [
        wait_s
        for camera in cameras
        for at_s, wait_s in camera.waits
        if any(began <= at_s < ended for began, ended in turns)
    ]


def _ms(waits_s: list[float], percent: float) -> float:
    return round(float(np.percentile(waits_s, percent)) * 1e3, 2)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
