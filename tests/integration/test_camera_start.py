"""A camera's start and its pace when what it leans on is away or slow."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors.board import Board
from actors.bus import EventBus
from actors.camera import CameraRuntime
from actors.embedded_redis import EmbeddedRedis
from actors.inference import InferenceService
from actors.link import Peer
from actors.publisher import SpoolingPublisher
from hoaban.fleet import Camera
from hoaban.status import SourceState
from tests.misbehaving import video

pytestmark = pytest.mark.integration


class Kept:
    """A publisher that keeps what it is given."""

    spooled, error = 0, None

    def publish(self, events: list) -> None: ...
    def close(self) -> None: ...


def until(what: Callable[[], bool], limit_s: float = 60) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_camera_starts_while_redis_is_away_and_goes_on_counting_from_its_checkpoint(
    tmp_path: Path, make_camera: Callable[..., Camera]
) -> None:
    valkey = EmbeddedRedis(tmp_path / "valkey")
    url = valkey.start()
    saved = {"counts": {"in": {"forward": {"car": 5}}}, "turns": {}}
    Board(url).save_checkpoint("cam", saved)
    valkey.stop()
    camera = make_camera(str(video(tmp_path / "v.mp4", 60)))
    publisher = SpoolingPublisher(EventBus(url), tmp_path / "spool")
    runtime = CameraRuntime(camera, peers=[], node="here", publisher=publisher, board=Board(url))
    runtime.start()
    try:
        until(lambda: runtime.status().state is SourceState.LIVE)
        assert runtime.status().counts == {}
        valkey.start(valkey.port)
        until(lambda: runtime.status().counts == saved["counts"])
    finally:
        runtime.stop()
    assert Board(url).load_checkpoint("cam") == saved
    valkey.stop()


def test_a_disk_that_takes_no_events_is_the_first_thing_a_camera_tells(make_camera: Callable[..., Camera]) -> None:
    publisher = Kept()
    publisher.error = "3 events wait in memory only"
    runtime = CameraRuntime(make_camera(), peers=[], node="here", publisher=publisher, board=None)
    assert runtime.status().error == publisher.error


def test_a_model_slower_than_many_frames_is_still_listened_to(
    tmp_path: Path, make_camera: Callable[..., Camera], yolox: str
) -> None:
    session = os.urandom(4).hex()
    service = InferenceService("slow", session, [yolox], threads=1, device="cpu")

    def slow(batch: np.ndarray) -> list[np.ndarray]:
        time.sleep(0.6)  # 18 frames of this stream
        return [np.zeros((0, 6), np.float32)] * len(batch)

    service.shelf[yolox].detector.infer = slow  # type: ignore[method-assign]
    camera = make_camera(str(video(tmp_path / "v.mp4", 90, rate=30)), analysis_fps=30, motion_gate=False, model=yolox)
    runtime = CameraRuntime(camera, peers=[Peer("slow", "here", session)], node="here", publisher=Kept(), board=None)
    runtime.start()
    try:
        until(lambda: runtime.status().frames_analysed >= 4)
        status = runtime.status()
        assert status.frames_replaced > 4 * status.frames_analysed
    finally:
        runtime.stop()


def test_a_fault_in_a_rule_is_told_and_costs_neither_link_nor_the_next_frame(
    tmp_path: Path, make_camera: Callable[..., Camera], yolox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = os.urandom(4).hex()
    service = InferenceService("fault", session, [yolox], threads=1, device="cpu")
    camera = make_camera(str(video(tmp_path / "v.mp4", 60)), motion_gate=False, model=yolox)
    runtime = CameraRuntime(camera, peers=[Peer("fault", "here", session)], node="here", publisher=Kept(), board=None)
    pipeline = runtime._scene._pipeline
    whole = pipeline.step_parts

    def broken(*args: object) -> None:
        raise ZeroDivisionError("of a rule")

    monkeypatch.setattr(pipeline, "step_parts", broken)
    runtime.start()
    try:
        until(lambda: "ZeroDivisionError: of a rule" in (runtime.status().error or ""))
        link = runtime._scene.analyser.link._channel
        monkeypatch.setattr(pipeline, "step_parts", whole)
        until(lambda: runtime.status().frames_analysed > 3)
        assert runtime._scene.analyser.link._channel is link
        assert runtime.status().error is None
    finally:
        runtime.stop()
    assert service.stats()["failures"] == 0
