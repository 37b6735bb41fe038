"""--json: one JSON document on standard output and nothing else there, and the exit codes of the contract."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.processes import free_port
from cli.main import main

FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - id: yard
    name: Y
    role: shared
    district: d
    owner: o
    source: "sim://yard?size=160x90&fps=4&duration=2"
    lines: [{id: l, from: [0, 0.5], to: [1, 0.5]}]
    rules: [{type: line_count, line: l}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> Any:
    """What a command prints on standard output, as JSON."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in arguments])
    out, err = capsys.readouterr()
    assert ended.value.code == code, err
    return json.loads(out)


def test_check_and_schema(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, 0, "check", folder / "fleet.yaml", "--json")
    assert (told["ok"], told["errors"], told["cameras"]) == (True, [], 1)
    assert "cameras" in answer(capsys, 0, "schema")["properties"]


def test_replay_tells_what_the_contract_lists_and_repeats_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        answer(capsys, 0, "replay", folder / "fleet.yaml", "--camera", "yard", "--out", folder / name, "--json")
        for name in ("a.jsonl", "b.jsonl")
    ]
    fields = {"camera", "frames_read", "frames_analysed", "events", "counts", "wall_s", "media_s", "model"}
    assert fields <= set(runs[0])
    assert set(runs[0]["model"]) == {"name", "version", "digest"}
    assert runs[0]["frames_read"] == runs[0]["frames_analysed"] == 8
    assert (folder / "a.jsonl").read_bytes() == (folder / "b.jsonl").read_bytes()
    same = answer(capsys, 0, "diff", folder / "a.jsonl", folder / "b.jsonl", "--json")
    assert not any(same[key] for key in ("gained", "lost", "changed"))


def test_sim_truth_models_and_doctor(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "sim://yard?size=160x90&fps=2&duration=1"
    assert answer(capsys, 0, "sim", "truth", source, "--out", folder / "t.jsonl", "--json")["source"] == source
    assert {"yolox-nano", "sim-colours"} <= {card["name"] for card in answer(capsys, 0, "models", "list", "--json")}
    ports = ("--api-port", free_port(), "--dashboard-port", free_port())
    told = answer(capsys, 1, "doctor", folder / "none.yaml", "--data", folder / "data", *ports, "--json")
    assert [finding["check"] for finding in told["findings"] if finding["state"] == "fault"] == ["fleet"]
