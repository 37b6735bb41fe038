"""Whose browser the dashboard speaks for: told under a secret that only it and the API have, not by where it runs."""

import hmac
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = b"x-hoaban-viewer"


class ViewerAddress:
    """ASGI middleware: from there on the address is the viewer's, where the header "ADDRESS SIGNATURE" is right.

    SIGNATURE: HMAC-SHA256 of the address in hexadecimal. Anything else in the header changes nothing.
    """

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app, self._secret = app, secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            told = [value for name, value in scope["headers"] if name == HEADER]
            if len(told) == 1 and (address := self._address(told[0])) is not None:
                scope = dict(scope) | {"client": (address, 0)}
        await self._app(scope, receive, send)

    def _address(self, told: bytes) -> str | None:
        address, _, signature = told.partition(b" ")
        right = hmac.digest(self._secret, address, "sha256").hex().encode()
        if not hmac.compare_digest(signature, right):
            return None
        try:
            return str(ip_address(address.decode()))
        except ValueError:
            return None
