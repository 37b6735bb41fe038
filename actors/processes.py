"""Child processes that never outlive us, and ports for them."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def die_with_parent() -> None:
    """In a child before exec: be ended when the parent is, even by kill -9; and leave Ctrl-C to the parent."""
    os.setpgrp()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def free_port() -> int:
    """A port of loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_taken(port: int) -> bool:
    """Whether another process listens on a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """A child that writes its output to the end of a file and does not outlive us."""
    with log.open("ab") as file:
        return subprocess.Popen(  # noqa: S603  (command lines of our own making)
            command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent
        )


def end(process: "subprocess.Popen[bytes] | None", limit_s: float = 8.0) -> None:
    """End a child politely, then by force."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
