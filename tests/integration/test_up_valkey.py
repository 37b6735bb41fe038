"""`hoaban up` and the Valkey that it runs: one that was killed is started again, with what it had taken."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from actors.bus import STREAM, EventBus, connect
from cli.up import _System
from hoaban.access.settings import AccessSettings
from tests.events import some_events

pytestmark = pytest.mark.integration


def test_an_embedded_valkey_that_was_killed_comes_back_with_its_data_at_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOABAN_REDIS_URL", raising=False)
    stop = threading.Event()
    system = _System(tmp_path, stop, AccessSettings(), None)
    url, _ = system._stores()
    connect(url).config_set("appendfsync", "always")  # the kill comes sooner than the second it has for that
    EventBus(url).publish(some_events(5))
    killed = system._valkey.pid
    os.kill(killed, signal.SIGKILL)

    def stop_when_back() -> None:
        while system._valkey.pid == killed or not system._valkey.alive:
            time.sleep(0.02)
        stop.set()

    watcher = threading.Thread(target=stop_when_back, daemon=True)
    watcher.start()
    system.wait(60)
    assert stop.is_set()
    assert connect(url).xlen(STREAM) == 5
    system.stop()
    assert "started again" in capfd.readouterr().err
