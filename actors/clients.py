"""Cameras as an inference process sees them: where their newest frame lies, and the way their answers take."""

import contextlib
import errno
import socket
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from actors import wire
from actors.mailbox import MailboxReader
from actors.shelf import LoadedModel

log = structlog.get_logger(__name__)


class Source(Protocol):
    """Where a worker finds a camera's frame."""

    def copy_newest(self, into: NDArray[np.uint8]) -> int | None: ...


class Client(Protocol):
    """A camera as a worker sees it."""

    @property
    def source(self) -> Source | None: ...
    def answer(self, result: wire.Result) -> None: ...


@dataclass(slots=True)
class LocalClient:
    """A camera of this node, on its connection."""

    connection: socket.socket
    camera: str = ""
    hello: dict[str, Any] = field(default_factory=dict)
    told: LoadedModel | None = None
    """the model that it was told of last"""
    awaited: dict[int, LoadedModel] = field(default_factory=dict)
    """by generation: what it was told of and has attached no mailbox for yet"""
    next: tuple[MailboxReader, LoadedModel] | None = None
    """what it attached; its next frame is in there"""
    source: MailboxReader | None = None

    def tell(self, loaded: LoadedModel) -> None:
        """Send a welcome; one that does not fit into a full buffer is sent with the next frame."""
        before = self.told
        # First, because the answer may be heard on another thread before this one goes on.
        self.told = self.awaited[loaded.generation] = loaded
        try:
            wire.send_json(self.connection, loaded.welcome(), wait=False)
        except OSError:
            self.told = before

    def answer(self, result: wire.Result) -> None:
        try:
            self.connection.send(wire.pack_result(result), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as error:
            # A full buffer is a camera that does not read: it gives this frame up by its own clock.
            # Anything else ends the connection, which the listening thread sees and cleans up.
            if error.errno not in (errno.EAGAIN, errno.EPIPE, errno.ECONNRESET, errno.EBADF):
                log.warning("result not sent", camera=self.camera, error=str(error))


@dataclass(slots=True)
class RemoteClient:
    """A frame of a camera of another node."""

    hello: dict[str, Any]
    loaded: LoadedModel
    seq: int
    pixels: NDArray[np.uint8]
    answered: "Future[wire.Result]"
    came_s: float = field(default_factory=time.monotonic)

    @property
    def source(self) -> Source:
        return self

    def silent(self, now: float, least_s: float, periods: float) -> bool:
        """Whether no newer frame came for so long and for so many periods. One that waits for its answer sends none."""
        for_s = max(least_s, periods / float(self.hello["rate"]))
        return self.answered.done() and now - self.came_s > for_s

    def copy_newest(self, into: NDArray[np.uint8]) -> int | None:
        np.copyto(into, self.pixels)
        return self.seq

    def answer(self, result: wire.Result) -> None:
        with contextlib.suppress(InvalidStateError):  # the camera gave it up
            self.answered.set_result(result)
