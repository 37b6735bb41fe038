"""`hoaban doctor`: each fault is made to happen and must be found, with its cure; a sound system has none."""

import contextlib
import fcntl
import glob
import json
import os
import re
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.board import Board
from actors.duties import ERASING, Duty
from actors.embedded_redis import EmbeddedRedis
from actors.processes import free_port
from actors.store import EventStore
from cli import doctor
from cli.main import main

pytestmark = pytest.mark.integration

FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - {id: sim, name: S, role: shared, district: d, owner: o, source: "sim://yard"}
"""


class Looked:
    """A folder to look at, and what `hoaban doctor --json` says of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.data = folder / "data"
        self.data.mkdir()
        self.fleet = folder / "fleet.yaml"
        self.fleet.write_text(FLEET)

    def findings(self, *more: str) -> list[dict[str, str]]:
        ports = [] if "--api-port" in more else ["--api-port", str(free_port()), "--dashboard-port", str(free_port())]
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["doctor", str(self.fleet), "--data", str(self.data), "--json", *ports, *more])
        out, err = self._capsys.readouterr()
        told: dict[str, Any] = json.loads(out)
        faults = [finding for finding in told["findings"] if finding["state"] == "fault"]
        assert ended.value.code == (1 if faults else 0), err
        assert told["ok"] is (not faults)
        assert {finding["check"] for finding in told["findings"]} == {c.__name__[1:] for c in doctor.CHECKS}
        return faults

    def fault(self, *more: str) -> str:
        """The only fault; it names a cure."""
        (fault,) = self.findings(*more)
        what, _, cure = fault["message"].rpartition("; ")
        assert what
        assert len(cure) > 5
        return f"{fault['check']}: {fault['message']}"


