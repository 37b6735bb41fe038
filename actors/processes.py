"""Child processes that never outlive us, and ports for them."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def dying_with_us() -> Callable[[], None]:
    """For a child before exec: be ended when we are, even by kill -9; and leave Ctrl-C to us."""
    us = os.getpid()

    def before_exec() -> None:
        os.setpgrp()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # exec would forget what a handler of ours had noted
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != us:  # we died before the child had asked to be told of it
            os._exit(128 + signal.SIGTERM)

    return before_exec


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
            command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL, preexec_fn=dying_with_us()
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
