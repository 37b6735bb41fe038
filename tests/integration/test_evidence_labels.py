"""Stills of evidence leave for people who correct labels: whose, to whom, what is hidden; they come back as a suite."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from actors.models import ModelError, find_model
from actors.proof.files import REDACTED, PackageFiles
from actors.proof.keys import Keys
from actors.proof.redact import FACES, Redactor
from actors.proof.sealer import Sealer
from actors.store import AuditStore, EvidenceRecords
from cli.main import app
from hoaban.access import Person, Role
from hoaban.evidence import manifest as m
from hoaban.evidence.review import Verdict
from hoaban.privacy import plate_boxes
from tests.api_system import Api, running_api
from tests.evidence import candidate_files, red_light

pytestmark = pytest.mark.integration
REASON = "labels of red lights, to the traffic office"


@pytest.fixture(scope="module", autouse=True)
def faces() -> None:
    try:
        find_model("yunet")
    except ModelError as error:
        pytest.skip(str(error))


class Office:
    """A system with evidence that the real redactor made presentable."""

    def __init__(self, api: Api) -> None:
        self.api, self.files = api, PackageFiles(str(api.folder / "evidence"))
        self.records = EvidenceRecords(api.store.engine)
        self.sealer = Sealer(self.files, self.records, Keys(str(api.folder)).signer(), redactor=Redactor())
        self.scientist = api.token(Role.DATA_SCIENTIST)
        self.tracks = 0

    def case(
        self, camera: str, verdict: Verdict | None = Verdict.REJECTED, at_s: float | None = None, label: str = "car"
    ) -> str:
        """A case whose stills are noise, so that what is coarse in them can be told; decided by an officer."""
        self.tracks += 1
        event = red_light(camera, at_s or time.time() - 600 - self.tracks, self.tracks)
        event = replace(event, data=event.data | {"class": label})
        self.api.store.write([event])
        files, noise = candidate_files(event), np.random.default_rng(self.tracks)
        for name in ("before.jpg", "at.jpg", "past.jpg"):
            picture = noise.integers(0, 255, (180, 320, 1), np.uint8).repeat(3, axis=2)
            files[name] = cv2.imencode(".jpg", picture)[1].tobytes()
        candidate = json.loads(files.pop("candidate.json"))
        candidate["files"] = {name: m.Entry.of(data).as_dict() for name, data in files.items()}
        files["candidate.json"] = json.dumps(candidate).encode()
        self.files.write(event.id, files, last="candidate.json")
        assert self.sealer.step() == 1
        assert self.records.get(event.id).redacted == FACES
        if verdict is not None:
            because = "seen_in_clip" if verdict is Verdict.CONFIRMED else "no_violation"
            self.records.decide(event.id, verdict, because, "", 0, Person("o", "Lan"))
        return event.id

    def ask(self, token: str | None = None, **wanted: Any) -> Any:
        return self.api.ask(
            "POST", "/models/evidence/export", token or self.scientist, json={"reason": REASON} | wanted
        )

    def given(self, **wanted: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
        answer = self.ask(**wanted)
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            files = {name.removeprefix("evidence/"): archive.read(name) for name in archive.namelist()}
        return json.loads(files.pop("labels.json")), files


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("labels")
    with running_api(folder, data_dir=str(folder)) as api:
        yield Office(api)


def rough_at_plate(jpeg: bytes) -> float:
    """How fine a still is where the plate of the offender at its moment "at" may be."""
    left, top, right, bottom = plate_boxes(np.array([[40, 60, 110, 120]], np.float32))[0].astype(int)
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)[top:bottom, left:right]
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


def test_rejected_violations_leave_with_nobody_to_recognise_and_on_record(office: Office) -> None:
    rejected, confirmed, waiting = (office.case("gate", v) for v in (Verdict.REJECTED, Verdict.CONFIRMED, None))
    document, files = office.given(camera="gate")
    assert set(files) == {f"pictures/{rejected}.{moment}.jpg" for moment in ("before", "at", "past")}
    about = {one["hoaban"]["evidence"]["moment"]: one for one in document["images"]}["at"]
    told = about["hoaban"]["evidence"]
    assert (told["id"], told["state"], told["because"]) == (rejected, "rejected", "no_violation")
    (box,) = [one["bbox"] for one in document["annotations"] if one["image_id"] == about["id"]]
    assert box == [40.0, 60.0, 70.0, 60.0]
    assert "car" in {category["name"] for category in document["categories"]}
    officers = office.files.read(f"{REDACTED}/{rejected}", "at.jpg")  # who decides must read the plate
    assert rough_at_plate(files[f"pictures/{rejected}.at.jpg"]) < 0.5 * rough_at_plate(officers)
    done = [one for one in AuditStore(office.api.store.engine).records() if one.action == "model.export"][-1]
    assert (done.outcome, done.subject, done.reason) == ("done", "evidence", REASON)
    assert (done.detail["cases"], done.detail["cameras"], done.detail["pictures"]) == ([rejected], ["gate"], 3)
    for state, case in (("confirmed", confirmed), ("open", waiting)):
        _, files = office.given(camera="gate", state=state)
        assert {name.split("/")[1].split(".")[0] for name in files} == {case}
    assert len(office.given(camera="gate", limit=2)[1]) == 2


def test_a_plate_is_hidden_whatever_its_model_calls_the_vehicle(office: Office) -> None:
    case = office.case("gate", label="Van")
    _, files = office.given(camera="gate")
    officers = office.files.read(f"{REDACTED}/{case}", "at.jpg")
    assert rough_at_plate(files[f"pictures/{case}.at.jpg"]) < 0.5 * rough_at_plate(officers)


def test_it_needs_the_right_to_change_models_a_reason_and_the_owners_leave(office: Office) -> None:
    case = office.case("shop")
    assert office.ask(office.api.token(Role.OFFICER)).status_code == 403
    assert office.ask(reason="no").status_code == 422
    assert office.ask(state="erased").status_code == 422
    assert office.ask(camera="shop", model="sim-colours@1").status_code == 200
    for terms in ({"analytics": ["red_light"]}, {"viewers": ["officer"]}):
        assert _with_fleet(office, lambda one, terms=terms: one | {"terms": terms}) == 404
    assert _with_fleet(office, lambda one: None) == 404  # it left the fleet
    assert office.ask(camera="shop", model="other@1").status_code == 404
    still = PackageFiles(str(office.api.folder / "evidence"))
    still.write(f"{REDACTED}/{case}", {"at.jpg": b"another"}, last="at.jpg")
    assert not any(".at." in name for name in office.given(camera="shop")[1])


def test_what_is_over_its_term_does_not_leave(office: Office) -> None:
    office.case("bridge", at_s=time.time() - 20 * 365 * 86400)
    assert office.ask(camera="bridge").status_code == 404
    office.case("bridge")
    assert len(office.given(camera="bridge")[1]) == 3


def test_the_command_fetches_them_and_corrected_they_are_a_suite(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.case("gate")
    monkeypatch.setenv("HOABAN_API_TOKEN", office.scientist)
    monkeypatch.setattr(
        "httpx.post", lambda url, **more: office.api.client.post(url.removeprefix("http://api"), **more)
    )
    out = tmp_path / "rejected"
    asked = ["models", "export-coco", str(out), "--reason", REASON, "--api", "http://api/api/v1"]
    done = CliRunner().invoke(app, [*asked, "--evidence", "rejected", "--limit", "3"])
    assert done.exit_code == 0, done.output
    labels = json.loads((out / "labels.json").read_text())
    labels["annotations"] = labels["annotations"][1:]  # in one of them there is no car
    (out / "labels.json").write_text(json.dumps(labels))
    taken = CliRunner().invoke(app, ["models", "import-coco", str(out), "--suite", str(tmp_path / "suite")])
    assert taken.exit_code == 0, taken.output
    assert "3 pictures with 2 things" in taken.output
    other = CliRunner().invoke(app, [*asked[:2], str(tmp_path / "no"), *asked[3:], "--type", "red_light"])
    assert (other.exit_code, "--evidence" in other.stderr) == (2, True)


def _with_fleet(office: Office, change: Any) -> int:
    """The status of an export of the shop's evidence while the fleet has another entry for it, or none."""
    api, fleet = office.api, office.api.board.get_json("fleet") or {}
    cameras = [change(one) if one["id"] == "shop" else one for one in fleet["cameras"]]
    api.board.put_json("fleet", fleet | {"cameras": [one for one in cameras if one]})
    api.app.state.places._read_s = float("-inf")
    status = int(office.ask(camera="shop").status_code)
    api.board.put_json("fleet", fleet)
    api.app.state.places._read_s = float("-inf")
    return status
