"""`hoaban up` on a Ray cluster of three nodes: who runs where, where secrets go, and what happens when a node dies."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
import sqlalchemy as sa
from ray.cluster_utils import Cluster

from actors import NAMESPACE
from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.last_good import FILE as LAST_GOOD
from actors.local_ray import SETTINGS
from actors.processes import free_port
from actors.rtsp_server import RtspServer
from tests.integration.test_system import until
from tests.misbehaving import Gate, video

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

GOOD, WRONG, TOKEN = "g00d-Canary/1", "wr0ng-Canary@2", "t0ken-Canary-3"
SECRETS = (GOOD, WRONG, TOKEN, "g00d-Canary", "wr0ng-Canary")
FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
sites: [east, west]
cameras:
  - {id: east, site: east, source: "sim://yard?size=160x90&fps=2", <>}
  - {id: open, site: east, source: "rtsp://viewer:${CAM_GOOD}@127.0.0.1:<port>/v.mp4/play_count_0", <>}
  - {id: wrong, site: west, source: "rtsp://viewer:${CAM_WRONG}@127.0.0.1:<port>/v.mp4/play_count_0", <>}
  - {id: token, site: west, source: "http://127.0.0.1:9/live.m3u8?user=x&token=t0ken-Canary-3", <>}
  - {id: spare, site: west, source: "sim://yard?size=160x90&fps=2", <>}
"""
COMMON = (
    "name: N, role: shared, district: d, owner: o, analysis_fps: 1, motion_gate: false, rules: [{type: camera_health}]"
)


@dataclass
class Running:
    """The cluster, its nodes by site, and the system that `hoaban up` runs on it."""

    cluster: Cluster
    nodes: dict[str, Any]
    redis: EmbeddedRedis
    board: Board
    folder: Path
    ray_folder: Path
    api: str
    process: subprocess.Popen[bytes]

    def statuses(self) -> dict[str, dict[str, Any]]:
        return self.board.statuses()

    def get(self, path: str) -> httpx.Response:
        token = (self.folder / "data" / "token").read_text()
        return httpx.get(self.api + path, headers={"Authorization": f"Bearer {token}"}, timeout=10)


def node_of(actor: str) -> str:
    """The node that a named actor lives on."""
    handle = ray.get_actor(actor, NAMESPACE)
    return ray.get(handle.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()), timeout=30)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("cluster")
    ray_folder = Path(tempfile.mkdtemp(prefix="hb", dir="/tmp"))  # short: socket paths have a limit of 107 bytes
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    made = folder / "made"
    made.mkdir()
    video(made / "v.mp4", 300, (160, 120), rate=10)
    rtsp, redis = RtspServer(made), EmbeddedRedis(folder / "valkey")
    rtsp.start()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": str(ray_folder)})
    process = None
    try:
        with Gate(rtsp.port, "digest", "viewer", GOOD) as gate:
            nodes = {site: _join(cluster, site) for site in ("east", "west")}
            fleet = FLEET.replace("<>", COMMON).replace("<port>", str(gate.port))
            (folder / "fleet.yaml").write_text(fleet)
            port = free_port()
            # The nodes were started without these: only `hoaban up` knows the secrets.
            environment = os.environ | {
                "CAM_GOOD": GOOD.replace("/", "%2F"),
                "CAM_WRONG": WRONG,
                "HOABAN_REDIS_URL": redis.start(),
                "HOABAN_STORE_URL": f"sqlite:///{folder / 'hoaban.db'}",
                "HOABAN_ACTOR_LOGS": "1",
            }
            command = [str(Path(sys.executable).with_name("hoaban")), "up", str(folder / "fleet.yaml")]
            command += ["--data", str(folder / "data"), "--api-port", str(port), "--no-dashboard"]
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(
                    [*command, "--ray-address", cluster.address], stdout=log, stderr=log, env=environment
                )
            api = f"http://127.0.0.1:{port}/api/v1"
            until(lambda: process.poll() is not None or httpx.get(api + "/readyz").status_code == 200, 180)
            assert process.poll() is None, (folder / "log").read_text()
            ray.init(address=cluster.address, namespace=NAMESPACE, logging_level="ERROR", log_to_driver=False)
            yield Running(cluster, nodes, redis, Board(redis.url), folder, ray_folder, api, process)
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 0
    finally:
        print((folder / "log").read_text() if (folder / "log").exists() else "")
        if process is not None and process.poll() is None:
            process.kill()
        ray.shutdown()
        cluster.shutdown()
        redis.stop()
        rtsp.stop()
        shutil.rmtree(ray_folder, ignore_errors=True)


def _join(cluster: Cluster, *sites: str) -> Any:
    return cluster.add_node(num_cpus=2, resources={f"site_{site}": 1000 for site in sites})


