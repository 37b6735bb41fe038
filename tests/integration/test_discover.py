"""`hoaban discover` in a network of its own, where two ONVIF devices answer: one open, one with a password."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from actors.fleet_file import load_fleet
from hoaban.integrations.discovery import Answer, Found, Stream, camera_id, fleet_entry, found, without_user

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).resolve().parents[2]
IPYCAM = "1.3.0"
KEPT = Path.home() / ".cache" / "hoaban" / "tests" / f"ipycam-{IPYCAM}"
SECRET = "c4nary/Secret"
NETWORK = """
set -e
ip link set lo up
ip link set lo multicast on
ip addr add 10.77.0.1/24 dev lo
ip addr add 10.77.0.2/24 dev lo
ip route add 239.0.0.0/8 dev lo
exec "$@"
"""


@pytest.fixture(scope="module")
def ipycam() -> Path:
    """The package without what it declares: its OpenCV would replace ours, and is not needed for what it answers."""
    if not (KEPT / "ipycam").is_dir():
        KEPT.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(KEPT)]
        if subprocess.run([*command, f"ipycam=={IPYCAM}"], capture_output=True, check=False, timeout=150).returncode:
            pytest.skip("pip reaches no index to install the ONVIF device from")
    return KEPT


@pytest.fixture(scope="module")
def network() -> list[str]:
    """What runs a command in a network namespace of its own: addresses, and a route for multicast."""
    enter = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", NETWORK, "sh"]
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("unshare or ip is not installed: apt-get install util-linux iproute2")
    if (tried := subprocess.run([*enter, "true"], capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no network namespace may be made here: {tried.stderr}")
    return enter


SCRIPT = """
import subprocess, sys
hoaban, device, cameras = sys.argv[3:], sys.argv[1], [c.split(",") for c in sys.argv[2].split(";") if c]
running = [subprocess.Popen([sys.executable, device, *c], stdout=subprocess.PIPE, text=True) for c in cameras]
try:
    for one in running:
        assert one.stdout.readline() == "ready\\n"
    sys.exit(subprocess.run(hoaban).returncode)
finally:
    for one in running:
        one.kill()
"""


@pytest.fixture(scope="module")
def discover(ipycam: Path, network: list[str]) -> Any:
    def run(cameras: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        hoaban = [sys.executable, "-c", "from cli.main import main; main()", "discover", *arguments]
        path = os.pathsep.join([str(PROJECT), str(ipycam), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [*network, sys.executable, "-c", SCRIPT, str(PROJECT / "tests" / "onvif_device.py"), cameras, *hoaban],
            env=os.environ | {"PYTHONPATH": path} | environment,
            capture_output=True, text=True, check=False, timeout=150,
        )  # fmt: skip

    return run


TWO = f"Gate,10.77.0.1,8080;Yard,10.77.0.2,8080,viewer,{SECRET}"


def test_cameras_that_answer_are_told_with_an_entry_that_a_fleet_takes(discover: Any, tmp_path: Path) -> None:
    done = discover(TWO, "--for", "3", "--json")
    assert done.returncode == 0, done.stderr
    gate, yard = json.loads(done.stdout)["cameras"]
    assert (gate["address"], gate["name"], gate["profiles"]) == ("10.77.0.1", "Gate", ["Streaming"])
    assert (gate["maker"], gate["model"], gate["why"]) == ("PythonCam", "VirtualCam-1", "")
    assert gate["streams"][0]["source"] == "rtsp://10.77.0.1:8554/video_main"
    assert gate["streams"][0]["size"] == [1920, 1080]
    assert (yard["name"], yard["streams"]) == ("Yard", [])
    assert "HOABAN_ONVIF_PASSWORD" in yard["why"]

    text = discover(TWO, "--for", "3")
    document = yaml.safe_load(text.stdout)
    assert [entry["id"] for entry in document["cameras"]] == ["gate-1", "yard-2"]
    for entry in document["cameras"]:
        entry |= {"district": "d", "owner": "o"}
    named = [{"id": "d", "name": "D"}], [{"id": "o", "name": "O"}]
    document |= {"version": 1, "province": {"name": "P"}, "districts": named[0], "agencies": named[1]}
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(document))
    assert len(load_fleet([tmp_path / "fleet.yaml"]).cameras) == 2


def test_with_a_password_a_camera_tells_its_streams_and_nobody_tells_the_password(discover: Any) -> None:
    signed = ("--for", "3", "--user", "viewer")
    done = discover(TWO, *signed, "--json", HOABAN_ONVIF_PASSWORD=SECRET)
    _, yard = json.loads(done.stdout)["cameras"]
    assert yard["streams"][0]["source"] == "rtsp://10.77.0.2:8554/video_main"
    assert yard["entry"]["source"] == "rtsp://${YARD_2_USER}:${YARD_2_PASSWORD}@10.77.0.2:8554/video_main"
    wrong = discover(TWO, *signed, HOABAN_ONVIF_PASSWORD=SECRET + "x")
    assert "it wants another user or password" in wrong.stdout
    for text in (done.stdout, done.stderr, wrong.stdout, wrong.stderr):
        assert SECRET not in text
        assert "Traceback" not in text


def test_where_nothing_answers_it_says_so_in_time_and_what_to_look_at(discover: Any) -> None:
    done = discover("", "--for", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no camera answered" in done.stderr
    assert "UDP 3702" in done.stderr
    done = discover("", "--user", "viewer")
    assert (done.returncode, "HOABAN_ONVIF_PASSWORD" in done.stderr) == (2, True)


def test_what_a_device_says_of_itself_leads_nowhere_else_and_breaks_no_line() -> None:
    scopes = ["onvif://www.onvif.org/name/A%0A%1b[2J%20gate", "onvif://www.onvif.org/Profile/T", "junk"]
    one = found(["http://192.168.1.9/onvif/device_service", "http://10.0.0.9:80/x"], scopes)
    assert one == Found("192.168.1.9", "http://192.168.1.9/onvif/device_service", "A [2J gate", ("T",))
    assert found([], scopes) is None
    assert found(["ftp://10.0.0.9/", "http://[broken"], scopes) is None
    for elsewhere in ("http://8.8.8.8/onvif", "http://cam.example/onvif"):
        one = found([elsewhere], scopes)
        assert one is not None
        assert one.service == ""
    assert without_user("rtsp://admin:admin@10.0.0.9/1") == "rtsp://10.0.0.9/1"
    assert Answer().streams == ()


@given(st.text(max_size=60), st.ip_addresses(), st.booleans())
def test_any_name_makes_an_entry_that_a_fleet_takes(name: str, address: object, signs_in: bool) -> None:
    one = found([f"http://{address}/" if ":" not in str(address) else f"http://[{address}]/"], [])
    assert one is not None
    one = Found(one.address, one.service, name or "x", ())
    entry = fleet_entry(one, Stream("main", "rtsp://h/1"), signs_in=signs_in)
    assert camera_id(one) == entry["id"]
    assert 0 < len(entry["id"]) <= 63
    assert set(entry["id"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert entry["id"][0] != "-"
