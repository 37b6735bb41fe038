"""A whole system under real Ray that faults are tried on, and what is counted and measured of each.

What the cameras said is read from their journals, whose files are linked as they appear: a link sees all that is
written later and outlives what the system deletes. HOABAN_FAULT_REPORT names a file to which each fault's outcome is
added as a line of JSON; tests/faults/summary.py reads it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
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

LIVE_LIMIT_S = 150.0
LOOKS_S = 0.1
BACK_WITHIN_S = float(os.environ.get("HOABAN_BACK_WITHIN_S", "10"))
WATCH_S = 3.0
REPORT = os.environ.get("HOABAN_FAULT_REPORT")
"""the file of `make faults` into which each outcome goes"""
LEAST_SHARE = 0.8
"""of the frames that a camera analysed before, by one which the fault leaves alone: a window of WATCH_S has 15 frames,
so one frame is 7 % of it. What many faults together leave is judged by tests/faults/summary.py"""
SCENES = {
    "road": [{"type": "line_count", "line": "gate"}],
    "plaza": [{"type": "crowd", "zone": "square", "at_least": 4, "hold_s": 1}],
    "yard": [{"type": "intrusion", "zone": "yard", "classes": ["person"]}],
}


def until(what: Callable[[], Any], limit_s: float = LIVE_LIMIT_S) -> Any:
    """The first true answer. Counted in looks: what is made to stand still for minutes has not run out of time."""
    for _ in range(round(limit_s / LOOKS_S)):
        with contextlib.suppress(httpx.HTTPError, KeyError, ValueError):
            if answer := what():
                return answer
        time.sleep(LOOKS_S)
    raise AssertionError(f"not within {limit_s} s")


class Standstill:
    """For how long this process has not run at all (SIGSTOP): what is timed then says nothing of the system."""

    def __init__(self) -> None:
        self.total_s = 0.0
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    def _beat(self) -> None:
        last_s = time.monotonic()
        while True:
            time.sleep(0.1)
            now_s = time.monotonic()
            self.total_s += now_s - last_s if now_s - last_s > 2.0 else 0.0
            last_s = now_s


@cache
def _standstill() -> Standstill:
    return Standstill()


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


@contextlib.contextmanager
def started(folder: Path, **environment: str) -> Iterator[System]:
    """`hoaban up` on a fleet of SCENES, all live, with events stored. environment: more of it."""
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
    process = subprocess.Popen(
        [*command, "--api-port", str(port)],
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=os.environ | environment,
    )
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


@dataclass
class Outcome:
    """What came of a fault. name: how it is tried again."""

    name: str
    fault: str
    camera: str
    back_s: float | None = None
    """from the fault, or the end of one that lasts, until all that it struck works again and all cameras are live and
    analyse; None: not within the limit"""
    said: int = 0
    lost: int = 0
    doubled: int = 0
    within_s: float = BACK_WITHIN_S
    """how soon all has to be back"""
    stood_still_s: float = 0.0
    """for how long the test was stopped meanwhile: its time and its shares say nothing then"""
    kept: dict[str, float] = field(default_factory=dict)
    """camera that the fault leaves alone -> what share of its decoded frames it analyses now, by what it was before"""

    def __str__(self) -> str:
        back = "not back" if self.back_s is None else f"all live {self.back_s:.1f} s later"
        told = f"{self.said} events said, {self.lost} lost, {self.doubled} doubled"
        return f"{self.fault} ({self.camera}): {back}; {told}; shares of frames kept {self.kept}"

    def report(self) -> None:
        print(self)
        if REPORT:
            with Path(REPORT).open("a") as file:
                file.write(json.dumps(asdict(self)) + "\n")


@contextlib.contextmanager
def judged(outcome: Outcome, unhurt: Collection[str]) -> Any:
    """Report what came of a fault, however it ends; unhurt: cameras that it leaves alone."""
    still_s = _standstill().total_s
    try:
        yield outcome
        assert (outcome.lost, outcome.doubled) == (0, 0)
        assert set(outcome.kept) == set(unhurt), "a camera's process ended that had nothing to do with it"
        if REPORT and _standstill().total_s == still_s:  # else it runs beside other tests, which slow cameras too
            assert min(outcome.kept.values(), default=1.0) >= LEAST_SHARE, outcome.kept
    finally:
        outcome.stood_still_s = round(_standstill().total_s - still_s, 1)
        outcome.report()


def shares(first: dict[str, dict[str, Any]], last: dict[str, dict[str, Any]]) -> dict[str, float]:
    """camera -> of the frames that it decoded between the two, the share that was analysed; of the same process."""
    return {
        camera: (last[camera]["frames_analysed"] - status["frames_analysed"])
        / max(1, last[camera]["frames_decoded"] - status["frames_decoded"])
        for camera, status in first.items()
        if last[camera]["pid"] == status["pid"]
    }


def kept(
    began: dict[str, dict[str, Any]],
    before: dict[str, dict[str, Any]],
    after: dict[str, dict[str, Any]],
    unhurt: Collection[str],
) -> dict[str, float]:
    """unhurt camera -> its share of frames between before and after, by that between began and before."""
    first, second = shares(began, before), shares(before, after)
    return {camera: round(second[camera] / first[camera], 3) for camera in second if camera in unhurt}


def count(system: System, statuses: dict[str, dict[str, Any]], outcome: Outcome) -> None:
    """Count what the journals held and the cameras counted against what is stored, and see that all is in order."""
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
    outcome.said, outcome.lost, outcome.doubled = len(said), len(lost), len(doubled)
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
