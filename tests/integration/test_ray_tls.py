"""A Ray of two nodes that speak TLS: who shows no certificate of its authority runs nothing; the system runs on it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from ray.util import get_node_ip_address

from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import SETTINGS
from actors.processes import free_port
from tests.certificates import Authority
from tests.integration.test_system import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]
BIN = Path(sys.executable).parent
TOKEN = "a" * 64
CLIENT = """
import sys, ray
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
def run(work, **resources):
    return ray.get(ray.remote(num_cpus=0, resources=resources)(work).remote(), timeout=60)
where = lambda: ray.get_runtime_context().get_node_id()
nodes = {run(where, site_east=1), run(where, **{"node:__internal_head__": 0.001})}
print("nodes:", len(nodes), len(run(lambda: bytes(5_000_000), site_east=1)))
"""
FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
sites: [east]
cameras:
  - {id: yard, name: N, role: shared, district: d, owner: o, site: east, source: "sim://yard?size=160x90&fps=2",
     analysis_fps: 1, motion_gate: false, rules: [{type: camera_health}]}
"""


@dataclass
class Nodes:
    address: str
    folder: Path
    ours: dict[str, str]
    """the environment of whoever belongs to the cluster"""


def environment(
    *, token: str | None = TOKEN, ca: Path | None = None, own: tuple[Path, Path] | None = None
) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_AUTH", "RAY_TLS", "RAY_USE"))
    }
    kept |= SETTINGS | {"RAY_USAGE_STATS_ENABLED": "0"}
    kept |= {"HOME": "/nonexistent"} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    if ca is None:
        return kept
    kept |= {"RAY_USE_TLS": "1", "RAY_TLS_CA_CERT": str(ca)}
    return kept if own is None else kept | {"RAY_TLS_SERVER_CERT": str(own[0]), "RAY_TLS_SERVER_KEY": str(own[1])}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("tls")
    short = Path(tempfile.mkdtemp(prefix="hb", dir="/tmp"))  # socket paths have a limit of 107 bytes
    ip, port = get_node_ip_address(), free_port()
    authority = Authority(folder, "authority", ("127.0.0.1", ip))
    common = ["--block", f"--node-ip-address={ip}", "--object-store-memory=100000000", f"--temp-dir={short}"]
    starts = {
        "head": ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"],
        "east": [f"--address={ip}:{port}", "--num-cpus=2", '--resources={"site_east": 1000}'],
    }
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, arguments in starts.items():
            ours = environment(ca=authority.file, own=authority.certificate(name))
            with (folder / f"{name}.log").open("wb") as log:
                running.append(
                    subprocess.Popen([str(BIN / "ray"), "start", *common, *arguments], env=ours, stdout=log, stderr=log)
                )
            until(lambda: b"--block" in (folder / f"{name}.log").read_bytes(), 60)  # noqa: B023
        yield Nodes(f"{ip}:{port}", folder, environment(ca=authority.file, own=authority.certificate("driver")))
    finally:
        for node in reversed(running):
            node.terminate()
        for node in reversed(running):
            node.wait(60)
        print(*(log.read_text() for log in folder.glob("*.log")), sep="\n")
        shutil.rmtree(short, ignore_errors=True)


def ran(nodes: Nodes, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", CLIENT, nodes.address]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=25)
    except subprocess.TimeoutExpired:
        return "never"
    return done.stdout or done.stderr


def test_a_driver_with_a_certificate_and_the_token_reaches_both_nodes(nodes: Nodes) -> None:
    assert "nodes: 2 5000000" in ran(nodes, nodes.ours)


def test_whoever_lacks_either_runs_nothing(nodes: Nodes) -> None:
    other = Authority(nodes.folder, "other", ("127.0.0.1", nodes.address.split(":")[0]))
    stranger = other.certificate("stranger")
    certificate = Path(nodes.ours["RAY_TLS_SERVER_CERT"]), Path(nodes.ours["RAY_TLS_SERVER_KEY"])
    ca = Path(nodes.ours["RAY_TLS_CA_CERT"])
    lacking = {
        "TLS": environment(),
        "a certificate of ours": environment(ca=ca, own=stranger),
        "the token": environment(ca=ca, own=certificate, token=None),
        "the right token": environment(ca=ca, own=certificate, token="b" * 64),
    }
    with ThreadPoolExecutor() as all_at_once:
        answers = all_at_once.map(lambda theirs: ran(nodes, theirs), lacking.values())
        for what, answer in zip(lacking, answers, strict=True):
            assert "nodes:" not in answer, what


def test_the_system_runs_on_it(nodes: Nodes) -> None:
    (nodes.folder / "fleet.yaml").write_text(FLEET)
    redis, port = EmbeddedRedis(nodes.folder / "valkey"), free_port()
    theirs = nodes.ours | {
        "HOABAN_REDIS_URL": redis.start(),
        "HOABAN_STORE_URL": f"sqlite:///{nodes.folder / 'hoaban.db'}",
    }
    command = [str(BIN / "hoaban"), "up", str(nodes.folder / "fleet.yaml"), "--data", str(nodes.folder / "data")]
    command += ["--api-port", str(port), "--no-dashboard", "--ray-address", nodes.address]
    with (nodes.folder / "up.log").open("wb") as log:
        up = subprocess.Popen(command, env=theirs, stdout=log, stderr=log)
    try:
        api = f"http://127.0.0.1:{port}/api/v1"
        until(lambda: up.poll() is not None or httpx.get(api + "/readyz").status_code == 200, 120)
        assert up.poll() is None
        until(lambda: Board(redis.url).statuses()["yard"]["frames_analysed"] > 0, 120)
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    finally:
        if up.poll() is None:
            up.kill()
        redis.stop()
