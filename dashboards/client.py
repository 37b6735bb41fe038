"""The API as the pages see it."""

import os
import ssl
from collections.abc import Generator
from functools import cache
from typing import Any, NotRequired, TypedDict, cast

import httpx

from dashboards import viewer
from dashboards.case_calls import CaseCalls
from dashboards.evidence_calls import EvidenceCalls
from dashboards.governing_calls import GoverningCalls
from dashboards.signed_in import SessionAuth
from dashboards.traffic_calls import TrafficCalls

TIMEOUT = httpx.Timeout(5.0, connect=2.0)


class Status(TypedDict):
    """A camera's newest report. Times are seconds since 1970 UTC, rates per second, latencies in seconds."""

    state: str
    state_since_s: float
    reported_s: float
    last_frame_s: float | None
    last_analysed_s: NotRequired[float | None]
    analysis_age_s: NotRequired[float | None]
    not_analysed: NotRequired[str | None]
    pre_roll_short: NotRequired[str | None]
    error: str | None
    width: int | None
    height: int | None
    codec: NotRequired[str | None]
    decoded_fps: float
    analysed_fps: float
    target_fps: float
    decode_errors: NotRequired[int]
    reconnects: NotRequired[int]
    events_spooled: NotRequired[int]
    tracks: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    latency: NotRequired[dict[str, Any] | None]
    zones: NotRequired[dict[str, dict[str, int]]]
    measures: NotRequired[dict[str, dict[str, Any]]]
    model: dict[str, str] | None
    simulated: bool


class Camera(TypedDict):
    """A camera's configuration and its newest report, None when it gives none."""

    id: str
    name: str
    role: str
    district: str
    owner: str
    location: NotRequired[dict[str, Any] | None]
    source: str
    enabled: bool
    analysis_fps: float
    zones: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    heat_map: NotRequired[dict[str, Any] | None]
    status: Status | None


class StoredEvent(TypedDict):
    """seq: the event's number in the store. event: CloudEvents 1.0 JSON."""

    seq: int
    event: dict[str, Any]


class Fleet(TypedDict):
    """The fleet that runs; errors say why the last edit of its file was refused."""

    province: dict[str, Any] | None
    districts: list[dict[str, Any]]
    agencies: NotRequired[list[dict[str, Any]]]
    cameras: NotRequired[list[dict[str, Any]]]
    retention: NotRequired[dict[str, Any] | None]
    digest: NotRequired[str | None]
    taken_at: NotRequired[str | None]
    errors: list[str]


class Ticket(TypedDict):
    """Permits one camera's pictures for expires_in_s seconds."""

    ticket: str
    expires_in_s: int


class ApiError(Exception):
    """The API did not answer (status None), or refused; the message is for the person at the screen."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Bearer(httpx.Auth):
    """A token that stays as it is."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


