"""A preview of what a real camera actor keeps of its stream, asked for through the API."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import ray

from actors.local_ray import start_local
from actors.store import PeopleStore
from hoaban.access import Role
from hoaban.fleet import Camera
from tests.integration.test_unmask import System

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
LINE = {"id": "in", "from": [0.1, 0.6], "to": [0.9, 0.6]}


@pytest.fixture
def system(tmp_path: Path, make_camera: Callable[..., Camera]) -> Iterator[System]:
    rules = [{"type": "line_count", "line": "in"}]
    start_local(log_to_driver=bool(os.environ.get("HOABAN_ACTOR_LOGS")))
    camera = make_camera("sim://road?seed=5&fps=10", model="sim-colours", lines=[LINE], rules=rules, motion_gate=False)
    made = System(tmp_path, camera)
    yield made
    ray.kill(made.actor)
    ray.shutdown()


def test_what_a_camera_keeps_is_tried_and_marked_as_simulated(system: System) -> None:
    _, key = PeopleStore(system.store.engine).create_token("Quản trị", Role.ADMIN)
    higher = LINE | {"from": [0.1, 0.4], "to": [0.9, 0.4]}

    def ask() -> httpx.Response:
        headers, body = {"Authorization": f"Bearer {key}"}, {"zones": [], "lines": [higher]}
        return system.client.post("/api/v1/cameras/cam/shapes/preview", json=body, headers=headers)

    # The actor starts, and its ring fills, until something crossed one line and not yet the other.
    while (answer := ask()).status_code == 409 or not (answer.json()["gained"] or answer.json()["lost"]):
        time.sleep(1)
    told = answer.json()
    assert (told["of"], told["model"].partition("@")[0], told["failed"]) == ("ring", "sim-colours", 0)
    assert told["frames"] > 10
    assert all(event["data"]["simulated"] for event in told["gained"] + told["lost"])
