"""A camera's configuration changes one at a time, and what is left running at the end is nothing."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors import wire
from actors.camera import CameraRuntime
from actors.workers import infer
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera


class Nowhere:
    """Takes events and keeps none."""

    spooled, error = 0, None

    def publish(self, events: list[Event]) -> None:
        return None

    def close(self) -> None:
        return None


def running(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_edits_at_the_same_moment_leave_one_stream_and_none_after_the_stop(
    clip: Callable[[str], Path], make_camera: Callable[..., Camera], tmp_path: Path
) -> None:
    def camera(fps: float) -> Camera:
        return make_camera(source=str(clip("plaza.mp4")), analysis_fps=fps)

    before = running("decode"), running("link")
    runtime = CameraRuntime(camera(5), peers=[], node="n", publisher=Nowhere(), board=None, data_dir=tmp_path)
    runtime.start()
    failed: list[Exception] = []

    def edit(fps: float) -> None:
        try:
            runtime.configure(camera(fps))
        except Exception as error:
            failed.append(error)

    for number in range(8):
        edits = [threading.Thread(target=edit, args=(3.0 + 2 * number + half,)) for half in (0, 1)]
        for thread in edits:
            thread.start()
            time.sleep(random.uniform(0, 0.01))
        for thread in edits:
            thread.join()
    assert failed == []
    assert (running("decode"), running("link")) == (before[0] + 1, before[1] + 1)
    assert runtime.revision == runtime.camera.revision()
    runtime.stop()
    runtime.configure(camera(50))  # after the end there is nothing left to change
    assert (running("decode"), running("link")) == before


class Short:
    """A model that answers one picture too few."""

    ref, most = ModelRef("short", "1", "d"), 4

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        return [np.zeros((0, 6), np.float32)] * (len(batch) - 1)


def test_a_model_that_answers_too_few_pictures_has_failed_on_them() -> None:
    assert infer(Short(), np.zeros((3, 4, 4, 3), np.uint8)) == [None, None, None]  # type: ignore[arg-type]


def test_a_control_message_as_deep_as_python_is_none() -> None:
    with pytest.raises(wire.WireError, match="not a control message"):
        wire.parse_json(b"[" * 100_000)
