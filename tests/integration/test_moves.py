"""A node drained, processes replaced by new code, a node ended: on a cluster of three nodes, every event counted."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
import sqlalchemy as sa
import yaml
from ray.cluster_utils import Cluster

from actors import NAMESPACE
from actors.board import NODES, Board
from actors.bus import EventBus
from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import SETTINGS
from actors.processes import free_port
from actors.store import EventStore
from cli.sim import fleet_document
from hoaban.lasting import change
from hoaban.sim.address import parse_address
from tests.integration.test_cluster import node_of
from tests.integration.test_system import until
from tests.journals import Journals

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

PROJECT = Path(__file__).resolve().parents[2]
CODE = ("hoaban", "actors", "serve", "cli", "dashboards", "benchmarks")
SCENES = {
    "road": [{"type": "line_count", "line": "gate"}],
    "plaza": [{"type": "crowd", "zone": "square", "at_least": 4, "hold_s": 1}],
    "yard": [{"type": "intrusion", "zone": "yard", "classes": ["person"]}],
}
NEW_VERSION = "99.1"


@dataclass
class Running:
    """The system that `hoaban up` runs on a cluster of a head and two nodes, from a copy of the code."""

    cluster: Cluster
    nodes: list[Any]
    code: Path
    data: Path
    board: Board
    api: str
    environment: dict[str, str]
    journals: Journals
    log: Path

    def statuses(self) -> dict[str, dict[str, Any]]:
        return self.board.statuses()

    def live(self) -> dict[str, dict[str, Any]] | None:
        now = self.statuses()
        fit = [s["state"] == "live" and s["frames_analysed"] > 5 and not s["not_analysed"] for s in now.values()]
        return now if len(fit) == len(SCENES) and all(fit) else None

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*HOABAN, *arguments, "--data", str(self.data)],
            env=self.environment, cwd=self.data, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.data / 'token').read_text()}"}


HOABAN = [sys.executable, "-c", "from cli.main import main; main()"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("moves")
    ray_folder = Path(tempfile.mkdtemp(prefix="hb", dir="/tmp"))  # short: socket paths have a limit of 107 bytes
    code, data = folder / "code", folder / "data"
    for package in CODE:
        shutil.copytree(PROJECT / package, code / package)
    data.mkdir()
    journals = Journals(data / "spool", folder / "kept")
    journals.kept.mkdir()
    document: dict[str, Any] = {"version": 1, "province": {"name": "Test"}, "cameras": []}
    for scene, rules in SCENES.items():
        drawn = fleet_document(parse_address(f"sim://{scene}?seed=3&fps=5&size=320x180&density=2"))
        document |= {name: drawn[name] for name in ("districts", "agencies")}
        (camera,) = drawn["cameras"]  # type: ignore[misc]
        more = {"id": scene, "rules": rules, "analysis_fps": 5, "model": "sim-colours", "motion_gate": False}
        document["cameras"].append(camera | more)
    (folder / "fleet.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    redis = EmbeddedRedis(folder / "valkey")
    environment = os.environ | SETTINGS | {
        "PYTHONPATH": str(code),  # the nodes' processes inherit it: an upgrade is a change of what lies there
        "HOABAN_REDIS_URL": redis.start(),
        "HOABAN_STORE_URL": f"sqlite:///{data / 'hoaban.db'}",
        "HOABAN_ACTOR_LOGS": "1",
    }  # fmt: skip
    cluster = process = None
    before = dict(os.environ)
    try:
        os.environ.update(environment)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": str(ray_folder)})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        port = free_port()
        command = [*HOABAN, "up", str(folder / "fleet.yaml"), "--data", str(data), "--api-port", str(port)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--no-dashboard", "--ray-address", cluster.address], stdout=log, stderr=log, cwd=data
            )
        threading.Thread(target=journals.follow, daemon=True).start()
        api = f"http://127.0.0.1:{port}/api/v1"
        until(lambda: process.poll() is not None or httpx.get(api + "/readyz").status_code == 200, 180)
        assert process.poll() is None, (folder / "log").read_text()
        ray.init(address=cluster.address, namespace=NAMESPACE, logging_level="ERROR", log_to_driver=False)
        board = Board(redis.url)
        found = Running(cluster, nodes, code, data, board, api, environment, journals, folder / "log")
        until(found.live, 120)
        yield found
        process.send_signal(signal.SIGINT)
        assert process.wait(90) == 0
    finally:
        journals.stop.set()
        os.environ.clear()
        os.environ.update(before)
        print((folder / "log").read_text() if (folder / "log").exists() else "")
        if process is not None and process.poll() is None:
            process.kill()
        ray.shutdown()
        if cluster is not None:
            cluster.shutdown()
        redis.stop()
        shutil.rmtree(ray_folder, ignore_errors=True)


def nothing_lost_or_doubled(running: Running) -> int:
    """All that cameras ever said or counted is stored once, and what lasts began and ended in turn; how many events."""
    said, seen = running.journals.said(), counted(running)
    store = EventStore.open(running.environment["HOABAN_STORE_URL"])
    try:
        with contextlib.suppress(AssertionError):  # what is missing is told below
            until(lambda: said.keys() <= {found.event.id for found in store.tail(0, 10**6)}, 60)
            until(lambda: sum(f.event.type == "hoaban.line_count" for f in store.tail(0, 10**6)) >= seen, 60)
        events = [found.event for found in store.tail(0, 10**6)]
    finally:
        store.close()
    times = Counter(event.id for event in events)
    assert [name for name in said if name not in times] == []
    assert [name for name, n in times.items() if n > 1] == []
    assert EventBus(running.environment["HOABAN_REDIS_URL"]).dead() == []
    open_: dict[tuple[str, str], bool] = {}
    for event in sorted(events, key=lambda event: event.time):
        if (changed := change(event)) is not None:
            key = (event.camera, changed[0])
            assert open_.get(key, False) == (event.data["phase"] != "start"), event
            open_[key] = changed[1]
    crossings = sum(event.type == "hoaban.line_count" for event in events)
    assert crossings >= seen > 0
    # What a camera has counted went with it, and it tells once a second.
    until(lambda: counted(running) >= crossings, 30)
    return len(events)


def counted(running: Running) -> int:
    """Crossings, as the camera has them."""
    counts = running.statuses()["road"]["counts"]["gate"]
    return sum(n for direction in counts.values() for n in direction.values())


def models_on(node: Any) -> list[str]:
    names = [one["name"] for one in ray.util.list_named_actors(all_namespaces=True)]
    return [name for name in names if name.startswith(f"inference:{node.node_id[:8]}")]


def test_a_drained_node_carries_nothing_and_no_event_is_lost(running: Running) -> None:
    before = running.live()
    assert before is not None
    node = next(node for node in running.nodes if node.node_id == before["road"]["node"])
    other = next(one for one in running.nodes if one is not node)
    there = sorted(camera for camera, status in before.items() if status["node"] == node.node_id)
    refused = running.command("drain", running.cluster.head_node.node_id)
    assert (refused.returncode, "the head governs" in refused.stderr) == (2, True)
    refused = running.command("drain", "127.0.0.1")  # no node says that it is called so
    assert (refused.returncode, "`hoaban nodes`" in refused.stderr) == (2, True)

    done = running.command("drain", node.node_id[:12], "--reason", "a new disk", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["drained"], sorted(told["moved"]), told["left"], told["stuck"]) == (True, there, [], {})
    assert set(told["moved"].values()) == {other.node_id}
    now = until(running.live, 60)
    assert {status["node"] for status in now.values()} == {other.node_id}
    assert {c: s["pid"] for c, s in now.items() if c not in there} == {
        c: s["pid"] for c, s in before.items() if c not in there
    }
    assert models_on(node) == []
    assert [status["events_spooled"] for status in now.values()] == [0, 0, 0]
    refused = running.command("drain", other.node_id)
    assert (refused.returncode, "no other node" in refused.stderr) == (2, True)
    assert nothing_lost_or_doubled(running) > 10

    listed = running.command("nodes", "--json")
    states = {id_: one["state"] for id_, one in json.loads(listed.stdout)["nodes"].items()}
    assert (states[node.node_id], states[other.node_id]) == ("drained", "serving")
    assert running.command("undrain", node.node_id[:12]).returncode == 0
    until(lambda: models_on(node), 60)
    with sa.create_engine(running.environment["HOABAN_STORE_URL"]).connect() as store:
        actions = set(store.scalars(sa.text("SELECT action FROM audit WHERE outcome = 'done'")))
    assert {"node.drain", "node.undrain"} <= actions


@dataclass
class Visitors:
    """Asks the API all the time."""

    running: Running
    answers: Counter[int | str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        headers = self.running.headers()
        while not self.stop.wait(0.1):
            for path in ("/readyz", "/cameras", "/events"):
                try:
                    answer = httpx.get(self.running.api + path, headers=headers, timeout=30)
                    self.answers[answer.status_code] += 1
                except httpx.HTTPError as error:
                    self.answers[f"{path}: {error!r}"] += 1


def processes() -> dict[str, int]:
    """Actor -> its process, of all that have a name."""
    found = {}
    for entry in ray.util.list_named_actors(all_namespaces=True):
        if entry["namespace"] in (NAMESPACE, "serve") and "PROXY" not in entry["name"]:
            with contextlib.suppress(ValueError, ray.exceptions.RayError):
                actor = ray.get_actor(entry["name"], entry["namespace"])
                found[entry["name"]] = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()), timeout=30)
    return found


def test_all_processes_are_replaced_by_new_code_with_no_failed_request_and_no_lost_event(running: Running) -> None:
    until(running.live, 120)
    until(lambda: all(models_on(node) for node in running.nodes), 60)
    before = processes()
    # What `pip install` of a new version does on every node.
    version = running.code / "hoaban" / "__init__.py"
    version.write_text(f'"""Newer."""\n\n__version__ = "{NEW_VERSION}"\n')
    visitors = Visitors(running)
    asking = threading.Thread(target=visitors.ask)
    asking.start()
    try:
        done = running.command("upgrade", "--reason", "a test", "--json")
    finally:
        time.sleep(2)
        visitors.stop.set()
        asking.join()
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["done"], sorted(told["replaced"]), told["left"]) == (True, sorted(SCENES), [])
    assert set(visitors.answers) == {200}, visitors.answers
    assert visitors.answers[200] > 50
    now = until(running.live, 120)
    assert {status["code"] for status in now.values()} == {NEW_VERSION}
    assert {status["inference"].rpartition(".")[2] for status in now.values()} == {told["era"]}
    after = processes()
    stayed = {name for name, pid in before.items() if after.get(name) == pid}
    assert not {name for name in stayed if not name.startswith("SERVE_CONTROLLER")}, stayed
    assert {"supervisor", "writer", "keeper", "evidence"} <= after.keys()
    nothing_lost_or_doubled(running)
    store = EventStore.open(running.environment["HOABAN_STORE_URL"])
    try:
        until(lambda: NEW_VERSION in {found.event.data["code"] for found in store.tail(0, 10**6)}, 60)
    finally:
        store.close()


def test_a_node_that_is_drained_to_its_end_is_ended_by_ray(running: Running) -> None:
    until(running.live, 120)
    node = running.nodes[1]
    done = running.command("drain", node.node_id, "--end", "--json")
    assert done.returncode == 0, done.stderr
    until(lambda: not {n["NodeID"]: n["Alive"] for n in ray.nodes()}[node.node_id], 60)
    assert until(running.live, 60)
    until(lambda: node.node_id not in (running.board.get_json(NODES) or {})["nodes"], 30)
    assert node_of("camera:road") == running.nodes[0].node_id
    nothing_lost_or_doubled(running)
