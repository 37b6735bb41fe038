"""The shared end of the frame path: models that serve many cameras, each in its turn.

`InferenceService` is the whole of it without Ray: it listens for cameras of its node, reads their mailboxes and
answers. `InferenceActor` gives it a name and a place in the cluster, and a door for cameras of other nodes.
"""

import asyncio
import contextlib
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import ray
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.channel import SPARE
from actors.clients import Client, LocalClient, RemoteClient, Source
from actors.mailbox import MailboxReader, Shape
from actors.models import ModelError
from actors.models.files import ModelPackage, open_package
from actors.shelf import LoadedModel, ModelShelf
from hoaban.evaluation.report import ModelIdentity
from hoaban.models.backend import Detector
from hoaban.pool_health import Pulse
from hoaban.scheduling import FrameScheduler
from hoaban.shadow import ShadowGate

log = structlog.get_logger(__name__)

SUSPECT_AFTER_S = 5.0
"""a model that has not come back from a batch for so long gets no further thread: they are for the other models"""
FIRST_LOOK_S = 0.05
"""what a candidate's first look is expected to take where nothing is known yet"""
NO_ROWS = np.zeros((0, 6), np.float32)


@dataclass(slots=True)
class _Job:
    """A batch that a thread is at."""

    loaded: LoadedModel
    cameras: list[str]
    since_s: float
    spare: bool = False
    """a look of a candidate, beside the models that count"""


