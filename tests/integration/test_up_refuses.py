"""`hoaban up` where it must not start: in words, without a traceback, and with nothing left running."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from actors.processes import free_port

pytestmark = pytest.mark.integration
FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras: [{id: c, name: C, role: shared, district: d, owner: o, source: "sim://yard"}]
"""


def up(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "fleet.yaml").write_text(FLEET)
    command = [str(Path(sys.executable).with_name("hoaban")), "up", str(folder / "fleet.yaml"), "--no-dashboard"]
    command += ["--data", str(folder / "data"), "--api-port", str(free_port()), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_data_folder_is_for_one_system(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = up(tmp_path)
    assert refused.returncode == 2
    assert "another `hoaban up` runs on this folder" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_cluster_needs_servers_that_its_nodes_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOABAN_REDIS_URL", raising=False)
    refused = up(tmp_path, "--ray-address", "127.0.0.1:1")
    assert refused.returncode == 2
    assert "set HOABAN_REDIS_URL and HOABAN_STORE_URL" in refused.stderr
    assert "Traceback" not in refused.stderr
