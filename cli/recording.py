"""What a command did, in the audit chain, and by whom: the login of the process, which no variable can feign."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from actors.audit_anchor import Anchor, begin
from actors.store import AuditStore
from cli.common import refuse, store_or_refuse
from hoaban.audit import AuditRecord
from hoaban.fleet_text import redact


def who() -> str:
    """LOGIN@command."""
    return f"{_login(os.getuid())}@command"


def decided_by(named: str | None) -> str:
    """Who decides, for a registry: as named by who typed the command, and who that was."""
    return f"{named} (typed by {who()})" if named else who()


def record(
    audit: AuditStore,
    action: str,
    subject: str,
    *,
    camera: str | None = None,
    reason: str | None = None,
    outcome: str = "done",
    **detail: Any,
) -> AuditRecord:
    """Add a record of what this command does. Raises SQLAlchemyError."""
    detail |= _behind_sudo()
    return audit.append("", who(), action, subject, camera=camera, reason=reason, outcome=outcome, detail=detail)


@contextmanager
def recorded(folder: Path, action: str, subject: str, *, reason: str | None = None, **detail: Any) -> Iterator[None]:
    """Record a change before it is made and after, where the data folder has a store; else its registry alone tells.

    Refuses, with exit code 2, what cannot be recorded.
    """
    if not os.environ.get("HOABAN_STORE_URL") and not (folder / "hoaban.db").exists():
        yield
        return
    events = store_or_refuse(folder)
    audit = AuditStore(events.engine)
    try:
        with suppress(OSError):  # then `hoaban audit verify` says that there is no anchor
            begin(audit, Anchor(folder))
        record(audit, action, subject, reason=reason, outcome="begun", **detail)
        try:
            yield
        except Exception:
            record(audit, action, subject, reason=reason, outcome="failed", **detail)
            raise
        record(audit, action, subject, reason=reason, **detail)
    except sa.exc.SQLAlchemyError as error:
        refuse(f"the store does not take it: {redact(str(error).splitlines()[0])}")
    finally:
        events.close()


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user need not have a name
        return f"user {uid}"


def _behind_sudo() -> dict[str, str]:
    """Whose login is behind sudo, as it says: a hint, for a user who did not come by sudo may set it as they like."""
    uid = os.environ.get("SUDO_UID", "")
    return {"sudo": _login(int(uid))} if uid.isascii() and uid.isdecimal() and len(uid) < 10 else {}
