"""The tutorial of docs/models.md, its commands as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.blocks import block_onnx, write_block_model, write_suite

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).parents[2]


def commands() -> str:
    """The commands of the tutorial, each step told on standard output before it is run."""
    text = (PROJECT / "docs" / "models.md").read_text(encoding="utf-8")
    tutorial = text.split("## From an ONNX file")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", tutorial, re.DOTALL)
    assert len(blocks) == 5
    return "\n".join(["set -e", *blocks])


def test_the_tutorial(tmp_path: Path) -> None:
    write_block_model(tmp_path / "models", "street")
    write_suite(tmp_path / "recordings")
    (tmp_path / "data").mkdir()  # of `hoaban up`
    (tmp_path / "street-2.onnx").write_bytes(block_onnx())
    tool = tmp_path / "bin" / "hoaban"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from cli.main import main; main()" "$@"\n')
    tool.chmod(0o755)
    environment = os.environ | {
        "HOABAN_MODEL_PATH": str(tmp_path / "models"),
        "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
    }
    done = subprocess.run(
        ["bash", "-c", commands()], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/street-2: a picture took " in done.stdout
    assert "PASSED: traffic_counting: errors per happening 0.000 -> 0.000" in done.stdout
    assert "street stands for street@2 (it was street@1)" in done.stdout
    assert "street stands for street@1 again (it was street@2)" in done.stdout
    assert done.stdout.splitlines()[-3] == "street stands for itself"
    assert done.stdout.endswith("(misses cyclists in the rain)\n")
