"""However `hoaban up` is ended, it ends itself and leaves no process behind; what hangs is ended by force."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from actors.processes import free_port
from actors.side_by_side import at_once
from cli.ending import STOPPED_BY_S

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - {id: yard, name: Y, role: shared, district: d, owner: o, model: sim-colours, source: "sim://yard?fps=5&size=320x180"}
"""


def children_of(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def terminated(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)


def interrupted_twice_with_parts_that_hang(process: "subprocess.Popen[bytes]") -> None:
    """Twice, by somebody to whom it takes too long; once is enough where nothing hangs (test_system.py)."""
    for child in children_of(process):
        if any(name in " ".join(child.cmdline()) for name in ("CameraActor", "WriterActor", "valkey")):
            child.suspend()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("cameras: 1 live", interrupted_twice_with_parts_that_hang),
        ("] supervisor", terminated),
    ],
    ids=["ctrl-c twice, parts that hang", "while it starts"],
)
def test_nothing_is_left(tmp_path: Path, word: str, end: "Callable[[subprocess.Popen[bytes]], None]") -> None:
    """word: what it has said when its end is asked for."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    command = [str(Path(sys.executable).with_name("hoaban")), "up", str(tmp_path / "fleet.yaml"), "--no-dashboard"]
    command += ["--data", str(tmp_path / "data"), "--api-port", str(free_port())]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        while word not in (tmp_path / "log").read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        children = children_of(process)
        assert len(children) > 3
        end(process)
        assert process.wait(120) == 0
        gone, alive = psutil.wait_procs(children, timeout=10)
        print((tmp_path / "log").read_text())
        assert alive == []
        assert len(gone) == len(children)
    finally:
        if process.poll() is None:
            process.kill()


def test_all_stages_together_are_bounded() -> None:
    assert list(STOPPED_BY_S.values()) == sorted(STOPPED_BY_S.values())
    assert max(STOPPED_BY_S.values()) <= 8


def test_parts_end_side_by_side_and_those_that_do_not_are_named() -> None:
    both = threading.Barrier(2)  # who waits alone waits in vain
    never = threading.Event()

    def fails() -> None:
        raise OSError("no disk")

    assert at_once([("a", both.wait), ("b", both.wait), ("c", fails)], 30) == {"c": "OSError: no disk"}
    assert at_once([("hangs", never.wait), ("a", fails)], 0.5).keys() == {"hangs", "a"}
    never.set()