@pytest.fixture
def looked(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Looked:
    for name in ("HOABAN_STORE_URL", "HOABAN_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return Looked(tmp_path, capsys)


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "valkey")
    monkeypatch.setenv("HOABAN_REDIS_URL", server.start())
    yield server
    server.stop()


def test_a_sound_system_has_no_fault(looked: Looked, redis: EmbeddedRedis) -> None:
    EventStore.open(f"sqlite:///{looked.data / 'hoaban.db'}").close()
    Board(redis.url).put_status("sim", {"node": "n1", "reported_s": time.time(), "faults": {}}, 10)
    assert looked.findings() == []


def test_a_fleet_file_with_errors(looked: Looked) -> None:
    looked.fleet.write_text(FLEET.replace("role: shared", "role: sharde"))
    assert "fleet.yaml:6: cameras[0].role: 'sharde' is not allowed" in looked.fault()


def test_a_disk_that_is_nearly_full(looked: Looked) -> None:
    """On a disk of its own, of one megabyte, where this user may mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(looked.data)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a disk")
    try:
        assert looked.fault().startswith("disk: disk: 0.0 GiB of 0.0 are free")
    finally:
        subprocess.run(["umount", str(looked.data)], check=True)


def test_a_data_folder_that_is_a_file(looked: Looked) -> None:
    looked.data.rmdir()
    looked.data.write_text("")
    assert "no folder that this user may write" in "".join(f["message"] for f in looked.findings())


def test_a_store_that_is_held_old_new_or_damaged(looked: Looked) -> None:
    path = looked.data / "hoaban.db"
    EventStore.open(f"sqlite:///{path}").close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert "another process holds it" in looked.fault()
    for revision, words in (("0001", "its tables are old (revision 0001)"), ("9999", "by a newer hoaban")):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("update alembic_version set version_num = ?", (revision,))
        assert words in looked.fault()
    path.write_bytes(b"no database" * 999)
    assert "put a backup in its place" in looked.fault()


def test_a_store_that_is_away(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_STORE_URL", f"sqlite:///{looked.folder}/none/x.db")
    assert looked.findings() == []  # not made yet: `hoaban up` says more
    monkeypatch.setenv("HOABAN_STORE_URL", "nonsense://h/x")
    assert "no driver for it is installed" in looked.fault()


def test_a_live_store_that_is_away_or_refuses(looked: Looked, redis: EmbeddedRedis, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOABAN_REDIS_URL", f"redis://:wr0ng@127.0.0.1:{redis.port}/0")
    assert "it refused the user or password" in looked.fault()
    monkeypatch.setenv("HOABAN_REDIS_URL", f"redis://:wr0ng@127.0.0.1:{free_port()}/0")
    fault = looked.fault()
    assert "start the server" in fault
    assert "wr0ng" not in fault


def test_clocks_of_nodes_and_cameras_that_are_wrong(looked: Looked, redis: EmbeddedRedis) -> None:
    board, far_s, lives_s = Board(redis.url), 36_000, 1e6
    board.put_status("ahead", {"node": "aaaa", "reported_s": time.time() + far_s, "faults": {}}, lives_s)
    assert re.search(r"node aaaa: its clock is 3\d{4}\.\d s ahead of the live store's; set both by NTP", looked.fault())
    board.put_status("ahead", {"node": "aaaa", "reported_s": time.time() - far_s, "faults": {}}, lives_s)
    assert re.search(r"node aaaa: its clock is 3\d{4}\.\d s behind the live store's; set both by NTP", looked.fault())
    reason = "the camera's clock is 90.0 s ahead; give it a time server"
    board.put_status(
        "ahead", {"node": "aaaa", "camera": "c1", "reported_s": time.time(), "faults": {"wrong_time": reason}}, lives_s
    )
    assert "camera c1: the camera's clock is 90.0 s ahead" in looked.fault()


def test_a_cluster_that_does_not_answer(looked: Looked) -> None:
    assert "nothing can be reached there" in looked.fault("--ray-address", f"127.0.0.1:{free_port()}")


def test_a_model_that_is_missing_or_another(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    looked.fleet.write_text(FLEET.replace("sim://yard", "clip.mp4"))
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(looked.folder))
    assert "yolox_nano.onnx was not found" in looked.fault()
    (looked.folder / "yolox_nano.onnx").write_bytes(b"another")
    assert "fetch it again or correct the card" in looked.fault()


def test_a_gpu_that_is_asked_for_and_not_there(looked: Looked) -> None:
    if glob.glob("/dev/nvidia[0-9]*"):
        pytest.skip("this machine has one")
    assert "this machine shows none" in looked.fault("--gpu")


def test_ports_that_are_taken(looked: Looked) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        arguments = ("--api-port", port, "--dashboard-port", str(free_port()))
        assert f"port {port} is taken" in looked.fault(*arguments)
        with (looked.data / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert looked.findings(*arguments) == []  # a system that runs holds its own ports


def test_a_codec_that_is_missing(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DECODERS", ("h264", "h999"))
    assert "lacks h999; install the package av" in looked.fault()


def test_memory_that_is_short_for_the_fleet(looked: Looked) -> None:
    count = int(psutil.virtual_memory().total / doctor.CAMERA_BYTES) + 1
    camera = FLEET.splitlines()[-1]
    cameras = "\n".join(camera.replace("id: sim", f"id: sim{number}") for number in range(count))
    looked.fleet.write_text(FLEET.replace(camera, cameras))
    assert "memory, or spread the cameras over a cluster" in looked.fault()


def test_an_erasure_that_cannot_be_finished_is_told(looked: Looked, redis: EmbeddedRedis) -> None:
    duty = Duty(Board(os.environ["HOABAN_REDIS_URL"]), ERASING)
    duty.tell("erasure 1 cannot be finished: an object lock; erasure 2 cannot be finished: another")
    assert looked.fault().startswith("duties: erasing: it fails: erasure 1 cannot be finished: an object lock,")
    duty.tell()
    assert looked.findings() == []


def test_how_many_proxies_stand_before_the_dashboard(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> tuple[str, str]:
        (finding,) = doctor._viewers(doctor.Patient((), looked.data, None, {}, False))
        return finding

    monkeypatch.delenv("HOABAN_ACCESS", raising=False)
    state, message = told()
    assert (state, "set dashboard_proxies" in message) == ("skipped", True)
    access = looked.folder / "access.yaml"
    access.write_text("dashboard_proxies: 1\n")
    monkeypatch.setenv("HOABAN_ACCESS", str(access))
    assert told()[0] == "ok"
    access.write_text("dashboard_proxies: x\n")
    assert looked.fault().startswith("viewers: ")


def test_a_running_system_that_refused_its_fleet_file(looked: Looked, redis: EmbeddedRedis) -> None:
    view = {"errors": ["f.yaml:6: cameras[0].role: no; use one", "f.yaml:7: b"], "cameras": [], "digest": "d"}
    Board(redis.url).put_json("fleet", view | {"taken_at": "2026-11-25T09:00:00+00:00"})
    told = looked.fault()
    assert "that of 2026-11-25T09:00:00+00:00 is, since the file is refused: f.yaml:6: cameras[0].role: no, use" in told
    assert told.endswith(" and 1 more; mend it, it is taken by itself")
    Board(redis.url).put_json("fleet", {"errors": ["f.yaml:6: a"], "cameras": []})
    assert "fleet in force: none is known, since the file is refused" in looked.fault()
    Board(redis.url).put_json("fleet", view | {"errors": []})
    assert looked.findings() == []
