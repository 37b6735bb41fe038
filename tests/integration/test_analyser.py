"""Pictures and what was seen in them: never mixed up, none left waiting, and told when nobody looks at them."""

import random
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from actors.analyser import Analyser, Seen
from actors.camera import CameraRuntime
from actors.face_watch import FaceWatcher
from actors.picture import Picture
from hoaban import analysis_health
from hoaban.admission import Admission
from hoaban.analysis_health import NOT_ANALYSED
from hoaban.fleet import SIM_MODEL, Camera
from hoaban.frames import FrameMeta
from hoaban.status import CameraStatus, SourceState
from hoaban.tiling import Tiles
from tests.faces import ALL, face_rule
from tests.misbehaving import video
from tests.stub_models import Kept, serve

pytestmark = pytest.mark.integration
HELLO = {"camera": "cam", "model": SIM_MODEL, "rate": 100.0}
Rows = NDArray[np.float32]


def until(what: Callable[[], object], limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.01)


def grey(seq: int, level: int) -> Picture:
    """A picture all of one grey, captured a tenth of a second after the last one."""
    frame = av.VideoFrame.from_ndarray(np.full((180, 160), level, np.uint8), "gray8").reformat(format="yuv420p")
    return Picture(FrameMeta("cam", seq, seq / 10, 160, 120), frame)


def nothing(batch: NDArray[np.uint8]) -> list[Rows]:
    return [np.zeros((0, 6), np.float32)] * len(batch)


@pytest.mark.parametrize("tiles", [None, Tiles(columns=2, rows=1, budget_fps=1000)])
def test_a_picture_is_never_paired_with_what_was_seen_in_another(tiles: Tiles | None) -> None:
    """The model says how bright its input was, sooner or later; each picture must get its own brightness."""
    dice = random.Random(1)

    def brightness(batch: NDArray[np.uint8]) -> list[Rows]:
        time.sleep(dice.choice([0, 0, 0.002, 0.02]))
        return [np.array([[0, 0, 1, 1, 1, pixels[:60, :60].mean()]], np.float32) for pixels in batch]

    peer, _ = serve(brightness)
    seen: list[tuple[int, float, list[float], int]] = []

    def take(one: Seen) -> None:
        pixels, _ = one.picture.model_input(one.model.shape.width, one.model.shape.height)
        said = [float(part.rows[0, 5]) for part in one.parts]
        seen.append((one.picture.meta.seq, float(pixels[:60, :60].mean()), said, len(one.parts)))

    analyser = Analyser(Admission(100.0, gate=False), HELLO, peers=[peer], node="here", take=take, tiles=tiles)
    analyser.start()
    until(lambda: analyser.link.model)
    for seq in range(400):
        analyser.offer(grey(seq, 20 + 7 * seq % 200))
        time.sleep(dice.choice([0, 0.001, 0.004]))
    until(lambda: seen and not analyser._pending)
    analyser.stop()
    assert len(seen) > 20
    assert analyser.replaced > 20  # else nothing was put to the test
    assert [seq for seq, *_ in seen] == sorted({seq for seq, *_ in seen})
    for _, is_bright, said, _ in seen:
        assert said == pytest.approx([is_bright] * len(said), abs=1.0)
    if tiles:
        assert max(parts for *_, parts in seen) == tiles.inputs


def test_in_demand_no_picture_is_left_out_even_when_its_model_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.channel.ANSWER_LIMIT_S", 0.2)
    monkeypatch.setattr("actors.channel.LOOK_EVERY_S", 0.05)
    stuck = threading.Event()

    def sticks(batch: NDArray[np.uint8]) -> list[Rows]:
        stuck.wait(30 if batch[0, 0, 0, 0] > 120 else 0)
        return nothing(batch)

    (first, _), (second, _) = serve(sticks), serve(nothing)
    seen: list[int] = []
    analyser = Analyser(
        Admission(100.0, gate=False), HELLO, peers=[first, second], node="here", pacing="demand",
        take=lambda one: seen.append(one.picture.meta.seq),
    )  # fmt: skip
    analyser.start()
    for seq in range(10):
        analyser.offer(grey(seq, 200 if seq == 5 else 50))
    analyser.stop()
    stuck.set()
    assert seen == list(range(10))


def test_a_model_or_a_handler_that_fails_costs_its_frame_alone_and_is_told() -> None:
    def fails(batch: NDArray[np.uint8]) -> list[Rows]:
        if batch[0, 0, 0, 0] > 120:
            raise RuntimeError("a model's fault")
        return nothing(batch)

    def take(one: Seen) -> None:
        if one.picture.meta.seq == 7:
            raise ZeroDivisionError("a rule's fault")
        seen.append(one.picture.meta.seq)

    seen: list[int] = []
    peer, _ = serve(fails)
    analyser = Analyser(
        Admission(100.0, gate=False), HELLO, peers=[peer], node="here", take=take, pacing="demand"
    )  # fmt: skip
    analyser.start()
    for seq in range(10):
        analyser.offer(grey(seq, 200 if seq == 4 else 50))
        told = {4: "the model failed on frame 4", 7: "ZeroDivisionError: a rule's fault"}.get(seq)
        assert analyser.trouble is None if told is None else told in str(analyser.trouble)
    analyser.stop()
    assert seen == [0, 1, 2, 3, 5, 6, 8, 9]
    assert analyser.failed == 2


