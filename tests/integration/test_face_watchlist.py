"""The whole way of a face: enrolled, approved, handed out sealed, found in a film, proposed, stored.

And of a passer-by: no trace.

Real parts: the API, Valkey, the store, the inference service, a camera's runtime with its decoder. Without Ray.
"""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from actors.board import Board
from actors.bus import EventBus
from actors.camera import CameraRuntime
from actors.embedded_redis import EmbeddedRedis
from actors.inference import InferenceService
from actors.link import Peer
from actors.models.face_model import FaceModel
from actors.publisher import SpoolingPublisher
from actors.store import EventStore, PeopleStore
from actors.watchlist.feed import GALLERY
from actors.writer import StoreWriter
from cli.main import app as cli
from hoaban.access import Role
from hoaban.events import Event
from hoaban.faces.rows import REFUSAL, TEMPLATE
from hoaban.fleet import Camera
from serve.app import build_app
from serve.settings import ApiSettings
from tests.faces import ALL, face_model, face_rule, film, portrait, portrait_file

pytestmark = pytest.mark.integration
NODE = "node"


@dataclass
class FaceSystem:
    folder: Path
    redis_url: str
    store: EventStore
    api: TestClient
    keys: dict[str, dict[str, str]]
    peers: list[Peer]
    film: Path

    def enrol(self, person: str, by: str = "An", **fields: object) -> Any:
        body = {
            "watchlist": "wanted", "subject": f"case {person}", "law": "a law", "authority": "an authority",
            "document": "12/QĐ", "basis_until": "2099-01-01T00:00:00+07:00", "expires_at": "2098-01-01T00:00:00+07:00",
            "photo": base64.b64encode(portrait_file(person).read_bytes()).decode(),
        }  # fmt: skip
        return self.api.post("/api/v1/watchlist", json=body | fields, headers=self.keys[by])

    def approve(self, entry: str, by: str = "Bình") -> Any:
        return self.api.post(f"/api/v1/watchlist/{entry}/approve", headers=self.keys[by])

    def forget(self) -> None:
        for entry in self.api.get("/api/v1/watchlist", headers=self.keys["An"]).json():
            answer = self.api.delete(f"/api/v1/watchlist/{entry['id']}", headers=self.keys["An"])
            assert answer.status_code == 204

    def run_camera(self, camera: Camera, until: Callable[[dict[str, Any]], object], limit_s: float = 60.0) -> dict:
        """Run a camera over the film until its status says enough; the last status."""
        bus = EventBus(self.redis_url)
        runtime = CameraRuntime(
            camera, peers=self.peers, node=NODE, publisher=SpoolingPublisher(bus, self.folder / "spool" / camera.id),
            board=Board(self.redis_url), data_dir=self.folder,
        )  # fmt: skip
        runtime.start()
        deadline = time.monotonic() + limit_s
        try:
            while not until(status := runtime.status().as_dict()) and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            runtime.stop()
        return status

    def stored(self) -> list[Event]:
        """The face events, once the writer has stored what waits."""
        writer = StoreWriter(EventBus(self.redis_url), self.store, secrets.token_hex(4))
        while writer.run_once(block_ms=100):
            pass
        return [stored.event for stored in self.store.page(type="hoaban.face_watchlist").events]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, yolox: str) -> Iterator[FaceSystem]:
    face_model()  # says what is missing before anything is started
    folder = tmp_path_factory.mktemp("faces")
    moving = film(folder / "film.mp4", ["hopper", "collins"])
    valkey = EmbeddedRedis(folder / "valkey")
    redis_url = valkey.start()
    store_url = f"sqlite:///{folder / 'hoaban.db'}"
    store = EventStore.open(store_url)
    both = (Role.OFFICER, Role.WATCHLIST_APPROVER)
    people, given = PeopleStore(store.engine), {"An": both, "Bình": both, "viewer": (Role.VIEWER,)}
    keys = {who: {"Authorization": f"Bearer {people.create_token(who, *roles)[1]}"} for who, roles in given.items()}
    session = secrets.token_hex(4)
    InferenceService("inference:faces", session, [yolox, "faces"], threads=1, device="cpu")
    api = TestClient(build_app(ApiSettings(store_url, redis_url, "only-for-this-test", data_dir=str(folder))))
    peers = [Peer("inference:faces", NODE, session)]
    yield FaceSystem(folder, redis_url, store, api, keys, peers, moving)
    valkey.stop()
    store.close()


@pytest.fixture
def watching(make_camera: Callable[..., Camera], system: FaceSystem) -> Callable[..., Camera]:
    def make(name: str, **rule: object) -> Camera:
        fields = {"id": name, "role": "face_crowd", "zones": [ALL], "rules": [face_rule(**rule)], "motion_gate": False}
        return make_camera(str(system.film), **fields, face_model="faces")

    return make


# --- who may do what


