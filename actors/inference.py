"""The shared end of the frame path: models that serve many cameras, each in its turn.

`InferenceService` is the whole of it without Ray: seats for cameras (actors/seats.py), models (actors/shelf.py) and the
threads that run these for those (actors/workers.py). `InferenceActor` gives it a name and a place in the cluster, and a
door for cameras of other nodes.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import cv2
import numpy as np
import ray
from numpy.typing import NDArray

from actors import wire
from actors.models import ModelError
from actors.models.files import ModelPackage, open_package
from actors.seats import OutdatedError, Seats
from actors.shelf import ModelShelf
from actors.workers import MODEL_NICENESS, Workers
from hoaban.evaluation.report import ModelIdentity
from hoaban.fleet import UNLOAD_AFTER_S
from hoaban.pool_health import Pulse


class InferenceService:
    """Models, their worker threads and the cameras they serve.

    threads: how many batches are worked on at once, each by one thread of the model's back end, so that on a processor
    the service never runs more threads than it was given. On a GPU, which runs one at a time, a second thread gathers
    the next batch and answers the last. most: cameras in one batch; by default what is best on the model's device.
    barred: models that may not be loaded yet -> for how many seconds. stands_for: names that a promoted model has the
    place of. models stay loaded; any other is unloaded when no camera asked for it for unload_after_s, None: never.
    niceness: of the threads that run models, more than of the rest.
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
        unload_after_s: float | None = UNLOAD_AFTER_S,
        niceness: int = 0,
    ) -> None:
        cv2.setNumThreads(1)
        self.name = name
        self.shelf = ModelShelf(device, most, barred, stands_for)
        self.shelf.keep(models, unload_after_s)
        for model in models:
            with contextlib.suppress(ModelError):  # the cameras that want it hear why; the others are served
                self.shelf.load(model)
        self.seats = Seats(self.shelf, wire.address(session, name), lambda loaded: self.workers.suspect(loaded))
        self.workers = Workers(self.seats, self.shelf, threads, niceness)
        self.seats.start()
        self.workers.start()

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
        seats = self.seats.by_model()
        with self.seats.changed:
            done = {"name": self.name, "cameras": len(self.seats.scheduler), **self.workers.stats()}
        models = self.shelf.stats()
        for name, told in models.items():
            told |= {"seats": seats[name]} | ({"unloads_in_s": None} if seats[name] else {})
        return done | {
            "models": models,
            "unloaded": self.shelf.unloaded(),
            "swaps": self.shelf.swaps(),
        }

    def pulse(self) -> Pulse:
        """What it does now; whoever supervises it judges by that whether it hangs."""
        return self.workers.pulse()

    def submit(
        self, hello: dict[str, Any], seq: int, pixels: NDArray[np.uint8], generation: int | None = None
    ) -> "Future[wire.Result]":
        """A frame of a camera on another node: see Seats.submit."""
        return self.seats.submit(hello, seq, pixels, generation)


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
        unload_after_s: float | None = UNLOAD_AFTER_S,
    ) -> None:
        self._service = InferenceService(
            name,
            session,
            [],
            threads=threads,
            device=device,
            barred=barred,
            stands_for=stands_for,
            niceness=0 if ray.get_gpu_ids() else MODEL_NICENESS,  # a thread that feeds a GPU is to be quick
        )
        self._service.shelf.keep(models, unload_after_s)
        for model in models:
            self._service.shelf.request(model)

    async def keep(self, models: Sequence[str], unload_after_s: float | None) -> None:
        """Other models that stay loaded, and for how long any other does without a camera that asks for it."""
        self._service.shelf.keep(models, unload_after_s)

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
            return self._service.seats.welcome(hello, loaded)
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
        are to be made for, when that is another one. One that was unloaded since the last frame is loaded again.
        """
        asked = self._service.shelf.request(str(hello["model"]))
        if not asked.done():
            await asyncio.wrap_future(asked)
        asked.result()
        try:
            packed = wire.pack_result(await asyncio.wrap_future(self._service.submit(hello, seq, pixels, generation)))
        except (asyncio.CancelledError, OutdatedError):
            packed = None
        return packed, self._service.seats.news(hello, generation)
