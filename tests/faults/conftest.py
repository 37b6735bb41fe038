"""The system that faults are tried on, started once a file."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from actors.processes import free_port
from cli.sim import fleet_document
from hoaban.sim.address import parse_address
from tests.faults.whole_system import SCENES, System, until
from tests.journals import Journals


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("faults")
    document: dict[str, Any] = {"version": 1, "province": {"name": "Test"}, "cameras": []}
    for scene, rules in SCENES.items():
        address = f"sim://{scene}?seed=3&fps=5&size=320x180&density=2"
        drawn = fleet_document(parse_address(address))
        document |= {name: drawn[name] for name in ("districts", "agencies")}
        (camera,) = drawn["cameras"]  # type: ignore[misc]
        more = {"id": scene, "rules": rules, "analysis_fps": 5, "model": "sim-colours", "motion_gate": False}
        document["cameras"].append(camera | more)
    fleet = folder / "fleet.yaml"
    fleet.write_text(yaml.safe_dump(document, allow_unicode=True))
    data, port = folder / "data", free_port()
    journals = Journals(data / "spool", folder / "kept")
    journals.kept.mkdir()
    command = [str(Path(sys.executable).with_name("hoaban")), "up", str(fleet), "--data", str(data), "--no-dashboard"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen([*command, "--api-port", str(port)], stdout=log, stderr=log, start_new_session=True)
    threading.Thread(target=journals.follow, daemon=True).start()
    found = System(process, f"http://127.0.0.1:{port}/api/v1", data, fleet, journals)
    try:
        until(lambda: (data / "token").exists() and httpx.get(found.api + "/readyz").status_code == 200, 120)
        found.token = (data / "token").read_text()
        until(lambda: found.live({}), 120)
        until(lambda: {event.camera for event in found.stored()} >= {"road", "yard"}, 120)
        yield found
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        journals.stop.set()
        print((folder / "log").read_text())
