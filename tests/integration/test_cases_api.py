"""Incidents, reports and work orders over the API: who may, what two people at once may, what a citizen sees."""

import base64
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from actors.store import ReportStore
from actors.store.incident_keeping import Ground, follow, keep_time
from actors.store.incident_tables import incidents
from actors.store.sessions import SessionStore
from actors.store.tables import people as people_table
from actors.watchlist.key import WatchlistKey
from hoaban.access import Grant, Role, Scope
from hoaban.access.settings import AccessSettings
from hoaban.events import Finding, ModelRef, Provenance, bind
from hoaban.fleet import Fleet
from hoaban.frames import FrameMeta
from hoaban.schedule import Hours
from hoaban.stream_health import health_finding
from tests.api_system import CAMERAS, Api, running_api

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
NOW_S = time.time()
SPOTS = {"gate": (21.386, 103.017), "bridge": (21.3865, 103.0175), "shop": (21.5, 103.2)}
NORTH, SOUTH = Scope(districts=frozenset({"north"})), Scope(districts=frozenset({"south"}))
OPERATOR, OF_THE_SOUTH = Grant(Role.OPERATOR), Grant(Role.OPERATOR, SOUTH)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    access = AccessSettings(citizen_proxies=1)
    with running_api(folder, data_dir=str(folder), access=access) as api:
        fleet = {
            "version": 1,
            "province": {"name": "P"},
            "districts": [{"id": "north", "name": "N"}, {"id": "south", "name": "S"}],
            "agencies": [{"id": "ward", "name": "W"}, {"id": "police", "name": "P"}],
            "incidents": {"reports": {"photo_mib": 0.5, "per_hour": 3}},
            "cameras": [
                {
                    "id": camera, "name": camera, "role": "shared", "district": district, "owner": owner,
                    "source": "a.mp4", "location": {"lat": SPOTS[camera][0], "lon": SPOTS[camera][1]},
                }
                for camera, (district, owner) in CAMERAS.items()
            ],
        }  # fmt: skip
        api.board.put_json("fleet", Fleet.model_validate(fleet).model_dump(mode="json", by_alias=True))
        api.app.state.places._read_s = float("-inf")
        yield api


@pytest.fixture
def api(running: Api) -> Api:
    return running


def signed_in(api: Api, name: str, grant: Grant | Role) -> str:
    """A person's token: what is handed over is taken by people, not by machines."""
    return SessionStore(api.store.engine).begin(api.people.add(name, grant, by="test").id).access


def happen(api: Api, camera: str, finding: Finding, time_s: float) -> None:
    meta = FrameMeta(camera, 0, time_s, 100, 100)
    api.store.write([bind(finding, meta, "shared", Provenance(ModelRef("m", "1", "d"), "c", "0"))])


LAST = [NOW_S - 500_000.0]


def incident(api: Api, *cameras: str) -> int:
    """A new incident, seen by these cameras; its number."""
    LAST[0] += 2000.0  # so that it joins none before
    for camera in cameras:
        happen(api, camera, Finding("intrusion", "r", 1, "person", zone="door"), LAST[0])
    follow(api.store.engine, ground(api), time.time())
    return int(api.get("/incidents", api.token(OPERATOR), limit=1).json()["incidents"][0]["number"])


def ground(api: Api) -> Ground:
    return Ground.of_fleet(api.board.get_json("fleet") or {})


def post(api: Api, path: str, token: str, **body: Any) -> Any:
    return api.ask("POST", path, token, json=body)


def test_an_incident_goes_its_way_and_each_step_is_in_its_log(api: Api) -> None:
    token, number = api.token(OPERATOR), incident(api, "gate")
    at = f"/incidents/{number}"
    api.people.add("Tổ 2", OPERATOR, by="test")
    assert api.get(at, token).headers["ETag"] == '"1"'
    steps = [
        ("acknowledge", {}), ("assign", {"assignee": "Tổ 2"}), ("start", {}), ("comment", {"note": "đang đến"}),
        ("resolve", {"note": "xong"}), ("reopen", {"note": "lại có người"}),
        ("dismiss", {"reason": "false_alarm", "note": "con chó"}),
    ]  # fmt: skip
    for version, (action, body) in enumerate(steps, 1):
        answer = post(api, f"{at}/{action}", token, version=version, **body)
        assert answer.status_code == 200, answer.text
    seen = api.get(at, token).json()
    assert (seen["state"], seen["dismissal"], seen["version"]) == ("dismissed", "false_alarm", 8)
    assert seen["allowed"] == ["reopen", "comment"]
    assert [line["action"] for line in seen["log"]] == ["opened", *(action for action, _ in steps)]
    assert seen["log"][2]["detail"] == {"assignee": "Tổ 2"}
    assert [row["event"]["type"] for row in seen["stored"]] == ["hoaban.intrusion"]
    assert [near["camera"] for near in seen["neighbours"]] == ["bridge"]


