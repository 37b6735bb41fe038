"""Processes killed, a camera, a disk or a database that is slow or full, in a whole system under real Ray: no event is
lost, none is there twice, and the other cameras go on. HOABAN_PROCESS_FAULT_RUNS faults drawn by seed follow those that
are always tried (`make faults`), named by it.
"""

import contextlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.faults.whole_system import SCENES, WATCH_S, Outcome, System, count, judged, kept, until

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(600)]

RUNS = int(os.environ.get("HOABAN_PROCESS_FAULT_RUNS", "0"))
FIRST_SEED = int(os.environ.get("HOABAN_FAULT_SEED", "0"))
ENDINGS = {"inference": "InferenceActor", "supervisor": "SupervisorActor", "API": "ServeReplica", "Valkey": "valkey"}
"""part -> what its process is known by"""
HURTS_ONE = ("camera", "disk full", "slow camera")
LASTING = ("slow camera", "slow disk", "database locked")
"""faults that are there for LASTS_S and then over"""
LASTS_S = 5.0
FAULTS = ("camera", *ENDINGS, "disk full", *LASTING)
BLKIO = Path("/sys/fs/cgroup/blkio")
SLOW_BYTES_S = 50_000


def strike(system: System, fault: str, camera: str) -> None:
    pid = system.statuses()[camera]["pid"]
    if fault == "camera":
        os.kill(pid, signal.SIGKILL)
    elif fault == "disk full":
        # No file of the process grows any more, its logs included: what a full disk does to it alone.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    else:
        for process in system.processes(ENDINGS[fault]):
            process.kill()


@contextlib.contextmanager
def slow(pid: int) -> Iterator[None]:
    """The process works for a tenth of the time, as one whose decoder, rules or disk take ten times as long."""
    over = threading.Event()

    def hold() -> None:
        while not over.wait(0.05):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.45)
            os.kill(pid, signal.SIGCONT)

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield
    finally:
        over.set()
        holding.join()


