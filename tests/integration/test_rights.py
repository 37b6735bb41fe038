"""Who may do what through the API: every route by every role, scopes, tickets, streams, and what a refusal tells."""

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from hoaban.access import Grant, Permission, Role, Scope
from hoaban.schedule import Hours
from serve.auth import may, refuse_undeclared
from tests.api_system import CAMERAS, PASSWORD, Api, running_api

pytestmark = pytest.mark.integration
INITIALS = {
    "V": Role.VIEWER,
    "O": Role.OPERATOR,
    "F": Role.OFFICER,
    "W": Role.WATCHLIST_APPROVER,
    "D": Role.DATA_SCIENTIST,
    "A": Role.ADMIN,
    "U": Role.AUDITOR,
    "I": Role.INTAKE,
}
ALL = "VOFWDAUI"
# Which roles each route is for; "*": anyone, also without a token. Written by hand, not made from the code's table.
FOR = {
    "GET /healthz": "*",
    "GET /readyz": "*",
    "GET /openapi.json": ALL,
    "POST /session": "*",
    "POST /session/renew": "*",
    "GET /auth/oidc": "*",
    "GET /auth/oidc/start": "*",
    "GET /auth/oidc/callback": "*",
    "POST /auth/oidc/session": "*",
    "GET /session": ALL,
    "DELETE /session": ALL,
    "PUT /session/password": ALL,
    "GET /metrics": "ODA",
    "GET /cameras": "VOFDA",
    "GET /cameras/{camera}": "VOFDA",
    "GET /cameras/{camera}/snapshot.jpg": "VOFDA",
    "GET /cameras/{camera}/live.mjpg": "VOFDA",
    "GET /cameras/{camera}/heatmap": "VOFDA",
    "GET /cameras/{camera}/heatmap.jpg": "VOFDA",
    "POST /cameras/{camera}/unmask": "F",
    "GET /cameras/{camera}/shapes": "A",
    "PUT /cameras/{camera}/shapes": "A",
    "POST /cameras/{camera}/shapes/preview": "A",
    "GET /cameras/{camera}/unmasked.jpg": "F",
    "POST /signals/{camera}/{signal}": "A",
    "GET /events": "VOFDA",
    "GET /events/stream": "VOFDA",
    "GET /counts": "VOFDA",
    "GET /counts/turns": "VOFDA",
    "GET /counts.csv": "VOFDA",
    "GET /cluster": "ODA",
    "GET /plan": "ODA",
    "GET /session/preferences": ALL,
    "PUT /session/preferences": ALL,
    "GET /models/current": "VOFDAU",
    "POST /models/promote": "DA",
    "POST /models/rollback": "DA",
    "GET /audit/verification": "U",
    "GET /health/districts": "VOFDA",
    "GET /health/duties": "ODA",
    "GET /models": "VOFDAU",
    "GET /models/shadow": "VOFDAU",
    "POST /models/shadow": "DA",
    "DELETE /models/shadow/{model}": "DA",
    "GET /models/disagreements": "VOFDAU",
    "POST /models/disagreements/export": "DA",
    "POST /models/evidence/export": "DA",
    "GET /cameras/{camera}/disagreements/{id}.jpg": "VOFDA",
    "GET /fleet": "VOFDAU",
    "POST /tickets": ALL,
    "GET /watchlist": "FWU",
    "POST /watchlist": "F",
    "POST /watchlist/{entry}/approve": "W",
    "DELETE /watchlist/{entry}": "W",
    "GET /watchlist/plates": "FWU",
    "POST /watchlist/plates": "F",
    "POST /watchlist/plates/{entry}/approve": "W",
    "DELETE /watchlist/plates/{entry}": "W",
    "GET /people": "A",
    "POST /people": "A",
    "POST /people/{person}/grants": "A",
    "DELETE /people/{person}/grants/{grant}": "A",
    "POST /people/{person}/grants/{grant}/confirm": "A",
    "POST /people/{person}/disable": "A",
    "POST /people/{person}/enable": "A",
    "PUT /people/{person}/password": "A",
    "GET /tokens": "A",
    "POST /tokens": "A",
    "DELETE /tokens/{token}": "A",
    "GET /evidence": "OF",
    "GET /evidence-keys": ALL,
    "GET /evidence/{id}": "OF",
    "GET /evidence/{id}/files/{name}": "OF",
    "GET /evidence/{id}/original/{name}": "F",
    "POST /evidence/{id}/decision": "F",
    "POST /evidence/{id}/export": "F",
    "POST /evidence/{id}/original/export": "F",
    "GET /holds": "F",
    "POST /holds": "F",
    "POST /holds/{id}/lift": "F",
    "GET /erasures": "U",
    "GET /erasures/{id}": "F",
    "POST /subjects/search": "F",
    "POST /subjects/erase": "F",
    "GET /audit": "U",
    "GET /audit/misuse": "U",
    "GET /incidents": "VOF",
    "GET /incidents/stream": "VOF",
    "GET /incidents/{number}": "VOF",
    "POST /incidents/{number}/acknowledge": "OF",
    "GET /incidents/{number}/assignees": "OF",
    "POST /incidents/{number}/assign": "OF",
    "POST /incidents/{number}/start": "OF",
    "POST /incidents/{number}/resolve": "OF",
    "POST /incidents/{number}/dismiss": "OF",
    "POST /incidents/{number}/reopen": "OF",
    "POST /incidents/{number}/comment": "OF",
    "POST /incidents/{number}/grade": "OF",
    "GET /handovers": "OF",
    "GET /handovers/assignees": "OF",
    "POST /handovers": "OF",
    "POST /handovers/{number}/accept": "OF",
    "POST /reports": "OF",
    "GET /reports": "VOF",
    "GET /reports/{number}": "VOF",
    "GET /reports/{number}/photo.jpg": "VOF",
    "GET /reports/{number}/unmasked.jpg": "F",
    "POST /reports/{number}/contact": "OF",
    "POST /reports/{number}/check": "OF",
    "POST /reports/{number}/start": "OF",
    "POST /reports/{number}/answer": "OF",
    "POST /reports/{number}/close": "OF",
    "POST /reports/{number}/reopen": "OF",
    "POST /reports/{number}/note": "OF",
    "POST /reports/{number}/link": "OF",
    "POST /public/reports": "OFI",
    "GET /public/reports/{tracking}": "OFI",
    "GET /work-orders": "VOFDA",
    "GET /work-orders/repair-times": "VOFDA",
    "GET /work-orders/{number}": "VOFDA",
    "GET /work-orders/{number}/assignees": "O",
    "POST /work-orders/{number}/assign": "O",
    "POST /work-orders/{number}/start": "O",
    "POST /work-orders/{number}/done": "O",
    "POST /work-orders/{number}/cancel": "O",
    "POST /work-orders/{number}/note": "O",
}
BODIES: dict[str, Any] = {
    "POST /session": {"name": "nobody", "password": "wrong"},
    "POST /session/renew": {"refresh_token": "x"},
    "PUT /session/password": {"old": "x", "new": "y"},
    "POST /auth/oidc/session": {"code": "x", "browser": "y"},
    "POST /cameras/{camera}/unmask": {"reason": "for the test of roles"},
    "POST /signals/{camera}/{signal}": {"state": "red", "at": "2026-01-01T00:00:00Z"},
    "PUT /cameras/{camera}/shapes": {"zones": [], "lines": []},
    "POST /cameras/{camera}/shapes/preview": {"zones": [], "lines": [], "rules": [{"type": "none"}]},
    "POST /tickets": {"cameras": ["gate"]},
    "POST /models/shadow": {"model": "none@0"},
    "POST /models/rollback": {"place": "none", "why": "for the test of roles"},
    "POST /models/disagreements/export": {"reason": "for the test of roles"},
    "POST /models/evidence/export": {"reason": "for the test of roles"},
    "POST /people": {"name": " "},
    "POST /people/{person}/grants": {"role": "viewer"},
    "PUT /people/{person}/password": {"password": "x"},
    "POST /tokens": {"name": "x", "grants": [{"role": "officer"}]},
    "POST /evidence/{id}/decision": {"verdict": "rejected", "reason": "other", "version": 0},
    "POST /evidence/{id}/export": {"reason": "for the test of roles", "version": 1},
    "POST /evidence/{id}/original/export": {"reason": "for the test of roles", "version": 1},
    "POST /holds": {"kind": "evidence", "subject": "x", "reason": "for the test of roles"},
    "POST /holds/{id}/lift": {"reason": "for the test of roles"},
    "POST /subjects/search": {"reference": "x", "plate": "30A-12345"},
    "POST /subjects/erase": {"reference": "x", "basis": "for the test of roles", "events": ["x"]},
}
ENDLESS = ("GET /cameras/{camera}/live.mjpg", "GET /events/stream", "GET /incidents/stream")
ROUTES = sorted(FOR)