def test_an_incident_is_given_only_to_a_person_who_may_handle_it_there(api: Api) -> None:
    token, number = api.token(OPERATOR), incident(api, "gate", "bridge")
    at, asleep = f"/incidents/{number}", Hours.model_validate({"days": ["mon"], "from": "00:00", "to": "00:01"})
    give, people = f"{at}/assign", api.people

    def add(name: str, *grants: Role | Grant, **more: Any) -> str:
        return people.add(name, *grants, by="test", **more).id  # type: ignore[no-any-return]

    able = {
        "Hoa": add("Hoa", Grant(Role.OFFICER, Scope(agencies=frozenset({"police"}))), agency="police"),
        "Mai": add("Mai", Grant(Role.OPERATOR, NORTH)),
        "Ca đêm": add("Ca đêm", Grant(Role.OPERATOR, Scope(hours=(asleep,)))),
    }
    unable = {
        "Nam": add("Nam", OF_THE_SOUTH),
        "Xem": add("Xem", Role.VIEWER),
        "Chờ": add("Chờ", Role.OFFICER, two=True),
        "Nghỉ": add("Nghỉ", OPERATOR),
        "Tên khác": add("Hoa 2", Role.VIEWER),
    }
    people.set_disabled("Nghỉ", True)
    listed = {one["name"]: one for one in api.get(f"{at}/assignees", token).json()}
    assert able.keys() <= listed.keys()
    assert not unable.keys() & listed.keys()
    assert listed["Hoa"] == {"name": "Hoa", "agency": "police"}
    for who in (*unable, *unable.values(), "Tổ 9", next(iter(api._made))):
        refused = post(api, give, token, version=1, assignee=str(who))
        assert refused.status_code == 422, who
        assert f"GET /api/v1{at}/assignees" in refused.json()["detail"]
    assert api.get(at, token).json()["version"] == 1
    for version, who in enumerate(["Hoa", able["Mai"]], 1):
        assert post(api, give, token, version=version, assignee=who).status_code == 200
    seen = api.get(at, token).json()
    assert (seen["assignee"], [line["detail"] for line in seen["log"][-2:]]) == (
        "Mai", [{"assignee": "Hoa"}, {"assignee": "Mai"}],
    )  # fmt: skip
    with api.store.engine.begin() as connection:
        of_it = sa.update(incidents).where(incidents.c.number == number)
        assert (
            connection.execute(sa.select(incidents.c.assignee).where(incidents.c.number == number)).scalar()
            == (able["Mai"])
        )
        connection.execute(sa.update(people_table).where(people_table.c.id == able["Mai"]).values(name="Mai Anh"))
    seen = api.get(at, token).json()
    assert (seen["assignee"], seen["log"][-1]["detail"]) == ("Mai Anh", {"assignee": "Mai"})
    with api.store.engine.begin() as connection:
        connection.execute(of_it.values(assignee="Tổ 2 phường"))  # as an earlier version let it be typed in
    assert api.get(at, token).json()["assignee"] == "Tổ 2 phường"
    given = post(api, "/handovers", token, to="Mai Anh", note="x").json()["incidents"]
    assert next(one for one in given if one["number"] == number)["assignee"] == "Tổ 2 phường"
    assert api.get(f"{at}/assignees", api.token(Role.VIEWER)).status_code == 403
    assert api.get(f"{at}/assignees", api.token(OF_THE_SOUTH)).status_code == 404


