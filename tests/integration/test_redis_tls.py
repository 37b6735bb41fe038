"""The live store over TLS: its certificate is checked against an authority, and it asks for ours."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from actors.board import Board
from actors.bus import EventBus
from actors.embedded_redis import EmbeddedRedis
from tests.certificates import Authority

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


class TlsFront(socketserver.ThreadingTCPServer):
    """Ends TLS before a server that speaks none, as a stunnel does: the embedded Valkey is built without it."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, context: ssl.SSLContext, behind: int) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", behind)) as plain,
                    context.wrap_socket(self.request, server_side=True) as seen,
                ):
                    threading.Thread(target=carry, args=(plain, seen), daemon=True).start()
                    carry(seen, plain)

        super().__init__(("127.0.0.1", 0), Handler)


def carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Authority, Path]]:
    """The start of its address, its authority, and a folder."""
    authority, valkey = Authority(tmp_path, "authority"), EmbeddedRedis(tmp_path / "valkey")
    plain = urlsplit(valkey.start())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.load_cert_chain(*authority.certificate("server"))
    context.verify_mode = ssl.CERT_REQUIRED
    with TlsFront(context, plain.port or 0) as front:
        threading.Thread(target=front.serve_forever, daemon=True).start()
        yield f"rediss://:{plain.password}@127.0.0.1:{front.server_address[1]}/0", authority, tmp_path
        front.shutdown()
    valkey.stop()


def address(start: str, trusted: Path, own: tuple[Path, Path] | None) -> str:
    ours = f"&ssl_certfile={own[0]}&ssl_keyfile={own[1]}" if own else ""
    return f"{start}?ssl_ca_certs={trusted}{ours}"


def test_the_authority_and_our_certificate_come_with_the_address(served: tuple[str, Authority, Path]) -> None:
    begins, authority, folder = served
    ours = authority.certificate("hoaban")
    url = address(begins, authority.file, ours)
    board = Board(url)
    board.put_json("fleet", {"cameras": []})
    assert board.get_json("fleet") == {"cameras": []}
    assert EventBus(url)._redis.ping()
    other = Authority(folder, "other")
    for wrong in (
        address(begins, other.file, ours),  # the server is another's
        address(begins, authority.file, None),  # we show no certificate
        address(begins, authority.file, other.certificate("stranger")),
        begins,  # the system's authorities do not know ours
        begins.replace("rediss", "redis"),
    ):
        with pytest.raises(redis.RedisError):
            Board(wrong).ping()
