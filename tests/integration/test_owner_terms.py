"""What an owner allows holds for as long as pictures are kept, also when the camera has left the fleet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from actors.proof.owners import Owners
from cli.main import app
from hoaban.access import Grant, Role, Scope
from tests.api_system import Api, running_api
from tests.integration.test_evidence_api import REASON, Office

pytestmark = pytest.mark.integration


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path, data_dir=str(tmp_path)) as running:
        yield running


def edit(api: Api, change: Any) -> None:
    fleet = api.board.get_json("fleet")
    change(fleet)
    api.board.put_json("fleet", fleet)
    api.app.state.places._read_s = float("-inf")


def leaves(fleet: dict[str, Any]) -> None:
    fleet["cameras"] = [camera for camera in fleet["cameras"] if camera["id"] != "gate"]


def share(fleet: dict[str, Any], **terms: Any) -> None:
    next(camera for camera in fleet["cameras"] if camera["id"] == "gate")["terms"] = terms


def test_without_a_fleet_nobody_sees_a_picture(api: Api) -> None:
    officer = api.token(Role.OFFICER)
    assert api.get("/cameras/gate/snapshot.jpg", officer).status_code == 200
    permit = api.ask("POST", "/cameras/gate/unmask", officer, json={"reason": REASON}).json()["permit"]
    edit(api, leaves)
    assert api.get("/cameras/gate/snapshot.jpg", officer).status_code == 403
    shown = api.ask("GET", "/cameras/gate/unmasked.jpg", officer, headers={"X-Hoaban-Permit": permit})
    assert shown.status_code == 403
    assert api.ask("POST", "/tickets", officer, json={"cameras": ["gate"]}).json() == {}
    edit(api, lambda fleet: fleet.clear())
    for camera in ("gate", "shop"):
        assert api.get(f"/cameras/{camera}/snapshot.jpg", officer).status_code == 403


def test_evidence_of_a_camera_that_left_stays_on_its_owners_terms(api: Api, tmp_path: Path) -> None:
    office = Office(api, tmp_path)
    edit(api, lambda fleet: share(fleet, viewers=["health"]))
    case = office.case()
    picture = f"/evidence/{case}/files/at.jpg"
    Owners(api.board, office.records).keep()
    edit(api, leaves)
    assert office.get(picture).status_code == 403
    assert office.post(f"/evidence/{case}/export", reason=REASON, version=1).status_code == 403
    everywhere = Grant(Role.OFFICER, Scope())
    for agency, status in (("police", 403), ("health", 200), ("ward", 200)):  # ward owns it
        _, secret = api.people.create_token(agency, everywhere, agency=agency)
        assert office.get(picture, secret).status_code == status, agency


NORTH, SOUTH = (Scope(districts=frozenset({name})) for name in ("north", "south"))
WARDS, POLICES = (Scope(agencies=frozenset({name})) for name in ("ward", "police"))


@pytest.mark.parametrize(("scope", "reached"), [(NORTH, True), (SOUTH, False), (WARDS, True), (POLICES, False)])
def test_evidence_of_a_camera_that_left_is_for_who_was_granted_where_it_stood(
    api: Api, tmp_path: Path, scope: Scope, reached: bool
) -> None:
    office = Office(api, tmp_path)
    case, officer = office.case(), api.token(Grant(Role.OFFICER, scope))

    def listed(**more: Any) -> list[str]:
        return [one["id"] for one in api.get("/evidence", officer, **more).json()["cases"]]

    Owners(api.board, office.records).keep()
    assert (case in listed(), office.get(f"/evidence/{case}", officer).status_code == 200) == (reached, reached)
    edit(api, leaves)
    assert listed() == listed(camera="gate") == ([case] if reached else [])
    assert listed(camera="shop") == []
    for path in ("", "/files/at.jpg"):
        assert office.get(f"/evidence/{case}{path}", officer).status_code == (200 if reached else 404)
    decided = office.post(
        f"/evidence/{case}/decision", officer, verdict="rejected", reason="other", note="it is a test", version=0
    )
    assert decided.status_code == (200 if reached else 404)


def test_evidence_whose_owner_was_never_known_is_shown_to_nobody(api: Api, tmp_path: Path) -> None:
    office = Office(api, tmp_path)
    case = office.case()
    assert office.get(f"/evidence/{case}/files/at.jpg").status_code == 200
    edit(api, leaves)
    refused = office.get(f"/evidence/{case}/files/at.jpg")
    assert (refused.status_code, "hoaban evidence set-owner" in refused.json()["detail"]) == (403, True)
    Owners(api.board, office.records).keep()
    assert office.records.get(case).owner is None


def test_whose_it_was_can_be_said_and_is_on_record(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(api, tmp_path)
    case = office.case()
    edit(api, leaves)
    monkeypatch.setenv("HOABAN_STORE_URL", str(api.store.engine.url))

    def say(camera: str, agency: str = "ward") -> Any:
        words = ["evidence", "set-owner", camera, agency, "--reason", "its contract of 2024", "--data", str(tmp_path)]
        return CliRunner().invoke(app, words)

    assert [say("gate", "The Ward").exit_code, say("elsewhere").exit_code] == [2, 2]
    assert office.records.get(case).owner is None
    done = say("gate")
    assert (done.exit_code, done.output) == (0, "1 packages of gate are ward's\n")
    for agency, status in (("police", 403), ("ward", 200)):
        _, secret = api.people.create_token(agency, Role.OFFICER, agency=agency)
        assert office.get(f"/evidence/{case}/files/at.jpg", secret).status_code == status, agency
    (begun, ended) = office.audited("evidence.owner")
    assert (begun.outcome, ended.outcome, ended.subject) == ("begun", "done", "gate")
    assert (ended.reason, ended.detail["owner"]) == ("its contract of 2024", "ward")
    assert say("gate", "police").exit_code == 2
    assert office.records.get(case).owner == "ward"


def test_what_was_looked_at_is_not_looked_at_again(api: Api, tmp_path: Path) -> None:
    office = Office(api, tmp_path)
    owners = Owners(api.board, office.records)
    edit(api, leaves)
    first = office.case()
    rows: list[int] = []

    def counted(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if "owner IS NULL" in statement and "DISTINCT" in statement:
            rows.append(len(rows))

    sa.event.listen(api.store.engine, "after_cursor_execute", counted)
    for _ in range(3):
        owners.keep()
    assert len(rows) == 1
    api.board.put_json("fleet", {"cameras": [{"id": "gate", "owner": "ward", "district": "north"}]})
    owners.keep()
    assert (len(rows), office.records.get(first).owner) == (1, "ward")


def test_terms_of_a_camera_in_the_fleet_are_those_of_now(api: Api, tmp_path: Path) -> None:
    office = Office(api, tmp_path)
    case = office.case()
    Owners(api.board, office.records).keep()
    assert (office.records.get(case).owner, office.records.get(case).viewers) == ("ward", None)
    edit(api, lambda fleet: share(fleet, viewers=["health"]))
    assert office.get(f"/evidence/{case}/files/at.jpg").status_code == 403
