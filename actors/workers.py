"""The worker threads of an inference process: batches of cameras through models, and a candidate's looks in between."""

import math
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.clients import Client, Source
from actors.mailbox import Shape
from actors.seats import Seats
from actors.shelf import LoadedModel, ModelShelf
from hoaban.models.backend import Detector
from hoaban.pool_health import Pulse
from hoaban.shadow import ShadowGate

log = structlog.get_logger(__name__)

SUSPECT_AFTER_S = 5.0
"""a model that has not come back from a batch for so long gets no further thread: they are for the other models"""
FIRST_LOOK_S = 0.05
"""what a candidate's first look is expected to take where nothing is known yet"""
SMOOTH_S = 3.0
"""of the load that a pulse tells: what was seen so long ago weighs a third"""
MODEL_NICENESS = 5
"""of threads that run models on the processors that cameras share: a camera's work is short and its frame waits for it,
a model's is long and there is always more"""
NO_ROWS = np.zeros((0, 6), np.float32)


@dataclass(slots=True)
class _Job:
    """A batch that a thread is at."""

    loaded: LoadedModel
    cameras: list[str]
    since_s: float
    spare: bool = False
    """a look of a candidate, beside the models that count"""


class Workers:
    """Threads that serve the cameras of `seats` by the models of `shelf`, each one batch at a time."""

    def __init__(self, seats: Seats, shelf: ModelShelf, threads: int, niceness: int = 0) -> None:
        self._seats, self._shelf, self._niceness = seats, shelf, niceness
        self._scheduler, self._gate = seats.scheduler, ShadowGate()
        self._jobs: dict[int, _Job] = {}
        self._moved_s = time.monotonic()
        self._worked_s = self._lag = self._busy = 0.0
        self._pulsed_s = self._moved_s
        self._served: dict[str, int] = {}
        self._busy_s: deque[float] = deque(maxlen=256)
        self._batches = self._failures = self._looks = 0
        self._threads = [
            threading.Thread(target=self._work, args=(i,), name=f"work-{i}", daemon=True) for i in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stats(self) -> dict[str, Any]:
        """What they have done. With the seats' lock held."""
        busy = sorted(self._busy_s)
        return {
            "served": dict(self._served),
            "batches": self._batches,
            "batch_p50_s": busy[len(busy) // 2] if busy else None,
            "failures": self._failures,
            "looks": self._looks,
        }

    def pulse(self) -> Pulse:
        """What they do now."""
        now = time.monotonic()
        with self._seats.changed:
            self._look_at_load(now)
            longest = min(self._jobs.values(), key=lambda job: job.since_s, default=None)
            return Pulse(
                running=(longest.loaded.label, now - longest.since_s) if longest else None,
                loading=self._shelf.loading(),
                stalled_s=min(now - self._moved_s, self._scheduler.waited_s(now)),
                lag=self._lag,
                busy=self._busy,
                lacking=self._shelf.lacking(),
                loaded=frozenset(name for name, _ in self._shelf),
            )

    def _look_at_load(self, now: float) -> None:
        passed_s = now - self._pulsed_s
        if passed_s <= 0:
            return
        old = math.exp(-passed_s / SMOOTH_S)
        lag, busy = self._scheduler.take_lag(now) or 0.0, min(1.0, self._worked_s / (passed_s * len(self._threads)))
        self._lag, self._busy = (
            old * before + (1 - old) * new for before, new in ((self._lag, lag), (self._busy, busy))
        )
        self._pulsed_s, self._worked_s = now, 0.0

    def suspect(self, loaded: LoadedModel) -> str:
        """Why a model gets no further frames now, in words, or ""."""
        began = [job.since_s for job in list(self._jobs.values()) if job.loaded is loaded]
        for_s = time.monotonic() - min(began) if began else 0.0
        if for_s <= SUSPECT_AFTER_S:
            return ""
        return f"model {loaded.label!r} has not come back from one batch for {for_s:.0f} s"

    def _work(self, number: int) -> None:
        buffers: dict[Shape, NDArray[np.uint8]] = {}
        os.nice(self._niceness)  # on Linux of this thread alone
        while True:
            self._turn(number, buffers)  # a call: what it knew is let go of, so that a model can be unloaded

    def _turn(self, number: int, buffers: dict[Shape, NDArray[np.uint8]]) -> None:
        """Serve one batch, waited for."""
        with self._seats.changed:
            batch, spare = self._next()
            takers = self._seats.takers(batch)
            loaded = self._scheduler.group(batch[0])
            began_s = self._moved_s = time.monotonic()
            self._jobs[number] = _Job(loaded, batch, began_s, spare)
        shape, most = loaded.shape, loaded.detector.most
        if shape not in buffers or len(buffers[shape]) < most:
            buffers[shape] = np.empty((most, shape.height, shape.width, 3), np.uint8)
        try:
            self._serve(takers, loaded, buffers[shape])
        except Exception:  # whatever happens to one batch, the worker serves the next
            log.exception("batch lost", cameras=batch)
        finally:
            with self._seats.changed:
                del self._jobs[number]
                self._moved_s = time.monotonic()
                self._worked_s += self._moved_s - began_s
                for camera in batch:
                    self._scheduler.done(camera)
                if spare:
                    self._looks += 1
                    self._gate.took(self._moved_s, self._moved_s - began_s)
                self._seats.changed.notify()

    def _next(self) -> tuple[list[str], bool]:
        """What to serve next, waited for with the lock held: a batch, or one look of a candidate and True."""
        while True:
            now = time.monotonic()
            if batch := self._scheduler.pick(now, self._room):
                return batch, False
            pause_s = self._pause_before_look(now)
            if pause_s == 0:
                look = self._spares()[0]
                self._scheduler.pick_spare(look, now)
                return [look], True
            self._seats.changed.wait(pause_s)

    def _spares(self) -> list[str]:
        """Cameras whose frame waits for a candidate that may have it."""
        return [camera for camera in self._scheduler.spares() if self._room(self._scheduler.group(camera)) > 0]

    def _pause_before_look(self, now: float) -> float | None:
        """For how many seconds to leave candidates alone; 0: one may look now, None: none wants to, or one looks."""
        spares = self._spares()
        if not spares or any(job.spare for job in self._jobs.values()):
            return None
        loaded: LoadedModel = self._scheduler.group(spares[0])
        times_s = sorted(loaded.times_s) or sorted(self._busy_s) or [FIRST_LOOK_S]
        idle = len(self._threads) - 1 - len(self._jobs)  # beside this one
        return self._gate.wait_s(now, times_s[len(times_s) // 2], lambda s: self._scheduler.due(now, s), idle)

    def _room(self, loaded: LoadedModel) -> int:
        return 0 if self.suspect(loaded) else loaded.detector.most

    def _serve(
        self, takers: list[tuple[str, Client, Source | None]], loaded: LoadedModel, inputs: NDArray[np.uint8]
    ) -> None:
        taken_s = time.time()
        taken: list[tuple[str, Client, int]] = []
        for camera, client, source in takers:
            seq = source.copy_newest(inputs[len(taken)]) if source else None
            if seq is not None:
                taken.append((camera, client, seq))
        if not taken:
            return
        started = time.perf_counter()
        answers = infer(loaded.detector, inputs[: len(taken)])
        took_s, done_s = time.perf_counter() - started, time.time()
        failed = sum(rows is None for rows in answers)
        with self._seats.changed:
            self._busy_s.append(took_s)
            self._batches += 1
            self._failures += failed
            for camera, _, _ in taken:
                self._served[camera] = self._served.get(camera, 0) + 1
        for (_, client, seq), rows in zip(taken, answers, strict=True):
            found = NO_ROWS if rows is None else rows
            client.answer(wire.Result(loaded.generation, seq, taken_s, done_s, found, rows is None))
        self._shelf.judge(loaded, len(taken), failed, took_s)


def infer(detector: Detector, inputs: NDArray[np.uint8]) -> list[NDArray[np.float32] | None]:
    """Rows of each picture; None where the model failed. One picture that it fails on costs no other its rows."""
    try:
        answers = [rows if np.isfinite(rows).all() else None for rows in detector.infer(inputs)]
        if len(answers) != len(inputs):
            raise ValueError(f"{len(answers)} answers to {len(inputs)} pictures")
        return answers
    except Exception:  # a model may raise anything; its cameras hear 'failed' and go on
        if len(inputs) > 1:
            return [infer(detector, inputs[i : i + 1])[0] for i in range(len(inputs))]
        log.exception("model failed", model=detector.ref.name)
        return [None]
