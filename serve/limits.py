"""How much one may ask: of each address, of each person, and of passwords tried (hoaban/access/settings.py)."""

import time

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.problems import problem


class Limiter:
    """Counts, in this process, against one limit."""

    def __init__(self, limit: str) -> None:
        self._limit = parse(limit)
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, who: str) -> bool:
        """Count one more; whether it is within the limit."""
        return self._counts.hit(self._limit, who)

    def forget(self, who: str) -> None:
        """Count from nothing again."""
        self._counts.clear(self._limit, who)

    def spent(self, who: str) -> bool:
        """Whether the limit is reached; counts nothing."""
        return not self._counts.test(self._limit, who)

    def wait_s(self, who: str) -> int:
        """Whole seconds until it may be tried again."""

        return max(1, round(self._counts.get_window_stats(self._limit, who).reset_time - time.time()))


class AddressLimit:
    """ASGI middleware: 429 for an address that asks too much, before anything else is done for it."""

    def __init__(self, app: ASGIApp, limit: str) -> None:
        self._app, self._limiter = app, Limiter(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and not self._limiter.take(client[0]):
            wait = {"Retry-After": str(self._limiter.wait_s(client[0]))}
            await problem(429, "this address asks too much; wait", wait)(scope, receive, send)
            return
        await self._app(scope, receive, send)