@contextlib.contextmanager
def slow_disk(folder: Path, pids: list[int]) -> Iterator[None]:
    """What the processes sync to the disk of a folder goes there at SLOW_BYTES_S, all of them together."""
    device = os.stat(folder).st_dev
    group = BLKIO / f"hoaban-test-{os.getpid()}"
    try:
        group.mkdir()
        limit = f"{os.major(device)}:{os.minor(device)} {SLOW_BYTES_S}"
        (group / "blkio.throttle.write_bps_device").write_text(limit)
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"a slow disk needs root and the blkio controller of cgroup v1 at {BLKIO}: {error}")
    try:
        for pid in pids:
            with contextlib.suppress(OSError):  # it ended just now
                (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (BLKIO / "cgroup.procs").write_text(pid)
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Somebody else writes into the database and does not come to an end."""
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def endure(system: System, fault: str, camera: str) -> None:
    """Have a lasting fault, from its beginning to its end."""
    everything = [child.pid for child in psutil.Process(system.process.pid).children(recursive=True)]
    during = {
        "slow camera": lambda: slow(system.statuses()[camera]["pid"]),
        "slow disk": lambda: slow_disk(system.data, everything),
        "database locked": lambda: locked(system.data / "hoaban.db"),
    }[fault]()
    with during:
        time.sleep(LASTS_S)


def heal(system: System, fault: str, camera: str) -> None:
    if fault == "disk full":
        status = system.statuses()[camera]
        until(lambda: "disk" in (system.statuses()[camera]["error"] or "") and status)
        resource.prlimit(status["pid"], resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: system.statuses()[camera]["error"] is None)


def back(system: System, fault: str, before: dict[str, dict[str, Any]], camera: str, dead: set[int]) -> Any:
    """The statuses when all that the fault struck works again; None before."""
    if fault in ENDINGS and not {process.pid for process in system.processes(ENDINGS[fault])} - dead:
        return None
    if fault == "supervisor":  # it works when it takes over an edit
        name = f"After {sorted(dead)[0]}"
        text = yaml.safe_load(system.fleet.read_text())
        if text["cameras"][0]["name"] != name:
            text["cameras"][0]["name"] = name
            system.fleet.write_text(yaml.safe_dump(text, allow_unicode=True))
        if name not in [camera["name"] for camera in system.get("/cameras")]:
            return None
    now = system.live({camera: before[camera]["pid"]} if fault == "camera" else {})
    if now is None or fault not in ("inference", "Valkey"):
        return now
    return now if all(now[c]["frames_analysed"] > before[c]["frames_analysed"] + 5 for c in SCENES) else None


def suffer(system: System, name: str, fault: str, camera: str) -> None:
    hurt = set(SCENES) if fault == "inference" else {camera} if fault in HURTS_ONE else set()  # all wait for the models
    unhurt = set(SCENES) - hurt
    with judged(Outcome(name, fault, camera), unhurt) as outcome:
        began = until(lambda: system.live({}))
        time.sleep(WATCH_S)
        before = until(lambda: system.live({}))
        dead = {process.pid for process in system.processes(ENDINGS[fault])} if fault in ENDINGS else set()
        struck_s = time.monotonic()
        if fault in LASTING:
            endure(system, fault, camera)
            struck_s = time.monotonic()
        else:
            strike(system, fault, camera)
            heal(system, fault, camera)
        until(lambda: back(system, fault, before, camera, dead))
        outcome.back_s = round(time.monotonic() - struck_s, 1)
        if fault not in LASTING:
            time.sleep(max(0.0, WATCH_S - outcome.back_s))
        after = until(lambda: system.live({}))
        outcome.kept = kept(began, before, after, unhurt)
        count(system, after, outcome)


@pytest.mark.parametrize("fault", [*FAULTS, *(f"seed {FIRST_SEED + run}" for run in range(RUNS))])
def test_a_fault_costs_no_event(system: System, fault: str) -> None:
    name, camera, pause_s = fault, "road", 0.0
    if fault.startswith("seed"):
        drawn = random.Random(fault)
        fault, camera, pause_s = drawn.choice(FAULTS), drawn.choice(sorted(SCENES)), drawn.uniform(0, 2)
    time.sleep(pause_s)
    suffer(system, name, fault, camera)


def test_a_supervisor_that_dies_while_the_fleet_file_is_refused_goes_on_with_the_last_good_fleet(
    system: System,
) -> None:
    """The cameras go on meanwhile, one that dies is started again, doctor tells; the mended file is taken at once."""
    good = system.fleet.read_text()
    began = until(lambda: system.live({}))
    time.sleep(WATCH_S)
    taken_at = system.get("/fleet")["taken_at"]
    system.fleet.write_text(good.replace("analysis_fps: 5", "analysis_fps: five", 1))
    refused = until(lambda: system.get("/fleet")["errors"])
    assert "analysis_fps: input should be a valid number" in refused[0]
    with judged(Outcome("supervisor over a refused file", "supervisor", "road"), {"plaza", "yard"}) as outcome:
        before = until(lambda: system.live({}))
        (dead,) = system.processes(ENDINGS["supervisor"])
        struck_s = time.monotonic()
        dead.kill()
        os.kill(before["road"]["pid"], signal.SIGKILL)  # only a supervisor that knows a fleet starts it again
        until(lambda: system.live({"road": before["road"]["pid"]}))
        outcome.back_s = round(time.monotonic() - struck_s, 1)
        time.sleep(WATCH_S)
        after = until(lambda: system.live({}))
        outcome.kept = kept(began, before, after, {"plaza", "yard"})
        count(system, after, outcome)
    shown = system.get("/fleet")
    assert (shown["errors"], shown["taken_at"], len(shown["cameras"])) == (refused, taken_at, len(SCENES))
    (fault,) = [one["message"] for one in doctor(system) if one["check"] == "fleet_in_force"]
    assert f"that of {taken_at} is, since the file is refused: {system.fleet}:" in fault
    mended = good.replace("name: Test", "name: Mended", 1)
    system.fleet.write_text(mended)
    until(lambda: system.get("/fleet")["province"]["name"] == "Mended")
    assert system.get("/fleet")["errors"] == []
    assert {c: s["pid"] for c, s in system.statuses().items()} == {c: s["pid"] for c, s in after.items()}


def doctor(system: System) -> list[dict[str, str]]:
    """The faults that `hoaban doctor` finds."""
    command = [str(Path(sys.executable).with_name("hoaban")), "doctor", "--data", str(system.data), "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return [finding for finding in json.loads(told.stdout)["findings"] if finding["state"] == "fault"]
