"""The messages between a camera and an inference process of the same node.

One SOCK_SEQPACKET connection a camera, over an abstract Unix address (nothing on disk; the kernel drops it with the
process). Control messages are JSON and begin with '{'; the two that come for each frame are packed.
Pixels never pass here: they lie in the mailbox (see mailbox.py).

    camera                          inference
    hello {camera, model, rate} ->
                                <-  welcome {generation, model, labels, width, height} | {error}
    attach {height, width, generation} + fd ->
    offer (seq)                 ->
                                <-  result (generation, seq, times, rows and how long a row is)

When the model is swapped, the welcome comes again. The camera attaches a mailbox for it; frames that it offered before
are answered by the model before, as their generation tells.
"""

import json
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_MESSAGE = 64 * 1024
_OFFER = struct.Struct("<cQ")
_RESULT = struct.Struct("<cIQddIII")


class WireError(ConnectionError):
    """The other side sent what cannot be understood, or is not who it must be."""


@dataclass(frozen=True, slots=True)
class Result:
    """A model's answer for one frame.

    rows: (n, k) float32, k 6 or more: x1, y1, x2, y2 in model-input pixels, score, class, and what a face model adds
    (hoaban/faces/rows.py). taken_s and done_s: when the frame was taken from the mailbox and answered, seconds since
    1970. failed: the model failed on this frame.
    """

    generation: int
    seq: int
    taken_s: float
    done_s: float
    rows: NDArray[np.float32]
    failed: bool = False


def address(session: str, name: str) -> str:
    """The abstract Unix address of an inference actor."""
    return f"\0hoaban/{session}/{name}"


def listen(at: str) -> socket.socket:
    """A listening socket. Raises OSError when another process holds the address."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(at)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def connect(at: str, timeout_s: float) -> socket.socket:
    """A connection to an inference process of the same user. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.settimeout(timeout_s)
        connection.connect(at)
        check_peer(connection)
    except OSError:
        connection.close()
        raise
    return connection


def check_peer(connection: socket.socket) -> None:
    """Refuse a peer of another user: an abstract address has no file permissions to do it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid != os.getuid():
        raise WireError(f"refused a connection of user {uid}")


def send_json(connection: socket.socket, message: dict[str, Any], fd: int | None = None, *, wait: bool = True) -> None:
    """wait: for room in a full buffer, rather than raise BlockingIOError."""
    data = json.dumps(message).encode()
    if fd is None:
        connection.sendall(data, 0 if wait else socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    else:
        socket.send_fds(connection, [data], [fd])


def receive(connection: socket.socket) -> tuple[bytes, int | None]:
    """One message and the descriptor that came with it. Raises ConnectionResetError at the end of the connection."""
    data, fds, flags, _ = socket.recv_fds(connection, MAX_MESSAGE, 1)
    if not data:
        for fd in fds:
            os.close(fd)
        raise ConnectionResetError("the other side closed the connection")
    if flags & socket.MSG_TRUNC:
        raise WireError("message too long")
    return data, fds[0] if fds else None


def is_control(data: bytes) -> bool:
    """Whether it is JSON, and not one of the messages of a frame."""
    return data[:1] == b"{"


def parse_json(data: bytes) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except ValueError as error:
        raise WireError(f"not a control message: {error}") from None
    if not isinstance(message, dict):
        raise WireError("not a control message")
    return message


def pack_offer(seq: int) -> bytes:
    return _OFFER.pack(b"o", seq)


def is_offer(data: bytes) -> bool:
    return data[:1] == b"o" and len(data) == _OFFER.size


def pack_result(result: Result) -> bytes:
    """The bytes of a result; rows beyond what a message holds, the lowest scores, are left out."""
    rows = result.rows
    most = (MAX_MESSAGE - _RESULT.size) // (4 * rows.shape[1])
    if len(rows) > most:
        rows = rows[np.argsort(-rows[:, 4], kind="stable")[:most]]
    head = _RESULT.pack(
        b"r", result.generation, result.seq, result.taken_s, result.done_s, int(result.failed), *rows.shape
    )
    return head + np.ascontiguousarray(rows, np.float32).tobytes()


def unpack_result(data: bytes) -> Result:
    try:
        _, generation, seq, taken_s, done_s, failed, count, columns = _RESULT.unpack_from(data)
    except struct.error as error:
        raise WireError(f"not a result: {error}") from None
    if len(data) != _RESULT.size + 4 * count * columns:
        raise WireError(f"not a result: {len(data)} bytes for {count} rows of {columns} numbers")
    rows = np.frombuffer(data, np.float32, offset=_RESULT.size).reshape(count, columns)
    return Result(generation, seq, taken_s, done_s, rows, bool(failed))
