"""`hoaban up` and the Valkey that it runs: one that was killed is started again, with what it had taken."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from actors.bus import STREAM, EventBus, connect
from cli.system import System
from hoaban.access.settings import AccessSettings
from hoaban.integrations import IntegrationSettings
from tests.events import some_events

pytestmark = pytest.mark.integration


def test_an_embedded_valkey_that_was_killed_comes_back_with_its_data_at_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOABAN_REDIS_URL", raising=False)
    stop = threading.Event()
    system = System(tmp_path, stop, AccessSettings(), (IntegrationSettings(), {}), None)
    url, _ = system._stores()
    connect(url).config_set("appendfsync", "always")  # the kill comes sooner than the second it has for that
    EventBus(url).publish(some_events(5))
    killed, port = system._valkey.pid, system._valkey.port
    os.kill(killed, signal.SIGKILL)
    os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)  # it is gone, and its parent does not know yet
    # Its first attempt meets a port that another has.
    taken = socket.create_server(("127.0.0.1", port))

    def stop_when_back() -> None:
        while "in use" not in (tmp_path / "valkey" / "valkey.log").read_text(errors="replace"):
            time.sleep(0.02)
        taken.close()
        while system._valkey.pid == killed or not system._valkey.alive:
            time.sleep(0.02)
        stop.set()

    watcher = threading.Thread(target=stop_when_back, daemon=True)
    watcher.start()
    system.wait(60)
    assert stop.is_set()
    assert connect(url).xlen(STREAM) == 5
    system.stop()
    told = capfd.readouterr().err
    assert "started again" in told
    assert "it is tried again" in told
