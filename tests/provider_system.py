"""A real OpenID Connect provider for the tests: npm's oidc-provider, run here (tests/oidc/provider.js)."""

import fcntl
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from actors.processes import dying_with_us, end
from hoaban.access.settings import AccessSettings
from tests.api_system import Api, running_api

HERE = Path(__file__).resolve().parent / "oidc"
VERSION = "8.8.1"
AUDIENCE = "urn:hoaban:api"
KEPT = Path.home() / ".cache" / "hoaban" / "tests" / f"oidc-provider-{VERSION}"
CALLBACK = "http://127.0.0.1:8499/api/v1/auth/oidc/callback"
DASHBOARD = "http://127.0.0.1:8498/"
SECRET = "only-for-this-dashboard"
GROUPS = [
    {"claim": "groups", "value": "officers", "role": "officer", "districts": ["north"]},
    {"claim": "groups", "value": "operators", "role": "operator"},
    {"claim": "groups", "value": "admins", "role": "admin"},
]


class RunningProvider:
    def __init__(self, folder: Path, modules: Path, callback: str) -> None:
        self._folder, self._modules, self._callback = folder, modules, callback
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
        command = ["node", str(self._modules.parent / "provider.js"), str(self.port), str(file), self._callback]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=dying_with_us())
        assert self._process.stdout is not None
        assert any("ready" in line for line in self._process.stdout)

    def stop(self) -> None:
        end(self._process)

    def settings(self, **sign_in: str) -> dict[str, Any]:
        """The access file's part on this provider."""
        client = {"client_id": "dashboard", "client_secret": SECRET, "callback": CALLBACK, "dashboard": DASHBOARD}
        return {
            "issuer": self.issuer,
            "audience": AUDIENCE,
            "grants": GROUPS,
            "leeway_s": 0,
            "agency_claim": "unit",
            "sign_in": client | sign_in,
        }

    def token(self, scope: str, audience: str = AUDIENCE) -> str:
        wanted = {"grant_type": "client_credentials", "scope": scope, "resource": audience}
        answer = self.http.post(f"{self.issuer}/token", data=wanted, auth=("lan", "only-for-this-test"))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def _modules() -> Path:
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


@contextmanager
def running_provider(folder: Path, callback: str = CALLBACK) -> Iterator[RunningProvider]:
    running = RunningProvider(folder, _modules(), callback)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    """For test files that import it."""
    with running_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, provider: RunningProvider) -> Iterator[Api]:
    """An API whose people sign in at the provider."""
    access = AccessSettings.model_validate({"oidc": provider.settings()})
    with running_api(tmp_path_factory.mktemp("api"), access=access) as running:
        yield running
