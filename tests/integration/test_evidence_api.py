"""Review over the API: what officers see, decide and let leave; holds, subjects and erasure; all audited."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from actors.disagreements import Disagreements, folder_beside, name_of
from actors.proof.archive import open_package, zipped
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.proof.sealer import Sealer
from actors.retention import Eraser
from actors.store import AuditStore, EvidenceRecords
from hoaban.access import Grant, Person, Role, Scope
from hoaban.evidence import manifest as m
from hoaban.evidence.signing import Trusted
from hoaban.evidence.verify import verify
from tests.api_system import Api, running_api
from tests.evidence import AT_S, leave_candidate, red_light

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
REASON = "case 12/2026, for the court"


class Plain:
    """Hides nothing, says so in each picture: what is tested here is which pictures go where."""

    def package(self, files: dict[str, bytes], candidate: dict[str, Any]) -> tuple[dict[str, bytes], str]:
        return {name: b"hidden " + data for name, data in files.items() if name.endswith((".jpg", ".mp4"))}, "faces"


class Office:
    """A system with evidence. sealer: what makes packages of what recorders left."""

    def __init__(self, api: Api, folder: Path) -> None:
        self.api, self.root, self.keys = api, folder / "evidence", Keys(folder)
        self.records = EvidenceRecords(api.store.engine)
        self.sealer = Sealer(
            PackageFiles(str(self.root)),
            self.records,
            self.keys.signer(),
            redactor=Plain(),  # type: ignore[arg-type]
        )
        self.officer, self.viewer = api.token(Role.OFFICER), api.token(Role.VIEWER)

    def case(self, camera: str = "gate", at_s: float = AT_S, track: int = 7, **more: Any) -> str:
        plate = more.pop("plate", "30A-123.45")
        event = red_light(camera, at_s, track, **more)
        self.api.store.write([event])
        leave_candidate(self.root, event, plate=plate)
        assert self.sealer.step() == 1
        return event.id

    def post(self, path: str, token: str | None = None, headers: dict[str, str] | None = None, **body: Any) -> Any:
        return self.api.ask("POST", path, token or self.officer, json=body, headers=headers or {})

    def get(self, path: str, token: str | None = None, **parameters: Any) -> Any:
        return self.api.get(path, token or self.officer, **parameters)

    def decide(self, case: str, verdict: str = "confirmed", reason: str = "seen_in_clip", **more: Any) -> Any:
        return self.post(f"/evidence/{case}/decision", verdict=verdict, reason=reason, **({"version": 0} | more))

    def permit(self, camera: str = "gate") -> dict[str, str]:
        permit = self.post(f"/cameras/{camera}/unmask", reason=REASON).json()["permit"]
        return {"X-Hoaban-Permit": permit}

    def audited(self, action: str) -> list[Any]:
        return [one for one in AuditStore(self.api.store.engine).records() if one.action == action]

    def trusted(self) -> Trusted:
        return self.keys.trusted()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Path]]:
    folder = tmp_path_factory.mktemp("office")
    with running_api(folder, data_dir=str(folder)) as api:
        yield api, folder


@pytest.fixture
def office(running: tuple[Api, Path]) -> Office:
    return Office(*running)


def test_the_queue_is_filtered_and_paged_and_shows_why_a_case_is_no_proof(office: Office) -> None:
    sound = [office.case("gate", AT_S + i, i) for i in range(3)]
    doubted = office.case("shop", AT_S + 9, 9, doubts=("the source is a simulation",))
    page = office.get("/evidence", limit=2).json()
    assert [case["id"] for case in page["cases"]] == [doubted, sound[2]]
    assert page["cases"][0]["doubts"] == ["the source is a simulation"]
    rest = office.get("/evidence", limit=200, cursor=page["next_cursor"]).json()
    assert {case["id"] for case in rest["cases"]} >= set(sound[:2])
    found = office.get("/evidence", camera="shop", evidential="false", state="open").json()
    assert [case["id"] for case in found["cases"]] == [doubted]
    later = office.get("/evidence", since="2026-09-21T14:13:21Z", until="2026-09-21T14:13:22Z").json()
    assert [case["id"] for case in later["cases"]] == [sound[1]]
    assert office.get("/evidence", plate="30a 123 45").json()["cases"]
    told = office.audited("evidence.search")[-1]
    assert office.get("/evidence", plate="30A-123.45").json()["cases"]
    again = office.audited("evidence.search")[-1]
    assert again.subject == told.subject  # the same plate, and not which
    for secret in ("30a 123 45", "30A12345", "30A-123.45"):
        assert secret not in str(told)


def test_pictures_are_shown_with_others_hidden_and_each_view_is_audited(office: Office) -> None:
    case = office.case(track=11)
    shown = office.get(f"/evidence/{case}").json()
    assert set(shown["pictures"]) == {"before.jpg", "at.jpg", "past.jpg", "plate.jpg", "clip.mp4"}
    assert shown["manifest"]["id"] == case
    assert shown["kept_until"] > shown["captured"]
    answer = office.get(f"/evidence/{case}/files/at.jpg")
    assert answer.content.startswith(b"hidden ")
    assert (answer.headers["content-type"], answer.headers["x-hoaban-blur"]) == ("image/jpeg", "faces")
    assert office.audited("evidence.see")[-1].subject == case
    assert office.audited("evidence.look")[-1].subject == f"{case}/at.jpg"
    for name in ("candidate.json", "manifest.json", "..%2Fcandidate.json", "gone.jpg"):
        assert office.get(f"/evidence/{case}/files/{name}").status_code == 404


def test_unblurred_pixels_need_a_permit_for_that_camera(office: Office) -> None:
    case = office.case(track=12)
    path = f"/evidence/{case}/original/at.jpg"
    assert office.get(path).status_code == 403
    assert office.api.ask("GET", path, office.officer, headers=office.permit("bridge")).status_code == 403
    answer = office.api.ask("GET", path, office.officer, headers=office.permit())
    assert answer.content == (office.root / case / "at.jpg").read_bytes()
    assert office.audited("picture.unmask")[-1].reason == REASON
    hidden = f"/evidence/{case}/original/candidate.json"
    assert office.api.ask("GET", hidden, office.officer, headers=office.permit()).status_code == 404


def test_a_decision_has_a_person_a_reason_and_a_version(office: Office) -> None:
    case = office.case(track=13)
    decided = office.decide(case, "rejected", "emergency_vehicle", note="an ambulance on its way").json()
    assert (decided["state"], decided["version"]) == ("rejected", 1)
    assert decided["decisions"][0]["reason"] == "emergency_vehicle"
    assert office.decide(case).status_code == 409  # seen at version 0
    assert office.decide(case, version=1).status_code == 422  # a changed decision needs a note
    changed = office.decide(case, version=1, note="looked at again, no blue light").json()
    assert [d["verdict"] for d in changed["decisions"]] == ["rejected", "confirmed"]
    assert all(d["by"] for d in changed["decisions"])
    assert office.decide(case, "confirmed", "no_such_reason", version=2).status_code == 422
    assert office.decide(case, "rejected", "other", version=2, note="short").status_code == 422


def test_what_the_guard_doubts_cannot_be_confirmed_as_proof(office: Office) -> None:
    case = office.case(track=14, doubts=("signal main was not known",))
    refused = office.decide(case)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert "signal main was not known" in refused.json()["detail"]
    assert office.decide(case, "rejected", "light_not_visible").status_code == 200


def test_of_decisions_at_the_same_moment_one_counts_and_the_others_are_told(office: Office) -> None:
    case = office.case(track=15)
    with ThreadPoolExecutor(8) as pool:
        codes = sorted(answer.status_code for answer in pool.map(lambda _: office.decide(case), range(8)))
    assert codes == [200] + [409] * 7
    assert len(office.records.decisions(case)) == office.records.get(case).version == 1


def test_nothing_leaves_that_is_not_confirmed(office: Office) -> None:
    case = office.case(track=16)
    for seen in range(2):
        assert office.post(f"/evidence/{case}/export", reason=REASON, version=seen).status_code == 409
        office.decide(case, "rejected", "wrong_vehicle")
    assert [one.outcome for one in office.audited("evidence.export")][-2:] == ["refused", "refused"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_leaves_is_signed_redacted_and_bound_to_what_was_recorded(
    office: Office, tmp_path: Path, kind: str
) -> None:
    case = office.case(track=17 + len(kind) + ord(kind[0]))
    office.decide(case)
    answer = office.post(f"/evidence/{case}/export", reason=REASON, format=kind, version=1)
    assert answer.status_code == 200
    path = tmp_path / f"e.{kind}"
    path.write_bytes(answer.content)
    package = open_package(path)
    found = verify(package, office.trusted())
    assert found.problems == []
    assert found.manifest.kind == m.EXPORT
    body = found.manifest.body
    assert (body["redacted"], body["decision"]["verdict"], body["reason"]) == ("faces", "confirmed", REASON)
    assert package.read("at.jpg").startswith(b"hidden ")
    original = json.loads(package.read("original-manifest.json"))
    assert original["files"]["at.jpg"]["sha256"] == m.digest((office.root / case / "at.jpg").read_bytes())
    told = office.audited("evidence.export")[-1]
    assert (told.subject, told.reason, told.detail["sha256"]) == (case, REASON, m.digest(answer.content))
    assert office.get("/evidence-keys").json()[found.manifest.key].startswith("-----BEGIN PUBLIC KEY")


def test_an_export_rests_on_the_decision_that_was_seen(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    case = office.case(track=70)
    office.decide(case)
    office.decide(case, "rejected", "wrong_vehicle", version=1, note="it is the van behind it")
    office.decide(case, version=2, note="no: looked at the plate again")
    path = f"/evidence/{case}/export"
    assert office.post(path, reason=REASON).status_code == 422
    answer = office.post(path, reason=REASON, version=1)
    assert answer.status_code == 409
    assert "version 3, you saw 1" in answer.json()["detail"]
    assert office.post(path, reason=REASON, version=3).status_code == 200
    read = PackageFiles.read_all

    def slowly(self: PackageFiles, package: str) -> dict[str, bytes]:
        found = read(self, package)
        office.decide(case, "rejected", "wrong_vehicle", version=3, note="while it was packed")
        return found

    monkeypatch.setattr(PackageFiles, "read_all", slowly)
    assert office.post(path, reason=REASON, version=3).status_code == 409


def test_on_a_full_disk_nothing_leaves_of_which_no_record_can_be_kept(office: Office) -> None:
    """SQLite itself refuses to grow, as it does on a full disk."""
    case = office.case(track=91)
    office.decide(case)
    engine, words = office.api.app.state.store.engine, "for the court " * 30

    def full(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def free(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000000")

    def export() -> Any:
        return office.post(f"/evidence/{case}/export", reason=words, version=1)

    before = len(office.audited("evidence.export"))
    sa.event.listen(engine, "begin", full)
    try:
        answers = [export() for _ in range(40)]
    finally:
        sa.event.remove(engine, "begin", full)
        sa.event.listen(engine, "begin", free)
    left = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} in ({503}, {200, 503})
    assert all(not answer.content.startswith(b"PK") for answer in answers if answer.status_code == 503)
    assert len(office.audited("evidence.export")) == before + len(left)
    assert export().status_code == 200
    sa.event.remove(engine, "begin", free)


def test_an_unblurred_export_needs_a_permit_beside_the_right_to_export(office: Office) -> None:
    case = office.case(track=20)
    office.decide(case)
    path = f"/evidence/{case}/original/export"
    assert office.post(path, reason=REASON, version=1).status_code == 403
    answer = office.post(path, headers=office.permit(), reason=REASON, version=1)
    package = zipped(io.BytesIO(answer.content))
    found = verify(package, office.trusted())
    assert found.problems == []
    assert found.manifest.body["redacted"] is None
    assert package.read("at.jpg") == (office.root / case / "at.jpg").read_bytes()


def test_a_package_that_was_changed_does_not_leave(office: Office) -> None:
    case = office.case(track=21)
    office.decide(case)
    (office.root / case / "clip.mp4").write_bytes(b"another clip")
    refused = office.post(f"/evidence/{case}/export", reason=REASON, version=1)
    assert refused.status_code == 409
    assert "clip.mp4" in refused.json()["detail"]
    other = office.case(track=22)
    office.decide(other)
    (office.root / ".redacted" / other / "at.jpg").write_bytes(b"not hidden")
    assert office.post(f"/evidence/{other}/export", reason=REASON, version=1).status_code == 409
    assert office.get(f"/evidence/{other}/files/at.jpg").status_code == 409


def test_each_act_needs_its_permission_and_a_scope_hides_other_cameras(office: Office) -> None:
    case = office.case(track=23)
    body = {"verdict": "confirmed", "reason": "seen_in_clip", "version": 0}
    operator, admin = office.api.token(Role.OPERATOR), office.api.token(Role.ADMIN)
    elsewhere = office.api.token(Grant(Role.OFFICER, Scope(districts=frozenset({"south"}))))
    wanted = {
        ("GET", "/evidence"): {None: 401, office.viewer: 403, admin: 403, operator: 200, elsewhere: 200},
        ("GET", f"/evidence/{case}"): {None: 401, office.viewer: 403, operator: 200, elsewhere: 404},
        ("GET", f"/evidence/{case}/files/at.jpg"): {None: 401, office.viewer: 403, operator: 200, elsewhere: 404},
        ("POST", f"/evidence/{case}/decision"): {None: 401, office.viewer: 403, operator: 403, elsewhere: 404},
        ("POST", f"/evidence/{case}/export"): {None: 401, operator: 403, elsewhere: 404},
        ("POST", "/subjects/search"): {None: 401, operator: 403, admin: 403, elsewhere: 403},
        ("POST", "/holds"): {None: 401, operator: 403, admin: 403},
        ("GET", "/erasures"): {None: 401, office.officer: 403, office.api.token(Role.AUDITOR): 200},
    }
    for (method, path), answers in wanted.items():
        for token, status in answers.items():
            more = {"json": body | {"reason": "seen_in_clip"}} if path.endswith("decision") else {}
            more = {"json": {"reason": REASON, "version": 1}} if path.endswith("export") else more
            assert office.api.ask(method, path, token, **more).status_code == status, (method, path, status)
    mine = office.get("/evidence", elsewhere, limit=200).json()["cases"]
    assert {found["camera"] for found in mine} <= {"shop"}


def test_a_damaged_candidate_is_a_case_that_nothing_can_be_decided_by(office: Office) -> None:
    event = red_light("gate", track=24)
    leave_candidate(office.root, event)
    (office.root / event.id / "past.jpg").write_bytes(b"changed before it was sealed")
    assert office.sealer.step() == 0
    shown = office.get(f"/evidence/{event.id}").json()
    assert (shown["state"], shown["pictures"], shown["manifest"]) == ("damaged", [], None)
    assert "past.jpg" in shown["doubts"][0]
    assert office.decide(event.id).status_code == 422


# Holds, subjects, erasure


def test_a_person_is_told_what_is_held_and_it_is_erased_where_the_law_allows(office: Office, tmp_path: Path) -> None:
    plate = "29-B1 777.77"
    rejected, confirmed = (office.case(at_s=AT_S + 500 + i, track=30 + i, plate=plate) for i in range(2))
    unread = office.case(at_s=AT_S + 502, track=32, plate="29-B1 777.7?", doubts=("no light",))
    other = office.case(at_s=AT_S + 503, track=33, plate="29-B1 111.11")
    office.decide(rejected, "rejected", "no_violation")
    office.decide(confirmed)
    held = office.post("/subjects/search", reference="R-7", plate=plate.lower()).json()
    assert {c["id"] for c in held["evidence"]} == {rejected, confirmed, unread}
    assert {e["id"] for e in held["events"]} == {rejected, confirmed, unread}
    told = office.audited("subject.search")[-1]
    assert told.subject == "R-7"
    assert told.detail["plate"].startswith("plate ")
    assert "777" not in told.detail["plate"]
    kept = {c["id"]: c["refusal"] for c in held["evidence"]}
    assert kept[rejected] is None
    assert "confirmed" in kept[confirmed]

    basis = "asked by the owner, no case is open"
    erased = office.post("/subjects/erase", reference="R-7", basis=basis, evidence=[rejected, confirmed, unread, "x"])
    assert erased.status_code == 200, erased.text
    document = erased.json()
    assert set(document["erased"]) == {rejected, unread}
    assert set(document["refused"]) == {confirmed, "x"}
    assert not (office.root / rejected).exists()
    assert not (office.root / ".redacted" / rejected).exists()
    assert (office.root / confirmed).exists()
    after = office.post("/subjects/search", reference="R-7", plate=plate).json()
    assert {c["id"] for c in after["evidence"]} == {e["id"] for e in after["events"]} == {confirmed}
    assert office.get(f"/evidence/{other}").json()["state"] == "open"

    path = tmp_path / "erasure.zip"
    path.write_bytes(office.get(f"/erasures/{document['erasure']}").content)
    found = verify(open_package(path), office.trusted())
    assert found.problems == []
    assert {one["id"] for one in found.manifest.body["erased"]} == {rejected, unread}
    assert found.manifest.body["basis"] == f"R-7: {basis}"
    assert set(office.audited("subject.erase")[-1].detail["erased"]) == {rejected, unread}
    assert office.sealer.step() == 0  # what is erased does not come back


def test_place_and_time_find_events_and_cases_and_a_hold_keeps_them(office: Office) -> None:
    case = office.case("bridge", at_s=AT_S + 5000, track=40, doubts=("no light",))
    where = {"cameras": ["bridge"], "since": "2026-09-21T15:30:00Z", "until": "2026-09-21T15:40:00Z"}
    held = office.post("/subjects/search", reference="R-8", **where).json()
    assert [c["id"] for c in held["evidence"]] == [case]
    assert [e["id"] for e in held["events"]] == [case]
    assert "goes with its evidence" in held["events"][0]["refusal"]
    hold = office.post("/holds", kind="evidence", subject=case, reason="court order 5/2026").json()
    assert hold["lasts"]
    assert office.get(f"/evidence/{case}").json()["held_by"] == hold["id"]
    erase = {"reference": "R-8", "basis": "asked by the person", "evidence": [case]}
    assert "legal hold" in office.post("/subjects/erase", **erase).json()["refused"][case]
    assert not office.post(f"/holds/{hold['id']}/lift", reason="order withdrawn").json()["lasts"]
    assert office.post(f"/holds/{hold['id']}/lift", reason="order withdrawn").status_code == 404
    assert office.post("/subjects/erase", **erase).json()["erased"] == [case]
    assert [one.subject for one in office.audited("hold.lift")] == [hold["id"]] * 4


def test_events_that_name_a_plate_are_found_by_it(office: Office) -> None:
    """Of a watchlist, say: no case is made of them."""
    whole, partly, other = (
        replace(red_light("gate", AT_S + 900 + i, 90 + i), type="hoaban.plate_watchlist") for i in range(3)
    )
    for event in (whole, partly, other):
        event.data.pop("evidence", None)  # a watchlist's event has none that waits to be sealed
    whole.data["plate"] = {"text": "15B-222.33"}
    partly.data["plate"] = {"text": "15B-2?2.33"}
    other.data["plate"] = {"text": "15B-222.34"}
    office.api.store.write([whole, partly, other])
    held = office.post("/subjects/search", reference="R-9", plate="15b 222 33").json()
    assert {e["id"] for e in held["events"]} == {whole.id, partly.id}
    assert held["events"][0]["refusal"] is None
    erased = office.post("/subjects/erase", reference="R-9", basis="asked by the owner", events=[whole.id])
    assert erased.json()["erased"] == [whole.id]
    assert {e["id"] for e in office.post("/subjects/search", reference="R-9", plate="15B22233").json()["events"]} == {
        partly.id
    }


def test_a_hold_on_what_is_not_here_keeps_nothing_and_says_so(office: Office) -> None:
    for kind in ("evidence", "camera"):
        assert office.post("/holds", kind=kind, subject="nowhere", reason="court order 5/2026").status_code == 404
    case = office.case("bridge", at_s=AT_S + 5100, track=41, doubts=("no light",))
    office.post("/subjects/erase", reference="R-8", basis="asked by the person", evidence=[case])
    assert office.post("/holds", kind="evidence", subject=case, reason="court order 5/2026").status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"reference": "R"},
        {"reference": "R", "cameras": ["gate"]},
        {"reference": "", "plate": "30A12345"},
        {"reference": "R", "plate": "30A12345", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"reference": "R", "cameras": ["gate"], "since": "2026-01-01T00:00:00Z", "until": "2026-03-01T00:00:00Z"},
    ],
)
def test_a_search_without_a_bound_is_refused(office: Office, body: dict[str, Any]) -> None:
    assert office.post("/subjects/search", **body).status_code == 422


def test_ids_that_are_words_of_the_code_are_ids_like_others(office: Office) -> None:
    words = ["camera", "reason", "outcome", "request"]
    answer = office.post("/subjects/erase", reference="R", basis="asked by the person", evidence=words, events=words)
    assert answer.status_code == 200
    assert set(answer.json()["refused"]) == set(words)


def test_every_route_is_described(office: Office) -> None:
    paths = office.get("/openapi.json").json()["paths"]
    for path in ("/evidence/{id}/decision", "/evidence/{id}/export", "/holds", "/subjects/erase", "/erasures/{id}"):
        assert f"/api/v1{path}" in paths


def test_the_record_of_an_erasure_names_what_went_and_not_what_a_hold_kept_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = (replace(red_light("gate", AT_S + 1900 + i, 190 + i), type="hoaban.line_count") for i in range(2))
    for event in (kept, gone):
        event.data.pop("evidence")
    office.api.store.write([kept, gone])
    erase = Eraser.erase

    def late(eraser: Eraser, *given: Any) -> Any:
        eraser.store.hold("evidence", kept.id, "a court asks for it", Person("c", "Court"))
        return erase(eraser, *given)

    monkeypatch.setattr(Eraser, "erase", late)
    ids = [kept.id, gone.id]
    answer = office.post("/subjects/erase", reference="R-10", basis="asked by the person", events=ids).json()
    assert (answer["erased"], set(answer["refused"])) == ([gone.id], {kept.id})
    told = office.audited("subject.erase")[-1]
    assert (told.outcome, told.detail["erased"], set(told.detail["kept"])) == ("done", [gone.id], {kept.id})


def test_a_hold_covers_a_camera_of_which_no_event_is_stored_yet(office: Office) -> None:
    board = office.api.board
    fleet = board.get_json("fleet")
    quiet = fleet["cameras"][0] | {"id": "quiet"}
    board.put_json("fleet", fleet | {"cameras": [*fleet["cameras"], quiet]})
    Disagreements(folder_beside(str(office.root))).put("street@2", name_of("left", AT_S, "street@2"), b"jpeg", {})
    try:
        for camera in ("quiet", "left"):
            made = office.post("/holds", kind="camera", subject=camera, reason="court order 6/2026")
            assert made.status_code == 201, made.text
    finally:
        board.put_json("fleet", fleet)
