"""A real API over a real Valkey and a real database, with pictures of a real clip, for the dashboard's tests.

Camera actors are not run; their reports are written to the board as an actor writes them.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import uvicorn
from fastapi import FastAPI
from streamlit.components.v2 import manifest_scanner

from actors.audit_anchor import Anchor, begin
from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.processes import free_port
from actors.store import AuditStore, EventStore, PeopleStore
from hoaban.access import Role
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Fleet
from hoaban.frames import FrameMeta
from hoaban.status import CameraStatus, SourceState
from serve.app import build_app
from serve.settings import ApiSettings
from serve.tiles import Picture

# Streamlit reads the metadata of every installed package whenever an app is started: half a second of each page's test.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)

MODEL = ModelRef("yolox-nano", "1", "ab" * 32)
LIVES_S = 600.0
NAMES = {
    "gate": ("Cửa ngõ phía Nam", "traffic_counting", "dbp"),
    "square": ("Quảng trường 7-5", "face_crowd", "dbp"),
    "bridge": ("Cầu Mường Thanh", "overview", "dbp"),
    "market": ("Chợ trung tâm", "neighbourhood", "db"),
    "school": ("Cổng trường", "shared", "db"),
    "junction": ("Nút giao Tây Bắc", "traffic_enforcement", "db"),
}


@cache
def jpegs(clip: Path) -> list[bytes]:
    """The first pictures of a clip; made once, since nearly every test of a page starts a system."""
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in islice(container.decode(video=0), 20)]
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]


class ClipPictures:
    """A TileSource that plays a clip. `frozen`: cameras that give their last picture on and on; `dark`: none."""

    def __init__(self, clip: Path) -> None:
        self._pictures = jpegs(clip)
        self._last: dict[str, Picture] = {}
        self.frozen: set[str] = set()
        self.dark: set[str] = set()
        self.asked: dict[str, int] = {}

    async def tile(self, camera: str) -> Picture | None:
        self.asked[camera] = self.asked.get(camera, 0) + 1
        if camera in self.dark:
            return None
        if camera not in self.frozen or camera not in self._last:
            seq = int(time.time() * 10)
            self._last[camera] = Picture(self._pictures[seq % len(self._pictures)], seq, time.time(), "faces")
        return self._last[camera]

    async def heat_tile(self, camera: str) -> None:
        return None

    async def heat_map(self, camera: str) -> None:
        return None


@dataclass
class DashboardSystem:
    """url: of the API, with /api/v1. token: a viewer's. app: the API's application."""

    url: str
    token: str
    store: EventStore
    board: Board
    pictures: ClipPictures
    fleet: Fleet
    app: FastAPI

    def show_fleet(self, errors: tuple[str, ...] = ()) -> None:
        """Put the fleet on the board as the supervisor does."""
        view = self.fleet.model_dump(mode="json", by_alias=True)
        more = {"errors": list(errors), "digest": self.fleet.digest(), "taken_at": "2026-11-25T09:00:00+00:00"}
        self.board.put_json("fleet", view | more)

    def report(self, camera: str, state: SourceState = SourceState.LIVE, **more: object) -> None:
        """A camera's report, as its actor writes it."""
        now = time.time()
        status = CameraStatus(
            camera=camera,
            state=state,
            state_since_s=now - 60,
            reported_s=now,
            last_frame_s=now - 0.2,
            width=768,
            height=576,
            codec="h264",
            decoded_fps=10.0,
            analysed_fps=5.0,
            target_fps=5.0,
            tracks=4,
            latency_p50_s=0.08,
            latency_p95_s=0.21,
            model=MODEL.as_dict(),
        )
        self.board.put_status(camera, replace(status, **more).as_dict(), LIVES_S)  # type: ignore[arg-type]

    def happen(self, camera: str, finding: Finding, captured_s: float | None = None) -> Event:
        """Store an event as a rule of that camera would give it."""
        captured_s = time.time() if captured_s is None else captured_s
        role = next(one.role for one in self.fleet.cameras if one.id == camera)
        frame = FrameMeta(camera, int(captured_s * 10), captured_s, 768, 576)
        event = bind(finding, frame, role, Provenance(MODEL, "cd" * 32, "test"))
        assert self.store.write([event]) == 1
        return event


def demo_fleet() -> Fleet:
    """Six cameras in two districts."""
    cameras = [
        {
            "id": camera,
            "name": name,
            "role": role,
            "district": district,
            "owner": "police",
            "source": f"rtsp://viewer:secret@127.0.0.1:8554/{camera}",
            "lines": [{"id": "in", "from": [0.1, 0.6], "to": [0.9, 0.6]}],
            "zones": [{"id": "door", "polygon": [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]}],
            "rules": [
                {"type": "line_count", "line": "in"},
                {"type": "intrusion", "zone": "door"},
                {"type": "crowd", "zone": "door", "at_least": 5},
                {"type": "camera_health"},
            ],
        }
        for camera, (name, role, district) in NAMES.items()
    ]
    return Fleet.model_validate(
        {
            "version": 1,
            "province": {"name": "Điện Biên", "timezone": "Asia/Ho_Chi_Minh"},
            "districts": [{"id": "dbp", "name": "Điện Biên Phủ"}, {"id": "db", "name": "Điện Biên"}],
            "agencies": [{"id": "police", "name": "Công an tỉnh"}],
            "cameras": cameras,
        }
    )


@contextmanager
def dashboard_system(
    folder: Path, clip: Path, origins: tuple[str, ...] = (), port: int | None = None, **settings: Any
) -> Iterator[DashboardSystem]:
    """Start it all; nothing is on the board and no event is stored yet. settings: more of the API's."""
    valkey = EmbeddedRedis(folder / "valkey")
    redis_url = valkey.start()
    store_url = f"sqlite:///{folder / 'hoaban.db'}"
    store = EventStore.open(store_url)
    if "data_dir" in settings:
        begin(AuditStore(store.engine), Anchor(Path(settings["data_dir"])))
    _, token = PeopleStore(store.engine).create_token("test", Role.VIEWER)
    pictures = ClipPictures(clip)
    app = build_app(ApiSettings(store_url, redis_url, "only-for-this-test", origins, **settings), pictures)
    port = port or free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        limit = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < limit, "the API did not start"
            time.sleep(0.05)
        yield DashboardSystem(
            f"http://127.0.0.1:{port}/api/v1", token, store, Board(redis_url), pictures, demo_fleet(), app
        )
    finally:
        server.should_exit = True
        thread.join(20)
        store.close()
        valkey.stop()
