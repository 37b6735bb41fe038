"""A person's session of the API: its token renewed while it lasts, for every part of the page that asks at once."""

import threading
import time
from collections.abc import Generator
from typing import Any

import httpx

RENEW_BEFORE_S = 120.0


class SessionAuth(httpx.Auth):
    """Bearer token of a session that began with this answer of POST /session. Thread safe."""

    requires_response_body = True

    def __init__(self, url: str, answer: dict[str, Any]) -> None:
        self._url, self._lock = url.rstrip("/"), threading.Lock()
        self._take(answer)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Renew first when the token is about to end; a session that is over goes on with its dead token: 401."""
        with self._lock:
            if time.monotonic() > self._renew_s:
                refresh = {"refresh_token": self._refresh}
                answer = yield httpx.Request("POST", f"{self._url}/session/renew", json=refresh)
                answer.read()
                if answer.is_success:
                    self._take(answer.json())
            request.headers["Authorization"] = f"Bearer {self._access}"
        yield request

    def _take(self, answer: dict[str, Any]) -> None:
        self._access, self._refresh = answer["access_token"], answer["refresh_token"]
        lives_s = float(answer["expires_in_s"])
        self._renew_s = time.monotonic() + lives_s - min(RENEW_BEFORE_S, lives_s / 4)