def test_only_keys_see_or_change_the_watchlist(system: FaceSystem) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("POST", "/x/approve"), ("DELETE", "/x")):
        url = f"/api/v1/watchlist{path}"
        assert system.api.request(method, url, headers=system.keys["viewer"]).status_code == 403
        assert system.api.request(method, url).status_code == 401


def test_an_enrolment_waits_for_another_person_and_gives_no_template_out(system: FaceSystem) -> None:
    answer = system.enrol("collins")
    assert answer.status_code == 201, answer.text
    entry = answer.json()
    assert entry["state"] == "waiting for approval"
    assert entry["quality"]["eyes_px"] > 18
    assert set(entry) & {"template", "photo"} == set()
    refused = system.approve(entry["id"], by="An")
    assert (refused.status_code, "another person must" in refused.json()["detail"]) == (409, True)
    assert Board(system.redis_url).get_json(GALLERY) is None
    approved = system.approve(entry["id"]).json()
    assert (approved["state"], approved["approved_by"]) == ("active", "Bình")
    listed = system.api.get("/api/v1/watchlist", headers=system.keys["An"]).json()
    assert [one["id"] for one in listed] == [entry["id"]]
    system.forget()
    assert system.approve(entry["id"]).status_code == 404


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"photo": base64.b64encode(b"no picture").decode()}, 422, "no picture that can be read"),
        ({"photo": "%%%"}, 422, "photo"),
        ({"photo": "A" * 15_000_000}, 413, "make it smaller"),
        ({"expires_at": "2020-01-01T00:00:00+07:00"}, 422, "future"),
        ({"basis_until": "2099-01-01"}, 422, "basis_until"),
        ({"law": ""}, 422, "law"),
        ({"watchlist": "Not An Id"}, 422, "watchlist"),
    ],
)
def test_a_wrong_enrolment_is_refused_in_words(
    system: FaceSystem, fields: dict[str, object], status: int, words: str
) -> None:
    answer = system.enrol("collins", **fields)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]


# --- the way of a face


def test_the_wanted_is_proposed_and_of_the_passer_by_nothing_is_kept(
    system: FaceSystem, watching: Callable[..., Camera], capfd: pytest.CaptureFixture[str]
) -> None:
    entry = system.enrol("collins").json()["id"]
    assert system.approve(entry).status_code == 200
    status = system.run_camera(
        watching("square"), lambda s: s["faces"]["proposals"] >= 1 and s["faces"]["frames_searched"] > 25
    )
    assert status["faces"]["rules"]["face_watchlist:all"]["silent"] is None
    assert status["faces"]["rules"]["face_watchlist:all"]["gallery_size"] == 1
    assert status["faces"]["error"] is None
    (event,) = [event for event in system.stored() if event.camera == "square"]
    assert (event.data["entry"], event.data["subject_reference"]) == (entry, "case collins")
    assert event.data["similarity"] > 0.7
    assert event.data["frames_agreed"] >= 3
    # The spool on disk holds what the stream would have.
    SpoolingPublisher(EventBus("redis://127.0.0.1:1/0"), system.folder / "spool" / "away").publish([event])
    out, err = capfd.readouterr()
    (system.folder / "logs.txt").write_text(out + err)
    templates = templates_in(system, face_model())
    assert len(templates) > 20
    assert not found_in(system.folder, templates)
    system.forget()


def templates_in(system: FaceSystem, model: FaceModel) -> np.ndarray:
    """(n, d) templates of everyone in the film, the enrolled photos among them."""
    from actors.source import open_frames

    rows = [model.faces(portrait(name, 500)) for name in ("collins", "hopper")]
    for picture in open_frames(str(system.film), "c"):
        pixels, _ = picture.model_input(model.input_width, model.input_height)
        rows.append(model.faces(pixels))
    found = np.concatenate(rows)
    return found[found[:, REFUSAL] == 0, TEMPLATE:]


def found_in(folder: Path, templates: np.ndarray) -> list[str]:
    """Files that hold three numbers in a row of a template: as float32 or float64, as base64, or as decimals.

    One decimal alone would be found by chance, in a latency for example.
    """
    needles: list[bytes] = []
    for template in templates:
        large = np.flatnonzero(np.abs(template) > 0.01)  # their decimals are written without an exponent
        runs = [at for at in range(0, 126, 3) if {at, at + 1, at + 2} <= set(large.tolist())]
        for at in runs[:4]:
            three = template[at : at + 3]
            raw = [three.tobytes(), three.astype(np.float64).tobytes(), base64.b64encode(three.tobytes())]
            needles += [re.escape(needle) for needle in raw]
            starts = [re.escape(f"{abs(value):.12f}"[:6]) for value in three.tolist()]
            needles.append(r"\d*[^\d]{1,8}".join(starts).encode())
    pattern = re.compile(b"|".join(needles))
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".mp4"]
    return [path.name for path in files if pattern.search(path.read_bytes())]


