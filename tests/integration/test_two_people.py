"""One admin alone makes nobody who may see, decide, approve or audit; and a record of a change tells how it ended."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hoaban.access import TWO_PEOPLE, Role
from tests.api_system import PASSWORD, Api, running_api

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("two")) as running:
        for name in ("An", "Binh", "Chi"):
            running.people.add(name, Role.ADMIN, password=PASSWORD, by="test")
        yield running


def session(api: Api, name: str, password: str = PASSWORD) -> str:
    answer = api.ask("POST", "/session", None, json={"name": name, "password": password})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["access_token"])


def roles(api: Api, name: str, password: str = PASSWORD) -> list[str]:
    return list(api.get("/session", session(api, name, password)).json()["roles"])


@pytest.mark.parametrize("role", sorted(TWO_PEOPLE))
@pytest.mark.parametrize("way", ["with the account", "afterwards"])
def test_a_role_that_takes_two_gives_nothing_before_another_admin_confirms(api: Api, role: Role, way: str) -> None:
    an, binh, puppet = session(api, "An"), session(api, "Binh"), f"{role} {way}"
    wanted: dict[str, Any] = {"name": puppet, "password": PASSWORD}
    if way == "with the account":
        wanted["grants"] = [{"role": role}]
    made = api.ask("POST", "/people", an, json=wanted).json()
    path = f"/people/{made['id']}"
    if way == "afterwards":
        made = api.ask("POST", f"{path}/grants", an, json={"role": role}).json()
    (grant,) = made["grants"]
    assert (grant["waits"], roles(api, puppet)) == (True, [])
    assert api.ask("POST", f"{path}/grants/{grant['id']}/confirm", an).status_code == 403
    assert api.ask("POST", f"{path}/grants/{grant['id']}/confirm", session(api, puppet)).status_code == 403
    assert roles(api, puppet) == []
    confirmed = api.ask("POST", f"{path}/grants/{grant['id']}/confirm", binh).json()["grants"][0]
    assert (confirmed["waits"], confirmed["confirmed_by"]) == (False, "Binh")
    assert roles(api, puppet) == [role]
    assert api.ask("POST", f"{path}/grants/{grant['id']}/confirm", binh).status_code == 404


def test_an_operator_needs_one_admin(api: Api) -> None:
    wanted = {"name": "op", "password": PASSWORD, "grants": [{"role": "operator"}]}
    api.ask("POST", "/people", session(api, "An"), json=wanted)
    assert roles(api, "op") == ["operator"]


def test_who_sets_another_admins_password_does_not_become_them(api: Api) -> None:
    an, chi = session(api, "An"), api.people.account("Chi")
    assert api.ask("PUT", f"/people/{chi.id}/password", an, json={"password": "another four words"}).status_code == 204
    assert roles(api, "Chi", "another four words") == []
    confirm = f"/people/{chi.id}/grants/{chi.grants[0].id}/confirm"
    assert api.ask("POST", confirm, an).status_code == 403
    assert api.ask("POST", confirm, session(api, "Binh")).status_code == 200
    assert roles(api, "Chi", "another four words") == ["admin"]


def test_a_new_password_does_not_let_who_proposed_a_grant_confirm_it(api: Api) -> None:
    an, binh = session(api, "An"), session(api, "Binh")
    wanted = {"name": "proposed", "password": PASSWORD, "grants": [{"role": "officer"}]}
    made = api.ask("POST", "/people", an, json=wanted).json()
    (grant,) = made["grants"]
    reset = api.ask("PUT", f"/people/{made['id']}/password", binh, json={"password": "another four words"})
    assert reset.status_code == 204
    confirm = f"/people/{made['id']}/grants/{grant['id']}/confirm"
    assert api.ask("POST", confirm, an).status_code == 403
    assert api.ask("POST", confirm, binh).status_code == 200


def test_the_only_other_admins_password_is_not_set_by_http(tmp_path: Path) -> None:
    with running_api(tmp_path) as own:
        for name in ("An", "Chi"):
            own.people.add(name, Role.ADMIN, password=PASSWORD, by="test")
        own.people.add("Gone", Role.ADMIN, password=PASSWORD, by="test")
        own.people.set_disabled("Gone", True)
        an, another = session(own, "An"), {"password": "another four words"}
        refused = own.ask("PUT", "/people/Chi/password", an, json=another)
        assert (refused.status_code, "add a third admin" in refused.json()["detail"]) == (409, True)
        assert roles(own, "Chi") == ["admin"]
        own.people.set_disabled("Gone", False)
        assert own.ask("PUT", "/people/Chi/password", an, json=another).status_code == 204


def test_a_change_is_told_before_and_after(api: Api) -> None:
    an, before = session(api, "An"), api.app.state.audit.head()[0]
    api.ask("POST", "/people", an, json={"name": "twice", "password": PASSWORD})
    api.ask("POST", "/people", an, json={"name": "twice", "password": PASSWORD})
    told = [(r.action, r.outcome) for r in api.app.state.audit.records(before)]
    assert told == [("account.add", how) for how in ("begun", "done", "begun", "failed")]


def test_a_change_whose_beginning_cannot_be_told_is_not_made(tmp_path: Path) -> None:
    with running_api(tmp_path) as own:
        admin = own.token(Role.ADMIN)
        with own.store.engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE audit")
        assert own.ask("POST", "/people", admin, json={"name": "x", "password": PASSWORD}).status_code == 503
        assert own.people.accounts() == []