def test_a_face_model_slower_than_many_frames_is_still_listened_to(
    make_camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hoaban.faces.pipeline.FacePipeline.wants", lambda *_: True)

    def slow(batch: NDArray[np.uint8]) -> list[Rows]:
        time.sleep(0.2)  # twenty frames
        return nothing(batch)

    peer, _ = serve(slow, faces=True)
    camera = make_camera(zones=[ALL], rules=[face_rule(fps=10)], face_model=SIM_MODEL, motion_gate=False)
    faces = FaceWatcher(
        camera, peers=[peer], node="here", publish=Kept().publish, board=None, data_dir=None, pacing="live"
    )  # fmt: skip
    faces.start()
    seqs = iter(range(10**6))

    def searched() -> int:
        faces.offer(grey(next(seqs), 100))
        return (faces.status() or {})["frames_searched"]

    until(lambda: searched() >= 4)
    faces.stop()
    assert (faces.status() or {})["error"] is None


# --- a camera whose pictures come and are not looked at


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return video(tmp_path / "v.mp4", 60)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_health, "LEAST_LATE_S", 0.5)


def running(camera: Camera, *peers: object) -> CameraRuntime:
    runtime = CameraRuntime(camera, peers=list(peers), node="here", publisher=Kept(), board=None)  # type: ignore[arg-type]
    runtime.start()
    return runtime


def told(runtime: CameraRuntime) -> CameraStatus:
    """The status that first says that nothing is analysed, once pictures come."""
    until(lambda: runtime.status().not_analysed)
    status = runtime.status()
    assert status.state is SourceState.LIVE
    assert status.faults[NOT_ANALYSED] == status.not_analysed
    return status


def test_a_camera_without_any_model_does_not_look_healthy_and_does_when_one_comes(
    impatient: None, film: Path, make_camera: Callable[..., Camera]
) -> None:
    runtime = running(make_camera(str(film), model=SIM_MODEL))
    try:
        status = told(runtime)
        assert "no inference actor is known yet" in str(status.not_analysed)
        assert status.analysis_age_s is None
        peer, _ = serve()
        runtime.set_peers([peer])
        until(lambda: runtime.status().not_analysed is None)
        until(lambda: runtime.status().analysis_age_s is not None)
        assert NOT_ANALYSED not in runtime.status().faults
    finally:
        runtime.stop()


def test_a_camera_whose_model_never_answers_says_so_and_how_old_its_last_analysis_is(
    impatient: None, film: Path, make_camera: Callable[..., Camera]
) -> None:
    stuck, free = threading.Event(), threading.Event()

    def sticks(batch: NDArray[np.uint8]) -> list[Rows]:
        if stuck.is_set():
            free.wait(60)
        return nothing(batch)

    peer, _ = serve(sticks)
    runtime = running(make_camera(str(film), model=SIM_MODEL), peer)
    try:
        until(lambda: runtime.status().frames_analysed > 2)
        assert runtime.status().not_analysed is None
        stuck.set()
        until(lambda: "the model has not answered" in str(told(runtime).not_analysed))
        assert (runtime.status().analysis_age_s or 0) > 0.5
        free.set()
        until(lambda: runtime.status().not_analysed is None)
    finally:
        free.set()
        runtime.stop()


def test_a_camera_whose_model_is_refused_says_why(
    impatient: None, film: Path, make_camera: Callable[..., Camera]
) -> None:
    peer, _ = serve()
    runtime = running(make_camera(str(film), model="nothing-of-the-kind"), peer)
    try:
        assert "'nothing-of-the-kind' is not known" in str(told(runtime).not_analysed)
    finally:
        runtime.stop()


def test_a_still_picture_behind_the_gate_is_healthy(
    impatient: None, tmp_path: Path, make_camera: Callable[..., Camera]
) -> None:
    """The gate admits a frame a second, which is often enough."""
    still = tmp_path / "still.mp4"
    with av.open(str(still), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(100):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "bgr24")))
        out.mux(stream.encode())
    peer, _ = serve()
    runtime = running(make_camera(str(still), model=SIM_MODEL, analysis_fps=4), peer)
    try:
        until(lambda: runtime.status().frames_gated > 3)
        assert runtime.status().not_analysed is None
    finally:
        runtime.stop()


def test_pictures_do_not_pile_up(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    """Whatever keeps a picture too long shows here: they are counted while they live."""
    alive, most = weakref.WeakSet[Any](), 0
    peer, _ = serve(nothing)
    camera = make_camera(str(video(tmp_path / "v.mp4", 60)), model=SIM_MODEL, analysis_fps=60)
    runtime = CameraRuntime(camera, peers=[peer], node="here", publisher=Kept(), board=None, pacing="demand")
    show = runtime._on_picture

    def count(picture: Picture) -> None:
        nonlocal most
        alive.add(picture._converting)  # each picture has its own
        most = max(most, len(alive))
        show(picture)

    runtime._source._on_picture = count
    runtime.start()
    try:
        while runtime.status().frames_analysed < 300:
            runtime.tile()
            time.sleep(0.02)
    finally:
        runtime.stop()
    assert 1 <= most <= 6
