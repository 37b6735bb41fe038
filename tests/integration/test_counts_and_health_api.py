"""Counts, uptime and shared pictures through the API: real store, real Valkey, the application itself."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient

from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.store import EventStore, PeopleStore
from hoaban.access import Role
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.fleet import Fleet
from hoaban.frames import FrameMeta
from hoaban.status import CameraStatus, SourceState
from hoaban.stream_health import health_finding
from serve.app import build_app
from serve.settings import ApiSettings
from serve.tiles import Picture

pytestmark = pytest.mark.integration
HERE = ZoneInfo("Asia/Kathmandu")  # 5 h 45 min ahead of UTC: whoever aligns to UTC is found out
PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")
CAMERAS = ("gate", "bridge", "shop")


class Pictures:
    async def tile(self, camera: str) -> Picture | None:
        return Picture(b"\xff\xd8jpeg", 1, time.time(), "faces")


class Api:
    def __init__(self, client: TestClient, store: EventStore, board: Board, fleet: Fleet) -> None:
        self.client, self.store, self.board, self.fleet = client, store, board, fleet
        self.token = PeopleStore(store.engine).create_token("admin", Role.ADMIN)[1]

    def get(self, path: str, token: str | None = None, **parameters: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.client.get("/api/v1" + path, params=parameters, headers=headers)


@pytest.fixture
def api(tmp_path: Path, store_url: str) -> Iterator[Api]:
    valkey = EmbeddedRedis(tmp_path / "valkey")
    redis_url = valkey.start()
    store, board = EventStore.open(store_url), Board(redis_url)
    cameras = [
        {"id": c, "name": c, "role": "shared", "district": d, "owner": "ward", "source": "a.mp4"}
        | {"rules": [{"type": "camera_health"}]}
        for c, d in zip(CAMERAS, ("north", "north", "south"), strict=True)
    ]
    cameras[2]["terms"] = {"viewers": ["police"]}
    fleet = Fleet.model_validate(
        {
            "version": 1,
            "province": {"name": "P", "timezone": HERE.key},
            "districts": [{"id": "north", "name": "N"}, {"id": "south", "name": "S"}],
            "agencies": [{"id": "ward", "name": "W"}, {"id": "police", "name": "P"}, {"id": "fire", "name": "F"}],
            "cameras": cameras,
        }
    )
    board.put_json("fleet", fleet.model_dump(mode="json", by_alias=True) | {"errors": [], "digest": ""})
    app = build_app(ApiSettings(store_url, redis_url, "only-for-this-test"), Pictures())
    try:
        with TestClient(app) as client:
            yield Api(client, store, board, fleet)
    finally:
        store.close()
        valkey.stop()


def happened(finding: Finding, at_s: float, camera: str = "gate") -> Event:
    return bind(finding, FrameMeta(camera, 0, at_s, 10, 10), "shared", PROVENANCE)


def test_the_quarter_hours_add_up_to_the_events_and_begin_on_the_provinces_clock(api: Api) -> None:
    rng = random.Random(4)
    midnight = datetime(2026, 3, 4, tzinfo=HERE)
    events, turns = [], []
    for track in range(1500):
        at_s = midnight.timestamp() + rng.uniform(0, 86400)
        label, lane = rng.choice(["car", "motorcycle", "truck"]), rng.choice(["near", "far", None])
        extra = {} if lane is None else {"lane": lane}
        found = Finding("line_count", "r", track, label, None, "in", rng.choice(["forward", "backward"]), extra=extra)
        events.append(happened(found, at_s))
        ways = {"from": rng.choice("abc"), "to": rng.choice("abc"), "took_s": 4.0}
        turns.append(happened(Finding("turning_count", "t", track, label, None, ways["to"], extra=ways), at_s))
    assert api.store.write(events + turns) == 3000
    window = {"since": midnight.isoformat(), "until": (midnight + timedelta(days=1)).isoformat()}
    rows = api.get("/counts", bucket=900, **window).json()
    truth = Counter(
        (e.data["direction"], e.data["class"], e.data.get("lane"), quarter(e.time, midnight)) for e in events
    )
    assert {(r["direction"], r["label"], r["lane"], r["bucket_s"]): r["n"] for r in rows} == truth
    assert sum(r["n"] for r in rows) == sum(r["n"] for r in api.get("/counts", **window).json()) == 1500
    turned = api.get("/counts/turns", bucket=900, **window).json()
    truth = Counter((e.data["from"], e.data["to"], e.data["class"], quarter(e.time, midnight)) for e in turns)
    assert {(r["from"], r["to"], r["label"], r["bucket_s"]): r["n"] for r in turned} == truth
    days = {r["bucket_s"] for r in api.get("/counts", bucket=86400, **window).json()}
    assert days == {midnight.timestamp()}


def test_what_would_be_too_much_is_refused_with_a_way_to_ask_for_less(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    events = [happened(Finding("line_count", "r", n, "car", None, "in", "forward"), now - 60 * n) for n in range(30)]
    api.store.write(
        [*events, happened(Finding("line_count", "r", 99, "car", None, "in", "forward"), now - 400 * 86400)]
    )
    (row,) = api.get("/counts").json()
    assert row["n"] == 30  # of the last 366 days
    for path in ("/counts", "/counts/turns"):
        answer = api.get(path, since=datetime.fromtimestamp(now - 400 * 86400, UTC).isoformat())
        assert (answer.status_code, "366 days apart" in answer.json()["detail"]) == (422, True)
    monkeypatch.setattr("actors.store.store.MOST_ROWS", 20)
    answer = api.get("/counts", bucket=1)
    assert (answer.status_code, "longer intervals" in answer.json()["detail"]) == (422, True)


def quarter(time_: datetime, midnight: datetime) -> float:
    """Start of the quarter of an hour on the province's clock."""
    local = time_.astimezone(HERE)
    return local.replace(minute=local.minute // 15 * 15, second=0, microsecond=0).timestamp()


def report(api: Api, camera: str, at_s: float, lives_s: float, **more: Any) -> None:
    status = CameraStatus(camera, SourceState.LIVE, at_s - 60, at_s, pid=1)
    api.board.put_status(camera, replace(status, **more).as_dict(), lives_s)


def test_uptime_of_districts_follows_from_events_and_from_who_reports(api: Api) -> None:
    now = time.time()
    report(api, "gate", now, 60, faults={"moved": "the picture has shifted"})
    report(api, "shop", now, 60)
    report(api, "bridge", now - 1000, -900)  # its last report has run out, and no supervisor lives to say so
    told = [(-7200, "gate", "offline", "end"), (-7200, "bridge", "offline", "end"), (-7200, "shop", "offline", "end")]
    told += [(-3000, "gate", "offline", "start"), (-2640, "gate", "offline", "end"), (-1000, "gate", "moved", "start")]
    events = [happened(health_finding("h", fault, phase, "why"), now + at, camera) for at, camera, fault, phase in told]
    api.store.write(events)
    since = datetime.fromtimestamp(now - 3600, UTC).isoformat()
    north, south = api.get("/health/districts", since=since).json()
    gate, bridge = north["cameras"]
    assert gate["uptime"] == pytest.approx(0.9, abs=0.002)
    assert gate["sound"] == pytest.approx(1 - 1360 / 3600, abs=0.002)
    assert gate["faults"] == {"moved": "the picture has shifted"}
    assert bridge["uptime"] == pytest.approx(1 - 1000 / 3600, abs=0.002)
    assert "silent" in bridge["faults"]
    assert north["uptime"] == pytest.approx((gate["uptime"] + bridge["uptime"]) / 2, abs=0.002)
    assert (south["uptime"], south["name"]) == (1.0, "S")
    text = api.get("/metrics").text
    assert 'hoaban_camera_fault{camera="gate",fault="moved"} 1.0' in text


@pytest.fixture
def token(api: Api) -> Callable[[str, str | None], str]:
    return lambda role, agency: PeopleStore(api.store.engine).create_token("x", Role(role), agency=agency)[1]


def test_pictures_of_a_shared_camera_are_for_whom_its_owner_named(api: Api, token: Callable[..., str]) -> None:
    police, owner, fire, nobody = token("viewer", "police"), token("viewer", "ward"), token("admin", "fire"), api.token
    path = "/cameras/shop/snapshot.jpg"
    assert [api.get(path, t).status_code for t in (police, owner, fire, nobody)] == [200, 200, 403, 403]
    assert api.get("/cameras/shop/live.mjpg", fire).status_code == 403
    assert api.get("/cameras/gate/snapshot.jpg", fire).status_code == 200
    assert api.get(path, fire).json()["detail"].startswith("the owner of camera 'shop'")

    def tickets(holder: str) -> dict[str, Any]:
        wanted = {"cameras": [*CAMERAS, "*"]}
        headers = {"Authorization": f"Bearer {holder}"}
        return api.client.post("/api/v1/tickets", json=wanted, headers=headers).json()

    assert set(tickets(fire)) == {"gate", "bridge", "*"}
    got = tickets(police)
    assert set(got) == {*CAMERAS, "*"}
    by_ticket = {"params": {"ticket": got["shop"]["ticket"]}}
    assert api.client.get("/api/v1" + path, **by_ticket).status_code == 200
    assert api.client.get("/api/v1/cameras/gate/snapshot.jpg", **by_ticket).status_code == 401
    headers = {"Authorization": f"Bearer {police}"}
    # The owner changes the terms: a ticket that is out already counts no more.
    closed = api.fleet.model_dump(mode="json", by_alias=True)
    closed["cameras"][2]["terms"]["viewers"] = ["admin"]
    threading.Timer(0.5, lambda: api.board.put_json("fleet", closed)).start()
    seen = api.client.get("/api/v1/cameras/shop/live.mjpg", headers=headers)  # returns since the stream ends
    assert seen.content.count(b"--hoaban-frame") == 1
    assert api.client.get("/api/v1" + path, **by_ticket).status_code == 403
    assert api.get(path, nobody).status_code == 200