KEPT_S = 0.2
"""how long a credential is kept here, and an idle stream not looked at: less than outside, so that none waits for it"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        pytest.MonkeyPatch.context() as patch,
        running_api(folder := tmp_path_factory.mktemp("rights"), data_dir=str(folder)) as running,
    ):
        for name in ("auth.KEEP_S", "feed.CHECK_S", "feed.POLL_S", "incidents.POLL_S", "streams.POLL_S"):
            patch.setattr(f"serve.{name}", KEPT_S)
        for second, camera in enumerate([*CAMERAS, *CAMERAS]):
            running.event(camera, second)
        yield running


@pytest.fixture
def served(api: Api) -> Iterator[str]:
    """The application behind a real socket: only there can a stream be open while something else happens."""
    server = uvicorn.Server(uvicorn.Config(api.app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/api/v1"
    server.should_exit = True
    thread.join()


def filled(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda match: {"camera": "gate"}.get(match[1], "none"), path)


def asked(api: Api, route: str, token: str | None) -> int:
    """The status of a route for a token; of one that does not end, its first line alone."""
    method, path = route.split(" ")
    body = {"json": BODIES[route]} if route in BODIES else {}
    if route in ENDLESS and token is not None:
        # What does not end is asked for with a token that dies, so it does.
        return first_status(api, method, filled(path), token)
    return int(api.ask(method, filled(path), token, **body).status_code)


def first_status(api: Api, method: str, path: str, token: str) -> int:
    holder = api.people.verify(token)
    assert holder is not None
    made, secret = api.people.create_token("short", *holder.person.grants)
    threading.Timer(KEPT_S, lambda: api.people.revoke_token(made)).start()
    return int(api.ask(method, path, secret).status_code)


def test_the_table_has_every_route_of_the_api_and_no_other(api: Api) -> None:
    document = api.get("/openapi.json", api.token(Role.VIEWER)).json()
    told = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in document["paths"].items()
        for method in item
    }
    assert told == set(FOR)


@pytest.mark.parametrize("route", ROUTES)
def test_each_route_is_for_the_roles_of_the_table_and_no_others(api: Api, route: str) -> None:
    nobody = asked(api, route, None)
    assert (nobody != 401 or route.startswith("POST /session")) if FOR[route] == "*" else nobody == 401
    if FOR[route] == "*":
        return
    for initial, role in INITIALS.items():
        status = asked(api, route, api.token(role))
        needs_permit = route.endswith("/unmasked.jpg") or "/original/" in route
        if initial in FOR[route] and not needs_permit:
            assert status not in (401, 403), (route, role, status)
            assert status < 500 or route == "POST /watchlist", (route, role, status)
        else:
            assert status == 403, (route, role, status)


BEFORE_OWN_PASSWORD = {"GET /session", "DELETE /session", "PUT /session/password"}


@pytest.mark.parametrize("route", [route for route in ROUTES if FOR[route] != "*"])
def test_a_password_that_another_set_opens_nothing_before_it_is_changed(api: Api, route: str) -> None:
    name = route[:128]
    account = api.people.add(name, *INITIALS.values(), password=PASSWORD, password_given=True, by="test")
    signed_in = {"name": name, "password": PASSWORD}
    begun = api.ask("POST", "/session", None, json=signed_in).json()
    assert begun["must_change_password"] is True
    method, path = route.split(" ")
    body = {"json": BODIES[route]} if route in BODIES else {}
    answer = api.ask(method, filled(path), begun["access_token"], **body)
    if route in BEFORE_OWN_PASSWORD:
        assert answer.status_code in (200, 204, 422)
    else:
        assert (answer.status_code, "set by another" in answer.json()["detail"]) == (403, True)
    # A ticket that a holder of such a password got elsewhere is no way around.
    if "{camera}" in route:
        holder = api.people.verify(begun["access_token"])
        if holder is not None:
            ticket = {"ticket": api.app.state.tickets.issue("gate", holder)}
            assert api.ask(method, filled(path), None, params=ticket, **body).status_code in (401, 403)
    api.people.set_disabled(account.id, True)


def test_who_changed_the_password_that_another_set_may_do_what_they_are_granted(api: Api) -> None:
    admin = api.token(Role.ADMIN)
    wanted = {"name": "Fresh", "password": PASSWORD, "grants": [{"role": "viewer"}]}
    person = api.ask("POST", "/people", admin, json=wanted).json()
    assert person["password_given"] is True
    for times in range(2):  # at the account's beginning, and whenever another sets it again
        known = {"name": "Fresh", "password": f"{PASSWORD}{'!' * times}"}
        token = api.ask("POST", "/session", None, json=known).json()["access_token"]
        assert api.get("/cameras", token).status_code == 403
        change = {"old": known["password"], "new": known["password"]}
        assert api.ask("PUT", "/session/password", token, json=change).status_code == 422  # no change at all
        change["new"] = f"my own {times} four words"
        assert api.ask("PUT", "/session/password", token, json=change).status_code == 204
        begun = api.ask("POST", "/session", None, json={"name": "Fresh", "password": change["new"]}).json()
        assert begun["must_change_password"] is False
        assert api.get("/cameras", begun["access_token"]).status_code == 200
        again = {"password": f"{PASSWORD}!"}
        assert api.ask("PUT", f"/people/{person['id']}/password", admin, json=again).status_code == 204


def test_an_application_with_a_route_that_says_not_what_it_needs_does_not_start() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    router = APIRouter()
    router.get("/a", dependencies=[may(Permission.CAMERA_SEE)])(lambda: None)
    app.include_router(router, prefix="/x")
    refuse_undeclared(app)
    router.get("/forgotten")(lambda: None)
    with pytest.raises(RuntimeError, match="/x/forgotten"):
        refuse_undeclared(app)


# --- scopes


NORTH = Grant(Role.VIEWER, Scope(districts=frozenset({"north"})))
WARD = Grant(Role.VIEWER, Scope(agencies=frozenset({"ward"})))
SHOP = Grant(Role.VIEWER, Scope(cameras=frozenset({"shop"})))
OPERATES_NORTH = Grant(Role.OPERATOR, Scope(districts=frozenset({"north"})))
SCOPES = [
    (NORTH, {"gate", "bridge"}),
    (WARD, {"gate", "shop"}),
    (SHOP, {"shop"}),
    (OPERATES_NORTH, {"gate", "bridge"}),
    (Grant(Role.VIEWER, Scope(districts=frozenset({"north"}), agencies=frozenset({"ward"}))), {"gate"}),
]


@pytest.mark.parametrize(("grant", "within"), SCOPES)
def test_who_is_scoped_learns_nothing_of_cameras_outside(api: Api, grant: Grant, within: set[str]) -> None:
    token, outside = api.token(grant), set(CAMERAS) - within
    assert {c["id"] for c in api.get("/cameras", token).json()} == within
    assert {c["id"] for c in api.get("/fleet", token).json()["cameras"]} == within
    assert api.get("/fleet", token).json()["errors"] == []
    assert {e["event"]["source"] for e in api.get("/events", token).json()["events"]} == {
        f"/cameras/{c}" for c in within
    }
    assert {c["camera"] for c in api.get("/counts", token).json()} == within
    assert api.get("/counts/turns", token).json() == []
    health = {c["camera"] for d in api.get("/health/districts", token).json() for c in d["cameras"]}
    assert health == within
    tickets = api.ask("POST", "/tickets", token, json={"cameras": [*CAMERAS, "nowhere"]}).json()
    assert set(tickets) == within
    if grant.role is Role.OPERATOR:
        text = api.get("/metrics", token).text
        assert {c for c in CAMERAS if f'camera="{c}"' in text} == within
    for camera in outside:
        nowhere = api.get("/cameras/nowhere", token)
        for path in ("", "/snapshot.jpg", "/live.mjpg", "/heatmap", "/heatmap.jpg"):
            answer = api.get(f"/cameras/{camera}{path}", token)
            assert answer.status_code == 404
            assert answer.json()["detail"] == nowhere.json()["detail"].replace("nowhere", camera)
        assert api.get("/events", token, camera=camera).json()["events"] == []
        assert api.get("/counts", token, camera=camera).json() == []
    for camera in within:
        assert api.get(f"/cameras/{camera}/snapshot.jpg", token).status_code == 200


def test_the_event_stream_tells_who_is_scoped_of_their_cameras_alone(api: Api, served: str) -> None:
    made, secret = api.people.create_token("north", NORTH)
    told: list[str] = []
    with httpx.Client(trust_env=False) as client:
        headers = {"Authorization": f"Bearer {secret}"}
        with client.stream("GET", f"{served}/events/stream?after=0", headers=headers, timeout=30) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    told.append(json.loads(line[5:])["source"])
                    if len(told) == 4:
                        api.event("shop", 90)
                        api.event("gate", 91)
                    if len(told) == 5:
                        api.people.revoke_token(made)
    assert told == [f"/cameras/{camera}" for camera in ("gate", "bridge", "gate", "bridge", "gate")]


def test_where_one_may_see_and_not_act_the_answer_is_403_and_says_why(api: Api) -> None:
    token = api.token(NORTH, Grant(Role.OFFICER, Scope(districts=frozenset({"south"}))))
    body = {"json": {"reason": "case 12, who drove the car"}}
    assert api.ask("POST", "/cameras/shop/unmask", token, **body).status_code == 201
    refused = api.ask("POST", "/cameras/gate/unmask", token, **body)
    assert (refused.status_code, "picture.unmask" in refused.json()["detail"]) == (403, True)
    assert api.ask("POST", "/cameras/bridge/unmask", api.token(SHOP), **body).status_code == 404


def test_a_grant_for_a_part_changes_nothing_that_is_the_whole_provinces(api: Api) -> None:
    controller = api.token(Grant(Role.ADMIN, Scope(cameras=frozenset({"gate"}))))
    assert api.get("/people", controller).status_code == 403
    assert api.ask("POST", "/tokens", controller, json={"name": "x", "grants": [{"role": "viewer"}]}).status_code == 403
    reading = {"json": {"state": "red", "at": "2026-01-01T00:00:00Z"}}
    assert "no signal" in api.ask("POST", "/signals/gate/s", controller, **reading).json()["detail"]
    assert "no camera" in api.ask("POST", "/signals/shop/s", controller, **reading).json()["detail"]


def test_a_grant_counts_in_its_hours_only(api: Api) -> None:
    here = datetime.now(UTC) + timedelta(hours=7)  # the province's clock
    before, after = here - timedelta(hours=3), here + timedelta(hours=3)
    span = {"from": before.strftime("%H:%M"), "to": after.strftime("%H:%M")}
    other = {"from": span["to"], "to": span["from"]}
    now, later = (Scope(hours=(Hours.model_validate(hours),)) for hours in (span, other))
    assert api.get("/cameras/gate", api.token(Grant(Role.VIEWER, now))).status_code == 200
    refused = api.get("/cameras/gate", api.token(Grant(Role.VIEWER, later)))
    assert (refused.status_code, "other hours" in refused.json()["detail"]) == (403, True)


# --- what ends with a right


def ends(client: Any, url: str, meanwhile: Any, **more: Any) -> bool:
    """Open a stream, do something once it has begun, and read on until the server ends it (or the time is over)."""
    with client.stream("GET", url, timeout=30, **more) as answer:
        assert answer.status_code == 200, answer.status_code
        pieces = answer.iter_bytes()
        next(pieces)
        meanwhile()
        for _ in pieces:
            pass
    return True


@pytest.mark.parametrize("path", ["/cameras/gate/live.mjpg", "/events/stream?after=0"])
@pytest.mark.parametrize("way", ["token", "ticket", "session", "grant"])
def test_an_open_stream_and_a_ticket_end_with_the_right(api: Api, served: str, path: str, way: str) -> None:
    account = api.people.add(f"{way} {path}", Role.VIEWER, password="a long enough one", by="test")
    token, secret = api.people.create_token("stream", Role.VIEWER)
    with httpx.Client(trust_env=False) as client:
        session = client.post(f"{served}/session", json={"name": account.name, "password": "a long enough one"}).json()
        headers = {"Authorization": f"Bearer {session['access_token'] if way in ('session', 'grant') else secret}"}
        subject = "gate" if "gate" in path else "*"
        made = client.post(f"{served}/tickets", headers=headers, json={"cameras": [subject]}).json()
        ticket = made[subject]["ticket"]
        joined = f"{served}{path}{'&' if '?' in path else '?'}ticket={ticket}"

        def end() -> None:
            if way == "session":
                assert client.delete(f"{served}/session", headers=headers).status_code == 204
            elif way == "grant":
                api.people.revoke(account.id, account.grants[0].id)
            else:
                api.people.revoke_token(token)

        if way == "ticket":
            assert ends(client, joined, end)
        else:
            assert ends(client, f"{served}{path}", end, headers=headers)
        time.sleep(KEPT_S + 0.1)  # what is kept of a credential
        with client.stream("GET", joined) as refused:
            assert refused.status_code in (401, 403, 404)


def test_a_refusal_is_recorded_once_a_minute_and_not_each_time(api: Api) -> None:
    token = api.people.create_token("curious", Role.VIEWER)[1]
    before = api.app.state.audit.head()[0]
    for _ in range(5):
        assert api.get("/people", token).status_code == 403
    assert api.get("/audit", token).status_code == 403
    told, _ = api.app.state.audit.page(limit=100)
    new = [(r.who_name, r.action, r.outcome) for r in reversed(told) if r.seq > before]
    assert new == [("curious", "account.change", "refused"), ("curious", "audit.read", "refused")]


def test_a_store_that_cannot_take_the_record_shows_nothing(tmp_path: Path) -> None:
    with running_api(tmp_path) as api:
        token = api.token(Role.VIEWER)
        assert api.get("/cameras/gate/snapshot.jpg", token).status_code == 200
        with api.store.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE audit")
        assert api.get("/cameras/bridge/snapshot.jpg", token).status_code == 503
        assert TestClient(api.app)  # the application lives
