"""Candidates beside the models that count, by the API: who may begin one, and whose pictures who sees."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from actors.disagreements import Disagreements, folder_beside, name_of
from hoaban.access import Grant, Role, Scope
from hoaban.status import CameraStatus, SourceState
from tests.api_system import Api, running_api
from tests.blocks import write_block_model

pytestmark = pytest.mark.integration

SIGHT = {"class": "thing", "score": 0.9, "bbox": [1.0, 2.0, 3.0, 4.0]}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("shadow")
    write_block_model(folder / "models", "street", version="2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", str(folder / "models"))
        with running_api(folder, data_dir=str(folder / "data")) as running:
            yield running


def _kept(api: Api, camera: str, at_s: float, kind: str = "only_candidate") -> str:
    id = name_of(camera, at_s, "street@2")
    model = {"name": "street", "version": "2", "digest": "d"}
    record = {
        "id": id,
        "camera": camera,
        "role": "shared",
        "time": "2026-01-31T08:00:00Z",
        "primary": model | {"version": "1"},
        "candidate": model,
        "differences": [{"kind": kind, "primary": None, "candidate": SIGHT}],
        "seq": 7,
        "width": 64,
        "height": 48,
        "blur": "faces",
        "simulated": False,
    }
    folder = Disagreements(folder_beside(str(api.folder / "data" / "evidence")))
    folder.put("street@2", id, b"\xff\xd8" + camera.encode(), record)
    return id


def test_a_shadow_is_begun_and_ended_by_who_may_and_audited(api: Api) -> None:
    scientist, viewer = api.token(Role.DATA_SCIENTIST), api.token(Role.VIEWER)
    wanted = {"model": "street@2", "cameras": ["gate"], "sample": 0.5, "reason": "a first look"}
    assert api.ask("POST", "/models/shadow", viewer, json=wanted).status_code == 403
    assert api.ask("POST", "/models/shadow", scientist, json=wanted | {"model": "street@9"}).status_code == 422
    assert "nowhere" in api.ask("POST", "/models/shadow", scientist, json=wanted | {"cameras": ["nowhere"]}).text
    made = api.ask("POST", "/models/shadow", scientist, json=wanted)
    assert made.status_code == 201, made.text
    counts = {"sampled": 30, "looked": 20, "dropped": 9, "failed": 1, "disagreeing": 5, "per_100_frames": 25.0}
    shadow = {"model": "street@2", **counts, "stored": 1, "kinds": {"class": 6}, "look_p50_s": 0.01, "error": None}
    status = CameraStatus("gate", SourceState.LIVE, 0.0, time.time(), shadow=shadow)
    api.board.put_status("gate", status.as_dict(), 600.0)
    (view,) = api.get("/models/shadow", viewer).json()
    assert (view["state"], view["cameras"], view["sample"]) == ("running", ["gate"], 0.5)
    assert (view["looked"], view["dropped"], view["per_100_frames"], view["kinds"]["class"]) == (20, 9, 25.0, 6)
    elsewhere = api.token(Grant(Role.VIEWER, Scope(districts=frozenset({"south"}))))
    assert api.get("/models/shadow", elsewhere).json()[0]["at_cameras"] == []
    assert api.ask("DELETE", "/models/shadow/street@2", viewer).status_code == 403
    ended = api.ask("DELETE", "/models/shadow/street@2", scientist, params={"why": "seen enough"})
    assert ended.status_code == 204
    assert api.ask("DELETE", "/models/shadow/street@2", scientist).status_code == 404
    (view,) = api.get("/models/shadow", viewer).json()
    assert (view["state"], view["why"]) == ("ended", "seen enough")
    told: list[dict[str, Any]] = api.get("/audit", api.token(Role.AUDITOR)).json()["records"]
    done = {one["action"]: one for one in told if one["outcome"] == "done"}
    assert done["model.shadow"]["reason"] == "a first look"
    assert done["model.shadow"]["detail"]["cameras"] == ["gate"]
    assert done["model.shadow.end"]["subject"] == "street@2"


def test_disagreements_are_listed_and_shown_to_who_may_look_at_the_camera(api: Api) -> None:
    first, second, third = _kept(api, "gate", 1000.5), _kept(api, "shop", 1001.5), _kept(api, "gate", 1002.5, "class")
    viewer = api.token(Role.VIEWER)
    page = api.get("/models/disagreements", viewer, limit=2).json()
    assert [one["id"] for one in page["disagreements"]] == [third, second]
    rest = api.get("/models/disagreements", viewer, limit=2, cursor=page["next_cursor"]).json()
    assert [one["id"] for one in rest["disagreements"]] == [first]
    assert rest["next_cursor"] is None
    only = api.get("/models/disagreements", viewer, kind="class").json()["disagreements"]
    assert [one["id"] for one in only] == [third]
    assert only[0]["differences"][0]["candidate"] == SIGHT
    north = api.token(Grant(Role.VIEWER, Scope(districts=frozenset({"north"}))))
    seen = api.get("/models/disagreements", north).json()["disagreements"]
    assert [one["camera"] for one in seen] == ["gate", "gate"]
    shown = api.get(only[0]["picture"], north)
    assert (shown.status_code, shown.content) == (200, b"\xff\xd8gate")
    assert api.get(f"/cameras/shop/disagreements/{second}.jpg", north).status_code == 404
    assert api.get(f"/cameras/gate/disagreements/{second}.jpg", viewer).status_code == 404  # another camera's
    assert api.get("/cameras/gate/disagreements/..%2f..%2fa.jpg", viewer).status_code == 404
    assert api.get(f"/cameras/gate/disagreements/{first}.jpg", None).status_code == 401
