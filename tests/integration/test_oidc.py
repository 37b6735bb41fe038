"""Tokens of a real OpenID Connect provider (npm's oidc-provider, run here): taken when they are good, and only then."""

import base64
import fcntl
import hmac
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

import serve.oidc
from actors.processes import die_with_parent, end
from hoaban.access import Role
from hoaban.access.settings import AccessSettings
from tests.api_system import Api, running_api
from tests.integration.test_cases_api import incident

pytestmark = pytest.mark.integration
HERE = Path(__file__).resolve().parents[1] / "oidc"
VERSION = "8.8.1"
AUDIENCE = "urn:hoaban:api"
KEPT = Path.home() / ".cache" / "hoaban" / "tests" / f"oidc-provider-{VERSION}"


class RunningProvider:
    def __init__(self, folder: Path, modules: Path) -> None:
        self._folder, self._modules = folder, modules
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.keys = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
        self._process: subprocess.Popen[str] | None = None
        self.http = httpx.Client(trust_env=False, timeout=20)

    def start(self) -> None:
        file = self._folder / "jwks.json"
        file.write_text(json.dumps({"keys": [self.keys.as_dict(private=True)]}))
        shutil.copy(HERE / "provider.js", self._modules.parent / "provider.js")
        command = ["node", str(self._modules.parent / "provider.js"), str(self.port), str(file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
        assert self._process.stdout is not None
        assert any("ready" in line for line in self._process.stdout)

    def stop(self) -> None:
        end(self._process)

    def token(self, scope: str, audience: str = AUDIENCE) -> str:
        wanted = {"grant_type": "client_credentials", "scope": scope, "resource": audience}
        answer = self.http.post(f"{self.issuer}/token", data=wanted, auth=("lan", "only-for-this-test"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@pytest.fixture(scope="module")
def modules() -> Path:
    """npm's oidc-provider, installed once on this machine."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (KEPT / "node_modules" / "oidc-provider").is_dir():
            command = ["npm", "install", "--no-audit", "--no-fund", f"oidc-provider@{VERSION}"]
            if subprocess.run(command, cwd=KEPT, capture_output=True).returncode:
                pytest.skip("npm reaches no registry to install oidc-provider from")
    return KEPT / "node_modules"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory, modules: Path) -> Iterator[RunningProvider]:
    running = RunningProvider(tmp_path_factory.mktemp("provider"), modules)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, provider: RunningProvider) -> Iterator[Api]:
    grants = [
        {"claim": "groups", "value": "officers", "role": "officer", "districts": ["north"]},
        {"claim": "groups", "value": "operators", "role": "operator"},
    ]
    oidc = {"issuer": provider.issuer, "audience": AUDIENCE, "grants": grants, "leeway_s": 0, "agency_claim": "unit"}
    access = AccessSettings.model_validate({"oidc": oidc})
    with running_api(tmp_path_factory.mktemp("api"), access=access) as running:
        yield running


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def test_the_claims_of_a_token_are_its_grants(api: Api, provider: RunningProvider) -> None:
    me = api.get("/session", provider.token("officers")).json()
    assert (me["name"], me["agency"], me["roles"]) == ("Lan", "police", ["officer"])
    assert {c["id"] for c in api.get("/cameras", provider.token("officers")).json()} == {"gate", "bridge"}
    assert api.get("/cameras", provider.token("brief")).status_code == 403  # known, and granted nothing
    assert api.get("/session", provider.token("operators")).json()["id"] == me["id"]


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
