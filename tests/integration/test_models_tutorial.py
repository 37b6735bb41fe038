"""docs/tutorial-models.md: its commands as they stand there, against a real `hoaban up`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.blocks import block_onnx, write_block_onnx, write_suite

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PROJECT = Path(__file__).parents[2]
SCORE = 0.55
"""of the new model, where the old one says 0.9: good enough to pass, and another answer"""


def blocks() -> list[str]:
    """The commands of the tutorial, block by block."""
    text = (PROJECT / "docs" / "tutorial-models.md").read_text(encoding="utf-8")
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_system(folder: Path) -> None:
    """What the tutorial says is there: a fleet that runs `street`, recordings, and the new file."""
    write_block_onnx(folder / "models", "street")
    film = write_suite(folder / "recordings")
    (folder / "street-2.onnx").write_bytes(block_onnx(SCORE))
    fleet = {
        "version": 1,
        "province": {"name": "X"},
        "districts": [{"id": "d", "name": "D"}],
        "agencies": [{"id": "o", "name": "O"}],
        "models": {"detect": "street"},
        "cameras": [
            {"id": "gate", "name": "Gate", "role": "traffic_counting", "district": "d", "owner": "o"}
            | {"source": str(film / "blocks.mp4"), "motion_gate": False, "begin_score": 0.5}
            | {"lines": [{"id": "l", "from": [0.0, 0.5], "to": [1.0, 0.5]}]}
            | {"rules": [{"type": "line_count", "line": "l", "classes": ["thing"]}]}
        ],
    }
    (folder / "fleet.yaml").write_text(yaml.safe_dump(fleet))
    tool = folder / "bin" / "hoaban"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from cli.main import main; main()" "$@"\n')
    tool.chmod(0o755)


class Terminal:
    """The reader's second terminal: blocks run one after the other, with what was exported before."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self._port, self._exports = folder, port, ""
        paths = [str(folder / "models"), os.environ.get("HOABAN_MODEL_PATH", "")]
        self.environment = os.environ | {
            "HOABAN_MODEL_PATH": os.pathsep.join(path for path in paths if path),
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT),
        }

    def run(self, block: str) -> str:
        block = block.replace(":8000", f":{self._port}")
        if block.startswith("export "):
            self._exports = block
            return ""
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{self._exports}\n{block}"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, block + done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def up(self, command: str) -> Iterator[None]:
        log = (self.folder / "up.log").open("w")
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command.strip()} --no-dashboard --api-port {self._port}"],
            cwd=self.folder, env=self.environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            log.close()

    def ask(self, path: str) -> Any:
        token = (self.folder / "data" / "token").read_text().strip()
        url = f"http://127.0.0.1:{self._port}/api/v1{path}"
        return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10).json()

    def until(self, what: Callable[[], bool], limit_s: float = 120) -> None:
        ends = time.monotonic() + limit_s
        while True:
            try:
                if what():
                    return
            except (OSError, httpx.HTTPError, ValueError, TypeError, KeyError, IndexError):
                pass
            assert time.monotonic() < ends, (self.folder / "up.log").read_text()[-3000:]
            time.sleep(0.5)


def test_the_tutorial(tmp_path: Path) -> None:
    write_system(tmp_path)
    terminal = Terminal(tmp_path, free_port())
    (up, exports, card, add, evaluate, shadow, look, label, end, promote, back) = blocks()

    def runs(version: str) -> Callable[[], bool]:
        return lambda: terminal.ask("/cameras/gate")["status"]["model"]["version"] == version

    with terminal.up(up):
        terminal.until(runs("1"))
        terminal.run(exports)
        terminal.run(card)
        assert "/street-2: a picture took " in terminal.run(add)
        assert "PASSED: traffic_counting: errors per happening 0.000 -> 0.000" in terminal.run(evaluate)
        assert "street@2 is shown 100.00% of the analysed frames of all cameras" in terminal.run(shadow)
        terminal.until(lambda: terminal.ask("/models/shadow")[0]["at_cameras"][0]["stored"] > 0)
        assert runs("1")()
        shadows, _, disagreements = terminal.run(look).replace("]{", "]\n{").partition("\n")
        assert json.loads(shadows)[0]["kinds"]["score"] > 0
        (found, *_) = json.loads(disagreements)["disagreements"]
        assert found["differences"][0]["kind"] == "score"
        assert "pictures with" in terminal.run(label)
        assert (tmp_path / "labelled" / "january" / "labels.json").is_file()
        terminal.run(end)
        terminal.until(lambda: terminal.ask("/cameras/gate")["status"]["shadow"] is None)
        assert "street stands for street@2 (it was street@1)" in terminal.run(promote)
        terminal.until(runs("2"))
        told = terminal.run(back)
        assert "street stands for street@1 again (it was street@2)" in told
        terminal.until(runs("1"))
        _again(terminal)
    assert told.endswith("(misses cyclists in the rain)\n")


def _again(terminal: Terminal) -> None:
    """An event that each of the two models made is given again by its own."""
    events = [one["event"] for one in terminal.ask("/events?type=hoaban.line_count&limit=200")["events"]]
    assert events
    event = events[-1]
    shown = json.loads(terminal.run(f"hoaban events show {event['id']} --data data --json"))
    assert (shown["model"]["version"], shown["model_here"], shown["config_here"]) == ("1", True, True)
    told = json.loads(terminal.run(f"hoaban events replay {event['id']} --data data --json"))
    assert told["same"]
