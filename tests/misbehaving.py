"""Sources that misbehave on purpose, each a real server on loopback or a real file."""

import base64
import contextlib
import functools
import hashlib
import http.server
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np

from actors.picture import Picture
from actors.source import SourceThread
from hoaban.fleet import Camera

REALM = "cameras"
NONCE = "5a8d1c0fe2"


class Gate:
    """A TCP proxy in front of an RTSP server: asks for a password, cuts connections, or lets nothing through.

    With a scheme it is an RTSP server's own check of Basic (RFC 7617) or Digest (RFC 2617, as RTSP 1.0 uses it)
    credentials: every request must carry them, and they are taken out before it goes on.
    """

    def __init__(
        self, port: int, scheme: Literal["none", "basic", "digest"] = "none", user: str = "", password: str = ""
    ) -> None:
        self.server_port, self.scheme, self.user, self.password = port, scheme, user, password
        self.frozen = threading.Event()
        """set: what the server sends is thrown away while the connection stays open"""
        self.accepted = 0
        self.refused = 0
        self.requests: list[str] = []
        """what was let through, as "METHOD address" """
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def url(self, path: str, user_info: str = "") -> str:
        return f"rtsp://{user_info + '@' if user_info else ''}127.0.0.1:{self.port}/{path}"

    @property
    def open(self) -> int:
        """Connections of clients that are open now."""
        return len(self._sockets)

    def cut(self) -> None:
        """Reset every connection, in the middle of whatever it carries."""
        for client in list(self._sockets):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._sockets.add(client)
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.server_port)) as server:
            answers = threading.Thread(target=self._answers, args=(server, client), daemon=True)
            answers.start()
            for message in _messages(client):
                if message[:1] == b"$" or self._allowed(message):
                    if message[:1] != b"$":
                        self.requests.append(message.split(b" RTSP/", 1)[0].decode())
                    server.sendall(re.sub(rb"Authorization:[^\r]*\r\n", b"", message))
                else:
                    client.sendall(self._refusal(message))
            server.shutdown(socket.SHUT_RDWR)
            answers.join()
        self._sockets.discard(client)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if not self.frozen.is_set():
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def _allowed(self, message: bytes) -> bool:
        if self.scheme == "none":
            return True
        given = _header(message, "Authorization")
        if self.scheme == "basic":
            expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return given == f"Basic {expected}"
        values = dict(re.findall(r'(\w+)="([^"]*)"', given))
        request = _md5(message.split(b" ", 1)[0].decode() + ":" + values.get("uri", ""))
        expected = _md5(f"{_md5(f'{self.user}:{REALM}:{self.password}')}:{NONCE}:{request}")
        return values.get("username") == self.user and values.get("response") == expected

    def _refusal(self, message: bytes) -> bytes:
        self.refused += 1
        challenge = f'Digest realm="{REALM}", nonce="{NONCE}"' if self.scheme == "digest" else f'Basic realm="{REALM}"'
        sequence = _header(message, "CSeq")
        return f"RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()


def _messages(client: socket.socket) -> Iterator[bytes]:
    """RTSP requests and interleaved packets as the client sent them, one at a time."""
    buffer = b""
    while True:
        if buffer[:1] == b"$" and len(buffer) >= 4:
            length = 4 + int.from_bytes(buffer[2:4], "big")
        elif (end := buffer.find(b"\r\n\r\n")) >= 0:
            length = end + 4 + int(_header(buffer[: end + 4], "Content-Length") or 0)
        else:
            length = len(buffer) + 1
        if len(buffer) >= length:
            yield buffer[:length]
            buffer = buffer[length:]
            continue
        data = client.recv(65536)
        if not data:
            return
        buffer += data


