"""The last good fleet outlives the supervisor that took it, and gives way to the file as soon as that is mended."""

import json
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest

from actors.fleet_in_force import FleetInForce
from actors.last_good import LastGoodError, LastGoodFile
from cli.main import main
from cli.up import _fleet_to_run
from hoaban.fleet import Fleet

FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
retention: {events_days: 3}
cameras:
  - {id: one, name: One, role: shared, district: d, owner: o, source: "rtsp://u:${PASSWORD}@127.0.0.1/x"}
"""
BAD = FLEET.replace("role: shared", "role: sharde")
REFUSED = "fleet.yaml:7: cameras[0].role: 'sharde' is not allowed; use"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


def supervisor(file: Path, **env: str) -> FleetInForce:
    """What a supervisor that was started just now has of the fleet, after its first look."""
    found = FleetInForce([str(file)], {"PASSWORD": "p-4711"} | env, file.parent / "data")
    found.look()
    return found


def test_a_new_supervisor_runs_the_last_good_fleet_and_takes_the_file_when_it_is_mended(file: Path) -> None:
    first = supervisor(file)
    file.write_text(BAD)
    assert first.look()
    assert not first.look()
    second = supervisor(file)
    assert second.fleet == first.fleet
    assert second.fleet is not None
    assert second.fleet.cameras[0].revision() == first.fleet.cameras[0].revision()  # type: ignore[union-attr]
    assert second.taken_s == first.taken_s
    assert REFUSED in second.errors[0]
    assert len(second.errors) == 1
    view = second.view()
    assert (view["errors"], len(view["cameras"])) == (second.errors, 1)
    assert datetime.fromisoformat(view["taken_at"]).timestamp() == pytest.approx(first.taken_s, abs=1)
    file.write_text(FLEET.replace("name: One", "name: Two"))
    assert second.look()
    assert (second.errors, second.fleet.cameras[0].name) == ([], "Two")  # type: ignore[union-attr]
    assert second.taken_s is not None
    assert first.taken_s is not None
    assert second.taken_s > first.taken_s
    file.unlink()
    third = supervisor(file)
    assert third.fleet == second.fleet
    assert "fleet.yaml:1: cannot be read: No such file or directory; check" in third.errors[0]


def test_a_file_that_comes_back_as_it_was_is_taken_again(file: Path) -> None:
    first = supervisor(file)
    away = file.rename(file.with_suffix(".away"))
    assert first.look()
    assert first.errors
    away.rename(file)
    assert first.look()
    assert first.errors == []


def test_a_last_good_one_that_could_not_be_read_for_a_moment_is_taken(file: Path) -> None:
    supervisor(file)
    file.write_text(BAD)
    kept = LastGoodFile(file.parent / "data").path
    away = kept.rename(kept.with_suffix(".away"))
    second = supervisor(file)
    assert second.fleet is None
    away.rename(kept)
    assert second.look()
    assert second.fleet is not None


def test_a_name_that_is_no_text_is_not_kept_and_runs(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    file = folder / "fleet.yaml"
    file.write_text(FLEET)
    found = supervisor(file)
    assert found.fleet is not None
    assert not found.look()
    assert not LastGoodFile(folder / "data").path.exists()


def test_the_same_files_keep_the_time_at_which_they_were_taken(file: Path) -> None:
    first = supervisor(file)
    file.write_text(FLEET)
    assert supervisor(file).taken_s == first.taken_s


def test_without_a_last_good_one_the_errors_say_so_and_nothing_is_taken(file: Path) -> None:
    file.write_text(BAD)
    found = supervisor(file)
    assert found.fleet is None
    assert REFUSED in found.errors[0]
    assert "no other fleet is known: no last good one can be read from" in found.errors[1]
    assert found.view()["cameras"] == []


def test_the_last_good_one_of_other_files_is_not_run(file: Path) -> None:
    supervisor(file)
    other = file.with_name("other.yaml")
    other.write_text(BAD)
    found = supervisor(other)
    assert found.fleet is None
    assert "the last good one is of other files" in found.errors[-1]


def test_one_that_is_refused_too_is_told_with_its_time(file: Path) -> None:
    """A version with other keys, or an environment that lacks a secret."""
    supervisor(file)
    file.write_text(BAD)
    found = FleetInForce([str(file)], {}, file.parent / "data")
    found.look()
    assert found.fleet is None
    assert " UTC, is refused too: " in found.errors[-1]
    assert "PASSWORD is not set" in found.errors[-1]


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"taken_s": 1}', b"\xff", b'{"taken_s": -1, "files": []}'])
def test_a_damaged_one_is_none_and_is_written_anew(file: Path, damage: bytes) -> None:
    supervisor(file)
    kept = LastGoodFile(file.parent / "data")
    kept.path.write_bytes(damage)
    with pytest.raises(LastGoodError, match="no last good one can be read"):
        kept.find([str(file)])
    supervisor(file)
    assert kept.find([str(file)]).files == ((str(file), FLEET),)


def test_it_is_for_this_user_alone_and_has_secrets_by_name(file: Path) -> None:
    supervisor(file)
    path = LastGoodFile(file.parent / "data").path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "${PASSWORD}" in path.read_text()
    assert "p-4711" not in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_kept_now_is_kept_when_there_is_room_again(file: Path) -> None:
    data = file.parent / "data"
    data.write_text("")  # no folder can be made there
    found = supervisor(file)
    assert found.fleet is not None
    assert found.errors == []
    data.unlink()
    found.look()
    assert json.loads(LastGoodFile(data).path.read_text())["files"] == [[str(file), FLEET]]


def test_all_that_the_fleet_file_says_is_in_the_view_and_no_secret(file: Path) -> None:
    view = supervisor(file).view()
    assert set(Fleet.model_fields) <= set(view)
    assert view["retention"]["events_days"] == 3
    assert (view["errors"], len(view["cameras"]), len(view["digest"])) == ([], 1, 64)
    assert "p-4711" not in json.dumps(view)


def test_who_starts_a_system_on_a_bad_file_is_refused_a_last_good_one_or_not(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person looks; where nobody does, --last-good says so."""
    monkeypatch.setenv("PASSWORD", "p-4711")
    supervisor(file)
    file.write_text(BAD)
    with pytest.raises(SystemExit) as ended:
        main(["up", str(file), "--data", str(file.parent / "data")])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{file}:7: cameras[0].role: 'sharde'")
    assert len(told.splitlines()) == 1
    monkeypatch.chdir(file.parent)
    texts = _fleet_to_run([Path("fleet.yaml")], LastGoodFile(file.parent / "data"))
    assert list(texts) == [(str(file), FLEET), ("fleet.yaml", BAD)]
    told = capsys.readouterr().err
    assert REFUSED in told
    assert "runs until the file is mended" in told.splitlines()[-1]


def test_a_start_with_last_good_is_refused_where_there_is_none(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(BAD)
    with pytest.raises(SystemExit) as ended:
        main(["up", str(file), "--data", str(file.parent / "data"), "--last-good"])
    assert ended.value.code == 2
    assert "no last good one can be read" in capsys.readouterr().err.splitlines()[-1]
