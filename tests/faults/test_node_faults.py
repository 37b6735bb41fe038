"""A node's raylet killed, Ray's control store killed, the network between two nodes cut: no event lost, none doubled.

Two real nodes on this machine: the head, and one in a network namespace of its own, so that the wire between them can
be cut. Ray's control store keeps what it knows in a Valkey (RAY_REDIS_ADDRESS), from which it goes on.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
import yaml

from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import SETTINGS
from actors.processes import free_port
from cli.sim import fleet_document
from hoaban.sim.address import parse_address
from tests.faults.test_process_faults import RUNS
from tests.faults.whole_system import BACK_WITHIN_S, SCENES, WATCH_S, Outcome, System, count, judged, kept, until
from tests.journals import Journals

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(RUNS == 0, reason="some minutes: `make faults`"),
]

SITES = {"road": "east", "plaza": "west", "yard": "west"}
LIMIT_S = 300.0
KEPT_IN_DATA = ("audit-anchor.json", "evidence-keys", "configs")
"""of a backup, what the head's data folder had"""
NODE_BACK_WITHIN_S = 60.0
"""a node that joins anew starts Ray's processes, the models and each camera before anything is live on it"""
CUT_S = 10.0
"""short of what Ray takes for a node's death"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@dataclass
class Wire:
    """Two ends: one here, one in a network namespace."""

    name: str
    here: str
    there: str

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        ip("link", "set", f"{self.name}a", "down")

    def mend(self) -> None:
        ip("link", "set", f"{self.name}a", "up")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    number = os.getpid() % 60_000
    net = f"10.{200 + number // 16_384}.{number // 64 % 256}.{number % 64 * 4}"
    base = net.rpartition(".")[0]
    last = int(net.rpartition(".")[2])
    made = Wire(f"hb{number}", f"{base}.{last + 1}", f"{base}.{last + 2}")
    try:
        ip("netns", "add", made.name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"two nodes with a network between them need root and network namespaces: {error}")
    try:
        ip("link", "add", f"{made.name}a", "type", "veth", "peer", "name", f"{made.name}b", "netns", made.name)
        ip("address", "add", f"{made.here}/30", "dev", f"{made.name}a")
        ip("-n", made.name, "address", "add", f"{made.there}/30", "dev", f"{made.name}b")
        for device in ("lo", f"{made.name}b"):
            ip("-n", made.name, "link", "set", device, "up")
        made.mend()
        yield made
    finally:
        ip("netns", "delete", made.name)


RAY = [str(Path(sys.executable).with_name("ray")), "start", "--disable-usage-stats"]
RAY += ["--min-worker-port=0", "--max-worker-port=0"]  # any that are free
HOABAN = str(Path(sys.executable).with_name("hoaban"))


@dataclass
class Nodes:
    """The system, and Ray's processes beneath it. folder: of Ray; place: of the system."""

    wire: Wire
    folder: Path
    place: Path
    control: EmbeddedRedis
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    system: System = None  # type: ignore[assignment]

    @property
    def ray(self) -> str:
        return f"{self.wire.here}:{self.port}"

    def begin(self) -> None:
        """Start the head."""
        head = [*RAY, "--head", f"--node-ip-address={self.wire.here}", f"--port={self.port}"]
        head += [f"--temp-dir={self.folder}", f"--redis-password={self.control._password}"]
        head += ["--include-dashboard=false", "--num-cpus=2", '--resources={"site_east": 1000}']
        head += [f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"]
        self.run(head, RAY_REDIS_ADDRESS=f"127.0.0.1:{self.control.port}")

    def join(self) -> None:
        """Start the node beyond the wire."""
        command = [*self.wire.inside, *RAY, f"--address={self.ray}", f"--node-ip-address={self.wire.there}"]
        self.run([*command, "--num-cpus=2", '--resources={"site_west": 1000}'])

    def up(self, journals: Journals) -> None:
        """Start the system, and see all of it live."""
        data, fleet, api_port = self.place / "data", self.place / "fleet.yaml", free_port()
        command = [HOABAN, "up", str(fleet), "--data", str(data), "--no-dashboard"]
        command += ["--api-port", str(api_port), "--ray-address", self.ray]
        with (self.place / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, start_new_session=True)
        self.system = found = System(process, f"http://127.0.0.1:{api_port}/api/v1", data, fleet, journals)
        until(lambda: (data / "token").exists() and httpx.get(found.api + "/readyz").status_code == 200, LIMIT_S)
        found.token = (data / "token").read_text()
        until(lambda: found.live({}), LIMIT_S)

    def hoaban(self, *arguments: object) -> None:
        done = subprocess.run(
            [HOABAN, *map(str, arguments)], env=self.environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, (done.stdout, done.stderr)

    def run(self, command: list[str], **more: str) -> None:
        words = self.folder / "start"
        with words.open("wb") as log:  # and no pipe: what is started holds it
            done = subprocess.run(command, env=self.environment | more, stdout=log, stderr=log, timeout=240)
        assert done.returncode == 0, words.read_text()

    def of_ray(self, program: str = "", word: str = "") -> list[psutil.Process]:
        """Processes of this cluster: all, or those of a program, with a word on their command line."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = process.cmdline()
                if str(self.folder) in " ".join(line) and word in " ".join(line) and line[0].endswith(program):
                    found.append(process)
        return found

    def node(self, address: str) -> list[psutil.Process]:
        """A node's raylet and all that it started."""
        (raylet,) = self.of_ray("/raylet", f"--node_ip_address={address}")
        return [raylet, *raylet.children(recursive=True)]


def document() -> dict[str, Any]:
    whole: dict[str, Any] = {"version": 1, "province": {"name": "Test"}, "sites": ["east", "west"], "cameras": []}
    for scene, rules in SCENES.items():
        drawn = fleet_document(parse_address(f"sim://{scene}?seed=3&fps=5&size=320x180&density=2"))
        whole |= {name: drawn[name] for name in ("districts", "agencies")}
        (camera,) = drawn["cameras"]  # type: ignore[misc]
        more = {"id": scene, "rules": rules, "analysis_fps": 5, "model": "sim-colours", "motion_gate": False}
        whole["cameras"].append(camera | more | {"site": SITES[scene]})
    return whole


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, wire: Wire) -> Iterator[Nodes]:
    folder = tmp_path_factory.mktemp("nodes")
    ray_folder = Path(tempfile.mkdtemp(prefix="hb"))  # short: socket paths have a limit of 107 bytes
    control, live = EmbeddedRedis(folder / "control"), EmbeddedRedis(folder / "live")
    control.start()
    live.start()
    redis.Redis.from_url(live.url).config_set("bind", f"127.0.0.1 {wire.here}")
    data = folder / "data"
    (folder / "fleet.yaml").write_text(yaml.safe_dump(document(), allow_unicode=True))
    environment = os.environ | SETTINGS | {"HOABAN_REDIS_URL": live.url.replace("127.0.0.1", wire.here)}
    data.mkdir()
    environment["HOABAN_STORE_URL"] = f"sqlite:///{data / 'hoaban.db'}"
    # A head that others can reach asks for a token.
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    journals = Journals(data / "spool", folder / "kept")
    journals.kept.mkdir()
    patch = pytest.MonkeyPatch()
    patch.setenv("HOABAN_REDIS_URL", live.url)
    made = Nodes(wire, ray_folder, folder, control, environment)
    try:
        made.begin()
        made.join()
        threading.Thread(target=journals.follow, daemon=True).start()
        made.up(journals)
        until(lambda: {event.camera for event in made.system.stored()} >= {"road", "yard"}, LIMIT_S)
        yield made
    finally:
        journals.stop.set()
        process = made.system and made.system.process
        if process and process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
        print((folder / "log").read_text() if (folder / "log").exists() else "")
        for one in made.of_ray():
            with contextlib.suppress(psutil.Error):
                one.kill()
        made.control.stop()
        live.stop()
        patch.undo()
        shutil.rmtree(ray_folder, ignore_errors=True)


def gone(process: psutil.Process) -> bool:
    """Whether it ended; whoever was to hear of it may have died before."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def judge(
    nodes: Nodes,
    what: str,
    strike: Callable[[], None],
    same: set[str],
    back: Callable[[Any], bool],
    within_s: float = BACK_WITHIN_S,
) -> None:
    """Have a fault; same: cameras whose processes it leaves alone and whose analysis goes on as before."""
    system = nodes.system
    with judged(Outcome(what, what, "", within_s=within_s), same) as outcome:
        began = until(lambda: system.live({}), LIMIT_S)
        time.sleep(WATCH_S)
        before = until(lambda: system.live({}), LIMIT_S)
        strike()
        healed_s = time.monotonic()
        until(lambda: (now := system.live({})) and back(now) and now, LIMIT_S)
        outcome.back_s = round(time.monotonic() - healed_s, 1)
        time.sleep(WATCH_S)
        after = until(lambda: system.live({}), LIMIT_S)
        outcome.kept = kept(began, before, after, same)
        count(system, after, outcome)


def test_a_cut_network_costs_no_event(nodes: Nodes) -> None:
    """Events of the node beyond it wait there on disk; its cameras and models go on."""

    def cut() -> None:
        nodes.wire.cut()
        time.sleep(CUT_S)
        nodes.wire.mend()

    def sent(now: dict[str, dict[str, Any]]) -> bool:
        return all(status["events_spooled"] == 0 for status in now.values())

    judge(nodes, "network cut", cut, set(SCENES), sent)


def test_a_control_store_that_is_killed_goes_on_from_its_redis(nodes: Nodes) -> None:
    (gcs,) = nodes.of_ray("/gcs_server")
    command, environment = gcs.cmdline(), gcs.environ()

    def kill() -> None:
        gcs.kill()
        until(lambda: gone(gcs))
        time.sleep(5)
        with (nodes.folder / "gcs.log").open("wb") as log:
            subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    judge(nodes, "control store killed", kill, set(SCENES), lambda now: True)
    # It works: a camera that dies now is started again.
    dead = nodes.system.statuses()["road"]["pid"]
    os.kill(dead, signal.SIGKILL)
    until(lambda: nodes.system.live({"road": dead}), LIMIT_S)


def test_a_raylet_that_is_killed_takes_its_node_along_and_the_others_go_on(nodes: Nodes) -> None:
    """The node joins again, as its init system would have it do, and the cameras of its site are there again."""
    old = {camera: status["pid"] for camera, status in nodes.system.statuses().items()}
    (raylet,) = nodes.of_ray("/raylet", f"--node_ip_address={nodes.wire.there}")
    cameras = [psutil.Process(old[camera]) for camera in ("plaza", "yard")]

    def kill() -> None:
        raylet.kill()
        until(lambda: all(gone(process) for process in (raylet, *cameras)))
        nodes.join()

    def again(now: dict[str, dict[str, Any]]) -> bool:
        return all(now[camera]["pid"] != old[camera] for camera in ("plaza", "yard"))

    judge(nodes, "raylet killed", kill, {"road"}, again, NODE_BACK_WITHIN_S)


def test_a_head_that_is_lost_with_its_disk_is_begun_anew_from_a_backup(nodes: Nodes) -> None:
    """As docs/runbook.md says: the live store, SQL and the other node's disk are left, and what a backup has."""
    system, data, backup, keys = nodes.system, nodes.system.data, nodes.place / "backup", nodes.place / "keys"
    until(lambda: system.live({}), LIMIT_S)
    nodes.hoaban("backup", backup, "--data", data, "--fleet", system.fleet, "--keys", keys)
    time.sleep(WATCH_S)

    beyond = nodes.node(nodes.wire.there)
    ours = [psutil.Process(system.process.pid), *psutil.Process(system.process.pid).children(recursive=True)]
    for process in {*ours, *nodes.node(nodes.wire.here), *nodes.of_ray()} - {*beyond}:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    system.process.wait()
    nodes.control.stop()
    lost_s = time.monotonic()
    board = Board(nodes.environment["HOABAN_REDIS_URL"])
    before = board.statuses()
    time.sleep(10)
    after = before | board.statuses()
    went_on = {c: after[c]["frames_analysed"] - before[c]["frames_analysed"] for c in ("plaza", "yard")}
    for entry in data.iterdir():  # SQL is elsewhere, and spools of cameras beyond are on their node
        if entry.name != "spool" and not entry.name.startswith("hoaban.db"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for spool in [*(data / "spool").glob("road*"), *(data / "spool").glob(".*")]:
        shutil.rmtree(spool) if spool.is_dir() else spool.unlink()
    system.fleet.unlink()
    until(lambda: all(gone(process) for process in beyond[:1]), LIMIT_S)
    gave_up_s = time.monotonic() - lost_s
    for process in beyond:  # `ray stop` on that node: it belongs to a cluster that is no more
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.copytree(keys, data, dirs_exist_ok=True)
    for name in KEPT_IN_DATA:
        if (backup / name).is_dir():
            shutil.copytree(backup / name, data / name, dirs_exist_ok=True)
        else:
            shutil.copy2(backup / name, data / name)
    shutil.copy2(backup / "fleet" / "0-fleet.yaml", system.fleet)
    nodes.control = EmbeddedRedis(nodes.place / "another-control")
    nodes.control.start()
    began_s = time.monotonic()
    nodes.begin()
    nodes.join()
    nodes.up(system.journals)
    back_s = time.monotonic() - began_s
    nodes.hoaban("audit", "verify", "--data", data)

    spools = {spool: set(said) for spool, said in system.journals.by_spool().items()}
    west = {name for spool, said in spools.items() if not spool.startswith("road") for name in said}
    until(lambda: west <= {event.id for event in nodes.system.stored()}, 120)
    times = Counter(event.id for event in nodes.system.stored())
    assert set(times.values()) == {1}
    gone_with_it = {name for said in spools.values() for name in said} - times.keys()
    print(
        f"head lost; frames analysed beyond it in the first 10 s: {went_on}; its raylet ended after {gave_up_s:.0f} s"
    )
    print(f"all live {back_s:.1f} s after the new one began; {sum(map(len, spools.values()))} events told, 0 doubled;")
    print(f"lost: of the other node's 0; on the head's disk and nowhere else: {len(gone_with_it)}")