def test_the_search_for_templates_would_find_one(tmp_path: Path) -> None:
    template = np.random.default_rng(1).normal(0, 0.1, (1, 128)).astype(np.float32)
    kinds: dict[str, bytes] = {
        "raw": template.tobytes(),
        "doubles": template.astype(np.float64).tobytes(),
        "base64": base64.b64encode(template.tobytes()),
        "json": json.dumps(template.tolist()).encode(),
    }
    for name, data in kinds.items():
        (tmp_path / name).write_bytes(b"before" + data + b"behind")
    assert sorted(found_in(tmp_path, template)) == sorted(kinds)


def test_in_redis_the_gallery_is_sealed_and_another_key_does_not_open_it(
    system: FaceSystem, watching: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    system.approve(system.enrol("collins").json()["id"])
    sealed = base64.b64decode(Board(system.redis_url).get_json(GALLERY)["sealed"])
    assert b"case collins" not in sealed
    assert b"template" not in sealed
    monkeypatch.setenv("HOABAN_WATCHLIST_KEY", base64.b64encode(bytes(32)).decode())
    status = system.run_camera(watching("stranger"), lambda s: s["faces"]["error"])
    assert "not sealed with this key" in status["faces"]["error"]
    assert status["faces"]["frames_searched"] == 0
    monkeypatch.undo()
    system.forget()


def test_an_ended_basis_searches_nobody_and_the_status_says_so(
    system: FaceSystem, watching: Callable[..., Camera]
) -> None:
    system.approve(system.enrol("collins").json()["id"])
    basis = {"law": "l", "authority": "a", "document": "7/QĐ", "valid_until": "2020-01-01T00:00:00+07:00"}
    camera = watching("late", lawful_basis=basis)
    status = system.run_camera(camera, lambda s: s["frames_analysed"] > 15)
    assert status["frames_analysed"] > 15
    assert status["faces"]["frames_searched"] == 0
    assert "'7/QĐ' ended" in status["faces"]["rules"]["face_watchlist:all"]["silent"]
    assert not [event for event in system.stored() if event.camera == "late"]
    system.forget()


def test_an_erased_entry_is_forgotten_by_a_running_camera(system: FaceSystem, watching: Callable[..., Camera]) -> None:
    system.approve(system.enrol("collins").json()["id"])
    erased: list[bool] = []

    def after_erasing(status: dict[str, Any]) -> bool:
        rule = status["faces"]["rules"]["face_watchlist:all"]
        if rule["gallery_size"] == 1 and not erased:
            system.forget()
            erased.append(True)
        return bool(erased) and rule["silent"] == "no approved entry in wanted"

    status = system.run_camera(watching("erased"), after_erasing)
    assert status["faces"]["rules"]["face_watchlist:all"]["silent"] == "no approved entry in wanted"


def test_a_camera_without_a_face_rule_asks_no_face_model(
    system: FaceSystem, make_camera: Callable[..., Camera]
) -> None:
    camera = make_camera(str(system.film), id="plain", role="face_crowd", motion_gate=False)
    assert system.run_camera(camera, lambda s: s["frames_analysed"] > 5)["faces"] is None


def test_replay_proposes_the_same_person_the_same_way_every_time(system: FaceSystem, tmp_path: Path) -> None:
    entry = system.enrol("collins").json()["id"]
    system.approve(entry)
    fleet = {
        "version": 1, "province": {"name": "P"}, "districts": [{"id": "d", "name": "D"}],
        "agencies": [{"id": "o", "name": "O"}],
        "cameras": [{
            "id": "square", "name": "Square", "role": "face_crowd", "district": "d", "owner": "o",
            "source": str(system.film), "zones": [ALL], "rules": [face_rule()],
        }],
    }  # fmt: skip
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(fleet))

    def replay(out: str, *more: str) -> tuple[dict[str, Any], str]:
        arguments = ["replay", str(tmp_path / "fleet.yaml"), "--camera", "square", "--out", str(tmp_path / out)]
        ran = CliRunner().invoke(cli, [*arguments, "--json", *more])
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.stdout), ran.stderr

    first, said = replay("a.jsonl", "--watchlist", str(system.folder))
    replay("b.jsonl", "--watchlist", str(system.folder))
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert first["events"] == {"hoaban.face_watchlist": 1}
    assert said == ""
    (line,) = (tmp_path / "a.jsonl").read_text().splitlines()
    assert json.loads(line)["data"]["entry"] == entry
    silent, said = replay("c.jsonl")
    assert silent["events"] == {}
    assert "no watchlist was handed out" in said
    missing = CliRunner().invoke(
        cli,
        ["replay", str(tmp_path / "fleet.yaml"), "--camera", "square", "--out", str(tmp_path / "d.jsonl"),
         "--watchlist", str(tmp_path)],
    )  # fmt: skip
    assert (missing.exit_code, "no store" in missing.output) == (2, True)
    system.forget()