def _header(message: bytes, name: str) -> str:
    found = re.search(rf"^{name}:\s*(.*?)\r?$", message.decode("latin-1"), re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class SilentServer:
    """Takes every connection and never says a word, or only what it is given to say."""

    def __init__(self, greeting: bytes = b"") -> None:
        self._greeting = greeting
        self.accepted = 0
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "SilentServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for client in self._clients:
            client.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            self.accepted += 1
            if self._greeting:
                client.sendall(self._greeting)

    def open(self) -> int:
        """Connections that their client has not closed."""
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                while select.select([client], [], [], 0)[0]:
                    if not client.recv(65536):
                        self._clients.remove(client)
                        client.close()
                        break
        return len(self._clients)


class Trickle:
    """A live stream over HTTP: to every client the same bytes, spread over `seconds`, then the end or silence."""

    def __init__(self, data: bytes, seconds: float, *, then_silent: bool = False) -> None:
        self._data, self._seconds, self._then_silent = data, seconds, then_silent
        self._closing = threading.Event()
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/live.ts"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> "Trickle":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        chunk = 188 * 4
        count = -(-len(self._data) // chunk)
        began = time.monotonic()
        with contextlib.suppress(OSError), client:
            client.recv(65536)
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
            for i in range(count):
                self._closing.wait(max(0.0, began + i * self._seconds / count - time.monotonic()))
                client.sendall(self._data[i * chunk : (i + 1) * chunk])
            if self._then_silent:
                self._closing.wait()


class HttpFolder:
    """A folder over HTTP; `status` makes a path answer with an error instead."""

    def __init__(self, folder: Path) -> None:
        self.status: dict[str, int] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if status := outer.status.get(self.path):
                    self.send_error(status)
                else:
                    super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
        )
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> "HttpFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str, user_info: str = "") -> str:
        return f"http://{user_info + '@' if user_info else ''}127.0.0.1:{self._server.server_port}/{path}"


def pictures(frames: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """BGR pictures: left half blue, right half grey, a white block that moves right."""
    width, height = size
    for i in range(frames):
        picture = np.full((height, width, 3), 90, np.uint8)
        picture[:, : (width + 1) // 2] = (200, 60, 20)
        left = 2 * i % width
        picture[height // 4 : height // 2, left : left + max(1, width // 6)] = 255
        yield picture


def video(
    path: Path,
    frames: int = 30,
    size: tuple[int, int] = (64, 48),
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 10,
    container: str | None = None,
    options: dict[str, str] | None = None,
    first_pts: int = 0,
) -> Path:
    """A small video file of `pictures`. first_pts: in frames."""
    if codec == "libx265":  # its pool of threads gains nothing here
        options = {"x265-params": "pools=none:frame-threads=1:log-level=error"} | (options or {})
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for i, picture in enumerate(pictures(frames, size)):
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = first_pts + i, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def joined(path: Path, parts: list[Path], *, shift_s: float | None = None, container: str = "mpegts") -> Path:
    """The packets of several videos one after the other in one stream, their bytes unchanged.

    shift_s None: times go on evenly. A number: each part begins so much after the end of the one before; negative
    numbers jump back.
    """
    with av.open(str(path), "w", format=container) as out:
        track, offset_s = None, 0.0
        for part in parts:
            with av.open(str(part)) as source:
                stream = source.streams.video[0]
                track = track or out.add_stream_from_template(stream)
                step_s = float(1 / stream.average_rate)
                end_s = offset_s
                for packet in source.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    shift = round(offset_s / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, track
                    end_s = max(end_s, float(packet.pts * packet.time_base) + step_s)
                    out.mux(packet)
                offset_s = end_s + (shift_s or 0.0)
    return path


def cut(path: Path, share: float, name: str = "cut") -> Path:
    data = path.read_bytes()
    target = path.with_name(name + path.suffix)
    target.write_bytes(data[: int(len(data) * share)])
    return target


def renamed(path: Path, old: bytes, new: bytes) -> Path:
    """The file with a codec's name changed to one that nobody knows."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac" if path.suffix == ".mp4" else "pcm_s16le", rate=8000)
        for start in range(0, 8000, 800):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.rate, frame.pts = 8000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def without_frames(path: Path, folder: Path) -> Path:
    """A container whose header announces a video that has no single frame."""
    with av.open(str(video(folder / "some.mp4", 2))) as source, av.open(str(path), "w") as out:
        out.add_stream_from_template(source.streams.video[0])
        out.start_encoding()
    return path


def watched(
    camera: Camera, until: Callable[[SourceThread], bool], **more: object
) -> tuple[SourceThread, list[Picture]]:
    """A running thread once `until` holds of it, and the pictures it gave; the caller stops it."""
    got: list[Picture] = []
    thread = SourceThread(camera, got.append, **more)
    thread.start()
    wait(lambda: until(thread), thread)
    return thread, got


def wait(what: Callable[[], bool], thread: SourceThread, limit_s: float = 60.0) -> None:
    """Until `what` holds. Raises AssertionError, the thread stopped, when it never does."""
    ends = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > ends:
            thread.stop()
            raise AssertionError(f"not within {limit_s} s: {thread.status()}")
        time.sleep(0.01)
