"""The dashboard in a process of its own, for a browser."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

import httpx

from actors.processes import dying_with_us, end
from dashboards.launch import command

TOLD = ("HOABAN_PUBLIC_API_URL", "HOABAN_API_TOKEN", "HOABAN_INTAKE_TOKEN", "HOABAN_DEMO_SIGN_IN")


@contextlib.contextmanager
def serving(port: int, **told: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The dashboard's process, at http://127.0.0.1:PORT; told: variables of its environment, instead of those here."""
    environment = {name: value for name, value in os.environ.items() if name not in TOLD} | told
    process = subprocess.Popen(command(port), env=environment, preexec_fn=dying_with_us())
    try:
        for _ in range(300):
            if answers(f"http://127.0.0.1:{port}"):
                break
            time.sleep(0.1)
        yield process
    finally:
        end(process)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/_stcore/health").is_success
    except httpx.HTTPError:
        return False
