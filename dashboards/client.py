"""The API as the pages see it."""

from dataclasses import dataclass
from typing import Any

import httpx


class ApiError(Exception):
    """The API did not answer, or refused; the message is for the person at the screen."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Calls to the API at `url` (…/api/v1) with a bearer token."""

    url: str
    token: str

    def cameras(self) -> list[dict[str, Any]]:
        return self._call("GET", "/cameras")

    def events(self, limit: int = 30, **filters: Any) -> list[dict[str, Any]]:
        """{seq, event} of the newest events, the newest first."""
        wanted = {key: value for key, value in filters.items() if value}
        return self._call("GET", "/events", params={"limit": limit, **wanted})["events"]

    def counts(self, bucket_s: int | None = None, since: str | None = None) -> list[dict[str, Any]]:
        params = {"bucket": bucket_s, "since": since}
        return self._call("GET", "/counts", params={k: v for k, v in params.items() if v is not None})

    def fleet(self) -> dict[str, Any]:
        return self._call("GET", "/fleet")

    def tickets(self, cameras: list[str]) -> dict[str, dict[str, Any]]:
        return self._call("POST", "/tickets", json={"cameras": cameras})

    def _call(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.request(method, self.url + path, headers=headers, timeout=5, **more)
        except httpx.HTTPError as error:
            raise ApiError(f"{self.url}: {error}") from None
        if answer.status_code >= 400:
            try:
                detail = answer.json().get("detail") or answer.reason_phrase
            except ValueError:
                detail = answer.reason_phrase
            raise ApiError(str(detail), answer.status_code)
        return answer.json()
