"""Candidates beside the models that count, by the API: who may begin one, and whose pictures who sees."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.disagreements import Disagreements, folder_beside, name_of
from cli.main import app
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
    (folder / "data").mkdir()
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
        "sights": {"primary": [], "candidate": [SIGHT]},
        "labels": {"primary": ["thing"], "candidate": ["thing"]},
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
    assert api.get("/models/shadow", elsewhere).json() == []
    both = wanted | {"cameras": ["gate", "shop"]}
    assert api.ask("POST", "/models/shadow", scientist, json=both).status_code == 201
    (view,) = api.get("/models/shadow", elsewhere).json()
    assert (view["cameras"], view["at_cameras"]) == (["shop"], [])
    assert api.get("/models/shadow", viewer).json()[0]["cameras"] == ["gate", "shop"]
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


def test_pictures_leave_with_a_reason_to_who_may_and_the_command_fetches_them(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = _kept(api, "bridge", 2000.0)
    north = api.token(Grant(Role.DATA_SCIENTIST, Scope(districts=frozenset({"north"}))))
    everywhere = api.token(Role.DATA_SCIENTIST)
    wanted = {"reason": "labels of the new crossing, to the two students"}
    assert api.ask("POST", "/models/disagreements/export", everywhere, json={"reason": "no"}).status_code == 422
    # What leaves the system concerns the whole province: a grant for a part does not give it.
    assert api.ask("POST", "/models/disagreements/export", north, json=wanted).status_code == 403
    assert api.ask("POST", "/models/disagreements/export", api.token(Role.OFFICER), json=wanted).status_code == 403
    answer = api.ask("POST", "/models/disagreements/export", everywhere, json=wanted | {"camera": "bridge"})
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        document = json.loads(archive.read("disagreements/labels.json"))
    assert names == ["disagreements/labels.json", f"disagreements/pictures/{kept}.jpg"]
    assert document["images"][0]["hoaban"]["camera"] == "bridge"
    told = api.get("/audit", api.token(Role.AUDITOR)).json()["records"]
    done = next(one for one in told if one["action"] == "model.export" and one["outcome"] == "done")
    assert (done["reason"], done["detail"]["cameras"]) == (wanted["reason"], ["bridge"])
    terms = {"analytics": ["line_count"]}
    assert _with_terms(api, "bridge", terms, wanted | {"camera": "bridge"}) == 404  # no trials of models
    assert _with_terms(api, "bridge", {"viewers": ["officer"]}, wanted | {"camera": "bridge"}) == 404

    monkeypatch.setenv("HOABAN_API_TOKEN", everywhere)
    monkeypatch.setattr("httpx.post", lambda url, **more: api.client.post(url.removeprefix("http://api"), **more))
    command = [
        "models",
        "export-coco",
        str(tmp_path / "out"),
        "--reason",
        wanted["reason"],
        "--api",
        "http://api/api/v1",
    ]
    result = CliRunner().invoke(app, [*command, "--camera", "bridge"])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["labels.json", "pictures"]
    assert [path.name for path in (tmp_path / "out" / "pictures").iterdir()] == [f"{kept}.jpg"]
    assert CliRunner().invoke(app, [*command, "--camera", "bridge"]).exit_code == 2  # never into a folder with files
    command[2] = str(tmp_path / "none")
    assert CliRunner().invoke(app, [*command, "--camera", "nowhere"]).exit_code == 1
    assert not (tmp_path / "none").exists()


def _with_terms(api: Api, camera: str, terms: dict[str, Any], wanted: dict[str, Any]) -> int:
    """The status of an export while the camera's owner shares it on these terms."""
    fleet = api.board.get_json("fleet") or {}
    changed = [one | ({"terms": terms} if one["id"] == camera else {}) for one in fleet["cameras"]]
    api.board.put_json("fleet", fleet | {"cameras": changed})
    api.app.state.places._read_s = float("-inf")
    answer = api.ask("POST", "/models/disagreements/export", api.token(Role.DATA_SCIENTIST), json=wanted)
    api.board.put_json("fleet", fleet)
    api.app.state.places._read_s = float("-inf")
    return int(answer.status_code)
