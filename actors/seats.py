"""The cameras of an inference process: who is seated, where the newest frame of each lies, what each was told."""

import contextlib
import selectors
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.channel import SPARE
from actors.clients import Client, LocalClient, RemoteClient, Source
from actors.mailbox import MailboxReader, Shape
from actors.models import ModelError
from actors.shelf import LoadedModel, ModelShelf
from hoaban.scheduling import FrameScheduler

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 1.0
SILENT_S, SILENT_PERIODS = 60.0, 10
"""a camera of another node that sent nothing for so long, and for so many of its periods, gives its seat back: it has
no connection whose end would tell"""


class OutdatedError(ModelError):
    """A frame was made for a model that is not here any more; `news` has the one that is."""


class Seats:
    """Cameras and their frames. Those of this node hold a connection, those of other nodes send frames.

    suspect: why a model gets no frames now, in words, or "".
    """

    def __init__(self, shelf: ModelShelf, address: bytes, suspect: Callable[[LoadedModel], str]) -> None:
        self._shelf, self._suspect = shelf, suspect
        self.changed = threading.Condition()
        """held by whoever uses the scheduler; told of when a frame came, or room for one"""
        self.scheduler = FrameScheduler()
        self._clients: dict[str, Client] = {}
        self._welcomed: dict[str, dict[int, LoadedModel]] = {}
        """camera of another node -> by generation: the model that it was told of last, and the one before"""
        self._sweeps_s = 0.0
        self._selector = selectors.DefaultSelector()
        self._listener = wire.listen(address)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._listen, name="listen", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def takers(self, batch: Sequence[str]) -> list[tuple[str, Client, Source | None]]:
        """What a worker needs of the cameras that were picked. With the lock held.

        A camera's mailbox may be another one from now on; the frame that was picked is in this one.
        """
        return [(camera, self._clients[camera], self._clients[camera].source) for camera in batch]

    def by_model(self) -> Counter[str]:
        """How many seats each model has, by the name that cameras ask for it by."""
        with self.changed:
            return Counter(self.scheduler.group(camera).name for camera in self._clients)

    # --- cameras of other nodes

    def submit(
        self, hello: dict[str, Any], seq: int, pixels: NDArray[np.uint8], generation: int | None = None
    ) -> "Future[wire.Result]":
        """A frame of a camera on another node; the newest replaces one that still waits (which fails as replaced).

        generation: of the model that the frame was made for, by default the one that its name stands for now. A model
        that was swapped away meanwhile answers the frames that were made for it.
        """
        answered: Future[wire.Result] = Future()
        camera, newest = str(hello["camera"]), self._shelf[str(hello["model"])]
        known = {newest.generation: newest} | self._welcomed.get(camera, {})
        loaded = known.get(newest.generation if generation is None else generation)
        if loaded is None or loaded.name != newest.name:
            answered.set_exception(OutdatedError(f"model {newest.name!r} is another one now; ask for it again"))
            return answered
        if pixels.shape != (loaded.shape.height, loaded.shape.width, 3):
            answered.set_exception(ValueError(f"model input {loaded.shape} expected, got {pixels.shape}"))
            return answered
        with self.changed:
            old = self._clients.get(camera)
            if not isinstance(old, RemoteClient) or old.hello != hello or old.loaded is not loaded:
                self._seat(hello, loaded)
            self._clients[camera] = RemoteClient(hello, loaded, seq, pixels, answered)
            self.scheduler.offer(camera, time.monotonic())
            self.changed.notify()
        if isinstance(old, RemoteClient):
            old.answered.cancel()
        return answered

    def welcome(self, hello: dict[str, Any], loaded: LoadedModel) -> dict[str, Any]:
        """What a camera of another node must know of its model. Raises ModelError."""
        if suspect := self._suspect(loaded):
            raise ModelError(suspect)
        self._know(hello, loaded)
        return loaded.welcome()

    def news(self, hello: dict[str, Any], generation: int) -> dict[str, Any] | None:
        """The welcome of the model that took the place of this generation; None while none did."""
        newest = self._shelf[str(hello["model"])]
        if newest.generation == generation:
            return None
        self._know(hello, newest)
        return newest.welcome()

    def _know(self, hello: dict[str, Any], loaded: LoadedModel) -> None:
        camera = str(hello["camera"])
        before = [one for one in self._welcomed.get(camera, {}).values() if one is not loaded][-1:]
        self._welcomed[camera] = {one.generation: one for one in (*before, loaded)}

    def _seat(self, hello: dict[str, Any], loaded: LoadedModel) -> None:
        self.scheduler.join(
            str(hello["camera"]),
            rate=float(hello["rate"]),
            guaranteed_rate=float(hello.get("guaranteed_rate", 0)),
            now=time.monotonic(),
            group=loaded,
            spare=bool(hello.get(SPARE)),
        )

    # --- cameras of this node

    def _listen(self) -> None:
        while True:
            self._listen_once()  # a call: who parted is let go of, so that a model can be unloaded
            if time.monotonic() >= self._sweeps_s:
                self._sweeps_s = time.monotonic() + SWEEP_EVERY_S
                try:
                    self._sweep()
                except Exception:  # the listener outlives it and looks again
                    log.exception("sweep failed")

    def _listen_once(self) -> None:
        for key, _ in self._selector.select(SWEEP_EVERY_S):
            if key.data is None:
                self._accept()
            else:
                try:
                    self._hear(key.data)
                except Exception as error:  # whatever one camera sends, the others are heard
                    self._part(key.data, error)

    def _sweep(self) -> None:
        """Seats of cameras that went silent are given back, and models that nobody asks for are unloaded."""
        now = time.monotonic()
        with self.changed:
            for camera, client in list(self._clients.items()):
                if isinstance(client, RemoteClient) and client.silent(now, SILENT_S, SILENT_PERIODS):
                    log.info("seat given back", camera=camera, model=client.loaded.name)
                    del self._clients[camera]
                    self.scheduler.leave(camera)
                    self._welcomed.pop(camera, None)
            asked = {client.loaded.name for client in self._clients.values() if isinstance(client, RemoteClient)}
        connected = [key.data for key in self._selector.get_map().values() if key.data is not None]
        asked.update(str(client.hello.get("model")) for client in connected)
        unloaded = self._shelf.sweep(asked)
        for camera, told in list(self._welcomed.items()) if unloaded else ():
            if any(loaded.name in unloaded for loaded in told.values()):  # it was welcomed and never sent a frame
                self._welcomed.pop(camera, None)

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
            model = self._shelf.request(str(client.hello.get("model")))
            model.add_done_callback(lambda model: self._welcome(client, model))

    def _offered(self, client: LocalClient) -> None:
        with self.changed:
            if client.next is not None:
                first = client.source is None
                client.source, loaded = client.next
                client.next = None
                if first:
                    self._seat(client.hello, loaded)
                    self._clients[client.camera] = client
                elif self._clients.get(client.camera) is client:
                    self.scheduler.regroup(client.camera, loaded)
            if self._clients.get(client.camera) is not client:
                return
            self.scheduler.offer(client.camera, time.monotonic())
            self.changed.notify()
        if client.told is not None and (newest := self._shelf[client.told.name]) is not client.told:
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
        with self.changed:
            if self._clients.get(client.camera) is client:
                del self._clients[client.camera]
                self.scheduler.leave(client.camera)
