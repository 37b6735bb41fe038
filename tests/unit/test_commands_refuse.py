"""Every command with bad input: exit code 2, one line that says what is wrong and what to do, and never a traceback."""

import io
import json
import os
import re
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import typer

from actors.store import EventStore
from actors.watchlist.store import WatchlistStore
from cli.main import app, main
from cli.replay_lists import read_list
from cli.trouble import TroubleError

FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - {id: sim, name: S, role: shared, district: d, owner: o, source: "sim://yard?size=160x90&duration=1"}
  - {id: endless, name: S, role: shared, district: d, owner: o, source: "sim://yard?size=160x90"}
  - {id: live, name: L, role: shared, district: d, owner: o, source: "rtsp://u:s3cret@127.0.0.1:9/x", model: opencv-hog}
  - {id: file, name: F, role: shared, district: d, owner: o, source: clip.mp4, model: opencv-hog}
"""
Place = Callable[[Path], Path]
BAD_FILES: dict[str, Place] = {
    "missing": lambda d: d / "none.yaml",
    "empty": lambda d: _made(d / "empty.yaml", b""),
    "binary": lambda d: _made(d / "binary.yaml", bytes(range(256))),
    "huge": lambda d: _sparse(d / "huge.yaml", 2**33),
    "folder": lambda d: d,
    "pipe": lambda d: _pipe(d / "pipe.yaml"),
    "device": lambda d: Path("/dev/zero"),
    "deep": lambda d: _made(d / "deep.yaml", b"[" * 100_000),
    "no fleet": lambda d: _made(d / "list.yaml", b"- 1"),
}
"""what a fleet file may be instead"""
FLEET_COMMANDS = {
    "check": ["check", "BAD"],
    "check --json": ["check", "BAD", "--json"],
    "replay": ["replay", "BAD", "--camera", "sim", "--out", "OUT"],
    "plan": ["plan", "BAD"],
    "up": ["up", "BAD", "--data", "DIR/data", "--no-dashboard"],
}
BAD_ARGUMENTS: dict[str, tuple[list[str], str]] = {
    "no such command": (["fly"], "No such command"),
    "no such option": (["check", "FLEET", "--fast"], "No such option"),
    "check, no file": (["check"], "Missing argument"),
    "replay, no camera": (["replay", "FLEET", "--out", "OUT"], "Missing option '--camera'"),
    "replay, unknown camera": (["replay", "FLEET", "--camera", "x", "--out", "OUT"], "no camera 'x'; it has: sim"),
    "replay, unknown model": (["replay", "FLEET", "--camera", "sim", "--out", "OUT", "--model", "x"], "not known"),
    "replay, other task": (["replay", "FLEET", "--camera", "sim", "--out", "OUT", "--model", "faces"], "no"),
    "replay, out is a folder": (["replay", "FLEET", "--camera", "sim", "--out", "DIR"], "a folder; name a file in it"),
    "replay, out in no folder": (["replay", "FLEET", "--camera", "sim", "--out", "DIR/no/x"], "cannot be written"),
    "replay, out is an input": (["replay", "FLEET", "--camera", "sim", "--out", "FLEET"], "it is read by this command"),
    "replay, out is a device": (["replay", "FLEET", "--camera", "sim", "--out", "/dev/full"], "no regular file"),
    "replay, source empty": (["replay", "FLEET", "--camera", "sim", "--out", "OUT", "--source", ""], "it is empty"),
    "replay, source blank": (["replay", "FLEET", "--camera", "sim", "--out", "OUT", "--source", " "], "it is empty"),
    "replay, source unknown": (
        ["replay", "FLEET", "--camera", "live", "--out", "OUT", "--source", "ftp://x"],
        "not supported",
    ),
    "replay, source endless": (["replay", "FLEET", "--camera", "endless", "--out", "OUT"], "it has no end"),
    "replay, live camera": (["replay", "FLEET", "--camera", "live", "--out", "OUT"], "name a recording of it"),
    "replay, live source": (
        ["replay", "FLEET", "--camera", "file", "--out", "OUT", "--source", "rtsps://u:s3cret@h/x"],
        "name a recording of it",
    ),
    "replay, no clip": (["replay", "FLEET", "--camera", "file", "--out", "OUT"], "not found; check the path"),
    "replay, source is text": (
        ["replay", "FLEET", "--camera", "file", "--out", "OUT", "--source", "FLEET"],
        "not a video",
    ),
    "replay, evidence is a file": (
        ["replay", "FLEET", "--camera", "sim", "--out", "OUT", "--evidence", "FLEET"],
        "name a folder",
    ),
    "sim truth, no end": (["sim", "truth", "sim://yard", "--out", "OUT"], "add duration=SECONDS"),
    "sim truth, no scene": (["sim", "truth", "sim://moon", "--out", "OUT"], "use one of junction"),
    "sim truth, out is a folder": (["sim", "truth", "sim://yard?duration=1", "--out", "DIR"], "a folder; name a file"),
    "sim truth, no folder": (["sim", "truth", "sim://yard?duration=1", "--out", "DIR/no/x"], "cannot be written"),
    "sim fleet, no scene": (["sim", "fleet", "rtsp://x"], "use one of junction"),
    "sim, no command": (["sim", "nonsense"], "No such command"),
    "models pull, unknown": (["models", "pull", "nonsense"], "known: yolox-nano"),
    "models add, no card": (["models", "add", "DIR"], "no card.yaml is in it"),
    "models evaluate, unknown": (["models", "evaluate", "x", "--data", "DIR"], "model 'x' is not known"),
    "models evaluate, no suite": (["models", "evaluate", "x", "--suite", "DIR/no"], "cannot be read"),
    "models promote, no version": (["models", "promote", "x", "--report", "FLEET"], "write NAME@VERSION"),
    "models promote, no report": (["models", "promote", "x@1", "--report", "FLEET"], "name what"),
    "models rollback, no data": (["models", "rollback", "--data", "DIR/no"], "name the folder of `hoaban up`"),
    "models current, no data": (["models", "current", "--data", "DIR/no"], "name the folder of `hoaban up`"),
    "models shadow, no data": (["models", "shadow", "--data", "DIR/no"], "name the folder of `hoaban up`"),
    "models shadow, no version": (["models", "shadow", "yolox-nano", "--data", "DIR"], "write NAME@VERSION"),
    "models shadow, unknown": (["models", "shadow", "x@1", "--data", "DIR"], "model 'x@1' is not known"),
    "models shadow, ends nothing": (["models", "shadow", "x@1", "--end", "--data", "DIR"], "no shadow of 'x@1' runs"),
    "models export-coco, not new": (["models", "export-coco", "FLEET", "--reason", "labels"], "name a new folder"),
    "models export-coco, no token": (
        ["models", "export-coco", "DIR/new", "--reason", "labels", "--data", "DIR/no"],
        "set HOABAN_API_TOKEN",
    ),
    "models import-coco, nothing": (["models", "import-coco", "DIR/no", "--suite", "DIR/s"], "cannot be read"),
    "events show, no store": (["events", "show", "x", "--data", "DIR/no"], "no store is in it"),
    "events replay, no store": (["events", "replay", "x", "--data", "DIR/no"], "no store is in it"),
    "faces, no folder": (["faces", "evaluate", "--gallery", "2", "--pairs", "DIR/no"], "put each person's pictures"),
    "faces, no gallery": (["faces", "evaluate", "--gallery", "0", "--pairs", "DIR"], "not in the range"),
    "faces, other task": (
        ["faces", "evaluate", "--gallery", "2", "--pairs", "PEOPLE", "--model", "opencv-hog"],
        "no face model",
    ),
    "plan, costs missing": (["plan", "FLEET", "--costs", "DIR/no"], "cannot be read"),
    "plan, costs are text": (["plan", "FLEET", "--costs", "FLEET"], "measure anew"),
    "backup, no fleet": (["backup", "DIR/out", "--data", "DIR", "--fleet", "DIR/no"], "name a fleet file"),
    "restore, no backup": (
        ["restore", "DIR", "--data", "DIR/new", "--without-erasures", "for a test of it"],
        "name a folder of `hoaban backup`",
    ),
    "restore, no erasures": (["restore", "DIR", "--data", "DIR/new"], "give --erasures"),
    "evidence save-erasures, no data": (
        ["evidence", "save-erasures", "DIR/out", "--data", "DIR/no"],
        "no store is in it",
    ),
    "evidence vouch-erasure, no data": (["evidence", "vouch-erasure", "x", "--data", "DIR/no"], "no store is in it"),
    "evidence confirm-restore, no restore": (
        ["evidence", "confirm-restore", "--reason", "for a test of it", "--data", "DIR"],
        "no restore waits there",
    ),
    "bench, too many": (["bench", "--cameras", "999"], "not in the range"),
    "audit, no store": (["audit", "verify", "--data", "DIR/no"], "name the folder of `hoaban up`"),
    "evidence, missing": (["evidence", "verify", "DIR/no"], ""),
    "evidence, text": (["evidence", "verify", "FLEET"], ""),
    "evidence keys, no data": (["evidence", "keys", "--data", "DIR/no"], ""),
    "evidence rotate-key, no data": (["evidence", "rotate-key", "--data", "DIR/no"], ""),
    "evidence verify-erasures, no data": (["evidence", "verify-erasures", "--data", "DIR/no"], ""),
    "events export-coco, no data": (
        ["events", "export-coco", "DIR/out", "--fleet", "FLEET", "--reason", "for a test of it", "--data", "DIR/no"],
        "name the folder of `hoaban up`",
    ),
    "events show, no data": (["events", "show", "x", "--data", "DIR/no"], "name the folder of `hoaban up`"),
    "events replay, no data": (["events", "replay", "x", "--data", "DIR/no"], "name the folder of `hoaban up`"),
    "events dead list, no data": (["events", "dead", "list", "--data", "DIR/no"], ""),
    "events dead retry, no data": (["events", "dead", "retry", "--data", "DIR/no"], ""),
    "events dead drop, no data": (["events", "dead", "drop", "1-1", "--reason", "a test", "--data", "DIR/no"], ""),
    "diff, missing": (["diff", "DIR/no", "DIR/no"], "cannot be read"),
    "nodes, no data": (["nodes", "--data", "DIR/no"], "no live store runs there"),
    "drain, no data": (["drain", "x", "--data", "DIR/no"], "no live store runs there"),
    "drain, no node": (["drain", "--data", "DIR"], "Missing argument 'NODE'"),
    "undrain, no data": (["undrain", "x", "--data", "DIR/no"], "no live store runs there"),
    "upgrade, no data": (["upgrade", "--data", "DIR/no"], "no live store runs there"),
    "discover, too short": (["discover", "--for", "0"], "not in the range"),
    "discover, no password": (["discover", "--user", "x"], "the password is taken from HOABAN_ONVIF_PASSWORD"),
    "doctor, port": (["doctor", "--api-port", "0"], "not in the range"),
    "up, data is a file": (["up", "FLEET", "--data", "FLEET"], "cannot be made or written"),
    "up, data cannot be made": (["up", "FLEET", "--data", "/proc/hoaban"], "cannot be made or written"),
    "up, one port for both": (
        ["up", "FLEET", "--data", "DIR/d", "--api-port", "8000", "--dashboard-port", "8000"],
        "cannot share port 8000",
    ),
    "up, port": (["up", "FLEET", "--data", "DIR/d", "--no-dashboard", "--api-port", "TAKEN"], "is taken; choose"),
}


NEED_A_STORE = {
    ("audit", "anchor"): ["--reason", "x"],
    ("backup",): ["DIR/out"],
    ("deliveries",): [],
    ("evidence", "confirm-restore"): ["--reason", "x"],
    ("evidence", "save-erasures"): ["DIR/erasures.jsonl"],
    ("evidence", "set-owner"): ["gate", "ward", "--reason", "x"],
    ("evidence", "vouch-erasure"): ["x", "--reason", "y"],
    ("people", "add"): ["x", "--no-password"],
    ("people", "list"): [],
    ("people", "grant"): ["x", "--role", "viewer"],
    ("people", "confirm"): ["x", "y", "--reason", "z"],
    ("people", "revoke"): ["x", "y"],
    ("people", "disable"): ["x"],
    ("people", "password"): ["x"],
    ("tokens", "add"): ["x", "--role", "viewer"],
    ("tokens", "list"): [],
    ("tokens", "revoke"): ["x"],
}
"""commands on a store, and what else they take"""
BAD_ARGUMENTS |= {
    f"{' '.join(command)}, no store": ([*command, *more, "--data", "DIR/no"], "name the folder of `hoaban up`")
    for command, more in NEED_A_STORE.items()
}


def _made(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOABAN_STORE_URL", "HOABAN_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery staple\n"))
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "people" / "a").mkdir(parents=True)
    (tmp_path / "people" / "a" / "1.jpg").write_bytes(b"no picture")
    return tmp_path


def refused(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Run a command that must refuse; its standard output and error. Nothing but its inputs is in the folder after."""
    places = {"DIR": folder, "OUT": folder / "out.jsonl", "FLEET": folder / "fleet.yaml", "PEOPLE": folder / "people"}
    words = [re.sub(r"^(DIR|OUT|FLEET|PEOPLE)", lambda m: str(places[m[0]]), word) for word in arguments]
    before = _found(folder)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    assert ended.value.code == 2, err
    assert "Traceback" not in err
    assert "s3cret" not in err + out
    assert _found(folder) == before
    return out, err