def test_the_second_of_two_changes_is_refused_with_how_it_stands(api: Api) -> None:
    token, number = api.token(OPERATOR), incident(api, "gate")
    at = f"/incidents/{number}"
    first = api.ask("POST", f"{at}/acknowledge", token, json={}, headers={"If-Match": '"1"'})
    assert first.status_code == 200
    second = post(api, f"{at}/dismiss", token, version=1, reason="test", note="x")
    assert second.status_code == 409
    assert second.headers["content-type"] == "application/problem+json"
    assert (second.json()["current"]["state"], second.json()["current"]["version"]) == ("acknowledged", 2)
    impossible = post(api, f"{at}/reopen", token, version=2, note="x")
    assert impossible.status_code == 409
    assert "possible: assign, start, resolve, dismiss, comment" in impossible.json()["detail"]
    assert post(api, f"{at}/start", token).status_code == 428
    assert api.ask("POST", f"{at}/start", token, json={}, headers={"If-Match": "*"}).status_code == 400
    assert post(api, f"{at}/dismiss", token, version=2, reason="bored", note="x").status_code == 422
    assert post(api, f"{at}/comment", token, note="zwei zugleich").status_code == 200
    assert post(api, "/incidents/999999/comment", token, note="x").status_code == 404


def test_an_incident_is_shown_where_one_of_its_cameras_is_in_scope_and_the_others_stay_hidden(api: Api) -> None:
    number, south = incident(api, "gate", "bridge"), api.token(OF_THE_SOUTH)
    assert api.get(f"/incidents/{number}", south).status_code == 404
    assert post(api, f"/incidents/{number}/acknowledge", south, version=1).status_code == 404
    assert number not in [one["number"] for one in api.get("/incidents", south).json()["incidents"]]
    at_bridge = api.token(Grant(Role.VIEWER, Scope(cameras=frozenset({"bridge"}))))
    seen = api.get(f"/incidents/{number}", at_bridge).json()
    assert [place["camera"] for place in seen["places"]] == ["bridge"] == [seen["camera"]]
    assert [row["event"]["source"] for row in seen["stored"]] == ["/cameras/bridge"]
    assert seen["neighbours"] == []
    assert post(api, f"/incidents/{number}/acknowledge", at_bridge, version=1).status_code == 403
    assert api.get(f"/incidents/{number}", api.token(Role.ADMIN)).status_code == 403
    assert api.get("/incidents", None).status_code == 401


def test_who_sees_everything_handles_only_where_they_may(api: Api) -> None:
    both = api.token(Role.VIEWER, OF_THE_SOUTH)
    number = incident(api, "gate")
    filed(api, "10.0.0.20")
    report = api.get("/reports", both).json()["reports"][0]
    assert report["allowed"] == []
    for path in (f"/incidents/{number}/acknowledge", f"/reports/{report['number']}/check"):
        assert post(api, path, both, version=1).status_code == 403
    assert post(api, f"/incidents/{incident(api, 'shop')}/acknowledge", both, version=1).status_code == 200


def test_filters_and_cursors_of_the_list(api: Api) -> None:
    token = api.token(OPERATOR)
    numbers = [incident(api, "shop"), incident(api, "shop")]
    post(api, f"/incidents/{numbers[0]}/acknowledge", token, version=1)
    listed = api.get("/incidents", token, camera="shop", state=["acknowledged"]).json()["incidents"]
    assert listed[0]["number"] == numbers[0]
    assert {one["state"] for one in listed} == {"acknowledged"}
    page = api.get("/incidents", token, district="south", limit=1).json()
    assert [one["number"] for one in page["incidents"]] == numbers[1:]
    page = api.get("/incidents", token, district="south", limit=1, cursor=page["next_cursor"]).json()
    assert [one["number"] for one in page["incidents"]] == numbers[:1]
    assert api.get("/incidents", token, severity="low").json()["incidents"] == []
    assert api.get("/incidents", token, since="2199-01-01T00:00:00Z").json()["incidents"] == []


