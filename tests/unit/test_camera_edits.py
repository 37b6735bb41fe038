"""What an edit of a running camera leaves alone: the stream, and what is kept of it for evidence."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

import actors.camera as camera_module
from actors.camera import CameraRuntime
from hoaban.fleet import Camera
from tests.unit.test_camera_configure import Nowhere

Make = Callable[..., Camera]


@pytest.fixture
def camera(clip: Callable[[str], Path], make_camera: Make) -> Make:
    def make(source: str = "pets-s2l1-v1.mp4", **fields: object) -> Camera:
        return make_camera(source=str(clip(source)), **fields)

    return make


@pytest.fixture
def runtime(camera: Make, tmp_path: Path) -> Iterator[CameraRuntime]:
    running = CameraRuntime(
        camera(), peers=[], node="n", publisher=Nowhere(), board=None, data_dir=tmp_path, evidence_url=str(tmp_path)
    )
    running.start()
    yield running
    running.stop()


def kept_s(runtime: CameraRuntime, from_s: float, to_s: float) -> float:
    clip = runtime._cut(from_s, to_s)
    return clip.to_s - clip.from_s if clip.data else 0.0


def watch(runtime: CameraRuntime, seconds: float) -> tuple[float, float]:
    """Let it keep so much; from when to when, by the machine's clock."""
    ends = time.monotonic() + 60
    while kept_s(runtime, time.time() - 60, time.time()) < seconds and time.monotonic() < ends:
        time.sleep(0.05)
    now_s = time.time()
    return now_s - seconds, now_s


@pytest.mark.parametrize(
    "edit",
    [{"analysis_fps": 7.0}, {"model": "other"}, {"motion_gate": False}, {"pre_roll_s": 20.0}, {"post_roll_s": 9.0}],
    ids=lambda edit: next(iter(edit)),
)
def test_an_edit_that_the_stream_does_not_rest_on_keeps_what_was_streamed(
    runtime: CameraRuntime, camera: Make, edit: dict[str, object]
) -> None:
    from_s, to_s = watch(runtime, 1.5)
    before, source = kept_s(runtime, from_s, to_s), runtime._source
    runtime.configure(camera(**edit))
    assert kept_s(runtime, from_s, to_s) == pytest.approx(before, abs=0.3)
    assert runtime._source is source
    assert not source.closed


def test_another_stream_leaves_the_old_one_to_evidence_in_its_post_roll(runtime: CameraRuntime, camera: Make) -> None:
    from_s, to_s = watch(runtime, 1.5)
    before = kept_s(runtime, from_s, to_s)
    runtime.configure(camera("plaza.mp4"))
    assert kept_s(runtime, from_s, to_s) == pytest.approx(before, abs=0.3)


def test_what_was_hidden_when_it_was_recorded_stays_hidden_after_the_zone_is_gone(camera: Make, tmp_path: Path) -> None:
    everywhere = {"id": "home", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    hidden = camera(privacy_zones=[everywhere])
    running = CameraRuntime(hidden, peers=[], node="n", publisher=Nowhere(), board=None, data_dir=tmp_path)
    running.start()
    try:
        from_s, to_s = watch(running, 1.5)
        running.configure(camera())
        clip = running._cut(from_s, to_s)
    finally:
        running.stop()
    with av.open(io.BytesIO(clip.data)) as container:
        seen = [frame.to_ndarray(format="gray").max() for frame in container.decode(video=0)]
    assert len(seen) > 5
    assert max(seen) < 40


def test_what_a_stream_left_is_forgotten_whether_or_not_another_comes(
    runtime: CameraRuntime, make_camera: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "OLD_STREAM_S", 0.2)
    watch(runtime, 0.5)
    runtime.configure(make_camera(source="rtsp://127.0.0.1:9/nothing"))
    assert runtime._left is not None
    ends_s = time.monotonic() + 30
    while runtime._left is not None and time.monotonic() < ends_s:
        time.sleep(0.05)
    assert runtime._left is None


def test_the_recorder_takes_over_how_much_is_recorded(runtime: CameraRuntime, camera: Make) -> None:
    runtime.configure(camera(pre_roll_s=11.0, post_roll_s=13.0))
    assert runtime._evidence is not None
    recorder = runtime._evidence.recorder
    assert (recorder._pre_s, recorder._post_s) == (11.0, 13.0)


def test_the_parts_stop_side_by_side_and_one_that_hangs_is_not_waited_for(
    runtime: CameraRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "STOP_S", 3.0)
    together, never = threading.Barrier(3), threading.Event()
    met: list[str] = []

    def stop_of(name: str) -> Callable[[], None]:
        def stop() -> None:
            together.wait(timeout=60)
            met.append(name)
            if name == "plates":
                never.wait()

        stop.__qualname__ = name
        return stop

    real = runtime._scene.stop, runtime._faces.stop
    for name in ("scene", "faces", "plates"):
        monkeypatch.setattr(getattr(runtime, f"_{name}"), "stop", stop_of(name))
    stopping = threading.Thread(target=runtime.stop, daemon=True)
    stopping.start()
    stopping.join(60)
    assert not stopping.is_alive()
    assert sorted(met) == ["faces", "plates", "scene"]
    assert not runtime._reporter._thread.is_alive()  # who comes last had its turn
    never.set()
    for stop in real:
        stop()