def _found(folder: Path) -> set[Path]:
    """All but data folders and what SQLite keeps beside an open file."""
    found = {path for path in folder.rglob("*") if not {"data", "d"} & set(path.parts)}
    return {path for path in found if not path.name.endswith(("-wal", "-shm"))}


def one_line(err: str, command: str) -> None:
    """`hoaban COMMAND: what; cure` or `FILE:LINE: what; cure`."""
    line = err.strip().splitlines()[-1]
    assert line.startswith(command) or re.match(r"^[^ ]+:\d+: ", line), line
    what, _, cure = line.rpartition("; ")
    assert len(what) > 10, line
    assert len(cure) > 5, line


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", FLEET_COMMANDS)
def test_a_fleet_file_that_is_none_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    bad = str(BAD_FILES[name](folder))
    out, err = refused(folder, [bad if word == "BAD" else word for word in FLEET_COMMANDS[command]], capsys)
    assert err.startswith(f"{bad}:1: ")
    one_line(err, "")
    if command == "check --json":
        told = json.loads(out)
        assert told["ok"] is False
        assert told["errors"][0]["file"] == bad
    else:
        assert out == ""


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_refused(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    arguments, words = BAD_ARGUMENTS[name]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [str(taken.getsockname()[1]) if word == "TAKEN" else word for word in arguments]
        out, err = refused(folder, arguments, capsys)
    assert words in err, err
    assert out == ""
    one_line(err, "hoaban")
    assert len(err.strip().splitlines()) == 1, err


STORES: dict[str, tuple[Callable[[Path], str], str]] = {
    "no address": (lambda d: "nonsense", "is no database address; write sqlite:"),
    "unknown kind": (lambda d: "oracel://u:s3cret@h/x", "are not supported; use sqlite:// or postgresql://"),
    "no server": (lambda d: "postgresql://u:s3cret@127.0.0.1:9/x", "start the server, or correct the address"),
    "damaged": (
        lambda d: f"sqlite:///{_made(d / 'bad.db', b'SQLite format 3' + bytes(5000))}",
        "it is damaged or no database: restore a backup",
    ),
    "text": (lambda d: f"sqlite:///{_made(d / 'bad.db', b'text' * 999)}", "restore a backup, or move it away"),
    "folder": (lambda d: f"sqlite:///{d}", "make its folder, with the right to write there"),
    "no folder": (lambda d: f"sqlite:///{d}/no/hoaban.db", "make its folder, with the right to write there"),
    "newer": (lambda d: f"sqlite:///{_newer(d / 'new.db')}", "install the version of Hoa Ban that made them"),
    "another's": (lambda d: f"sqlite:///{_others(d / 'other.db')}", "name a database of Hoa Ban's own"),
}
REDISES: dict[str, tuple[Callable[[Path, int], str], str]] = {
    "no address": (lambda d, port: "nonsense", "write HOABAN_REDIS_URL like redis://"),
    "no port": (lambda d, port: "redis://:s3cret@h:port", "write HOABAN_REDIS_URL like redis://"),
    "nobody": (lambda d, port: "redis://:s3cret@127.0.0.1:9/0", "start the server, or correct HOABAN_REDIS_URL"),
    "no Redis": (lambda d, port: f"redis://:s3cret@127.0.0.1:{port}/0", "HOABAN_REDIS_URL"),
}


def _newer(path: Path) -> Path:
    EventStore.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as database:
        database.execute("update alembic_version set version_num = '9999'")
    return path


def _others(path: Path) -> Path:
    with sqlite3.connect(path) as database:
        database.execute("create table events (x)")
    return path


@pytest.mark.parametrize("name", STORES)
def test_up_refuses_a_store_that_cannot_be_used(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make, words = STORES[name]
    monkeypatch.setenv("HOABAN_STORE_URL", make(folder))
    monkeypatch.setattr("cli.system.System._stores", lambda system: ("redis://none", os.environ["HOABAN_STORE_URL"]))
    _, err = refused(folder, ["up", "FLEET", "--data", "DIR/data", "--no-dashboard", "--api-port", "47831"], capsys)
    assert words in err
    one_line(err, "hoaban up: ")


@pytest.mark.parametrize("name", REDISES)
def test_up_refuses_a_live_store_that_cannot_be_used(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make, words = REDISES[name]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HOABAN_REDIS_URL", make(folder, silent.getsockname()[1]))
        _, err = refused(folder, ["up", "FLEET", "--data", "DIR/data", "--no-dashboard", "--api-port", "47831"], capsys)
    assert words in err
    one_line(err, "hoaban up: ")


def test_up_refuses_a_token_file_that_is_none(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "data" / "token").mkdir(parents=True)
    monkeypatch.setattr("cli.system.System._stores", lambda system: ("", f"sqlite:///{folder / 'data' / 'h.db'}"))
    _, err = refused(folder, ["up", "FLEET", "--data", "DIR/data", "--no-dashboard", "--api-port", "47831"], capsys)
    assert "remove it, so that a new token is made" in err
    one_line(err, "hoaban up: ")


def test_a_watchlist_in_a_damaged_store_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _made(folder / "hoaban.db", b"text" * 999)
    with pytest.raises(TroubleError, match="restore a backup"):
        read_list(folder, WatchlistStore)


CARDS: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)),
    "list": b"- 1",
    "deep": b"[" * 700,
    "half": b"name: x",
    "bomb": b"a: &a [1, 1, 1]\n"
    + b"".join(b"%c: &%c [*%c, *%c, *%c]\n" % (c, c, c - 1, c - 1, c - 1) for c in range(98, 115)),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_model_card_that_is_none_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / "models" / "m").mkdir(parents=True)
    card = _made(folder / "models" / "m" / "card.yaml", CARDS[name])
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(folder / "models"))
    wanted = ["replay", "FLEET", "--camera", "file", "--model", "m", "--out", "OUT"]  # it may be this model's card
    for command in (["models", "list"], wanted):
        _, err = refused(folder, command, capsys)
        assert str(card) in err
        assert err.endswith("; correct the card\n")
        one_line(err, "hoaban")