def test_a_shift_is_handed_over_and_accepted_by_the_other(api: Api) -> None:
    number, token = incident(api, "shop"), api.token(OPERATOR)
    other = signed_in(api, "Bình", OPERATOR)
    api.people.add("Sáu", Role.VIEWER, by="test")
    able = [one["name"] for one in api.get("/handovers/assignees", token).json()]
    assert "Bình" in able
    assert "Sáu" not in able
    assert "Bình" not in [one["name"] for one in api.get("/handovers/assignees", other).json()]
    for nobody in ("Sáu", "Tổ 2 phường", "binh"):
        refused = post(api, "/handovers", token, to=nobody, note="x")
        assert (refused.status_code, "/handovers/assignees" in refused.json()["detail"]) == (422, True)
    assert post(api, "/handovers", other, to="Bình", note="x").status_code == 422
    given = post(api, "/handovers", token, to="Bình", note="chợ đông").json()
    assert number in [one["number"] for one in given["incidents"]]
    assert post(api, f"/handovers/{given['number']}/accept", token).status_code == 409
    assert post(api, f"/handovers/{given['number']}/accept", other).json()["accepted_name"] == "Bình"
    newest = api.get("/handovers", other).json()[0]
    assert (newest["from_name"], newest["to_name"], newest["note"]) == (given["from_name"], "Bình", "chợ đông")
    elsewhere = api.token(Grant(Role.OPERATOR, NORTH))
    seen = next((one for one in api.get("/handovers", elsewhere).json() if one["number"] == given["number"]), None)
    assert seen is None or number not in [one["number"] for one in seen["incidents"]]
    west = api.token(Grant(Role.OPERATOR, Scope(cameras=frozenset({"nowhere"}))))
    assert api.get("/handovers", west).json() == []  # nor what was said, of whom it is no affair
    assert api.get("/handovers", api.token(Role.VIEWER)).status_code == 403


def filed(api: Api, address: str = "10.0.0.1", **fields: Any) -> httpx.Response:
    base = {"text": "Xe máy đổ giữa đường", "lat": 21.3861, "lon": 103.0171, "contact": {"phone": "0912 345 678"}}
    headers = {"X-Forwarded-For": address}
    return api.ask("POST", "/public/reports", api.token(Role.INTAKE), json=base | fields, headers=headers)  # type: ignore[no-any-return]


def test_a_citizens_report_from_its_filing_to_its_answer(api: Api) -> None:
    token, intake = api.token(OPERATOR), api.token(Role.INTAKE)
    happen(api, "gate", Finding("loitering", "r", 4, "person", zone="door"), time.time() - 30)
    kept = filed(api).json()
    assert kept["number"] is None
    listed = api.get("/reports", token).json()["reports"][0]
    number = listed["number"]
    assert (listed["state"], listed["camera"], listed["district"]) == ("received", "gate", "north")
    detail = api.get(f"/reports/{number}", token).json()
    assert [near["camera"] for near in detail["near"]] == ["gate", "bridge"]
    assert [row["event"]["type"] for row in detail["near"][0]["stored"]] == ["hoaban.loitering"]
    about = incident(api, "gate")
    for version, (action, body) in enumerate(
        [("check", {}), ("link", {"incident": about}), ("note", {"note": "bí mật"}), ("answer", {"answer": "Đã dọn"})],
        1,
    ):
        assert post(api, f"/reports/{number}/{action}", token, version=version, **body).status_code == 200
    path = f"/public/reports/{kept['tracking'].lower()}"
    seen = api.ask("GET", path, intake, headers={"X-Access-Code": kept["access_code"]})
    assert seen.json() | {"received_s": 0} == {
        "tracking": kept["tracking"], "state": "answered", "answer": "Đã dọn", "received_s": 0,
    }  # fmt: skip
    assert "bí mật" not in seen.text
    assert api.ask("GET", path, intake, headers={"X-Access-Code": "ABCD-EFGH-JKLM"}).status_code == 404
    assert [one["number"] for one in api.get("/reports", token, incident=about).json()["reports"]] == [number]
    assert post(api, f"/reports/{number}/close", token, version=1).json()["current"]["state"] == "answered"


def test_a_persons_request_finds_the_reports_about_them(api: Api) -> None:
    officer, now = api.token(Role.OFFICER), datetime.now(UTC)
    tracking = filed(api, "10.0.0.77", text="xe 29-B1 123.45 chạy ngược chiều").json()["tracking"]

    def found(**wanted: Any) -> list[str]:
        held = post(api, "/subjects/search", officer, reference="R-1", **wanted).json()
        return [report["tracking"] for report in held["more"]["reports"]]

    assert found(plate="29b112345") == [tracking]
    assert found(plate="30A12345") == []
    around = {"since": (now - timedelta(days=1)).isoformat(), "until": (now + timedelta(days=1)).isoformat()}
    assert tracking in found(cameras=["gate"], **around)
    assert found(cameras=["shop"], **around) == []
    before = {"since": (now - timedelta(days=9)).isoformat(), "until": (now - timedelta(days=8)).isoformat()}
    assert found(cameras=["gate"], **before) == []


