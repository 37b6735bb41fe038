"""Sessions, accounts, tokens, permits and the audit chain through the API."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import VerifyMismatchError

import serve.auditing
from actors.store.people import _nobodys
from hoaban.access import Grant, Role, Scope
from hoaban.access.settings import AccessSettings
from hoaban.audit import broken
from tests.api_system import Api, running_api

pytestmark = pytest.mark.integration
PASSWORD = "four random words here"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("accounts")) as running:
        yield running
        records = list(running.app.state.audit.records())
        assert broken(records, running.app.state.audit.head()) == []


@pytest.fixture
def admin(api: Api) -> str:
    return api.token(Role.ADMIN)


def name(of: str = "Lan") -> str:
    return f"{of} {next(_numbers)}"


def sign_in(api: Api, who: str, password: str = PASSWORD) -> Any:
    return api.ask("POST", "/session", None, json={"name": who, "password": password})


def since(api: Api, seq: int) -> list[tuple[str, str, str, str | None]]:
    found, _ = api.app.state.audit.page(limit=1000)
    return [(r.who_name, r.action, r.outcome, r.reason) for r in reversed(found) if r.seq > seq]


def test_passwords_are_kept_by_what_rfc_9106_recommends(real_hasher: PasswordHasher) -> None:
    """Its second choice, for machines that cannot spare 2 GiB a check. The tests themselves use a cheaper one."""
    assert (real_hasher.type, real_hasher.time_cost, real_hasher.memory_cost) == (Type.ID, 3, 64 * 1024)


def test_a_name_that_is_not_there_costs_what_one_that_is_costs(real_hasher: PasswordHasher) -> None:
    assert extract_parameters(_nobodys(real_hasher)) == extract_parameters(real_hasher.hash(PASSWORD))
    with pytest.raises(VerifyMismatchError):  # it was computed: a hash that cannot be read is refused at once
        real_hasher.verify(_nobodys(real_hasher), PASSWORD)


def test_a_person_is_made_signs_in_renews_and_signs_out(api: Api, admin: str) -> None:
    before, who = api.app.state.audit.head()[0], name()
    wanted = {"name": who, "password": PASSWORD, "grants": [{"role": "viewer", "districts": ["north"]}]}
    made = api.ask("POST", "/people", admin, json=wanted)
    assert made.status_code == 201
    assert PASSWORD not in made.text
    assert "argon2" not in made.text
    first = sign_in(api, who).json()["access_token"]
    own = {"old": PASSWORD, "new": PASSWORD[::-1]}
    assert api.ask("PUT", "/session/password", first, json=own).status_code == 204
    session = api.ask("POST", "/session", None, json={"name": who, "password": own["new"]}).json()
    me = api.get("/session", session["access_token"]).json()
    assert (me["name"], me["roles"]) == (who, ["viewer"])
    assert {c["id"] for c in api.get("/cameras", session["access_token"]).json()} == {"gate", "bridge"}
    renewed = api.ask("POST", "/session/renew", None, json={"refresh_token": session["refresh_token"]}).json()
    assert api.get("/session", session["access_token"]).status_code == 401
    assert api.get("/session", renewed["access_token"]).status_code == 200
    assert api.ask("DELETE", "/session", renewed["access_token"]).status_code == 204
    assert api.get("/session", renewed["access_token"]).status_code == 401
    assert api.ask("POST", "/session/renew", None, json={"refresh_token": renewed["refresh_token"]}).status_code == 401
    told = [(person, action) for person, action, outcome, _ in since(api, before) if outcome == "done"]
    expected = ["session.begin", "account.password", "session.begin", "session.end"]
    assert told == [("admin", "account.add"), *((who, action) for action in expected)]


def test_a_stolen_renewal_ends_the_session_for_both(api: Api, admin: str) -> None:
    who = name()
    api.ask("POST", "/people", admin, json={"name": who, "password": PASSWORD})
    first = sign_in(api, who).json()
    second = api.ask("POST", "/session/renew", None, json={"refresh_token": first["refresh_token"]}).json()
    again = api.ask("POST", "/session/renew", None, json={"refresh_token": first["refresh_token"]})
    assert again.status_code == 401
    assert api.get("/session", second["access_token"]).status_code == 401


def test_wrong_passwords_are_the_same_for_any_name_and_soon_no_more_are_tried(tmp_path: Path) -> None:
    limits = {"wrong_passwords_per_name": "3/hour", "wrong_passwords_per_address": "8/hour"}
    with running_api(tmp_path, access=AccessSettings.model_validate({"limits": limits})) as api:
        api.people.add("Lan", password=PASSWORD, by="test")
        api.people.add("Minh", password=PASSWORD, by="test")
        assert sign_in(api, "Lan").status_code == 201
        wrong, nobody = sign_in(api, "Lan", "x"), sign_in(api, "Nobody", "x")
        assert (wrong.status_code, wrong.json()) == (nobody.status_code, nobody.json()) == (401, wrong.json())
        assert [sign_in(api, "Lan", "x").status_code for _ in range(3)] == [401, 401, 429]
        refused = sign_in(api, "Lan")  # the right one: it is not even looked at
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
        assert sign_in(api, "Minh").status_code == 201
        assert [sign_in(api, f"other {n}", "x").status_code for n in range(5)] == [401, 401, 401, 401, 429]
        assert sign_in(api, "Minh").status_code == 429  # and now this address tries no more
        refusals = [r for r in api.app.state.audit.records() if r.outcome == "refused"]
        assert {r.subject for r in refusals} >= {"Lan", "Nobody", "other 0"}


def test_nobody_changes_what_they_themselves_may_do(api: Api) -> None:
    account = api.people.add(name("An"), Role.ADMIN, password=PASSWORD, by="test")
    token = sign_in(api, account.name).json()["access_token"]
    own = f"/people/{account.id}"
    for which in (own, f"/people/{account.name}"):
        assert api.ask("POST", f"{which}/grants", token, json={"role": "officer"}).status_code == 403
    assert api.ask("POST", f"{own}/disable", token).status_code == 403
    assert api.ask("DELETE", f"{own}/grants/{account.grants[0].id}", token).status_code == 403
    assert [given.grant.role for given in api.people.account(account.id).grants] == [Role.ADMIN]


def test_grants_passwords_and_disabling_count_at_once(api: Api, admin: str) -> None:
    account = api.people.add(name(), Role.VIEWER, password=PASSWORD, by="test")
    token = sign_in(api, account.name).json()["access_token"]
    path = f"/people/{account.id}"
    given = api.ask("POST", f"{path}/grants", admin, json={"role": "auditor"}).json()
    grant = next(item["id"] for item in given["grants"] if item["role"] == "auditor")
    assert api.get("/audit", token).status_code == 403  # another admin has not confirmed it
    second = api.people.create_token("second admin", Role.ADMIN)[1]
    assert api.ask("POST", f"{path}/grants/{grant}/confirm", second).status_code == 200
    assert api.get("/audit", token).status_code == 200
    assert api.ask("DELETE", f"{path}/grants/{grant}", admin).status_code == 200
    assert api.get("/audit", token).status_code == 403
    assert api.ask("DELETE", f"{path}/grants/{grant}", admin).status_code == 404
    assert api.ask("PUT", f"{path}/password", admin, json={"password": "short"}).status_code == 422
    assert api.get("/session", token).status_code == 200
    assert api.ask("PUT", f"{path}/password", admin, json={"password": "another four words"}).status_code == 204
    assert api.get("/session", token).status_code == 401
    token = sign_in(api, account.name, "another four words").json()["access_token"]
    own = {"old": "another four words", "new": "words four another"}
    assert api.ask("PUT", "/session/password", token, json={**own, "old": "x"}).status_code == 422
    assert api.ask("PUT", "/session/password", token, json=own).status_code == 204
    token = sign_in(api, account.name, "words four another").json()["access_token"]
    assert api.ask("POST", f"{path}/disable", admin).status_code == 204
    assert api.get("/session", token).status_code == 401
    assert sign_in(api, account.name, "words four another").status_code == 401
    assert api.ask("POST", f"{path}/enable", admin).status_code == 204
    assert sign_in(api, account.name, "words four another").status_code == 201


def test_a_machines_token_cannot_hold_what_takes_a_person(api: Api, admin: str) -> None:
    for grant in ({"role": "officer"}, {"role": "watchlist_approver"}, {"role": "auditor"}, {"role": "admin"}):
        assert api.ask("POST", "/tokens", admin, json={"name": "m", "grants": [grant]}).status_code == 422
    wanted = {"name": "kerb", "grants": [{"role": "admin", "cameras": ["gate"]}]}
    made = api.ask("POST", "/tokens", admin, json=wanted).json()
    assert api.get("/cameras/gate", made["secret"]).status_code == 200
    assert made["secret"] not in api.get("/tokens", admin).text
    assert api.ask("DELETE", f"/tokens/{made['id']}", admin).status_code == 204
    assert api.get("/cameras/gate", made["secret"]).status_code == 401
    over = wanted | {"expires": "2020-01-01T00:00:00Z"}
    assert api.get("/session", api.ask("POST", "/tokens", admin, json=over).json()["secret"]).status_code == 401


# --- looks


def test_a_viewing_is_one_record_however_many_frames(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"s": 1000.0}
    monkeypatch.setattr(serve.auditing.time, "monotonic", lambda: clock["s"])
    token = api.people.create_token(name("watcher"), Role.VIEWER)[1]
    ticket = api.ask("POST", "/tickets", token, json={"cameras": ["gate"]}).json()["gate"]["ticket"]

    def looks() -> int:
        return sum(
            r.action == "picture.look" and r.who_name.startswith("watcher") for r in api.app.state.audit.records()
        )

    def look() -> None:
        assert api.get("/cameras/gate/snapshot.jpg", None, ticket=ticket).status_code == 200

    for _ in range(20):
        look()
        clock["s"] += 30
    assert looks() == 1
    clock["s"] += 61  # nobody looked for a minute
    look()
    assert looks() == 2
    for _ in range(130):
        clock["s"] += 30
        look()
    assert looks() == 3  # it went on for more than an hour
    assert api.get("/cameras/shop/snapshot.jpg", token).status_code == 200
    assert looks() == 4


def test_a_search_is_recorded_and_the_newest_events_are_not(api: Api) -> None:
    token = api.people.create_token(name("seeker"), Role.VIEWER)[1]
    before = api.app.state.audit.head()[0]
    for _ in range(3):
        api.get("/events", token, limit=40)
        api.get("/events", token, camera="gate", since="2026-01-01T00:00:00Z")
    (told,) = since(api, before)
    assert told[1] == "event.search"


# --- permits


def test_unblurred_pixels_need_a_role_a_reason_and_a_permit_and_each_look_is_recorded(api: Api) -> None:
    officer = api.token(Role.OFFICER)
    picture, permit_path = "/cameras/gate/unmasked.jpg", "/cameras/gate/unmask"
    before = api.app.state.audit.head()[0]
    assert api.get(picture, officer).status_code == 403
    for reason in ("", "short", " " * 30):
        assert api.ask("POST", permit_path, officer, json={"reason": reason}).status_code == 422
    reason = "case 12/2026: who drove the car"
    permit = api.ask("POST", permit_path, officer, json={"reason": reason}).json()
    header = {"headers": {"X-Hoaban-Permit": permit["permit"]}}
    for _ in range(2):
        shown = api.ask("GET", picture, officer, **header)
        assert (shown.status_code, shown.content) == (200, b"\xff\xd8unmasked")
        assert shown.headers["cache-control"] == "no-store"
        assert shown.headers["x-hoaban-blur"] == "none"
    told = [(action, outcome, why) for _, action, outcome, why in since(api, before) if outcome == "done"]
    assert told == [("unmask.permit", "done", reason), *[("picture.unmask", "done", reason)] * 2]


def test_a_permit_is_for_one_person_one_camera_and_some_minutes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    officer, other = api.token(Role.OFFICER), api.people.create_token(name("other"), Role.OFFICER)[1]
    permit = api.ask("POST", "/cameras/gate/unmask", officer, json={"reason": "case 13, the plate"}).json()["permit"]
    header = {"headers": {"X-Hoaban-Permit": permit}}
    assert api.ask("GET", "/cameras/bridge/unmasked.jpg", officer, **header).status_code == 403
    assert api.ask("GET", "/cameras/gate/unmasked.jpg", other, **header).status_code == 403
    assert api.ask("GET", "/cameras/gate/unmasked.jpg", api.token(Role.OPERATOR), **header).status_code == 403
    wrong = {"headers": {"X-Hoaban-Permit": permit[:-2] + "xx"}}
    assert api.ask("GET", "/cameras/gate/unmasked.jpg", officer, **wrong).status_code == 403
    ticket = api.ask("POST", "/tickets", officer, json={"cameras": ["gate"]}).json()["gate"]["ticket"]
    assert api.get("/cameras/gate/unmasked.jpg", None, ticket=ticket).status_code == 401  # a ticket is not enough
    assert api.ask("GET", "/cameras/gate/unmasked.jpg", officer, **header).status_code == 200
    monkeypatch.setattr("serve.unmask.PERMIT_LIVES_S", -1)
    over = api.ask("GET", "/cameras/gate/unmasked.jpg", officer, **header)
    assert (over.status_code, "over" in over.json()["detail"]) == (403, True)


# --- the auditor


def test_the_auditor_finds_records_by_who_what_where_and_page(api: Api) -> None:
    auditor, who = api.token(Role.AUDITOR), name("looker")
    token = api.people.create_token(who, Role.VIEWER)[1]
    for camera in ("gate", "bridge", "shop"):
        api.get(f"/cameras/{camera}/snapshot.jpg", token)
    api.get("/people", token)
    mine = api.get("/audit", auditor, who=who).json()["records"]
    assert [r["action"] for r in mine] == ["account.change", *["picture.look"] * 3]
    assert [r["camera"] for r in api.get("/audit", auditor, who=who, camera="shop").json()["records"]] == ["shop"]
    assert len(api.get("/audit", auditor, who=who, action="picture").json()["records"]) == 3
    assert len(api.get("/audit", auditor, who=who, outcome="refused").json()["records"]) == 1
    first = api.get("/audit", auditor, who=who, limit=3).json()
    second = api.get("/audit", auditor, who=who, limit=3, cursor=first["next_cursor"]).json()
    assert first["records"] + second["records"] == mine
    assert second["next_cursor"] is None
    assert api.get("/audit", auditor, who=who, since="2099-01-01T00:00:00Z").json()["records"] == []
    newest = api.get("/audit", auditor, limit=1).json()["records"][0]
    assert (newest["action"], newest["subject"]) == ("audit.read", "records")


def test_misuse_is_told_to_the_auditor(api: Api) -> None:
    account = api.people.add(name("neighbour"), Role.OFFICER, password=PASSWORD, neighbourhood="north", by="test")
    token = sign_in(api, account.name).json()["access_token"]
    permit = api.ask("POST", "/cameras/gate/unmask", token, json={"reason": "I want to see it"}).json()["permit"]
    api.ask("GET", "/cameras/gate/unmasked.jpg", token, headers={"X-Hoaban-Permit": permit})
    told = api.get("/audit/misuse", api.token(Role.AUDITOR)).json()
    assert [(s["who_name"], s["kind"]) for s in told] == [(account.name, "own_neighbourhood")]


# --- limits


def test_who_asks_too_much_waits_and_others_do_not(tmp_path: Path) -> None:
    limits = {"per_person": "20/minute", "per_address": "60/minute"}
    with running_api(tmp_path, access=AccessSettings.model_validate({"limits": limits})) as api:
        one, other = api.token(Role.VIEWER), api.token(Role.ADMIN)
        answers = [api.get("/models", one) for _ in range(25)]
        assert [a.status_code for a in answers] == [200] * 20 + [429] * 5
        assert answers[-1].headers["content-type"] == "application/problem+json"
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert api.get("/models", other).status_code == 200
        assert {api.get("/healthz", None).status_code for _ in range(60)} == {200, 429}  # the address, by now


def test_behind_a_trusted_proxy_the_address_is_that_of_who_asks(tmp_path: Path) -> None:
    access = {"limits": {"per_address": "5/minute"}, "trusted_proxies": ["testclient"]}
    with running_api(tmp_path, access=AccessSettings.model_validate(access)) as api:

        def asked(address: str) -> int:
            return int(api.ask("GET", "/healthz", None, headers={"X-Forwarded-For": address}).status_code)

        assert [asked("10.0.0.1") for _ in range(6)] == [200] * 5 + [429]
        assert asked("10.0.0.2") == 200
        sign = {"json": {"name": "Lan", "password": "x"}, "headers": {"X-Forwarded-For": "10.0.0.3"}}
        api.ask("POST", "/session", None, **sign)
        assert list(api.app.state.audit.records())[-1].detail["address"] == "10.0.0.3"


def test_odd_text_is_answered_in_order_on_each_database(tmp_path: Path, store_url: str) -> None:
    url = store_url.replace("postgresql://", "postgresql+psycopg://")
    with running_api(tmp_path, store_url=url) as api:
        everyone, auditor = api.token(*Role), api.token(Role.AUDITOR)
        odd = ["\x00", "\ud7ff", "'; DROP TABLE audit; --", "%", "_", "\\", "‮", "a" * 3000, "ß" * 70]
        for text in odd:
            for path in ("/events", "/counts", "/audit", "/watchlist"):
                for field in ("camera", "type", "who", "action", "watchlist"):
                    assert api.get(path, everyone, **{field: text}).status_code in (200, 422)
            assert api.get(f"/cameras/{quote(text, safe='')}", everyone).status_code in (404, 422)
            assert api.get(f"/cameras/{quote(text, safe='')}/snapshot.jpg", auditor).status_code in (403, 404, 422)
            assert sign_in(api, text, text).status_code in (401, 422)
            assert api.ask("POST", "/people", everyone, json={"name": text}).status_code in (201, 422)
        who = api.people.add("Lan", Role.VIEWER, password=PASSWORD, by="test")
        token = sign_in(api, "Lan").json()["access_token"]
        assert api.get("/session", token).json()["id"] == who.id
        assert broken(api.app.state.audit.records(), api.app.state.audit.head()) == []


def test_a_grant_in_words_is_what_the_scope_says(api: Api, admin: str) -> None:
    hours = [{"days": ["mon"], "from": "08:00", "to": "17:00"}]
    wanted = {"role": "operator", "agencies": ["ward"], "hours": hours}
    account = api.people.add(name(), by="test")
    api.ask("POST", f"/people/{account.id}/grants", admin, json=wanted)
    (given,) = api.people.account(account.id).grants
    assert given.grant.scope.agencies == frozenset({"ward"})
    assert given.grant == Grant(Role.OPERATOR, Scope(agencies=frozenset({"ward"}), hours=given.grant.scope.hours))
    shown = next(a for a in api.get("/people", admin).json() if a["id"] == account.id)["grants"][0]
    assert (shown["hours"], shown["agencies"], shown["districts"]) == (hours, ["ward"], None)