class InferenceService:
    """Models, their worker threads and the cameras they serve.

    threads: how many batches are worked on at once, each by one thread of the model's back end, so that on a processor
    the service never runs more threads than it was given. On a GPU, which runs one at a time, a second thread gathers
    the next batch and answers the last. most: cameras in one batch; by default what is best on the model's device.
    barred: models that may not be loaded yet -> for how many seconds. stands_for: names that a promoted model has the
    place of.
    """

    def __init__(
        self,
        name: str,
        session: str,
        models: Sequence[str],
        *,
        threads: int,
        device: str = "auto",
        most: int | None = None,
        barred: Mapping[str, float] | None = None,
        stands_for: Mapping[str, ModelIdentity] | None = None,
    ) -> None:
        cv2.setNumThreads(1)
        self.name = name
        self.shelf = ModelShelf(device, most, barred, stands_for)
        for model in models:
            with contextlib.suppress(ModelError):  # the cameras that want it hear why; the others are served
                self.shelf.load(model)
        self._scheduler, self._gate = FrameScheduler(), ShadowGate()
        self._clients: dict[str, Client] = {}
        self._ready = threading.Condition()
        self._jobs: dict[int, _Job] = {}
        self._moved_s = time.monotonic()
        self._served: dict[str, int] = {}
        self._welcomed: dict[str, dict[int, LoadedModel]] = {}
        """camera of another node -> by generation: the model that it was told of last, and the one before"""
        self._busy_s: deque[float] = deque(maxlen=256)
        self._batches = self._failures = self._looks = 0
        self._selector = selectors.DefaultSelector()
        self._listener = wire.listen(wire.address(session, name))
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._threads = [threading.Thread(target=self._listen, name="listen", daemon=True)]
        self._threads += [
            threading.Thread(target=self._work, args=(i,), name=f"work-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def load(self, name: str) -> dict[str, Any]:
        """Load and warm up a model, or find it loaded; what a camera must know of it. Raises ModelError."""
        return self.shelf.load(name).welcome()

    def swap(self, name: str, package: ModelPackage, budget_s: float | None = None) -> int:
        """Put a package in the place of the model `name` between two batches; its generation. Raises ModelError.

        The new one is loaded and warmed up beside the old one. A camera of this node is told on its connection when it
        offers a frame, and has that frame and all until it has attached a mailbox of the new shape answered by the old
        model; one of another node is told with its next answer. See ModelShelf.swap for what happens when the new one
        fails.
        """
        return self.shelf.swap(name, package, budget_s).generation

    def stats(self) -> dict[str, Any]:
        """What it has done: frames served per camera, batches, seconds of one, failures; models and how they run."""
        with self._ready:
            busy = sorted(self._busy_s)
            return {
                "name": self.name,
                "cameras": len(self._scheduler),
                "served": dict(self._served),
                "batches": self._batches,
                "batch_p50_s": busy[len(busy) // 2] if busy else None,
                "failures": self._failures,
                "looks": self._looks,
                "models": {name: loaded.stats() for name, loaded in self.shelf},
                "swaps": self.shelf.swaps(),
            }

    def pulse(self) -> Pulse:
        """What it does now; whoever supervises it judges by that whether it hangs."""
        now = time.monotonic()
        with self._ready:
            longest = min(self._jobs.values(), key=lambda job: job.since_s, default=None)
            return Pulse(
                running=(longest.loaded.label, now - longest.since_s) if longest else None,
                loading=self.shelf.loading(),
                stalled_s=min(now - self._moved_s, self._scheduler.waited_s(now)),
            )

    def submit(
        self, hello: dict[str, Any], seq: int, pixels: NDArray[np.uint8], generation: int | None = None
    ) -> "Future[wire.Result]":
        """A frame of a camera on another node; the newest replaces one that still waits (which fails as replaced).

        generation: of the model that the frame was made for, by default the one that its name stands for now. A model
        that was swapped away meanwhile answers the frames that were made for it.
        """
        answered: Future[wire.Result] = Future()
        camera, newest = str(hello["camera"]), self.shelf[str(hello["model"])]
        known = {newest.generation: newest} | self._welcomed.get(camera, {})
        loaded = known.get(newest.generation if generation is None else generation)
        if loaded is None or loaded.name != newest.name:
            answered.set_exception(ModelError(f"model {newest.name!r} is another one now; ask for it again"))
            return answered
        if pixels.shape != (loaded.shape.height, loaded.shape.width, 3):
            answered.set_exception(ValueError(f"model input {loaded.shape} expected, got {pixels.shape}"))
            return answered
        with self._ready:
            old = self._clients.get(camera)
            if not isinstance(old, RemoteClient) or old.hello != hello or old.loaded is not loaded:
                self._seat(hello, loaded)
            self._clients[camera] = RemoteClient(hello, loaded, seq, pixels, answered)
            self._scheduler.offer(camera, time.monotonic())
            self._ready.notify()
        if isinstance(old, RemoteClient):
            old.answered.cancel()
        return answered

    # --- the cameras' side

    def welcome_remote(self, hello: dict[str, Any], loaded: LoadedModel) -> dict[str, Any]:
        """What a camera of another node must know of its model. Raises ModelError."""
        if suspect := self._suspect(loaded):
            raise ModelError(suspect)
        self._know(hello, loaded)
        return loaded.welcome()

    def news(self, hello: dict[str, Any], generation: int) -> dict[str, Any] | None:
        """The welcome of the model that took the place of this generation; None while none did."""
        newest = self.shelf[str(hello["model"])]
        if newest.generation == generation:
            return None
        self._know(hello, newest)
        return newest.welcome()

    def _know(self, hello: dict[str, Any], loaded: LoadedModel) -> None:
        camera = str(hello["camera"])
        before = [one for one in self._welcomed.get(camera, {}).values() if one is not loaded][-1:]
        self._welcomed[camera] = {one.generation: one for one in (*before, loaded)}

    def _seat(self, hello: dict[str, Any], loaded: LoadedModel) -> None:
        self._scheduler.join(
            str(hello["camera"]),
            rate=float(hello["rate"]),
            guaranteed_rate=float(hello.get("guaranteed_rate", 0)),
            now=time.monotonic(),
            group=loaded,
            spare=bool(hello.get(SPARE)),
        )

    def _listen(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._accept()
                else:
                    try:
                        self._hear(key.data)
                    except Exception as error:  # whatever one camera sends, the others are heard
                        self._part(key.data, error)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        try:
            wire.check_peer(connection)
        except OSError as error:
            log.warning("connection refused", error=str(error))
            connection.close()
            return
        self._selector.register(connection, selectors.EVENT_READ, LocalClient(connection))

    def _hear(self, client: LocalClient) -> None:
        data, fd = wire.receive(client.connection)
        if wire.is_offer(data):
            self._offered(client)
        elif fd is not None:
            self._attached(client, wire.parse_json(data), fd)
        else:
            client.hello = wire.parse_json(data)
            client.camera = str(client.hello["camera"])
            # Loading may take seconds; the other cameras' offers are heard meanwhile.
            model = self.shelf.request(str(client.hello.get("model")))
            model.add_done_callback(lambda model: self._welcome(client, model))

    def _offered(self, client: LocalClient) -> None:
        with self._ready:
            if client.next is not None:
                first = client.source is None
                client.source, loaded = client.next
                client.next = None
                if first:
                    self._seat(client.hello, loaded)
                    self._clients[client.camera] = client
                elif self._clients.get(client.camera) is client:
                    self._scheduler.regroup(client.camera, loaded)
            if self._clients.get(client.camera) is not client:
                return
            self._scheduler.offer(client.camera, time.monotonic())
            self._ready.notify()
        if client.told is not None and (newest := self.shelf[client.told.name]) is not client.told:
            client.tell(newest)

    def _attached(self, client: LocalClient, message: dict[str, Any], fd: int) -> None:
        shape = Shape(int(message["height"]), int(message["width"]))
        mailbox = MailboxReader(fd, shape)
        generation = int(message.get("generation", client.told.generation if client.told else 0))
        loaded = client.awaited.get(generation)
        if loaded is None or shape != loaded.shape:
            raise wire.WireError(f"a mailbox of {shape} does not fit the model")
        # What it was told of before is outdated; what it was told of since, it will attach as well.
        client.awaited = {number: it for number, it in client.awaited.items() if it is client.told and it is not loaded}
        client.next = (mailbox, loaded)

    def _welcome(self, client: LocalClient, model: "Future[LoadedModel]") -> None:
        try:
            loaded = model.result()
            if suspect := self._suspect(loaded):
                raise ModelError(suspect)
        except ModelError as error:
            with contextlib.suppress(OSError):
                wire.send_json(client.connection, {"error": str(error)})
        else:
            client.tell(loaded)

    def _part(self, client: LocalClient, why: Exception) -> None:
        if not isinstance(why, ConnectionResetError):
            log.warning("camera dropped", camera=client.camera, error=str(why))
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        client.connection.close()
        with self._ready:
            if self._clients.get(client.camera) is client:
                del self._clients[client.camera]
                self._scheduler.leave(client.camera)

    # --- the model's side

    def _work(self, number: int) -> None:
        buffers: dict[Shape, NDArray[np.uint8]] = {}
        while True:
            with self._ready:
                batch, spare = self._next()
                # A camera's mailbox may be another one from now on; the frame that was picked is in this one.
                takers = [(camera, self._clients[camera], self._clients[camera].source) for camera in batch]
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
                with self._ready:
                    del self._jobs[number]
                    self._moved_s = time.monotonic()
                    for camera in batch:
                        self._scheduler.done(camera)
                    if spare:
                        self._looks += 1
                        self._gate.took(self._moved_s, self._moved_s - began_s)
                    self._ready.notify()

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
            self._ready.wait(pause_s)

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
        idle = len(self._threads) - 2 - len(self._jobs)  # beside the one that listens and this one
        return self._gate.wait_s(now, times_s[len(times_s) // 2], lambda s: self._scheduler.due(now, s), idle)

    def _room(self, loaded: LoadedModel) -> int:
        return 0 if self._suspect(loaded) else loaded.detector.most

    def _suspect(self, loaded: LoadedModel) -> str:
        """Why a model gets no further frames now, in words, or ""."""
        began = [job.since_s for job in list(self._jobs.values()) if job.loaded is loaded]
        for_s = time.monotonic() - min(began) if began else 0.0
        if for_s <= SUSPECT_AFTER_S:
            return ""
        return f"model {loaded.label!r} has not come back from one batch for {for_s:.0f} s"

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
        answers = _infer(loaded.detector, inputs[: len(taken)])
        took_s, done_s = time.perf_counter() - started, time.time()
        failed = sum(rows is None for rows in answers)
        with self._ready:
            self._busy_s.append(took_s)
            self._batches += 1
            self._failures += failed
            for camera, _, _ in taken:
                self._served[camera] = self._served.get(camera, 0) + 1
        for (_, client, seq), rows in zip(taken, answers, strict=True):
            found = NO_ROWS if rows is None else rows
            client.answer(wire.Result(loaded.generation, seq, taken_s, done_s, found, rows is None))
        self.shelf.judge(loaded, len(taken), failed, took_s)


def _infer(detector: Detector, inputs: NDArray[np.uint8]) -> list[NDArray[np.float32] | None]:
    """Rows of each picture; None where the model failed. One picture that it fails on costs no other its rows."""
    try:
        answers = [rows if np.isfinite(rows).all() else None for rows in detector.infer(inputs)]
        if len(answers) != len(inputs):
            raise ValueError(f"{len(answers)} answers to {len(inputs)} pictures")
        return answers
    except Exception:  # a model may raise anything; its cameras hear 'failed' and go on
        if len(inputs) > 1:
            return [_infer(detector, inputs[i : i + 1])[0] for i in range(len(inputs))]
        log.exception("model failed", model=detector.ref.name)
        return [None]


@ray.remote
class InferenceActor:
    """An inference service with a name in the cluster. It answers from its start on, while its models are loaded."""

    def __init__(
        self,
        name: str,
        session: str,
        models: Sequence[str],
        threads: int,
        device: str,
        barred: Mapping[str, float] | None = None,
        stands_for: Mapping[str, ModelIdentity] | None = None,
    ) -> None:
        self._service = InferenceService(
            name, session, [], threads=threads, device=device, barred=barred, stands_for=stands_for
        )
        for model in models:
            self._service.shelf.request(model)

    async def ping(self) -> Pulse:
        """Alive, and at what."""
        return self._service.pulse()

    async def where(self) -> dict[str, Any]:
        """The node and the process it runs in, and what it has done."""
        return {"node": ray.get_runtime_context().get_node_id(), "pid": os.getpid(), **self._service.stats()}

    async def welcome(self, hello: dict[str, Any]) -> dict[str, Any]:
        """What a camera of another node must know of its model, or {"error"}."""
        try:
            loaded = await asyncio.wrap_future(self._service.shelf.request(str(hello["model"])))
            return self._service.welcome_remote(hello, loaded)
        except ModelError as error:
            return {"error": str(error)}

    async def swap(self, name: str, what: str, budget_s: float | None = None) -> int:
        """Put another model, NAME, NAME@VERSION or the folder of its card, in the place of the model `name`.

        Its generation; `where` tells how it does. Raises ModelError, and then nothing has changed. For a trial: it
        lasts as long as this process.
        """
        return await asyncio.to_thread(lambda: self._service.swap(name, open_package(what), budget_s))

    async def stand_for(self, name: str, identity: ModelIdentity | None) -> bool:
        """Let a name stand for a promoted model, or for itself again; whether a swap began. See ModelShelf."""
        return await asyncio.to_thread(self._service.shelf.stand_for, name, identity)

    async def infer(
        self, hello: dict[str, Any], generation: int, seq: int, pixels: NDArray[np.uint8]
    ) -> tuple[bytes | None, dict[str, Any] | None]:
        """One frame of a camera on another node, made for that generation of its model.

        The packed result, or None when a newer frame took its place; and the welcome of the model that the next frames
        are to be made for, when that is another one.
        """
        try:
            packed = wire.pack_result(await asyncio.wrap_future(self._service.submit(hello, seq, pixels, generation)))
        except asyncio.CancelledError:
            packed = None
        return packed, self._service.news(hello, generation)
