"""Processes killed, a camera, a disk or a database that is slow or full, in a whole system under real Ray: no event is
lost, none is there twice, and the other cameras go on.

What the cameras said is read from their journals, whose files are linked as they appear: a link sees all that is
written later and outlives what the system deletes. HOABAN_PROCESS_FAULT_RUNS faults drawn by seed follow those that
are always tried (`make faults`), named by it.
"""

import contextlib
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from actors.bus import EventBus
from actors.embedded_redis import running_url
from actors.processes import free_port
from actors.store import EventStore
from cli.sim import fleet_document
from hoaban.events import Event
from hoaban.lasting import change
from hoaban.sim.address import parse_address
from tests.journals import Journals

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(600)]

RUNS = int(os.environ.get("HOABAN_PROCESS_FAULT_RUNS", "0"))
FIRST_SEED = int(os.environ.get("HOABAN_FAULT_SEED", "0"))
LIVE_LIMIT_S = 150.0
WATCH_S = 3.0
LEAST_SHARE = 0.8
SCENES = {
    "road": [{"type": "line_count", "line": "gate"}],
    "plaza": [{"type": "crowd", "zone": "square", "at_least": 4, "hold_s": 1}],
    "yard": [{"type": "intrusion", "zone": "yard", "classes": ["person"]}],
}
ENDINGS = {"inference": "InferenceActor", "supervisor": "SupervisorActor", "API": "ServeReplica", "Valkey": "valkey"}
"""part -> what its process is known by"""
HURTS_ONE = ("camera", "disk full", "slow camera")
LASTING = ("slow camera", "slow disk", "database locked")
"""faults that are there for LASTS_S and then over"""
LASTS_S = 5.0
FAULTS = ("camera", *ENDINGS, "disk full", *LASTING)
BLKIO = Path("/sys/fs/cgroup/blkio")
SLOW_BYTES_S = 50_000


def until(what: Callable[[], Any], limit_s: float = LIVE_LIMIT_S) -> Any:
    """The first true answer."""
    ends_s = time.monotonic() + limit_s
    while time.monotonic() < ends_s:
        with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
            if answer := what():
                return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {limit_s} s")


@dataclass
class System:
    process: "subprocess.Popen[bytes]"
    api: str
    data: Path
    fleet: Path
    journals: Journals
    token: str = ""

    def get(self, path: str) -> Any:
        answer = httpx.get(self.api + path, headers={"Authorization": f"Bearer {self.token}"}, timeout=5)
        return answer.raise_for_status().json()

    def statuses(self) -> dict[str, dict[str, Any]]:
        return {camera["id"]: camera["status"] or {} for camera in self.get("/cameras")}

    def processes(self, known_by: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if known_by in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def live(self, others_than: dict[str, int]) -> dict[str, dict[str, Any]] | None:
        """The cameras' statuses once each of them is live and analyses; a pid of others_than is one that died."""
        now = self.statuses()
        fit = (
            status["state"] == "live" and status["not_analysed"] is None and status["frames_analysed"] > 0
            and status["pid"] != others_than.get(camera)
            for camera, status in now.items()
        )  # fmt: skip
        return now if len(now) == len(SCENES) and all(fit) else None

    def stored(self) -> list[Event]:
        store = EventStore.open(f"sqlite:///{self.data / 'hoaban.db'}")
        try:
            return [found.event for found in store.tail(0, 10**6)]
        finally:
            store.close()


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


def shares(first: dict[str, dict[str, Any]], last: dict[str, dict[str, Any]]) -> dict[str, float]:
    """camera -> of the frames that it decoded between the two, the share that was analysed; of the same process."""
    return {
        camera: (last[camera]["frames_analysed"] - status["frames_analysed"])
        / max(1, last[camera]["frames_decoded"] - status["frames_decoded"])
        for camera, status in first.items()
        if last[camera]["pid"] == status["pid"]
    }


def suffer(system: System, fault: str, camera: str) -> None:
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
    after = until(lambda: back(system, fault, before, camera, dead))
    took_s = time.monotonic() - struck_s
    if fault not in LASTING:
        time.sleep(max(0.0, WATCH_S - took_s))
    after = until(lambda: system.live({}))
    share_before, share_after = shares(began, before), shares(before, after)
    lost = nothing_lost_or_doubled(system, after)
    kept = {c: round(share_after[c] / share_before[c], 2) for c in share_after}
    print(f"{fault} ({camera}): live again after {took_s:.1f} s; {lost}; shares of frames kept {kept}")
    if fault != "inference":  # all cameras' models: they wait for it
        hurt = {camera} if fault in HURTS_ONE else set()
        unhurt = {c: share for c, share in kept.items() if c not in hurt}
        assert set(unhurt) == set(SCENES) - hurt
        assert min(unhurt.values()) >= LEAST_SHARE, unhurt


def nothing_lost_or_doubled(system: System, statuses: dict[str, dict[str, Any]]) -> str:
    """What the journals held and what the cameras counted, against the store; in words."""
    spools = system.journals.by_spool()
    said = {name: event for ours in spools.values() for name, event in ours.items()}
    born = {c: datetime.fromtimestamp(psutil.Process(s["pid"]).create_time(), UTC) for c, s in statuses.items()}
    events: list[Event] = []

    def all_there() -> bool:
        events[:] = system.stored()
        # What a camera with a full disk keeps in memory is in no journal, and is counted all the same.
        since = Counter(event.camera for event in events if event.time >= born[event.camera])
        counted = all(since[camera] >= status["events"] for camera, status in statuses.items())
        return counted and said.keys() <= {event.id for event in events}

    with contextlib.suppress(AssertionError):  # what is missing is told below
        until(all_there, 60)
    times = Counter(event.id for event in events)
    lost = [event.to_json() for name, event in said.items() if name not in times]
    doubled = [name for name, n in times.items() if n > 1]
    assert (lost, doubled) == ([], [])
    assert all_there(), "a camera told more than is stored"
    for spool, ours in spools.items():
        assert [event.id for event in events if event.id in ours] == list(ours), f"{spool}: stored in another order"
    assert EventBus(running_url(system.data / "valkey") or "").dead() == []
    # A camera that goes on after a restart tells no second beginning of what it told before, and no second end.
    open_: dict[tuple[str, str], bool] = {}
    for event in sorted(events, key=lambda event: event.time):
        if (changed := change(event)) is not None:
            key, phase = (event.camera, changed[0]), event.data["phase"]
            assert open_.get(key, False) == (phase != "start"), event
            open_[key] = changed[1]
    return f"{len(said)} events said, {len(events)} stored, 0 lost, 0 doubled"


@pytest.mark.parametrize("fault", [*FAULTS, *(f"seed {FIRST_SEED + run}" for run in range(RUNS))])
def test_a_fault_costs_no_event(system: System, fault: str) -> None:
    camera, pause_s = "road", 0.0
    if fault.startswith("seed"):
        drawn = random.Random(fault)
        fault, camera, pause_s = drawn.choice(FAULTS), drawn.choice(sorted(SCENES)), drawn.uniform(0, 2)
    time.sleep(pause_s)
    suffer(system, fault, camera)
