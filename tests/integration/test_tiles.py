"""A camera with tiles and its model, with the real link between them: whole sweeps, and sweeps cut short."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from actors.camera import CameraRuntime
from actors.inference import InferenceService
from actors.link import Peer
from actors.models import find_model, load_detector
from actors.source import open_frames
from benchmarks import mosaic
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.status import SourceState
from hoaban.tiling import Tiles

pytestmark = pytest.mark.integration
FRAMES = 12


class Kept:
    """A publisher that keeps the events."""

    spooled, error = 0, None

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, events: list[Event]) -> None:
        self.events += events

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def service(yolox: str) -> Peer:
    session = os.urandom(4).hex()
    InferenceService("tiles", session, [yolox], threads=1, device="cpu")
    return Peer("tiles", "here", session)


@pytest.fixture(scope="module")
def film(clip: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mosaic as a film, all frames alike."""
    truth = clip(mosaic.CLIP).parents[1] / "truth"
    if not (truth / mosaic.TRUTH).exists():
        pytest.skip(f"{mosaic.TRUTH} is not beside the clips")
    path = tmp_path_factory.mktemp("tiles") / "mosaic.mp4"
    picture, _ = mosaic.mosaic(truth)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = mosaic.WIDTH, mosaic.HEIGHT, "yuv420p"
        for _ in range(FRAMES):
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def running(camera: Camera, peer: Peer, pacing: str) -> Iterator[CameraRuntime]:
    runtime = CameraRuntime(camera, peers=[peer], node="here", publisher=Kept(), board=None, pacing=pacing)
    runtime.start()
    yield runtime
    runtime.stop()


def overview(make_camera: Callable[..., Camera], film: Path, **fields: object) -> Camera:
    return make_camera(
        str(film),
        role="overview",
        pre_roll_s=0,
        min_score=mosaic.MIN_SCORE,
        motion_gate=False,
        tiles={"columns": 3, "rows": 2},
        **fields,
    )


def test_each_picture_is_seen_whole_and_in_all_its_tiles(
    make_camera: Callable[..., Camera], film: Path, service: Peer, yolox: str
) -> None:
    camera = overview(make_camera, film, loop=False, analysis_fps=10).model_copy(
        update={"tiles": Tiles(columns=3, rows=2, budget_fps=1000)}
    )
    for runtime in running(camera, service, "demand"):
        deadline = time.monotonic() + 90
        while runtime.status().frames_analysed < FRAMES and time.monotonic() < deadline:
            assert runtime.status().state is not SourceState.FAILED
            time.sleep(0.05)
        status, analysed = runtime.status(), runtime._scene.analysed
        assert status.frames_analysed == FRAMES
        assert status.tiles_skipped == status.frames_replaced == 0
    assert analysed is not None
    *_, last = open_frames(str(film), "cam")
    alone = mosaic.seen(last, load_detector(find_model(yolox), threads=1, device="cpu"), Tiles())
    apart = np.abs(alone.boxes[:, None] - analysed.seen.people[None]).max(axis=2)
    assert (apart.min(axis=1) < 0.5).all()  # `people` holds the less sure ones too
    assert len(alone) <= len(analysed.seen.people) <= len(alone) + 5
    assert len(analysed.tracks) >= 20


def test_a_model_without_time_for_all_tiles_sees_every_picture_whole_and_the_tiles_in_turns(
    make_camera: Callable[..., Camera], film: Path, service: Peer
) -> None:
    """Ten pictures of thirteen inputs a second are more than one thread's model can do."""
    camera = overview(make_camera, film, analysis_fps=10).model_copy(
        update={"tiles": Tiles(columns=4, rows=3, budget_fps=1000)}
    )
    for runtime in running(camera, service, "live"):
        deadline = time.monotonic() + 90
        while runtime.status().frames_analysed < 30 and time.monotonic() < deadline:
            time.sleep(0.05)
        status = runtime.status()
        assert status.frames_analysed >= 30
        assert status.tiles_skipped > 0
        assert status.tiles_skipped < 12 * status.frames_analysed  # tiles do get their turn
        assert runtime._scene.analysed is not None
