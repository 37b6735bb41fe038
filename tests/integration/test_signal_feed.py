"""A signal's controller tells the API, a camera hears it, a crossing on red becomes an event with its candidate."""

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from actors.board import Board
from actors.bus import STREAM, EventBus, connect
from actors.camera import CameraRuntime
from actors.embedded_redis import EmbeddedRedis
from actors.inference import InferenceService
from actors.link import Peer
from actors.publisher import SpoolingPublisher
from actors.store import EventStore, PeopleStore
from hoaban.access import Role
from hoaban.fleet import SIM_MODEL, Camera
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film
from serve.app import build_app
from serve.settings import ApiSettings

SESSION = secrets.token_hex(4)
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
SOURCE = "sim://junction?seed=5&fps=8&density=2&violations=0"


@pytest.fixture
def camera() -> Camera:
    setup = Film(parse_address(SOURCE)).setup()
    lines = [{"id": name, "from": a, "to": b} for name, (a, b) in setup.lines.items()]
    rule = {"type": "red_light", "signal": "told", "line": "stop", "direction": "backward", "past": "after"}
    return Camera.model_validate(
        {
            "id": "junction", "name": "J", "role": "traffic_enforcement", "district": "d", "owner": "o",
            "source": SOURCE, "model": SIM_MODEL, "min_score": 0.2, "analysis_fps": 8, "post_roll_s": 2,
            "lines": lines, "signals": [{"id": "told", "feed": {}}], "rules": [rule],
        }
    )  # fmt: skip


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    server = EmbeddedRedis(tmp_path / "valkey")
    yield server.start()
    server.stop()


def reading(state: str, ahead_s: float = 0.0) -> dict[str, Any]:
    return {"state": state, "at": (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat()}


def test_a_told_red_becomes_evidence(camera: Camera, redis_url: str, tmp_path: Path) -> None:
    store_url = f"sqlite:///{tmp_path / 'a.db'}"
    store = EventStore.open(store_url)
    people = PeopleStore(store.engine)
    secrets = {role: people.create_token(role, Role(role))[1] for role in ("viewer", "admin")}
    board = Board(redis_url)
    board.put_json("fleet", {"cameras": [camera.model_dump(mode="json", by_alias=True)]})
    api = TestClient(build_app(ApiSettings(store_url, redis_url, "only-for-this-test")))

    def post(where: str, body: dict[str, Any], role: str = "admin") -> int:
        headers = {"Authorization": f"Bearer {secrets[role]}"} if role else {}
        return api.post(f"/api/v1/signals/{where}", json=body, headers=headers).status_code

    assert post("junction/told", reading("red"), role="") == 401
    assert post("junction/told", reading("red"), role="viewer") == 403
    assert post("junction/other", reading("red")) == 404
    assert post("elsewhere/told", reading("red")) == 404
    assert post("junction/told", reading("blue")) == 422
    assert post("junction/told", reading("red", ahead_s=60)) == 422
    assert post("junction/told", {"state": "red", "at": "2026-01-01T00:00:00"}) == 422
    assert board.readings("junction", "") == ("", [])

    over = threading.Event()

    def controller() -> None:
        while not over.is_set():
            assert post("junction/told", reading("red")) == 202
            over.wait(0.5)

    service = InferenceService("model", SESSION, [SIM_MODEL], threads=1, device="cpu")
    runtime = CameraRuntime(
        camera, peers=[Peer("model", "here", SESSION)], node="here", board=board,
        publisher=SpoolingPublisher(EventBus(redis_url), tmp_path / "spool"), evidence_url=str(tmp_path / "evidence"),
    )  # fmt: skip
    thread = threading.Thread(target=controller)
    thread.start()
    runtime.start()
    try:
        ends_s, found, folder = time.monotonic() + 120, None, tmp_path / "none"
        while time.monotonic() < ends_s and not (folder / "candidate.json").exists():
            time.sleep(0.5)
            entries = connect(redis_url).xrange(STREAM)
            if entries:
                found = json.loads(entries[0][1]["body"])
                folder = tmp_path / "evidence" / found["id"]
    finally:
        over.set()
        thread.join()
        runtime.stop()
        del service
    assert found is not None
    assert (found["type"], found["data"]["evidence"]) == ("hoaban.red_light", found["id"])
    assert (found["data"]["signal"]["from"], found["data"]["signal"]["state"]) == ("feed", "red")
    assert found["data"]["seconds_into_red"] > 0
    assert found["data"]["not_evidential_because"] == ["the source is a simulation"]
    candidate = json.loads((folder / "candidate.json").read_text())
    assert candidate["missing"] == {}
    for name in ("before.jpg", "at.jpg", "past.jpg", "clip.mp4"):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == candidate["files"][name]["sha256"]
    past_s = candidate["frames"]["past"]["captured_s"]
    assert candidate["clip"]["to_s"] == pytest.approx(past_s + 2, abs=0.3)
