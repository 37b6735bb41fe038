"""A pre-roll ring that its stream's bit rate overfills: it says so, and evidence says what it got."""

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from structlog.testing import capture_logs

from actors.evidence import EvidenceKeeper
from actors.preroll import PacketRing
from actors.source import open_frames
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta

FPS, SECONDS, WANTED_S = 10, 20, 12.0
KEY_EVERY_S = 1.0


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, which no codec can shrink, with a keyframe every second."""
    path, dice = tmp_path_factory.mktemp("video") / "v.mp4", np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "g": str(round(FPS * KEY_EVERY_S)), "bf": "0", "crf": "20"}
        stream = out.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(FPS * SECONDS):
            picture = dice.integers(0, 255, (96, 160, 3)).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        out.mux(stream.encode())
    return path


def second(path: Path) -> int:
    """About the bytes of a second of it."""
    return path.stat().st_size // SECONDS


def filled(path: Path, seconds: float, max_bytes: int) -> PacketRing:
    ring = PacketRing(seconds, max_bytes, "cam")
    for _ in open_frames(str(path), "cam", ring):
        pass
    return ring


def test_a_ring_with_room_says_nothing(noisy: Path) -> None:
    with capture_logs() as logs:
        ring = filled(noisy, WANTED_S, 20 * second(noisy))
    assert ring.short is None
    assert ring.cut(0.0, SECONDS).from_s == pytest.approx(SECONDS - WANTED_S, abs=KEY_EVERY_S)
    assert not logs


def test_a_ring_without_room_says_once_how_much_it_holds(noisy: Path) -> None:
    with capture_logs() as logs:
        ring = filled(noisy, WANTED_S, 5 * second(noisy))
    held_s = SECONDS - ring.cut(0.0, SECONDS).from_s
    assert 3.0 < held_s < 5.5
    assert str(ring.short).startswith(f"{held_s - 1 / FPS:.0f} s of the 12 s wanted")
    (said,) = logs
    assert (said["log_level"], said["camera"]) == ("warning", "cam")
    assert ring.nbytes <= 5 * second(noisy)


def test_a_ring_that_has_room_again_says_no_more(noisy: Path, tmp_path: Path) -> None:
    ring = filled(noisy, 3.0, 2 * second(noisy))
    assert ring.short is not None
    quiet = tmp_path / "quiet.mp4"
    with av.open(str(quiet), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "10", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(FPS * 8):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 160, 3), 90, np.uint8), "bgr24")))
        out.mux(stream.encode())
    for _ in open_frames(str(quiet), "cam", ring):
        pass
    assert ring.short is None


@pytest.mark.parametrize(("seconds_of_room", "covered"), [(40, True), (9, False)])
def test_the_candidate_says_how_many_seconds_before_the_event_it_shows(
    noisy: Path, tmp_path: Path, make_camera: Callable[..., Camera], seconds_of_room: int, covered: bool
) -> None:
    rule = {"type": "wrong_way", "line": "l"}
    camera = make_camera(lines=[{"id": "l", "from": [0, 0.5], "to": [1, 0.5]}], rules=[rule])
    ring = PacketRing(45.0, seconds_of_room * second(noisy), "cam")
    keeper = EvidenceKeeper(camera, str(tmp_path), ring.cut, live=False)
    found = event(90, 91, 95)
    for picture in open_frames(str(noisy), "cam", ring):
        keeper.take(picture, [found] if picture.meta.seq == 95 else [], set())
    keeper.stop()
    candidate = json.loads((tmp_path / found.id / "candidate.json").read_text())
    clip = candidate["clip"]
    assert clip["wanted_before_s"] == camera.pre_roll_s
    assert clip["before_s"] == pytest.approx(9.1 - clip["from_s"], abs=1e-3)
    assert (clip["before_s"] >= camera.pre_roll_s) == covered
    assert (ring.short is None) == covered


def event(*seqs: int) -> Event:
    """A candidate whose moments are these frames."""
    frames = {
        name: {"seq": seq, "captured_s": seq / FPS, "bbox": [20, 10, 120, 80]}
        for name, seq in zip(("before", "at", "past"), seqs, strict=True)
    }
    finding = Finding("red_light", "red_light:x", track=1, bbox=(20, 10, 120, 80), extra={"frames": frames})
    provenance = Provenance(ModelRef("m", "1", "d"), "c", "0")
    return bind(finding, FrameMeta("cam", seqs[-1], seqs[-1] / FPS, 160, 96), "traffic_enforcement", provenance)