def test_who_the_citizen_is_is_told_to_a_handler_with_a_reason_and_never_without_a_record(api: Api) -> None:
    token = api.token(OPERATOR)
    filed(api, "10.0.0.2", text="Gọi tôi số 0987 654 321 hoặc an@example.vn nhé")
    number = api.get("/reports", token).json()["reports"][0]["number"]
    viewer = api.token(Role.VIEWER)
    assert api.get(f"/reports/{number}", viewer).json()["text"] == "Gọi tôi số … hoặc … nhé"
    assert "0987 654 321" in api.get(f"/reports/{number}", token).json()["text"]
    assert "0912 345 678" not in api.get(f"/reports/{number}", token).text
    path, why = f"/reports/{number}/contact", "phải hỏi lại vị trí chính xác"
    assert post(api, path, viewer, reason=why).status_code == 403
    assert post(api, path, api.token(OF_THE_SOUTH), reason=why).status_code == 404
    assert post(api, path, token, reason="?").status_code == 422
    before = api.app.state.audit.head()[0]
    assert post(api, path, token, reason=why).json()["phone"] == "0912 345 678"
    newest = list(api.app.state.audit.records())[-1]
    assert (newest.seq, newest.action, newest.reason) == (before + 1, "report.contact", why)


def test_the_intakes_machine_may_file_and_nothing_else_and_each_address_so_often(api: Api) -> None:
    intake = api.token(Role.INTAKE)
    for path in ("/reports", "/incidents", "/cameras", "/work-orders", "/events"):
        assert api.get(path, intake).status_code == 403
    assert post(api, "/reports", intake, text="Xe máy đổ", landmark="Cầu").status_code == 403
    assert [filed(api, "10.0.0.9").status_code for _ in range(4)] == [201, 201, 201, 429]
    assert filed(api, "10.0.0.10").status_code == 201
    assert api.ask("POST", "/public/reports", api.token(Role.VIEWER), json={}).status_code == 403
    assert api.ask("POST", "/public/reports", None, json={}).status_code == 401


def test_reports_without_a_place_on_the_map_go_to_their_district_or_to_the_province(api: Api) -> None:
    def newest(token: str) -> list[Any]:
        return [one["text"] for one in api.get("/reports", token, limit=2).json()["reports"]]

    south = api.token(OF_THE_SOUTH)
    officer = api.token(OPERATOR)
    for text, district in (("Ở huyện phía nam", "south"), ("Không biết ở đâu", "nowhere")):
        answer = post(api, "/reports", officer, text=text, landmark="Chợ", district=district)
        assert answer.json()["number"] is not None
    assert newest(officer) == ["Không biết ở đâu", "Ở huyện phía nam"]
    assert newest(south) == ["Ở huyện phía nam"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": "x"}, {"lat": None}, {"lat": 91}, {"landmark": "ab"}, {"unknown": 1}, {"photo": "!!"},
        {"happened_at": "2999-01-01T00:00:00Z"}, {"photo": base64.b64encode(b"GIF89a not a picture").decode()},
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused_in_words(api: Api, wrong: dict[str, Any]) -> None:
    base: dict[str, Any] = {"text": "Xe máy đổ", "lat": 21.0, "lon": 103.0}
    answer = post(api, "/reports", api.token(OPERATOR), **base | wrong)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"]


def test_a_photo_too_large_is_refused_before_it_is_read(api: Api) -> None:
    photo = base64.b64encode(bytes(600_000)).decode()
    answer = post(api, "/reports", api.token(OPERATOR), text="Xe máy đổ", landmark="Cầu", photo=photo)
    assert answer.status_code == 413
    assert "0.5 MiB" in answer.json()["detail"]


def portrait() -> bytes:
    """A JPEG of a face (scikit-image's) with an EXIF that tells a place, turned by its EXIF."""
    from skimage.data import astronaut

    picture = Image.fromarray(astronaut()[:256, :400]).transpose(Image.Transpose.ROTATE_90)
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "SecretMaker"
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif, comment=b"<script>")
    return out.getvalue()


