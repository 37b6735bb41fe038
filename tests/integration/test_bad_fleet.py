"""A fleet of which most cameras misbehave, run as a user runs it: each says what is wrong; the two good ones run on."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from actors.models.files import find_model, search_path
from actors.processes import free_port
from actors.rtsp_server import RtspServer
from tests.integration.test_sources import jumping
from tests.integration.test_system import until
from tests.misbehaving import Gate, SilentServer, Trickle, cut, renamed, video, without_frames

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

RATE = 10
GOOD = ("good-file", "good-stream")
BAD = {
    "text": "not a video, or cut off before its index; check the file",
    "truncated": "not a video, or cut off before its index; check the file",
    "no-frames": "it holds no frame; the recording is empty or cut off",
    "codec": "its codec is unknown; set the camera to H.264 or H.265",
    "dead": "nothing listens there; check address, port and that the camera is on",
    "password": "the user or password was refused; correct them in the source's ${ENV} values",
    "silent": "no data for 10 s; check the network and that the camera is on",
}
ODD = ("tiny", "jumps", "model")


class Fleet:
    """`hoaban up` on a fleet file that can be rewritten."""

    def __init__(self, folder: Path, sources: dict[str, str], environment: dict[str, str]) -> None:
        self.sources, self._folder = sources, folder
        self.file = folder / "fleet.yaml"
        self.write()
        port = free_port()
        self.api = f"http://127.0.0.1:{port}/api/v1"
        command = [str(Path(sys.executable).with_name("hoaban")), "up", str(self.file), "--data", str(folder / "data")]
        command += ["--api-port", str(port), "--no-dashboard"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            until(lambda: httpx.get(self.api + "/readyz").status_code == 200, 180)
        except BaseException:
            self.end()
            raise
        self._headers = {"Authorization": "Bearer " + (folder / "data" / "token").read_text()}

    def write(self) -> None:
        base: dict[str, Any] = {
            "role": "shared",
            "district": "d",
            "owner": "o",
            "analysis_fps": 2,
            "motion_gate": False,
        }
        cameras = [base | {"id": name, "name": name, "source": source} for name, source in self.sources.items()]
        next(camera for camera in cameras if camera["id"] == "model")["model"] = "wrong-shape"
        document = {
            "version": 1,
            "province": {"name": "Test"},
            "districts": [{"id": "d", "name": "D"}],
            "agencies": [{"id": "o", "name": "O"}],
            "cameras": cameras,
        }
        self.file.write_text(yaml.safe_dump(document))

    def text(self) -> str:
        return httpx.get(self.api + "/cameras", headers=self._headers, timeout=10).text

    def statuses(self) -> dict[str, dict[str, Any]]:
        answer = httpx.get(self.api + "/cameras", headers=self._headers, timeout=10)
        return {camera["id"]: camera["status"] or {} for camera in answer.json()}

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(90)
        print((self._folder / "log").read_text())


def wrong_model(folder: Path) -> None:
    """A package whose card asks for pictures of another size than its model takes."""
    package = find_model("yolox-nano")
    assert package.path is not None
    (folder / "wrong").mkdir(parents=True)
    shutil.copy(package.path, folder / "wrong" / "model.onnx")
    card = package.card.model_dump(mode="json") | {"name": "wrong-shape", "file": "model.onnx"}
    card["input"] = card["input"] | {"width": 320, "height": 320}
    card["sha256"] = hashlib.sha256(package.path.read_bytes()).hexdigest()
    (folder / "wrong" / "card.yaml").write_text(yaml.safe_dump(card))


@pytest.fixture
def fleet(tmp_path: Path, yolox: str) -> Iterator[Fleet]:
    made = tmp_path / "made"
    made.mkdir()
    video(made / "good.mp4", 600, (160, 120), rate=RATE)
    (made / "text.mp4").write_text("no video")
    cut(video(made / "v.mp4", 60), 0.5)
    without_frames(made / "none.mp4", made)
    renamed(video(made / "codec.avi", codec="mpeg4"), b"FMP4", b"QQZZ")
    video(made / "tiny.mkv", 60, (17, 9), codec="ffv1", pixels="yuv444p", rate=RATE)
    wrong_model(tmp_path / "models")
    folders = os.pathsep.join(str(folder) for folder in (tmp_path / "models", *search_path("models")))
    rtsp = RtspServer(made)
    rtsp.start()
    with (
        Gate(rtsp.port, "digest", "viewer", "right") as gate,
        SilentServer() as silent,
        Trickle(jumping(made, "7200") * 60, 360.0, then_silent=True) as jumps,
    ):
        sources = {
            "good-file": str(made / "good.mp4"),
            "good-stream": rtsp.url("good.mp4") + "/play_count_0",
            "text": str(made / "text.mp4"),
            "truncated": str(made / "cut.mp4"),
            "no-frames": str(made / "none.mp4"),
            "codec": str(made / "codec.avi"),
            "dead": "rtsp://127.0.0.1:9/x",
            "password": gate.url("good.mp4/play_count_0", "viewer:wr0ng"),
            "silent": f"rtsp://127.0.0.1:{silent.port}/x",
            "tiny": str(made / "tiny.mkv"),
            "jumps": jumps.url,
            "model": str(made / "good.mp4"),
        }
        try:
            running = Fleet(tmp_path, sources, os.environ | {"HOABAN_MODEL_PATH": folders})
            yield running
            running.end()
        finally:
            rtsp.stop()


def test_each_bad_camera_says_what_is_wrong_and_the_good_ones_keep_their_rate(fleet: Fleet) -> None:
    until(lambda: all(fleet.statuses()[name].get("state") == "live" for name in GOOD), 120)
    before = fleet.statuses()

    def named() -> bool:
        now = fleet.statuses()
        return all(now[name].get("error") and now[name]["reconnects"] > 1 for name in BAD)

    until(named, 120)
    until(lambda: all(fleet.statuses()[n]["frames_decoded"] > before[n]["frames_decoded"] + 200 for n in GOOD), 120)
    after = fleet.statuses()

    for name, words in BAD.items():
        assert after[name]["state"] == "failed", name
        assert after[name]["error"].endswith(words), name
        assert after[name]["frames_decoded"] == 0, name
    assert len({status["pid"] for status in after.values()}) == len(after)  # a process each
    for name in GOOD:
        frames = after[name]["frames_decoded"] - before[name]["frames_decoded"]
        seconds = after[name]["last_frame_s"] - before[name]["last_frame_s"]
        assert abs(frames - RATE * seconds) < 5, name  # by capture time: not one was lost
        analysed = after[name]["frames_analysed"] - before[name]["frames_analysed"]
        assert analysed > 0.75 * 2 * seconds, name
        same = ("state", "error", "pid", "reconnects", "decode_errors")
        assert {key: after[name][key] for key in same} == {key: before[name][key] for key in same}, name
        assert (after[name]["state"], after[name]["error"], after[name]["reconnects"]) == ("live", None, 0), name

    tiny, jumps, model = (after[name] for name in ODD)
    assert (tiny["state"], tiny["error"], tiny["width"], tiny["height"]) == ("live", None, 17, 9)
    assert tiny["frames_analysed"] > 0
    assert (jumps["state"], jumps["error"], jumps["reconnects"]) == ("live", None, 0)
    assert abs(jumps["reported_s"] - jumps["last_frame_s"]) < 10  # the stream's own clock is hours off
    assert (model["state"], model["frames_analysed"]) == ("live", 0)
    assert re.match(r"model: .*correct the card", model["error"])
    assert model["frames_decoded"] > 100

    shown = fleet.text()
    assert "wr0ng" not in shown
    assert "viewer" not in shown
    fleet.sources["password"] = fleet.sources["password"].replace("wr0ng", "right")
    fleet.write()
    until(lambda: (s := fleet.statuses()["password"])["state"] == "live" and s["error"] is None)
    assert {name: fleet.statuses()[name]["pid"] for name in after} == {name: s["pid"] for name, s in after.items()}
