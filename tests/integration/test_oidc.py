"""Tokens of a real OpenID Connect provider (npm's oidc-provider, run here): taken when they are good, and only then."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

import serve.oidc
from hoaban.access import Role
from tests.api_system import Api
from tests.integration.test_cases_api import incident
from tests.provider_system import RunningProvider, api, provider, running_provider  # noqa: F401

pytestmark = pytest.mark.integration


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_the_claims_of_a_token_are_its_grants(api: Api, provider: RunningProvider) -> None:
    operator = api.get("/session", provider.token("operators")).json()
    assert (operator["name"], operator["agency"], operator["roles"]) == ("Lan", "police", ["operator"])
    me = api.get("/session", provider.token("officers")).json()
    assert me["roles"] == []  # an officer takes two: the provider, and an admin here
    (waiting,) = api.people.account("Lan").grants
    assert api.ask("POST", f"/people/Lan/grants/{waiting.id}/confirm", api.token(Role.ADMIN)).status_code == 200
    assert api.get("/session", provider.token("officers")).json()["roles"] == ["officer"]
    assert {c["id"] for c in api.get("/cameras", provider.token("officers")).json()} == {"gate", "bridge"}
    assert api.get("/cameras", provider.token("brief")).status_code == 403  # known, and granted nothing
    assert operator["id"] == me["id"]
    assert api.get("/session", provider.token("operators")).json()["roles"] == ["operator"]  # what this token says


def test_what_is_not_good_is_refused(api: Api, provider: RunningProvider) -> None:
    good = provider.token("operators")
    claims = claims_of(good)
    head, body, signature = good.split(".")
    none = encoded({"alg": "none", "typ": "at+jwt"})
    hs256 = encoded({"alg": "HS256", "kid": "first"})
    public = provider.keys.as_pem(private=False)
    mac = base64.urlsafe_b64encode(hmac.digest(public, f"{hs256}.{body}".encode(), "sha256")).decode().rstrip("=")
    other_key = RSAKey.generate_key(2048, {"kid": "first"})
    wider = {**claims, "groups": ["officers", "operators"]}
    changed = encoded(wider)
    bad = {
        "another audience": provider.token("operators", "urn:another:api"),
        "alg none": f"{none}.{body}.",
        "alg none, signed": f"{none}.{body}.{signature}",
        "changed claims": f"{head}.{changed}.{signature}",
        "another key": jwt.encode({"alg": "RS256", "kid": "first"}, claims, other_key),
        "the public key as a secret": f"{hs256}.{body}.{mac}",
        "another issuer": jwt.encode({"alg": "RS256", "kid": "first"}, {**claims, "iss": "http://x"}, provider.keys),
        "no end": jwt.encode(
            {"alg": "RS256", "kid": "first"}, {k: v for k, v in claims.items() if k != "exp"}, provider.keys
        ),
        "over": jwt.encode({"alg": "RS256", "kid": "first"}, {**claims, "exp": int(time.time()) - 1}, provider.keys),
        "no token": "a.b.c",
    }
    assert api.get("/session", good).status_code == 200
    for what, token in bad.items():
        assert api.get("/session", token).status_code == 401, what
    assert api.get("/session", jwt.encode({"alg": "RS256", "kid": "first"}, claims, provider.keys)).status_code == 200


def test_a_token_and_its_ticket_end_when_it_is_over(api: Api, provider: RunningProvider) -> None:
    token = provider.token("operators brief")
    ticket = api.ask("POST", "/tickets", token, json={"cameras": ["gate"]}).json()["gate"]["ticket"]
    assert api.get("/cameras/gate/snapshot.jpg", None, ticket=ticket).status_code == 200
    ends_s = claims_of(token)["exp"] + 1.2  # and what is kept of a credential
    time.sleep(max(0.0, ends_s - time.time()))
    assert api.get("/session", token).status_code == 401
    assert api.get("/cameras/gate/snapshot.jpg", None, ticket=ticket).status_code == 401


def test_a_person_shut_out_here_stays_out_whatever_the_provider_says(api: Api, provider: RunningProvider) -> None:
    token = provider.token("operators")
    api.people.set_disabled("Lan", True)
    assert api.get("/session", token).status_code == 401
    api.people.set_disabled("Lan", False)
    assert api.get("/session", token).status_code == 200


def test_whom_the_provider_sends_can_be_given_a_case_while_its_word_lasts(api: Api, provider: RunningProvider) -> None:
    token, number = provider.token("operators"), incident(api, "gate")
    api.people.add("Mây", Role.OPERATOR, issuer=("https://elsewhere", "may"), by="test")  # the grant gives nothing

    def names() -> list[str]:
        return [one["name"] for one in api.get(f"/incidents/{number}/assignees", api.token(Role.OPERATOR)).json()]

    assert api.get("/session", token).status_code == 200
    assert names() == ["Lan"]
    api.people.set_disabled("Lan", True)
    assert names() == []
    api.people.set_disabled("Lan", False)
    answer = api.ask("POST", f"/incidents/{number}/assign", token, json={"version": 1, "assignee": "Lan"})
    assert (answer.status_code, answer.json()["assignee"]) == (200, "Lan")


def test_keys_that_were_rotated_are_found_and_the_old_are_dead(
    api: Api, provider: RunningProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = provider.token("operators")
    old_keys = provider.keys
    provider.stop()
    assert api.get("/session", old).status_code == 200  # the keys are known while the provider is away
    provider.keys = RSAKey.generate_key(2048, {"kid": "second", "use": "sig", "alg": "RS256"})
    provider.start()
    new = provider.token("operators")
    monkeypatch.setattr(serve.oidc, "REFETCH_S", 3600.0)
    assert api.get("/session", new).status_code == 401  # asked for its keys a moment ago: not again for each token
    monkeypatch.setattr(serve.oidc, "REFETCH_S", 0.0)
    assert api.get("/session", new).status_code == 200
    assert api.get("/session", old).status_code == 401
    forged = jwt.encode({"alg": "RS256", "kid": "first"}, claims_of(old), old_keys)
    assert api.get("/session", forged).status_code == 401
