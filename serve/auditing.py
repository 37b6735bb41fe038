"""Writing the audit chain from a route: what cannot be recorded is not done."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request

from actors.store import AuditStore
from hoaban.access import Person

NOBODY = Person("", "unknown")
GAP_S, LONGEST_S = 60.0, 3600.0
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
    """Record that a person did something, or looks at something: that before it is shown. A change: see `recorded`.

    Waits for the disk: call it from a thread.

    Raises sqlalchemy.exc.SQLAlchemyError when it cannot be written; the caller lets that through, which answers 503.
    detail: JSON values.
    """
    store: AuditStore = request.app.state.audit
    address = request.client.host if request.client else None
    store.append(
        person.id,
        person.name,
        action,
        _clean(subject, 1000),
        camera=_clean(camera, 64) if camera else None,
        reason=_clean(reason, 1000) if reason else None,
        outcome=outcome,
        detail=detail | {"address": address},
    )


def _clean(text: str, most: int) -> str:
    """What every database takes: odd characters of a request are shown as "?", and no request fills a disk."""
    return "".join(c if c.isprintable() else "?" for c in text[:most]).encode(errors="replace").decode()


@contextmanager
def recorded(
    request: Request,
    person: Person,
    action: str,
    subject: str,
    *,
    camera: str | None = None,
    reason: str | None = None,
    **detail: Any,
) -> Iterator[dict[str, Any]]:
    """Record a change that begins, and then that it was done, or failed: two records, the first before anything is
    changed. One that begins and does not end was cut off in between, and may have been made or not.

    What is put into the dict it gives is told when it is done.
    """
    record(request, person, action, subject, camera=camera, reason=reason, outcome="begun", **detail)
    found: dict[str, Any] = {}
    try:
        yield found
    except Exception as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        record(request, person, action, subject, camera=camera, reason=why, outcome="failed", **detail)
        raise
    record(request, person, action, subject, camera=camera, reason=reason, **detail | found)


def given(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of a change, without what was not given."""
    return {name: value for name, value in told.items() if value is not None}


class Looks:
    """Looks at pictures and at lists of personal data: one record for each viewing, not for each frame.

    A viewing of one thing by one person begins with the first picture, or the first after GAP_S without, and is told
    anew each LONGEST_S while it goes on.
    """

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._viewings: dict[tuple[str, str, str], tuple[float, float]] = {}
        """when it was told, and seen last"""

    def record(self, request: Request, person: Person, action: str, subject: str, camera: str | None = None) -> None:
        """Record a look, unless it belongs to a viewing whose record is written. Raises as `record`."""
        key = (person.id, action, subject)
        if self._goes_on(key):
            return
        with self._writing:  # another look of the same viewing waits until it is known that the record is written
            if self._goes_on(key):
                return
            record(request, person, action, subject, camera=camera)
            if len(self._viewings) >= MOST_REMEMBERED:
                self._viewings.clear()  # some are told twice then; none is missed
            now_s = time.monotonic()
            self._viewings[key] = (now_s, now_s)

    def _goes_on(self, key: tuple[str, str, str]) -> bool:
        now_s = time.monotonic()
        told_s, seen_s = self._viewings.get(key, (float("-inf"), float("-inf")))
        if now_s - seen_s > GAP_S or now_s - told_s > LONGEST_S:
            return False
        self._viewings[key] = (told_s, now_s)
        return True


class Refusals:
    """Which refusals to record: of the same person, for the same thing, one a minute, or a page that asks each second
    would fill the chain, and so would anyone without a token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told_s: dict[tuple[str, str, str | None], float] = {}

    def record(self, request: Request, person: Person, action: str, camera: str | None, why: str) -> None:
        address = request.client.host if request.client else ""
        key, now_s = (person.id or address, action, camera), time.monotonic()
        with self._lock:
            if now_s - self._told_s.get(key, float("-inf")) < REFUSALS_EVERY_S:
                return
            if len(self._told_s) >= MOST_REMEMBERED:
                self._told_s.clear()
            self._told_s[key] = now_s
        subject = f"{request.method} {request.url.path}"[:500]
        record(request, person, action, subject, camera=camera, reason=why, outcome="refused")
