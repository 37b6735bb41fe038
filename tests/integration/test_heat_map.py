"""A camera's heat map, from the clip through the model to the API."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from actors.board import Board
from actors.camera import CameraRuntime
from actors.embedded_redis import EmbeddedRedis
from actors.inference import InferenceService
from actors.link import Peer
from actors.store import EventStore, PeopleStore
from hoaban.access import Role
from hoaban.fleet import Camera
from serve.app import build_app
from serve.settings import ApiSettings
from serve.tiles import Picture
from tests.integration.test_tiles import Kept

pytestmark = pytest.mark.integration


class Direct:
    """The cameras of this process, asked as the API asks actors."""

    def __init__(self, cameras: dict[str, CameraRuntime]) -> None:
        self._cameras = cameras

    async def tile(self, camera: str) -> Picture | None:
        tile = self._cameras[camera].tile() if camera in self._cameras else None
        return None if tile is None else Picture(**tile.as_dict())

    async def heat_tile(self, camera: str) -> Picture | None:
        tile = self._cameras[camera].heat_tile() if camera in self._cameras else None
        return None if tile is None else Picture(**tile.as_dict())

    async def heat_map(self, camera: str) -> dict[str, Any] | None:
        return self._cameras[camera].heat_map() if camera in self._cameras else None


def test_the_api_gives_the_grid_and_the_picture_under_it(
    make_camera: Callable[..., Camera], clip: Callable[[str], Path], yolox: str, tmp_path: Path
) -> None:
    session = os.urandom(4).hex()
    InferenceService("heat", session, [yolox], threads=1, device="cpu")
    zone = {"id": "square", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    rule = {"type": "crowd", "zone": "square", "at_least": 50}
    fields = {
        "zones": [zone],
        "rules": [rule],
        "heat_map": {"columns": 32, "rows": 24},
        "pre_roll_s": 0,
        "analysis_fps": 10,
    }
    peers = [Peer("heat", "here", session)]
    warm = make_camera(str(clip("pets-s2l1-v1.mp4")), **fields)
    camera = CameraRuntime(warm, peers=peers, node="here", publisher=Kept(), board=None, pacing="demand")
    camera.start()
    deadline = time.monotonic() + 90
    while camera.status().frames_analysed < 60 and time.monotonic() < deadline:
        time.sleep(0.05)
    store_url = f"sqlite:///{tmp_path / 'h.db'}"
    store = EventStore.open(store_url)
    _, token = PeopleStore(store.engine).create_token("test", Role.VIEWER)
    valkey = EmbeddedRedis(tmp_path / "valkey")
    settings = ApiSettings(store_url, valkey.start(), "only-for-this-test", ())
    # Pictures are shown of cameras of the fleet that runs, whose owner's terms are known.
    Board(settings.redis_url).put_json("fleet", {"cameras": [warm.model_dump(mode="json", by_alias=True)]})
    client = TestClient(build_app(settings, Direct({"cam": camera})))
    viewer = {"Authorization": f"Bearer {token}"}
    try:
        assert client.get("/api/v1/cameras/cam/heatmap").status_code == 401
        grid = client.get("/api/v1/cameras/cam/heatmap", headers=viewer).json()
        seconds = np.array(grid["seconds"])
        assert seconds.shape == (24, 32)
        assert 10 < seconds.sum() < 60  # a handful of people for six seconds
        answer = client.get("/api/v1/cameras/cam/heatmap.jpg", headers=viewer)
        assert answer.status_code == 200, answer.text
        assert answer.headers["X-Hoaban-Blur"] == "faces"
        plain = client.get("/api/v1/cameras/cam/snapshot.jpg", headers=viewer).content
        hot, cold = (cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in (answer.content, plain))
        assert hot.shape == cold.shape
        assert client.get("/api/v1/cameras/none/heatmap", headers=viewer).status_code == 404
        assert camera.status().measures["crowd:square"]["count"] >= 3
    finally:
        camera.stop()
        store.close()
        valkey.stop()
