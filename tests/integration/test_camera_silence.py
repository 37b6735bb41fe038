"""A camera whose process does not live: the supervisor tells it, once, and when it is heard again. Real Ray and Valkey.

And the other end of health: what time of day a real RTSP stream tells.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import redis

from actors.board import Board
from actors.bus import STREAM
from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import start_local
from actors.rtsp_server import RtspServer, loop_clip
from actors.source import SourceThread
from actors.supervisor import Supervisor, SystemSettings
from hoaban import stream_health
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.status import CameraStatus, SourceState

pytestmark = pytest.mark.integration
FLEET = """\
version: 1
province: {name: T}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - id: far
    name: Far
    role: shared
    district: d
    owner: o
    source: rtsp://127.0.0.1:9/x
    site: a_node_that_is_down
    rules: [{type: camera_health}]
"""


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    valkey = EmbeddedRedis(tmp_path / "valkey")
    yield valkey.start()
    valkey.stop()


@pytest.fixture
def local_ray() -> Iterator[None]:
    start_local(1)
    yield
    ray.shutdown()


def test_a_camera_that_never_starts_is_silent_until_it_reports(
    tmp_path: Path, redis_url: str, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_health, "SILENT_AFTER_S", 2.0)
    monkeypatch.setattr("actors.supervisor.SILENCE_EVERY_S", 0.0)
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET)
    settings = SystemSettings("s", redis_url, str(tmp_path), (str(fleet),))
    board, client = Board(redis_url), redis.Redis.from_url(redis_url)

    def events() -> list[dict[str, Any]]:
        found = [Event.from_json(fields[b"body"].decode()) for _, fields in client.xrange(STREAM)]
        return [{"at": event.time.timestamp()} | dict(event.data) for event in found]

    def tick_until(supervisor: Supervisor, count: int) -> None:
        ends = time.monotonic() + 60
        while len(events()) < count:
            assert time.monotonic() < ends, events()
            supervisor.tick()
            time.sleep(0.1)

    began_s = time.time()
    first = Supervisor(settings)
    tick_until(first, 1)
    (silent,) = events()
    assert {"camera": "far", "fault": "silent", "phase": "start"}.items() <= silent.items()
    assert began_s - 1 <= silent["at"] < began_s + 20
    # A supervisor that takes over tells nothing again, and hears the camera when it comes.
    second = Supervisor(settings)
    for _ in range(20):
        second.tick()
    assert len(events()) == 1
    now = time.time()
    status = CameraStatus("far", SourceState.LIVE, now, now)
    board.put_status("far", status.as_dict(), 60.0)  # not the camera's own report: it has no process
    second.tick()
    assert len(events()) == 1
    board.put_status("far", replace(status, pid=77).as_dict(), 60.0)
    tick_until(second, 2)
    assert {"fault": "silent", "phase": "end"}.items() <= events()[1].items()
    second.shutdown()


def test_an_rtsp_stream_tells_its_cameras_time_of_day(
    tmp_path: Path, clip: Callable[[str], Path], make_camera: Callable[..., Camera]
) -> None:
    loop_clip(clip("road-a.mp4"), tmp_path / "v" / "road.mp4", 60)
    server = RtspServer(tmp_path / "v")
    server.start()
    frames: list[FrameMeta] = []
    thread = SourceThread(make_camera(server.url("road.mp4")), lambda picture: frames.append(picture.meta))
    try:
        thread.start()
        ends = time.monotonic() + 30
        while len(frames) < 60 and time.monotonic() < ends:
            time.sleep(0.1)
    finally:
        thread.stop()
        server.stop()
    # The first frames of a connection may come without a stamp of their own.
    told = [frame for frame in frames if frame.told_s is not None and frame.stream_s is not None]
    assert len(told) > 30
    # Server and camera share a clock here, so what is between them is delay.
    assert all(-0.5 < frame.arrived_s - frame.told_s < 3 for frame in told)