PICTURES: dict[str, bytes] = {
    "empty": b"",
    "text": b"no picture",
    "binary": bytes(range(256)) * 9,
    "claims to be huge": b"P6\n200000 200000\n255\n" + bytes(99),
    "cut off": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\x03\0\0\0\x03\0\0\x08\x02\0\0\0",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_a_face_that_is_none_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("cli.faces.load_face_model", lambda *_, **__: SimpleNamespace(warm_up=lambda: None))
    monkeypatch.setattr("cli.faces.find_model", lambda _: None)
    (folder / "people" / "a" / "1.jpg").write_bytes(PICTURES[name])
    _, err = refused(folder, ["faces", "evaluate", "--gallery", "2", "--pairs", "PEOPLE"], capsys)
    assert "is no picture that can be read; remove it" in err
    one_line(err, "hoaban faces evaluate: ")


def test_up_refuses_a_disk_without_room(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.up.LEAST_FREE_BYTES", 2**60)
    _, err = refused(folder, ["up", "FLEET", "--data", "DIR/d", "--no-dashboard", "--api-port", "47831"], capsys)
    assert "are least; make room, or name another folder" in err


def test_no_command_is_left_out_of_these_tables() -> None:
    """Every command and sub-command is run with bad input by some test here."""

    def names(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        if isinstance(group, click.Group):
            commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
            return [found for name, command in commands.items() if command for found in names(command, (*path, name))]
        return [path]

    context = click.Context(typer.main.get_command(app))
    tried = [arguments for arguments, _ in BAD_ARGUMENTS.values()] + list(FLEET_COMMANDS.values())
    takes_nothing = {("schema",), ("models", "list")}
    for command in set(names(typer.main.get_command(app))) - takes_nothing:
        assert any(tuple(arguments[: len(command)]) == command for arguments in tried), command