class ApiClient(CaseCalls, EvidenceCalls, GoverningCalls, TrafficCalls):
    """Calls to the API at `url` (…/api/v1) with a bearer token. Thread safe; every call raises ApiError."""

    def __init__(self, url: str, credential: str | httpx.Auth) -> None:
        """credential: a token, or the auth of a session."""
        self.url = url.rstrip("/")
        self.must_change_password = False
        auth = credential if isinstance(credential, httpx.Auth) else _Bearer(credential)
        # The API is named by its operator: a proxy of the environment is for other addresses.
        self._http = httpx.Client(auth=auth, timeout=TIMEOUT, trust_env=False, verify=_trusted())

    @classmethod
    def signing_in(cls, url: str, name: str, password: str, address: str = "") -> "ApiClient":
        """A client for a person's own session. address: of their browser (dashboards/viewer.py)."""
        anyone = cls(url, httpx.Auth())
        headers = viewer.told(address) if address else {}
        answer = anyone._call("POST", "/session", json={"name": name, "password": password}, headers=headers)
        return cls._in_session(url, answer)

    @classmethod
    def redeeming(cls, url: str, code: str, browser: str, address: str = "") -> "ApiClient":
        """A client for who signed in at an identity provider. code: of the address. browser: its cookie."""
        headers = {"X-Forwarded-For": address} if address else {}
        given = {"code": code, "browser": browser}
        answer = cls(url, httpx.Auth())._call("POST", "/auth/oidc/session", json=given, headers=headers)
        return cls._in_session(url, answer)

    @classmethod
    def _in_session(cls, url: str, answer: dict[str, Any]) -> "ApiClient":
        client = cls(url, SessionAuth(url, answer))
        client.must_change_password = bool(answer.get("must_change_password"))
        return client

    @classmethod
    def provider_start(cls, url: str) -> str | None:
        """Where a browser begins to sign in at an identity provider; None where there is none."""
        return cast(str | None, cls(url, httpx.Auth())._call("GET", "/auth/oidc")["start"])

    def change_password(self, old: str, new: str) -> "ApiClient":
        """Change one's own; the session ends, and a new one is begun."""
        name = self._call("GET", "/session")["name"]
        answer = self._answer("PUT", "/session/password", json={"old": old, "new": new})
        if not answer.is_success:
            self._document(answer, "/session/password")
        return type(self).signing_in(self.url, name, new)

    def sign_out(self) -> None:
        """End the session."""
        self._answer("DELETE", "/session")

    def me(self) -> dict[str, Any]:
        """Who the token speaks for: {"id", "name", "agency", "roles", "permissions"}."""
        return cast(dict[str, Any], self._call("GET", "/session"))

    def cameras(self) -> list[Camera]:
        return cast(list[Camera], self._call("GET", "/cameras"))

    def events(
        self,
        limit: int = 40,
        type: str | None = None,
        camera: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[StoredEvent]:
        """The newest events, the newest first. type: as in the event, "hoaban.line_count". since, until: RFC 3339."""
        wanted = {"limit": limit, "type": type, "camera": camera, "since": since, "until": until}
        return cast(list[StoredEvent], self._call("GET", "/events", params=_given(wanted))["events"])

    def fleet(self) -> Fleet:
        return cast(Fleet, self._call("GET", "/fleet"))

    def tickets(self, cameras: list[str]) -> dict[str, Ticket]:
        """camera id -> a ticket for its pictures."""
        return cast(dict[str, Ticket], self._call("POST", "/tickets", json={"cameras": cameras}))

    def _call(self, method: str, path: str, **more: Any) -> Any:
        return self._document(self._answer(method, path, **more), path)

    def _done(self, method: str, path: str, **more: Any) -> None:
        answer = self._answer(method, path, **more)
        if not answer.is_success:
            self._document(answer, path)

    def _bytes(self, path: str, **more: Any) -> bytes:
        answer = self._answer("GET", path, **more)
        return answer.content if answer.is_success else cast(bytes, self._document(answer, path))

    def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, self.url + path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiError(f"{self.url}: {error or type(error).__name__}") from None

    def _document(self, answer: httpx.Response, path: str) -> Any:
        """What a JSON answer holds. Raises ApiError for a refusal, and for an answer of another kind."""
        try:
            document = answer.json()
        except ValueError:
            # An answer that is no JSON comes from something between us and the API.
            raise ApiError(
                f"{self.url}{path}: HTTP {answer.status_code}, not JSON",
                answer.status_code if answer.is_error else None,
            ) from None
        if answer.is_success:
            return document
        detail = document.get("detail") if isinstance(document, dict) else None
        raise ApiError(str(detail or answer.reason_phrase), answer.status_code)


@cache
def _any_good_one() -> ssl.SSLContext:
    """Trusts the authorities of the whole web. Made once: to read them takes 40 ms, and each session has a client."""
    return httpx.create_ssl_context(trust_env=False)


def _trusted() -> ssl.SSLContext:
    """Whose certificate an https API may show: HOABAN_API_CERTIFICATE alone, under whatever name; else any good one."""
    pinned = os.environ.get("HOABAN_API_CERTIFICATE")
    if not pinned:
        return _any_good_one()
    context = ssl.create_default_context(cafile=pinned)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # it is this very certificate that is trusted, not a name
    return context


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