def test_control_actors_stand_on_the_head_and_cameras_on_their_sites(running: Running) -> None:
    cameras = ("east", "open", "wrong", "token", "spare")
    until(lambda: all(running.statuses()[name]["node"] for name in cameras), 180)
    for actor in ("supervisor", "writer"):
        assert node_of(actor) == running.cluster.head_node.node_id, actor
    replicas = [
        entry["name"]
        for entry in ray.util.list_named_actors(all_namespaces=True)
        if entry["namespace"] == "serve" and "api" in entry["name"]
    ]
    assert len(replicas) == 1
    replica = ray.get_actor(replicas[0], "serve")
    where = ray.get(replica.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()), timeout=30)
    assert where == running.cluster.head_node.node_id
    for camera, site in (("east", "east"), ("open", "east"), ("wrong", "west"), ("token", "west"), ("spare", "west")):
        assert running.statuses()[camera]["node"] == running.nodes[site].node_id, camera


def test_secrets_of_the_start_reach_cameras_and_stand_nowhere_else(running: Running) -> None:
    until(lambda: running.statuses()["open"]["state"] == "live")
    until(lambda: all((running.statuses()[name]["error"] or "") != "" for name in ("wrong", "token")))
    assert "user or password was refused" in running.statuses()["wrong"]["error"]
    until(lambda: len(running.get("/events?type=hoaban.camera_health").json()["events"]) >= 1)

    redis = running.board._redis
    shown = {
        "api": "".join(
            running.get(path).text for path in ("/cameras", "/fleet", "/events", "/metrics", "/cameras/wrong")
        ),
        "redis": repr([_whole(redis, key) for key in redis.keys("*")]),
        "log": (running.folder / "log").read_text(errors="replace"),
    }
    with sa.create_engine(f"sqlite:///{running.folder / 'hoaban.db'}").connect() as store:
        shown["store"] = "\n".join(store.connection.driver_connection.iterdump())
    for path in (*running.ray_folder.rglob("*"), *(running.folder / "data").rglob("*")):
        if path.is_file() and path.stat().st_size < 10**7:
            shown[str(path)] = path.read_text(errors="replace")
    assert len(shown) > 10
    copy = running.folder / "data" / LAST_GOOD  # a secret that the fleet file itself says is in its copy too
    assert copy.stat().st_mode & 0o777 == 0o600
    shown[str(copy)] = shown[str(copy)].replace(TOKEN, "")
    assert "wrong" in shown["log"]
    assert "${" not in shown["log"].replace("${ENV}", "")
    leaks = {(place, secret) for place, text in shown.items() for secret in SECRETS if secret in text}
    assert not leaks
    sources = {camera["id"]: camera["source"] for camera in running.get("/cameras").json()}
    assert sources["open"].startswith("rtsp://***@127.0.0.1:")
    assert sources["token"] == "http://127.0.0.1:9/live.m3u8?user=x&token=***"


def _whole(redis: Any, key: str) -> Any:
    match redis.type(key):
        case "hash":
            return redis.hgetall(key)
        case "stream":
            return redis.xrange(key)
        case _:
            return redis.get(key)


def test_a_supervisor_that_died_comes_back_on_the_head_with_its_secrets(running: Running) -> None:
    until(lambda: running.statuses()["open"]["state"] == "live")
    pids = {name: status["pid"] for name, status in running.statuses().items()}
    ray.kill(ray.get_actor("supervisor", NAMESPACE), no_restart=False)
    fleet = running.folder / "fleet.yaml"
    fleet.write_text(fleet.read_text().replace("id: open, site: east", "id: again, site: east"))
    until(lambda: running.statuses()["again"]["state"] == "live")
    assert node_of("supervisor") == running.cluster.head_node.node_id
    until(lambda: "open" not in running.statuses())
    now = running.statuses()
    assert {name: now[name]["pid"] for name in ("east", "spare")} == {name: pids[name] for name in ("east", "spare")}


def test_cameras_of_a_node_that_died_are_seated_on_the_other_of_their_site(running: Running) -> None:
    second = _join(running.cluster, "west")
    before = running.statuses()
    running.cluster.remove_node(running.nodes["west"], allow_graceful=False)
    moved = ("wrong", "token", "spare")
    until(lambda: all(running.statuses()[name]["node"] == second.node_id for name in moved), 150)
    until(lambda: running.statuses()["spare"]["state"] == "live")
    after = running.statuses()
    assert after["spare"]["pid"] != before["spare"]["pid"]
    assert after["east"]["pid"] == before["east"]["pid"]
    until(lambda: running.statuses()["spare"]["frames_analysed"] > 0)


def test_an_address_without_a_cluster_is_told_in_bounded_time(running: Running) -> None:
    """One where nothing listens, one where something else does."""
    environment = os.environ | {"HOABAN_REDIS_URL": running.redis.url, "HOABAN_STORE_URL": "sqlite://"}
    for address, words in (
        (f"127.0.0.1:{free_port()}", "nothing can be reached there"),
        (f"127.0.0.1:{running.redis.port}", "answer"),
        ("nonsense", "is no HOST:PORT"),
    ):
        command = [str(Path(sys.executable).with_name("hoaban")), "up", str(running.folder / "fleet.yaml")]
        command += ["--data", str(running.folder / "other"), "--api-port", str(free_port()), "--no-dashboard"]
        done = subprocess.run(
            [*command, "--ray-address", address],
            env=environment | {"CAM_GOOD": "x", "CAM_WRONG": "x"},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "--ray-address" in done.stderr
        assert "Traceback" not in done.stderr
