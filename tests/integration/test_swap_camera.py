"""A real camera while the model behind it is swapped for one with another input."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.camera import CameraRuntime
from actors.inference import InferenceService
from actors.link import Peer
from actors.models.files import open_package
from hoaban import probation
from hoaban.fleet import Camera

pytestmark = pytest.mark.integration


class Kept:
    """A publisher that keeps nothing."""

    spooled, error = 0, None

    def publish(self, events: list) -> None: ...
    def close(self) -> None: ...


@pytest.mark.parametrize("pacing", ["live", "demand"])
def test_a_cameras_tracks_go_on_through_a_swap_and_no_frame_is_lost(
    pacing: str, make_camera: Callable[..., Camera], clip: Callable[[str], Path], yolox: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(probation, "PICTURES", 10)
    session = os.urandom(4).hex()
    service = InferenceService("swap", session, [yolox], threads=1, device="cpu")
    camera = make_camera(str(clip("pets-s2l1-v1.mp4")), motion_gate=False, model=yolox, analysis_fps=5)
    peers = [Peer("swap", "here", session)]
    runtime = CameraRuntime(camera, peers=peers, node="here", publisher=Kept(), board=None, pacing=pacing)
    taken: list[tuple[int, str, set[int]]] = []
    take = runtime._scene._take

    def noted(seen) -> None:
        take(seen)
        ids = set(runtime._scene.analysed.tracks.ids.tolist())
        taken.append((seen.picture.meta.seq, seen.model.ref.name, ids))

    runtime._scene.analyser._take = noted

    def until(what: Callable[[], object], limit_s: float = 60) -> None:
        ends = time.monotonic() + limit_s
        while not what():
            assert time.monotonic() < ends, runtime.status()
            time.sleep(0.02)

    runtime.start()
    try:
        until(lambda: len(taken) >= 15)
        channel = runtime._scene.analyser.link._channel
        service.swap(yolox, open_package("fastestdet"), budget_s=60)
        until(lambda: taken[-1][1] == "fastestdet")
        swapped = len(taken)
        until(lambda: len(taken) > swapped + 5)
        until(lambda: service.stats()["swaps"][yolox]["state"] == "kept")
        status = runtime.status()
    finally:
        runtime.stop()
    names = [name for _, name, _ in taken]
    first = names.index("fastestdet")
    assert set(names[:first]) == {"yolox-nano"}
    assert set(names[first:]) == {"fastestdet"}
    assert taken[first - 1][2] & taken[first][2], "no track lived through the swap"
    assert runtime._scene.analyser.link._channel is None  # ended by stop, not before
    assert channel.model.ref.name == status.model["name"] == "fastestdet"
    assert (status.frames_failed, status.error) == (0, None)
    frames = [seq for seq, _, _ in taken]
    assert frames == sorted(set(frames))
    if pacing == "demand":
        assert frames == list(range(0, 2 * len(frames), 2))  # 10 frames a second, 5 wanted
