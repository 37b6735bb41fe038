"""A connection between a camera and one inference actor.

On its own node a camera writes model inputs into a shared mailbox; to another node they go as the argument of a Ray
call, one at a time, the newest. Either way the camera keeps one waiting input and never a queue.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import ray
from numpy.typing import NDArray

from actors import NAMESPACE, wire
from actors.mailbox import MailboxWriter, Shape
from hoaban.events import ModelRef

CONNECT_LIMIT_S = 5.0
WELCOME_LIMIT_S = 120.0
"""a cold model has to be loaded and warmed up first"""
ANSWER_LIMIT_S = 10.0
"""no answer to any offer for so long: the model hangs, another actor is tried"""
SPARE = "spare"
"""of a hello: true for a candidate's link, whose frames are answered when there is time, or never"""
LOOK_EVERY_S = 0.5
TRIAL = 0
"""number of the empty picture that tries a model; its answer is the first of the connection, so it meets no frame's"""


@dataclass(frozen=True, slots=True)
class Peer:
    """An inference actor: its name in Ray, its node and the session its address belongs to."""

    name: str
    node: str
    session: str


@dataclass(frozen=True, slots=True)
class LinkedModel:
    """The model at the other end."""

    generation: int
    ref: ModelRef
    labels: tuple[str, ...]
    shape: Shape
    template: ModelRef | None = None
    """what made the templates its rows carry, for a face model"""

    @classmethod
    def from_welcome(cls, message: dict[str, Any]) -> "LinkedModel":
        """Raises WireError with the other side's reason when it refused."""
        if "error" in message:
            raise wire.WireError(str(message["error"]))
        return cls(
            int(message["generation"]),
            ModelRef(**message["model"]),
            tuple(message["labels"]),
            Shape(int(message["height"]), int(message["width"])),
            ModelRef(**message["template"]) if message.get("template") else None,
        )


OnResult = Callable[[wire.Result, LinkedModel], None]
Fill = Callable[[NDArray[np.uint8]], None]


class Channel(Protocol):
    """One connection. All raise OSError, or what Ray raises.

    `end` may come from any thread at any time: `open`, `trial` and `run` then end with an error at once. `close` is for
    the thread that calls those.
    """

    model: LinkedModel

    @property
    def waiting_s(self) -> float | None:
        """For how long the model has owed an answer; None when it owes none."""
        ...

    def open(self) -> None: ...
    def offer(self, seq: int, fill: Fill) -> None: ...
    def run(self, on_result: OnResult) -> None:
        """Hand results on, to the end of the connection. Raises TimeoutError when the model hangs."""
        ...

    def trial(self) -> None:
        """Have the model look at an empty picture. Before `run`. Raises TimeoutError when it does not answer."""
        ...

    def end(self) -> None: ...
    def close(self) -> None: ...


