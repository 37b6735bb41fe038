"""Unblurred pictures from a real camera actor through the API: by permit alone, and black where a privacy zone is."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import ray
from fastapi.testclient import TestClient

from actors.board import Board
from actors.camera import CameraActor
from actors.embedded_redis import EmbeddedRedis
from actors.local_ray import start_local
from actors.store import AuditStore, EventStore, PeopleStore
from hoaban.access import Role
from hoaban.fleet import Camera
from serve.app import build_app
from serve.settings import ApiSettings
from tests.unit.test_privacy_zones import INSIDE, OUTSIDE, WINDOW, film

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


class System:
    def __init__(self, folder: Path, camera: Camera) -> None:
        self.valkey = EmbeddedRedis(folder / "valkey")
        redis_url, store_url = self.valkey.start(), f"sqlite:///{folder / 'a.db'}"
        self.store = EventStore.open(store_url)
        entry = camera.model_dump(mode="json", by_alias=True)
        Board(redis_url).put_json("fleet", {"province": {"name": "P"}, "cameras": [entry]})
        namespace = f"unmask-{secrets.token_hex(4)}"
        self.actor = CameraActor.options(name="camera:cam", namespace=namespace, num_cpus=0).remote(
            camera, [], redis_url, str(folder / "spool"), "live"
        )
        settings = ApiSettings(store_url, redis_url, "only-for-this-test", ray_namespace=namespace)
        self.client = TestClient(build_app(settings))
        people = PeopleStore(self.store.engine)
        self.keys = {role: people.create_token(role, role)[1] for role in (Role.OFFICER, Role.OPERATOR)}

    def get(self, path: str, role: Role = Role.OFFICER, **headers: str) -> tuple[int, np.ndarray | None]:
        given = {"Authorization": f"Bearer {self.keys[role]}"} | headers
        answer = self.client.get(f"/api/v1/cameras/cam/{path}", headers=given)
        if answer.status_code != 200:
            return answer.status_code, None
        return 200, cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def system(tmp_path: Path, make_camera: Callable[..., Camera]) -> Iterator[System]:
    source = film(tmp_path / "a.mp4", 40)
    start_local(log_to_driver=bool(os.environ.get("HOABAN_ACTOR_LOGS")))
    made = System(tmp_path, make_camera(str(source), privacy_zones=[WINDOW], motion_gate=False))
    yield made
    ray.kill(made.actor)
    ray.shutdown()
    made.valkey.stop()


def test_only_a_permit_shows_what_is_hidden_and_no_permit_shows_a_privacy_zone(system: System) -> None:
    ends = time.monotonic() + 120
    while (blurred := system.get("snapshot.jpg")[1]) is None:
        assert time.monotonic() < ends
        time.sleep(0.2)
    assert system.get("unmasked.jpg")[0] == 403
    asked = {"headers": {"Authorization": f"Bearer {system.keys[Role.OFFICER]}"}}
    wanted = {"reason": "case 12/2026, who drove"}
    permit = system.client.post("/api/v1/cameras/cam/unmask", json=wanted, **asked).json()["permit"]
    assert system.get("unmasked.jpg", Role.OPERATOR, **{"X-Hoaban-Permit": permit})[0] == 403
    status, shown = system.get("unmasked.jpg", **{"X-Hoaban-Permit": permit})
    assert status == 200
    assert shown is not None
    assert shown[35:55, 105:145].max() < 48
    assert shown[OUTSIDE].mean() > 150
    # Nothing was analysed, so the ordinary picture is a mosaic, and the zone is dark in it as well.
    assert blurred[INSIDE].mean() < 60
    assert system.client.get("/api/v1/cameras/cam/snapshot.jpg", **asked).headers["X-Hoaban-Blur"] == "mosaic"

    told = [(r.action, r.outcome, r.camera, r.reason) for r in AuditStore(system.store.engine).records()]
    looks = [item for item in told if item[0] == "picture.unmask" and item[1] == "done"]
    assert looks == [("picture.unmask", "done", "cam", wanted["reason"])]
    assert ("unmask.permit", "done", "cam", wanted["reason"]) in told
