"""The shared end of the frame path: models that serve many cameras, each in its turn.

`InferenceService` is the whole of it without Ray: it listens for cameras of its node, reads their mailboxes and
answers. `InferenceActor` gives it a name and a place in the cluster, and a door for cameras of other nodes.
"""

import asyncio
import contextlib
import errno
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np
import ray
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.mailbox import MailboxReader, Shape
from actors.models import ModelError
from actors.shelf import LoadedModel, ModelShelf
from hoaban.models.backend import Detector
from hoaban.pool_health import Pulse
from hoaban.scheduling import FrameScheduler

log = structlog.get_logger(__name__)

SUSPECT_AFTER_S = 5.0
"""a model that has not come back from a batch for so long gets no further thread: they are for the other models"""
NO_ROWS = np.zeros((0, 6), np.float32)


class _Client(Protocol):
    """A camera as a worker sees it."""

    def take(self, into: NDArray[np.uint8]) -> int | None: ...
    def answer(self, result: wire.Result) -> None: ...


@dataclass(slots=True)
class _LocalClient:
    connection: socket.socket
    camera: str = ""
    mailbox: MailboxReader | None = None
    hello: dict[str, Any] = field(default_factory=dict)
    loaded: LoadedModel | None = None

    def take(self, into: NDArray[np.uint8]) -> int | None:
        return None if self.mailbox is None else self.mailbox.copy_newest(into)

    def answer(self, result: wire.Result) -> None:
        try:
            self.connection.send(wire.pack_result(result), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as error:
            # A full buffer is a camera that does not read: it gives this frame up by its own clock.
            # Anything else ends the connection, which the listening thread sees and cleans up.
            if error.errno not in (errno.EAGAIN, errno.EPIPE, errno.ECONNRESET, errno.EBADF):
                log.warning("result not sent", camera=self.camera, error=str(error))


@dataclass(slots=True)
class _RemoteClient:
    hello: dict[str, Any]
    seq: int
    pixels: NDArray[np.uint8]
    answered: "Future[wire.Result]"

    def take(self, into: NDArray[np.uint8]) -> int | None:
        np.copyto(into, self.pixels)
        return self.seq

    def answer(self, result: wire.Result) -> None:
        with contextlib.suppress(InvalidStateError):  # the camera gave it up
            self.answered.set_result(result)


@dataclass(slots=True)
class _Job:
    """A batch that a thread is at."""

    model: str
    cameras: list[str]
    since_s: float


class InferenceService:
    """Models, their worker threads and the cameras they serve.

    threads: how many batches are worked on at once, each by one thread of the model's back end, so that on a processor
    the service never runs more threads than it was given. On a GPU, which runs one at a time, a second thread gathers
    the next batch and answers the last. most: cameras in one batch; by default what is best on the model's device.
    barred: models that may not be loaded yet -> for how many seconds.
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
    ) -> None:
        cv2.setNumThreads(1)
        self.name = name
        self.shelf = ModelShelf(device, most, barred)
        for model in models:
            with contextlib.suppress(ModelError):  # the cameras that want it hear why; the others are served
                self.shelf.load(model)
        self._scheduler = FrameScheduler()
        self._clients: dict[str, _Client] = {}
        self._ready = threading.Condition()
        self._jobs: dict[int, _Job] = {}
        self._moved_s = time.monotonic()
        self._served: dict[str, int] = {}
        self._busy_s: deque[float] = deque(maxlen=256)
        self._batches = self._failures = 0
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
                "models": {name: loaded.stats() for name, loaded in self.shelf},
            }

    def pulse(self) -> Pulse:
        """What it does now; whoever supervises it judges by that whether it hangs."""
        now = time.monotonic()
        with self._ready:
            longest = min(self._jobs.values(), key=lambda job: job.since_s, default=None)
            return Pulse(
                running=(longest.model, now - longest.since_s) if longest else None,
                loading=self.shelf.loading(),
                stalled_s=min(now - self._moved_s, self._scheduler.waited_s(now)),
            )

    def submit(self, hello: dict[str, Any], seq: int, pixels: NDArray[np.uint8]) -> "Future[wire.Result]":
        """A frame of a camera on another node; the newest replaces one that still waits (which fails as replaced)."""
        answered: Future[wire.Result] = Future()
        camera = str(hello["camera"])
        loaded = self.shelf[str(hello["model"])]
        if pixels.shape != (loaded.shape.height, loaded.shape.width, 3):
            answered.set_exception(ValueError(f"model input {loaded.shape} expected, got {pixels.shape}"))
            return answered
        with self._ready:
            old = self._clients.get(camera)
            if camera not in self._scheduler or not isinstance(old, _RemoteClient) or old.hello != hello:
                self._seat(hello)
            self._clients[camera] = _RemoteClient(hello, seq, pixels, answered)
            self._scheduler.offer(camera, time.monotonic())
            self._ready.notify()
        if isinstance(old, _RemoteClient):
            old.answered.cancel()
        return answered

    # --- the cameras' side

    def _seat(self, hello: dict[str, Any]) -> None:
        self._scheduler.join(
            str(hello["camera"]),
            rate=float(hello["rate"]),
            guaranteed_rate=float(hello.get("guaranteed_rate", 0)),
            now=time.monotonic(),
            group=str(hello["model"]),
        )

    def _listen(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._accept()
                else:
                    try:
                        self._hear(key.data)
                    except (OSError, ValueError, KeyError, TypeError) as error:
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
        self._selector.register(connection, selectors.EVENT_READ, _LocalClient(connection))

    def _hear(self, client: _LocalClient) -> None:
        data, fd = wire.receive(client.connection)
        if wire.is_offer(data):
            with self._ready:
                if self._clients.get(client.camera) is client:
                    self._scheduler.offer(client.camera, time.monotonic())
                    self._ready.notify()
            return
        message = wire.parse_json(data)
        if fd is not None:
            shape = Shape(int(message["height"]), int(message["width"]))
            client.mailbox = MailboxReader(fd, shape)
            if client.loaded is None or shape != client.loaded.shape:
                raise wire.WireError(f"a mailbox of {shape} does not fit the model")
            with self._ready:
                self._clients[client.camera] = client
                self._seat(client.hello)
        else:
            client.hello, client.camera = message, str(message["camera"])
            # Loading may take seconds; the other cameras' offers are heard meanwhile.
            self.shelf.request(str(message.get("model"))).add_done_callback(lambda model: self._welcome(client, model))

    def _welcome(self, client: _LocalClient, model: "Future[LoadedModel]") -> None:
        try:
            if suspect := self._suspect(str(client.hello.get("model"))):
                raise ModelError(suspect)
            client.loaded = model.result()
            answer = client.loaded.welcome()
        except ModelError as error:
            answer = {"error": str(error)}
        with contextlib.suppress(OSError):
            wire.send_json(client.connection, answer)

    def _part(self, client: _LocalClient, why: Exception) -> None:
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
                while not (batch := self._scheduler.pick(time.monotonic(), self._room)):
                    self._ready.wait()
                clients = [(camera, self._clients[camera]) for camera in batch]
                model = str(self._scheduler.group(batch[0]))
                loaded = self.shelf[model]
                self._jobs[number] = _Job(model, batch, time.monotonic())
                self._moved_s = time.monotonic()
            shape, most = loaded.shape, max(loaded.detector.most, len(batch))
            if shape not in buffers or len(buffers[shape]) < most:
                buffers[shape] = np.empty((most, shape.height, shape.width, 3), np.uint8)
            try:
                self._serve(clients, loaded, buffers[shape])
            except Exception:  # whatever happens to one batch, the worker serves the next
                log.exception("batch lost", cameras=batch)
            finally:
                with self._ready:
                    del self._jobs[number]
                    self._moved_s = time.monotonic()
                    for camera in batch:
                        self._scheduler.done(camera)
                    self._ready.notify()

    def _room(self, model: Hashable) -> int:
        return 0 if self._suspect(str(model)) else self.shelf[str(model)].detector.most

    def _suspect(self, model: str) -> str:
        """Why a model gets no further frames now, in words, or ""."""
        began = [job.since_s for job in list(self._jobs.values()) if job.model == model]
        for_s = time.monotonic() - min(began) if began else 0.0
        return f"model {model!r} has not come back from one batch for {for_s:.0f} s" if for_s > SUSPECT_AFTER_S else ""

    def _serve(self, clients: list[tuple[str, _Client]], loaded: LoadedModel, inputs: NDArray[np.uint8]) -> None:
        taken_s = time.time()
        takers: list[tuple[str, _Client, int]] = []
        for camera, client in clients:
            seq = client.take(inputs[len(takers)])
            if seq is not None:
                takers.append((camera, client, seq))
        if not takers:
            return
        started = time.perf_counter()
        answers = _infer(loaded.detector, inputs[: len(takers)])
        done_s = time.time()
        for (_, client, seq), rows in zip(takers, answers, strict=True):
            found = NO_ROWS if rows is None else rows
            client.answer(wire.Result(loaded.generation, seq, taken_s, done_s, found, rows is None))
        with self._ready:
            self._busy_s.append(time.perf_counter() - started)
            self._batches += 1
            self._failures += sum(rows is None for rows in answers)
            for camera, _, _ in takers:
                self._served[camera] = self._served.get(camera, 0) + 1


def _infer(detector: Detector, inputs: NDArray[np.uint8]) -> list[NDArray[np.float32] | None]:
    """Rows of each picture; None where the model failed. One picture that it fails on costs no other its rows."""
    try:
        return list(detector.infer(inputs))
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
    ) -> None:
        self._service = InferenceService(name, session, [], threads=threads, device=device, barred=barred)
        for model in models:
            self._service.shelf.request(model)

    async def ping(self) -> Pulse:
        """Alive, and at what."""
        return self._service.pulse()

    async def where(self) -> dict[str, Any]:
        """The node it runs on, and what it has done."""
        return {"node": ray.get_runtime_context().get_node_id(), **self._service.stats()}

    async def welcome(self, hello: dict[str, Any]) -> dict[str, Any]:
        """What a camera of another node must know of its model, or {"error"}."""
        try:
            return (await asyncio.wrap_future(self._service.shelf.request(str(hello["model"])))).welcome()
        except ModelError as error:
            return {"error": str(error)}

    async def infer(self, hello: dict[str, Any], seq: int, pixels: NDArray[np.uint8]) -> bytes | None:
        """One frame of a camera on another node; the packed result, or None when a newer frame took its place."""
        try:
            return wire.pack_result(await asyncio.wrap_future(self._service.submit(hello, seq, pixels)))
        except asyncio.CancelledError:
            return None