def test_a_photo_is_shown_without_what_it_carried_and_without_faces_unless_by_a_permit(api: Api) -> None:
    officer, raw = api.token(Grant(Role.OFFICER), Grant(Role.OPERATOR)), portrait()
    assert b"SecretMaker" in raw
    answer = post(
        api, "/reports", officer, text="Có ảnh", lat=21.3861, lon=103.0171, photo=base64.b64encode(raw).decode()
    )
    at = f"/reports/{answer.json()['number']}"
    hidden = api.get(f"{at}/photo.jpg", officer)
    assert hidden.headers["content-type"] == "image/jpeg"
    assert api.get(f"{at}/unmasked.jpg", officer).status_code == 403
    permit = post(api, "/cameras/gate/unmask", officer, reason="vụ 12, tìm người bị nạn").json()["permit"]
    other = post(api, "/cameras/bridge/unmask", officer, reason="vụ 12, tìm người bị nạn").json()["permit"]
    assert api.ask("GET", f"{at}/unmasked.jpg", officer, headers={"X-Hoaban-Permit": other}).status_code == 403
    clear = api.ask("GET", f"{at}/unmasked.jpg", officer, headers={"X-Hoaban-Permit": permit})
    assert clear.status_code == 200
    assert list(api.app.state.audit.records())[-1].subject == f"{at}/unmasked.jpg"
    for jpeg in (hidden.content, clear.content):
        assert not any(carried in jpeg for carried in (b"SecretMaker", b"<script>", b"Exif"))
    pictures = [
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in (hidden.content, clear.content)
    ]
    assert pictures[0].shape == pictures[1].shape == (256, 400, 3)  # upright
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 60


def test_a_key_that_is_lost_shows_nothing_and_says_so(api: Api, tmp_path: Path) -> None:
    number = post(api, "/reports", api.token(OPERATOR), text="Xe máy đổ", landmark="Cầu", contact={"phone": "1"}).json()
    intake, other = api.app.state.intake, WatchlistKey.load_or_make(tmp_path)
    kept, intake.store = intake.store, ReportStore(api.store.engine, lambda: other)
    try:
        answer = post(api, f"/reports/{number['number']}/contact", api.token(OPERATOR), reason="phải hỏi lại vị trí")
    finally:
        intake.store = kept
    assert answer.status_code == 503
    assert "not sealed with this key" in answer.json()["detail"]


def test_a_fault_becomes_an_order_that_is_repaired_and_counted(api: Api) -> None:
    token, now_s = api.token(OPERATOR), time.time()
    happen(api, "shop", health_finding("camera_health", "covered", "start", "lens lost"), now_s - 4000)
    follow(api.store.engine, ground(api), now_s)
    keep_time(api.store.engine, ground(api), now_s)
    (order,) = api.get("/work-orders", token, camera="shop", state=["open"]).json()["work_orders"]
    at = f"/work-orders/{order['number']}"
    assert (order["fault"], order["reason"], order["overdue"]) == ("covered", "lens lost", False)
    assert order["allowed"] == ["assign", "start", "cancel", "note"]
    api.people.add("Thợ", OF_THE_SOUTH, agency="ward", by="test")
    assert {"name": "Thợ", "agency": "ward"} in api.get(f"{at}/assignees", token).json()
    api.people.add("Thợ phía bắc", Grant(Role.OPERATOR, NORTH), by="test")
    assert post(api, f"{at}/assign", token, version=1, assignee="Thợ phía bắc").status_code == 422
    assert post(api, f"{at}/assign", token, version=1, assignee="Thợ").json()["assignee"] == "Thợ"
    assert api.get("/work-orders", token, camera="shop").json()["work_orders"][0]["assignee"] == "Thợ"
    assert api.get(at, token).json()["log"][-1]["detail"] == {"assignee": "Thợ"}
    assert post(api, f"{at}/done", token, version=2).status_code == 409
    happen(api, "shop", health_finding("camera_health", "covered", "end", "clear"), now_s - 400)
    follow(api.store.engine, ground(api), now_s)
    keep_time(api.store.engine, ground(api), now_s)
    assert post(api, f"{at}/done", token, version=2).json()["current"]["state"] == "to_check"
    assert post(api, f"{at}/done", token, version=3).json()["state"] == "done"
    times = api.get("/work-orders/repair-times", token).json()
    assert [(one["district"], one["orders"], round(one["mean_s"])) for one in times] == [("south", 1, 3600)]
    assert [line["action"] for line in api.get(at, token).json()["log"]] == ["opened", "assign", "fault_over", "done"]
    north = api.token(Grant(Role.OPERATOR, NORTH))
    assert api.get(at, north).status_code == 404
    assert api.get("/work-orders/repair-times", north).json() == []
    assert post(api, f"{at}/note", api.token(Role.VIEWER), version=4, note="x").status_code == 403


