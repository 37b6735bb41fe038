"""No upgrade begins on a fleet file that the installed version refuses: a new supervisor might have no fleet."""

from pathlib import Path
from typing import Any

import pytest
import typer

from actors.board import NODES
from cli import nodes
from cli import renewal as renewal_module
from cli.renewal import HEAD, FleetRefusedError, Renewal, check_fleet

FLEET = "version: 1\nprovince: {name: Test}\ndistricts: []\nagencies: []\ncameras: []\n"


class Told:
    """Takes the place of the board."""

    def __init__(self, **kept: Any) -> None:
        self.kept = kept

    def get_json(self, key: str) -> Any:
        return self.kept.get(key)

    def put_json(self, key: str, document: Any) -> None:
        self.kept[key] = document


def test_the_installed_version_reads_the_fleet_before_anything_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(FLEET)
    bad.write_text(FLEET.replace("cameras: []", "cameras: 3"))
    check_fleet([str(good)])
    with pytest.raises(FleetRefusedError, match=r"bad\.yaml:5: cameras"):
        check_fleet([str(bad)])
    board, said = Told(), list[str]()
    renewal = Renewal(board, None, said.append, [str(bad)])  # type: ignore[arg-type]
    monkeypatch.setattr(renewal_module, "ray", None)  # nothing that runs on this machine is ever replaced by this
    renewal._run("1")
    assert board.kept[HEAD]["error"].startswith("nothing is replaced: the installed version refuses the fleet file")
    assert "bad.yaml:5: cameras" in said[-1]


def test_an_upgrade_during_a_refused_edit_is_refused_before_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = Told(fleet={"errors": ["fleet.yaml:5: cameras: no list"]}, **{NODES: {"at_s": 1e12, "nodes": {}}})
    monkeypatch.setattr(nodes, "_board", lambda folder: board)
    with pytest.raises(typer.Exit) as ended:
        nodes.upgrade(data=tmp_path)
    assert ended.value.exit_code == 2
    told = capsys.readouterr().err
    assert "fleet.yaml:5: cameras: no list; mend it or take the edit back" in told
    assert board.kept.keys() == {"fleet", NODES}
