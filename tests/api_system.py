"""The API in this process for tests of who may do what: real store, real Valkey, three cameras in two districts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from actors.audit_anchor import Anchor, begin
from actors.board import Board
from actors.embedded_redis import EmbeddedRedis
from actors.store import AuditStore, EventStore, PeopleStore
from hoaban.access import Grant, Role
from hoaban.events import Finding, ModelRef, Provenance, bind
from hoaban.fleet import Fleet
from hoaban.frames import FrameMeta
from hoaban.status import CameraStatus, SourceState
from serve.app import build_app
from serve.settings import ApiSettings
from serve.tiles import Picture

PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")
CAMERAS = {"gate": ("north", "ward"), "bridge": ("north", "police"), "shop": ("south", "ward")}
PASSWORD = "correct horse battery"


class Pictures:
    """Every camera has a picture; which were asked for."""

    async def tile(self, camera: str) -> Picture | None:
        return Picture(b"\xff\xd8blurred", 1, time.time(), "faces")

    async def heat_tile(self, camera: str) -> Picture | None:
        return Picture(b"\xff\xd8heat", 1, time.time(), "faces")

    async def unblurred(self, camera: str, who: str, reason: str) -> Picture | None:
        return Picture(b"\xff\xd8unmasked", 1, time.time(), "none")

    async def heat_map(self, camera: str) -> dict[str, Any] | None:
        return {"columns": 1, "rows": 1, "half_life_s": 1.0, "updated_s": None, "seconds": [[0.0]]}


class Api:
    """The application, and tokens made on demand."""

    def __init__(self, client: TestClient, store: EventStore, board: Board, folder: Path) -> None:
        self.client, self.store, self.board, self.folder = client, store, board, folder
        self.people = PeopleStore(store.engine)
        self.began_s = float(int(time.time()) - 3600)
        self._made: dict[Any, str] = {}

    @property
    def app(self) -> Any:
        return self.client.app

    def token(self, *given: Role | Grant) -> str:
        if given not in self._made:
            self._made[given] = self.people.create_token("+".join(str(g) for g in given)[:100], *given)[1]
        return self._made[given]

    def ask(self, method: str, path: str, token: str | None, **more: Any) -> Any:
        headers = ({"Authorization": f"Bearer {token}"} if token else {}) | more.pop("headers", {})
        return self.client.request(method, "/api/v1" + path, headers=headers, **more)

    def get(self, path: str, token: str | None, **parameters: Any) -> Any:
        return self.ask("GET", path, token, params=parameters)

    def event(self, camera: str, second: float = 0.0) -> None:
        finding = Finding("line_count", "r", track=int(second * 10), label="car", line="in", direction="forward")
        self.store.write([bind(finding, FrameMeta(camera, 0, self.began_s + second, 10, 10), "shared", PROVENANCE)])


@contextmanager
def running_api(folder: Path, tiles: Any = None, store_url: str | None = None, **settings: Any) -> Iterator[Api]:
    valkey = EmbeddedRedis(folder / "valkey")
    redis_url = valkey.start()
    store_url = store_url or f"sqlite:///{folder / 'a.db'}"
    store, board = EventStore.open(store_url), Board(redis_url)
    cameras = [
        {"id": c, "name": c, "role": "shared", "district": d, "owner": o, "source": "a.mp4"}
        | {"rules": [{"type": "camera_health"}]}
        for c, (d, o) in CAMERAS.items()
    ]
    fleet = Fleet.model_validate(
        {
            "version": 1,
            "province": {"name": "P"},
            "districts": [{"id": "north", "name": "N"}, {"id": "south", "name": "S"}],
            "agencies": [{"id": "ward", "name": "W"}, {"id": "police", "name": "P"}],
            "cameras": cameras,
        }
    )
    board.put_json("fleet", fleet.model_dump(mode="json", by_alias=True) | {"errors": ["secret"], "digest": ""})
    for camera in CAMERAS:
        board.put_status(camera, CameraStatus(camera, SourceState.LIVE, 0.0, time.time()).as_dict(), 600.0)
    if "data_dir" in settings:
        begin(AuditStore(store.engine), Anchor(Path(settings["data_dir"])))
    app = build_app(
        ApiSettings(store_url, redis_url, "only-for-this-test", **settings), tiles or Pictures(), Pictures()
    )
    try:
        with TestClient(app) as client:
            yield Api(client, store, board, folder)
    finally:
        store.close()
        valkey.stop()
