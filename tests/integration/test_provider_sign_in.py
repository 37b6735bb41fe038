"""Signing in at a real OpenID Connect provider: code flow with PKCE, bound to one browser, each step once."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

import serve.provider_sign_in
from actors.store.grants import digest_of
from hoaban.access import Role
from tests.api_system import PASSWORD, Api, running_api
from tests.integration.test_cases_api import incident
from tests.provider_system import CALLBACK, DASHBOARD, SECRET, RunningProvider, api, provider, running_provider  # noqa: F401

pytestmark = pytest.mark.integration
COOKIE = "hoaban-sign-in"


def query(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@dataclass
class Browser:
    """One browser: its cookie for the API, and what is asked with it. Its cookies at the provider are its own, too."""

    api: Api
    cookie: str = ""

    def start(self, **parameters: str) -> str:
        """The address at the provider that the API sends it to."""
        answer = self.api.ask("GET", "/auth/oidc/start", None, params=parameters, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        set_cookie = answer.headers["set-cookie"]
        for part in ("Secure", "HttpOnly", "SameSite=lax", "Path=/"):
            assert part in set_cookie
        self.cookie = set_cookie.partition(f"{COOKIE}=")[2].partition(";")[0]
        return str(answer.headers["location"])

    def at_provider(self, address: str, who: str) -> dict[str, str]:
        """What the provider sends it back with."""
        with httpx.Client(trust_env=False, timeout=20) as client:
            answer = client.get(address + "&" + urlencode({"login_hint": who}))
            while answer.is_redirect and not answer.headers["location"].startswith(CALLBACK):
                answer = client.get(str(answer.url.join(answer.headers["location"])))
        assert answer.is_redirect, answer.text
        return query(answer.headers["location"])

    def back(self, **given: str) -> dict[str, str]:
        """What the dashboard is told after the callback."""
        cookies = {"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        answer = self.api.ask("GET", "/auth/oidc/callback", None, params=given, headers=cookies, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(f"{DASHBOARD}?")
        return query(answer.headers["location"])

    def redeem(self, handover: str) -> Any:
        return self.api.ask("POST", "/auth/oidc/session", None, json={"code": handover, "browser": self.cookie})

    def sign_in(self, who: str) -> str:
        """An access token."""
        handover = self.back(**self.at_provider(self.start(), who))["handover"]
        answer = self.redeem(handover)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api)


def test_who_signs_in_at_the_provider_has_a_session_like_any(browser: Browser, api: Api) -> None:
    asked = query(browser.start())
    assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
    assert {"code_challenge", "nonce", "state"} <= set(asked)
    assert "code_verifier" not in asked
    handover = browser.back(**browser.at_provider(browser.start(), "Hoa:operators"))["handover"]
    session = browser.redeem(handover).json()
    me = api.get("/session", session["access_token"]).json()
    assert (me["name"], me["agency"], me["roles"]) == ("Hoa", "police", ["operator"])
    renewed = api.ask("POST", "/session/renew", None, json={"refresh_token": session["refresh_token"]}).json()
    assert api.get("/session", renewed["access_token"]).json()["roles"] == ["operator"]
    assert api.ask("DELETE", "/session", renewed["access_token"]).status_code == 204
    assert api.get("/session", renewed["access_token"]).status_code == 401
    assert browser.redeem(handover).status_code == 401
    told = [r.detail for r in api.app.state.audit.records() if r.action == "session.begin" and r.outcome == "done"]
    assert [detail["issuer"] for detail in told] == [api.get("/auth/oidc", None).json()["issuer"]]


def test_who_has_such_a_session_can_be_given_a_case_until_it_ends(browser: Browser, api: Api) -> None:
    number = incident(api, "gate")

    def names() -> list[str]:
        return [one["name"] for one in api.get(f"/incidents/{number}/assignees", api.token(Role.OPERATOR)).json()]

    assert "Mai" not in names()
    token = browser.sign_in("Mai:operators")
    assert "Mai" in names()
    api.people.set_disabled("Mai", True)
    assert "Mai" not in names()
    api.people.set_disabled("Mai", False)
    token = browser.sign_in("Mai:operators")
    answer = api.ask("POST", f"/incidents/{number}/assign", token, json={"version": 1, "assignee": "Mai"})
    assert (answer.status_code, answer.json()["assignee"]) == (200, "Mai")
    assert api.ask("DELETE", "/session", token).status_code == 204
    assert "Mai" not in names()


def test_each_step_is_good_once_and_only_for_the_browser_that_began(browser: Browser, api: Api) -> None:
    given = browser.at_provider(browser.start(), "Hoa:operators")
    other = Browser(api)
    other.start()
    assert other.back(**given) == {"sign_in_failed": "another_browser"}
    assert browser.back(**given) == {"sign_in_failed": "over"}  # it was shown, so it is spent

    given = browser.at_provider(browser.start(), "Hoa:operators")
    assert Browser(api).back(**given) == {"sign_in_failed": "another_browser"}  # without any cookie
    given = browser.at_provider(browser.start(), "Hoa:operators")
    assert browser.back(**given | {"state": "x" * 43}) == {"sign_in_failed": "over"}
    assert browser.back(code=given["code"]) == {"sign_in_failed": "over"}
    handover = browser.back(**given)["handover"]
    assert browser.back(**given) == {"sign_in_failed": "over"}
    assert "another browser" in other.redeem(handover).json()["detail"]
    assert browser.redeem(handover).status_code == 401  # spent


def test_a_code_without_its_verifier_is_worth_nothing(browser: Browser, api: Api, provider: RunningProvider) -> None:
    given = browser.at_provider(browser.start(), "Hoa:operators")
    wanted = {"grant_type": "authorization_code", "code": given["code"], "redirect_uri": CALLBACK}
    for verifier in ({}, {"code_verifier": "v" * 64}):  # also for who has stolen the client's secret
        answer = provider.http.post(f"{provider.issuer}/token", data=wanted | verifier, auth=("dashboard", SECRET))
        assert answer.json()["error"] == "invalid_grant"
    # Another's code, put into an own attempt.
    stolen = browser.at_provider(browser.start(), "Hoa:operators")["code"]
    thief = Browser(api)
    own = thief.at_provider(thief.start(), "Eve:operators")
    assert thief.back(**own | {"code": stolen}) == {"sign_in_failed": "refused"}


def test_what_goes_wrong_is_told_by_its_name(
    browser: Browser, api: Api, provider: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert browser.back(**browser.at_provider(browser.start(), "deny")) == {"sign_in_failed": "refused"}
    given = browser.at_provider(browser.start(), "Hoa:operators")
    assert browser.back(**given | {"iss": "http://another"}) == {"sign_in_failed": "refused"}
    with monkeypatch.context() as patched:
        patched.setattr(serve.provider_sign_in, "ATTEMPT_LIVES_S", 0.05)
        address = browser.start()
        given = browser.at_provider(address, "Hoa:operators")
        time.sleep(0.1)
        assert browser.back(**given) == {"sign_in_failed": "over"}
    browser.sign_in("Tam:operators")
    api.people.set_disabled("Tam", True)
    given = browser.at_provider(browser.start(), "Tam:operators")
    assert browser.back(**given) == {"sign_in_failed": "disabled"}
    given = browser.at_provider(browser.start(), "Hoa:operators")
    provider.stop()
    try:
        assert browser.back(**given) == {"sign_in_failed": "away"}
    finally:
        provider.start()


def test_a_token_that_is_not_for_this_sign_in_is_refused(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = serve.provider_sign_in.Notes.put

    def another_nonce(notes: Any, kind: str, name: str, document: dict[str, Any], lives_s: float) -> None:
        put(notes, kind, name, document | ({"nonce": "n" * 43} if kind == "attempt" else {}), lives_s)

    monkeypatch.setattr(serve.provider_sign_in.Notes, "put", another_nonce)
    given = browser.at_provider(browser.start(), "Hoa:operators")
    assert browser.back(**given) == {"sign_in_failed": "refused"}


def test_the_browser_is_sent_nowhere_but_to_the_provider_and_the_dashboard(browser: Browser, api: Api) -> None:
    elsewhere = "https://evil.example/"
    tried = dict.fromkeys(("next", "redirect_uri", "return_to", "dashboard", "issuer"), elsewhere)
    asked = query(browser.start(**tried))
    assert asked["redirect_uri"] == CALLBACK
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    for path in ("start", "callback"):
        answer = api.ask("GET", f"/auth/oidc/{path}", None, params=tried, headers=headers, follow_redirects=False)
        assert "evil" not in answer.headers["location"]
    assert "handover" in browser.back(**tried, **browser.at_provider(browser.start(**tried), "Hoa:operators"))


def test_what_another_wrote_into_the_live_store_signs_nobody_in(browser: Browser, api: Api) -> None:
    browser.start()
    document = {"browser": digest_of(browser.cookie), "person": api.people.accounts()[0].id, "claims": {}}
    api.board.note_once(f"handover:{digest_of('mine')}", {"signed": "x.y.z"} | document, 60)
    assert browser.redeem("mine").status_code == 401


def test_without_the_setting_nobody_signs_in_at_a_provider(tmp_path: Path) -> None:
    with running_api(tmp_path) as bare:
        assert bare.get("/auth/oidc", None).json() == {"issuer": None, "start": None}
        for answer in (bare.get("/auth/oidc/start", None), Browser(bare).redeem("x")):
            assert (answer.status_code, "oidc.sign_in" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize(("group", "role"), [("officers", Role.OFFICER), ("admins", Role.ADMIN)])
def test_a_group_at_the_provider_makes_no_officer_and_no_admin_alone(
    browser: Browser, api: Api, group: str, role: Role
) -> None:
    name = f"New {role}"
    token = browser.sign_in(f"{name}:{group}")
    for _ in range(2):  # it was noted at the sign-in, and waits at each request after it
        assert api.get("/session", token).json()["roles"] == []
    (waiting,) = api.people.account(name).grants
    assert (waiting.waits, waiting.provided, waiting.grant.role) == (True, True, role)
    confirm = f"/people/{api.people.account(name).id}/grants/{waiting.id}/confirm"
    assert api.ask("POST", confirm, token).status_code == 403
    assert api.ask("POST", confirm, api.token(Role.ADMIN)).status_code == 200
    assert api.get("/session", token).json()["roles"] == [role]
    again = browser.sign_in(f"{name}:{group}")
    assert api.get("/session", again).json()["roles"] == [role]  # asked once
    # It counts by the claims alone: not in a session that began with a password here, and not without the group.
    api.people.set_password(name, PASSWORD)
    by_password = api.ask("POST", "/session", None, json={"name": name, "password": PASSWORD}).json()["access_token"]
    assert api.get("/session", by_password).json()["roles"] == []
    again = browser.sign_in(f"{name}:{group}")
    api.people.revoke(name, waiting.id)
    for _ in range(2):
        assert api.get("/session", again).json()["roles"] == []
    assert [given.waits for given in api.people.account(name).grants] == [True]
