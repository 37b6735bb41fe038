"""The camera's end of the frame path: always a connection to some inference actor, the nearest that answers.

On its own node a camera writes model inputs into a shared mailbox; to another node they go as the argument of a Ray
call, one at a time, the newest. Either way the camera keeps one waiting input and never a queue.
"""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import ray
import structlog
from numpy.typing import NDArray

from actors import NAMESPACE, wire
from actors.mailbox import MailboxWriter, Shape
from hoaban.events import ModelRef

log = structlog.get_logger(__name__)

CONNECT_LIMIT_S = 5.0
WELCOME_LIMIT_S = 120.0
"""a cold model has to be loaded and warmed up first"""
ANSWER_LIMIT_S = 10.0
"""no answer to any offer for so long: the model hangs, another actor is tried"""


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


class _Channel(Protocol):
    model: LinkedModel

    def offer(self, seq: int, fill: Fill) -> None: ...
    def run(self, on_result: OnResult) -> None: ...
    def close(self) -> None: ...


class ModelLink:
    """Keeps a camera linked to a model.

    on_result runs on the link's thread, one result at a time, in the order of the frames. peers are tried in order,
    those of this node first.
    """

    def __init__(self, hello: dict[str, Any], peers: Sequence[Peer], node: str, on_result: OnResult) -> None:
        self._hello = hello
        self._node = node
        self._on_result = on_result
        self._peers: list[Peer] = []
        self.set_peers(peers)
        self._lock = threading.Lock()
        self._channel: _Channel | None = None
        self._waiting_since: float | None = None
        self._stopping = threading.Event()
        self.error: str | None = None
        self.peer: str | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def set_peers(self, peers: Sequence[Peer]) -> None:
        """New peers, for the next connection."""
        self._peers = sorted(peers, key=lambda peer: peer.node != self._node)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        self._stopping.set()
        self._drop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def offer(self, seq: int, fill: Callable[[NDArray[np.uint8], LinkedModel], None]) -> bool:
        """Put a frame into the mailbox: `fill` writes the model input. False when no model is linked."""
        with self._lock:
            channel = self._channel
            if channel is None:
                return False
            now = time.monotonic()
            if self._waiting_since is None:
                self._waiting_since = now
            elif now - self._waiting_since > ANSWER_LIMIT_S:
                self.error = f"{self.peer} gave no answer for {ANSWER_LIMIT_S:.0f} s; trying another"
                self._peers = self._peers[1:] + self._peers[:1]
                self._waiting_since = None
                channel.close()
                return False
            try:
                channel.offer(seq, lambda into: fill(into, channel.model))
            except OSError:
                return False  # the link's thread sees the same end and connects again
        return True

    def _drop(self) -> None:
        with self._lock:
            channel, self._channel, self._waiting_since = self._channel, None, None
        if channel is not None:
            channel.close()

    def _run(self) -> None:
        pause_s = 0.1
        while not self._stopping.is_set():
            if not self._peers:
                self.error = "no inference actor is known yet"
            for peer in list(self._peers):
                if self._stopping.is_set():
                    return
                try:
                    channel = self._connect(peer)
                except Exception as error:  # Ray raises many kinds; each means: not this peer now
                    self.error = f"{peer.name}: {error}"
                    continue
                with self._lock:
                    self._channel, self.peer, self.error = channel, peer.name, None
                pause_s = 0.1
                try:
                    channel.run(self._received)
                except Exception as error:
                    if not self._stopping.is_set():
                        self.error = f"{peer.name}: {error}"
                        log.warning("link lost", camera=self._hello["camera"], peer=peer.name, error=str(error))
                finally:
                    self._drop()
                break
            self._stopping.wait(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, 2.0)

    def _connect(self, peer: Peer) -> _Channel:
        if peer.node == self._node:
            return _LocalChannel(peer, self._hello)
        return _RayChannel(peer, self._hello)

    def _received(self, result: wire.Result, model: LinkedModel) -> None:
        self._waiting_since = None
        self._on_result(result, model)


class _LocalChannel:
    """Through shared memory, to an actor of the same node."""

    def __init__(self, peer: Peer, hello: dict[str, Any]) -> None:
        self._connection = wire.connect(wire.address(peer.session, peer.name), CONNECT_LIMIT_S)
        try:
            wire.send_json(self._connection, hello)
            self._connection.settimeout(WELCOME_LIMIT_S)
            data, _ = wire.receive(self._connection)
            self._attach(LinkedModel.from_welcome(wire.parse_json(data)))
        except BaseException:
            self._connection.close()
            raise
        self._connection.settimeout(None)

    def _attach(self, model: LinkedModel) -> None:
        self.model = model
        self._mailbox = MailboxWriter(model.shape)
        shape = {"height": model.shape.height, "width": model.shape.width}
        wire.send_json(self._connection, shape, self._mailbox.fd)

    def offer(self, seq: int, fill: Fill) -> None:
        fill(self._mailbox.begin())
        self._mailbox.commit(seq)
        with contextlib.suppress(BlockingIOError):  # the offers before it wait unheard; they mean this frame too
            self._connection.send(wire.pack_offer(seq), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def run(self, on_result: OnResult) -> None:
        while True:
            data, _ = wire.receive(self._connection)
            on_result(wire.unpack_result(data), self.model)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        self._mailbox.close()


class _RayChannel:
    """Through Ray calls, to an actor of another node: one frame on its way, the newest waits here."""

    def __init__(self, peer: Peer, hello: dict[str, Any]) -> None:
        self._hello = hello
        self._actor = ray.get_actor(peer.name, namespace=NAMESPACE)
        self.model = LinkedModel.from_welcome(ray.get(self._actor.welcome.remote(hello), timeout=WELCOME_LIMIT_S))
        self._fresh = threading.Condition()
        self._waiting: tuple[int, NDArray[np.uint8]] | None = None
        self._closed = False

    def offer(self, seq: int, fill: Fill) -> None:
        pixels = np.empty((self.model.shape.height, self.model.shape.width, 3), np.uint8)
        fill(pixels)
        with self._fresh:
            self._waiting = (seq, pixels)
            self._fresh.notify()

    def run(self, on_result: OnResult) -> None:
        while True:
            with self._fresh:
                while self._waiting is None and not self._closed:
                    self._fresh.wait()
                if self._closed or self._waiting is None:
                    raise ConnectionResetError("closed")
                (seq, pixels), self._waiting = self._waiting, None
            packed = ray.get(self._actor.infer.remote(self._hello, seq, pixels), timeout=ANSWER_LIMIT_S)
            if packed is not None:
                on_result(wire.unpack_result(packed), self.model)

    def close(self) -> None:
        with self._fresh:
            self._closed = True
            self._fresh.notify()
