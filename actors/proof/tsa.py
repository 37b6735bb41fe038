"""Asking a timestamp authority (RFC 3161, section 3.4: over HTTP)."""

import os
from pathlib import Path

import httpx

from hoaban.evidence.stamps import Stamp, StampError, read, request

URL_ENV, ROOTS_ENV = "HOABAN_TSA_URL", "HOABAN_TSA_ROOTS"
MOST_BYTES = 64 * 1024


class Authority:
    """A timestamp authority. roots: its root certificates, PEM; an answer that they do not vouch for is refused."""

    def __init__(self, url: str, roots: list[bytes], timeout_s: float = 10.0) -> None:
        self._url, self._roots, self._timeout_s = url, roots, timeout_s

    @classmethod
    def from_environment(cls) -> "Authority | None":
        """Raises StampError when it is half set, OSError when the certificates cannot be read."""
        if not (url := os.environ.get(URL_ENV)):
            return None
        if not (path := os.environ.get(ROOTS_ENV)):
            raise StampError(f"{URL_ENV} is set and {ROOTS_ENV} is not: name the PEM file of the authority's root")
        return cls(url, [Path(path).read_bytes()])

    def stamp(self, message: bytes) -> tuple[bytes, Stamp]:
        """The authority's answer as it came, and what it says. Raises StampError."""
        asked, nonce = request(message)
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        try:
            # The authority is named by its operator: a proxy of the environment is for other addresses.
            answer = httpx.post(self._url, content=asked, headers=headers, timeout=self._timeout_s, trust_env=False)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StampError(f"{self._url}: {error or type(error).__name__}") from None
        if answer.status_code != 200 or len(answer.content) > MOST_BYTES:
            raise StampError(f"{self._url}: HTTP {answer.status_code}, {len(answer.content)} bytes")
        return answer.content, read(answer.content, message, self._roots, nonce)