class LocalChannel:
    """Through shared memory, to an actor of the same node."""

    def __init__(self, peer: Peer, hello: dict[str, Any]) -> None:
        self._peer, self._hello = peer, hello
        self._lock = threading.Lock()
        self._offering = threading.Lock()
        """held while a frame is written: the model and its mailbox change together, between two frames"""
        self._connection: socket.socket | None = None
        self._mailbox: MailboxWriter | None = None
        self._known: dict[int, LinkedModel] = {}
        self._waiting_since_s: float | None = None
        self._ended = False

    @property
    def waiting_s(self) -> float | None:
        return _since(self._waiting_since_s)

    def open(self) -> None:
        connection = wire.connect(wire.address(self._peer.session, self._peer.name), CONNECT_LIMIT_S)
        with self._lock:
            self._connection = connection
            if self._ended:
                raise ConnectionAbortedError("ended")
        wire.send_json(connection, self._hello)
        connection.settimeout(WELCOME_LIMIT_S)
        data, _ = wire.receive(connection)
        self._attach(connection, data)
        connection.settimeout(None)
        # Not settimeout: that would have `offer` wait for a full buffer as well.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(LOOK_EVERY_S * 1e6)))

    def _attach(self, connection: socket.socket, welcome: bytes) -> None:
        """A mailbox for the model of a welcome, the first or one that comes when the model was swapped."""
        model = LinkedModel.from_welcome(wire.parse_json(welcome))
        mailbox = MailboxWriter(model.shape)
        attach = {"height": model.shape.height, "width": model.shape.width, "generation": model.generation}
        with self._offering:
            wire.send_json(connection, attach, mailbox.fd)
            with self._lock:
                old, self._mailbox, self.model = self._mailbox, mailbox, model
        # What is on its way yet was scaled for the model before, and is answered by it.
        self._known = {it.generation: it for it in (*list(self._known.values())[-1:], model)}
        if old is not None:
            old.close()

    def offer(self, seq: int, fill: Fill) -> None:
        with self._offering:
            connection, mailbox = self._parts()
            fill(mailbox.begin())
            mailbox.commit(seq)
            if self._waiting_since_s is None:
                self._waiting_since_s = time.monotonic()
            with contextlib.suppress(BlockingIOError):  # the offers before it wait unheard; they mean this frame too
                connection.send(wire.pack_offer(seq), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def run(self, on_result: OnResult) -> None:
        last: tuple[int, int] | None = None
        while True:
            result = self._result()
            # A model that took a frame just before it heard its offer takes it once more.
            if (answered := (result.generation, result.seq)) != last:
                on_result(result, self._known.get(result.generation, self.model))
            last = answered

    def trial(self) -> None:
        self.offer(TRIAL, lambda into: into.fill(0))
        self._result()

    def _result(self) -> wire.Result:
        connection, _ = self._parts()
        while True:
            try:
                data, _ = wire.receive(connection)
            except BlockingIOError:  # nothing came for LOOK_EVERY_S
                if (self.waiting_s or 0.0) > ANSWER_LIMIT_S and not self._hello.get(SPARE):
                    raise TimeoutError(f"no answer for {ANSWER_LIMIT_S:g} s; trying another") from None
                continue
            if wire.is_control(data):
                self._attach(connection, data)
                continue
            self._waiting_since_s = None
            return wire.unpack_result(data)

    def _parts(self) -> tuple[socket.socket, MailboxWriter]:
        if self._connection is None or self._mailbox is None:
            raise ConnectionAbortedError("not open")
        return self._connection, self._mailbox

    def end(self) -> None:
        with self._lock:
            self._ended = True
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.end()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            if self._mailbox is not None:
                self._mailbox.close()


class RayChannel:
    """Through Ray calls, to an actor of another node: one frame on its way, the newest waits here."""

    def __init__(self, peer: Peer, hello: dict[str, Any]) -> None:
        self._peer, self._hello = peer, hello
        self._fresh = threading.Condition()
        self._offering = threading.Lock()
        """held while a frame is made: it is for one model, though another takes its place meanwhile"""
        self._waiting: tuple[LinkedModel, int, NDArray[np.uint8]] | None = None
        self._waiting_since_s: float | None = None
        self._ended = False

    @property
    def waiting_s(self) -> float | None:
        return _since(self._waiting_since_s)

    def open(self) -> None:
        self._actor = ray.get_actor(self._peer.name, namespace=NAMESPACE)
        self.model = LinkedModel.from_welcome(self._answer(self._actor.welcome.remote(self._hello), WELCOME_LIMIT_S))

    def offer(self, seq: int, fill: Fill) -> None:
        with self._offering:
            model = self.model
            pixels = np.empty((model.shape.height, model.shape.width, 3), np.uint8)
            fill(pixels)
        with self._fresh:
            self._waiting = (model, seq, pixels)
            self._fresh.notify()

    def run(self, on_result: OnResult) -> None:
        while True:
            with self._fresh:
                while self._waiting is None and not self._ended:
                    self._fresh.wait()
                if self._ended or self._waiting is None:
                    raise ConnectionResetError("closed")
                (model, seq, pixels), self._waiting = self._waiting, None
            packed = self._infer(model, seq, pixels)
            if packed is not None:
                on_result(wire.unpack_result(packed), model)

    def trial(self) -> None:
        empty = np.zeros((self.model.shape.height, self.model.shape.width, 3), np.uint8)
        self._infer(self.model, TRIAL, empty)

    def _infer(self, model: LinkedModel, seq: int, pixels: NDArray[np.uint8]) -> bytes | None:
        """What that model makes of a frame; where another took its place, the next frames are made for that one."""
        limit_s = float("inf") if self._hello.get(SPARE) else ANSWER_LIMIT_S
        call = self._actor.infer.remote(self._hello, model.generation, seq, pixels)
        packed: bytes | None
        packed, welcome = self._answer(call, limit_s)
        if welcome is not None and welcome["generation"] != self.model.generation:
            with self._offering:
                self.model = LinkedModel.from_welcome(welcome)
        return packed

    def _answer(self, call: Any, limit_s: float) -> Any:
        """What a call returns; an end ends the wait."""
        self._waiting_since_s = time.monotonic()
        while not ray.wait([call], timeout=LOOK_EVERY_S)[0]:
            if self._ended:
                raise ConnectionAbortedError("ended")
            if (self.waiting_s or 0.0) > limit_s:
                raise TimeoutError(f"no answer for {limit_s:g} s; trying another")
        self._waiting_since_s = None
        return ray.get(call)

    def end(self) -> None:
        with self._fresh:
            self._ended = True
            self._fresh.notify()

    def close(self) -> None:
        self.end()


def _since(moment_s: float | None) -> float | None:
    # As an argument it was read once: another thread may change it at any time.
    return None if moment_s is None else time.monotonic() - moment_s
