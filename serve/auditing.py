"""Writing the audit chain from a route: what cannot be recorded is not done."""

import threading
import time
from typing import Any

from fastapi import Request

from actors.store import AuditStore
from hoaban.access import Person

NOBODY = Person("", "unknown")
REFUSALS_EVERY_S = 60.0
MOST_REMEMBERED = 10_000


def record(
    request: Request,
    person: Person,
    action: str,
    subject: str,
    *,
    camera: str | None = None,
    reason: str | None = None,
    outcome: str = "done",
    **detail: Any,
) -> None:
    """Record that a person did something. Waits for the disk: call it from a thread, before anything is shown.

    Raises sqlalchemy.exc.SQLAlchemyError when it cannot be written; the caller lets that through, which answers 503.
    detail: JSON values.
    """
    store: AuditStore = request.app.state.audit
    address = request.client.host if request.client else None
    store.append(
        person.id,
        person.name,
        action,
        subject,
        camera=camera,
        reason=reason,
        outcome=outcome,
        detail=detail | {"address": address},
    )


class Refusals:
    """Which refusals to record: of the same person, for the same thing, one a minute, or a page that asks each second
    would fill the chain, and so would anyone without a token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told_s: dict[tuple[str, str, str | None], float] = {}

    def record(self, request: Request, person: Person, action: str, camera: str | None, why: str) -> None:
        address = request.client.host if request.client else ""
        key = (person.id or address, action, camera)
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._told_s.get(key, float("-inf")) < REFUSALS_EVERY_S:
                return
            if len(self._told_s) >= MOST_REMEMBERED:
                self._told_s.clear()
            self._told_s[key] = now_s
        subject = f"{request.method} {request.url.path}"[:500]
        record(request, person, action, subject, camera=camera, reason=why, outcome="refused")