def test_changes_are_streamed_and_a_client_resumes_where_it_was(api: Api) -> None:
    """Against a real server: the test client reads no endless answer."""
    import asyncio
    import threading

    import uvicorn

    from actors.processes import free_port

    port = free_port()
    server = uvicorn.Server(uvicorn.Config(api.app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}/api/v1/incidents/stream"
    number = incident(api, "gate")
    token = api.token(OPERATOR)
    lines = api.app.state.incidents.log(number)

    def read(count: int, token: str, **headers: str) -> list[tuple[int, str, int]]:
        found: list[tuple[int, str, int]] = []
        with httpx.stream("GET", url, headers={"Authorization": f"Bearer {token}"} | headers, timeout=30) as answer:
            assert answer.status_code == 200
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                fields[name] = value
                if not line and "data" in fields:
                    found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])["incident"]))
                    fields = {}
                    if len(found) == count:
                        return found
        return found

    try:
        while not server.started:
            time.sleep(0.05)
        post(api, f"/incidents/{number}/acknowledge", token, version=1)
        post(api, f"/incidents/{number}/comment", token, note="x")
        first = lines[0].seq
        resumed = read(2, token, **{"Last-Event-ID": str(first)})
        assert [(event, about) for _, event, about in resumed] == [
            ("incident.acknowledge", number), ("incident.comment", number),
        ]  # fmt: skip
        assert read(1, token, **{"Last-Event-ID": str(resumed[0][0])}) == resumed[1:]
        elsewhere = incident(api, "shop")
        south = read(1, api.token(OF_THE_SOUTH), **{"Last-Event-ID": str(first)})
        assert [about for _, _, about in south] == [elsewhere]
        bad = httpx.get(url, headers={"Authorization": f"Bearer {token}", "Last-Event-ID": "x"})
        assert bad.status_code == 400
        assert httpx.get(url, headers={"Authorization": f"Bearer {api.token(Role.INTAKE)}"}).status_code == 403
    finally:
        server.should_exit = True
        thread.join(20)


def test_what_is_done_to_a_case_is_in_the_audit_chain_without_the_words_said(api: Api) -> None:
    token, before = api.token(OPERATOR), api.app.state.audit.head()[0]
    number, words = incident(api, "gate"), "the caller's number is 0912345678"
    post(api, f"/incidents/{number}/acknowledge", token, version=1, note=words)
    lan = api.people.add("Lan", OPERATOR, by="test").id
    for _ in range(2):  # of two at once one was first
        post(api, f"/incidents/{number}/assign", token, version=2, assignee="Lan")
    post(api, f"/incidents/{number}/comment", token, note=words)
    post(api, f"/incidents/{number}/dismiss", token, version=4, reason="false_alarm", note=words)
    report = api.ask("POST", "/reports", token, json={"text": words, "lat": 21.386, "lon": 103.017}).json()["number"]
    post(api, f"/reports/{report}/check", token, version=1)
    post(api, f"/reports/{report}/link", token, version=2, incident=number)
    post(api, f"/reports/{report}/answer", token, version=3, answer=words)
    minh = signed_in(api, "Minh", OPERATOR)
    given = post(api, "/handovers", token, to="Minh", note=words).json()["number"]
    post(api, f"/handovers/{given}/accept", minh)
    told = [one for one in api.app.state.audit.records(before) if one.outcome != "begun"]
    case, filed_as = f"/incidents/{number}", f"/reports/{report}"
    assert [(one.action, one.subject, one.outcome) for one in told] == [
        ("incident.acknowledge", case, "done"),
        ("incident.assign", case, "done"),
        ("incident.assign", case, "failed"),
        ("incident.comment", case, "done"),
        ("incident.dismiss", case, "done"),
        ("report.file", "officer", "done"),
        ("report.check", filed_as, "done"),
        ("report.link", filed_as, "done"),
        ("report.answer", filed_as, "done"),
        ("handover.sign", "Minh", "done"),
        ("handover.accept", f"/handovers/{given}", "done"),
    ]
    assert {one.camera for one in told if not one.action.startswith("handover")} == {"gate"}
    assert told[1].detail["assignee"] == lan
    assert told[7].detail["incident"] == number
    assert "0912345678" not in str(told)
