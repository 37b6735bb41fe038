"""The audit chain for the auditor: its records, and what in them is unusual."""

import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from actors.audit_anchor import Anchor, AnchorError
from actors.store import AuditStore, PeopleStore
from hoaban.access import Permission, Person
from hoaban.access.misuse import MisuseSettings, suspicions
from hoaban.audit import AuditRecord, broken
from serve.auditing import record
from serve.auth import may
from serve.places import Places
from serve.problems import Problem
from serve.times import Instant

router = APIRouter(prefix="/audit", tags=["audit"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Auditor = Annotated[Person, may(Permission.AUDIT_READ)]
DAY_S = 86400.0


class AuditRecordView(BaseModel):
    """A record, with the digest before it and its own; see docs/accounts.md on how they are made."""

    seq: int
    at_s: float = Field(description="seconds since 1970, UTC")
    who_id: str
    who_name: str
    action: str
    subject: str
    camera: str | None
    reason: str | None
    outcome: str
    detail: dict[str, Any]
    previous: str
    digest: str


class AuditPageView(BaseModel):
    records: list[AuditRecordView]
    next_cursor: int | None


class SuspicionView(BaseModel):
    """A day of a person that should be asked about. records: the seq of those it rests on."""

    who_id: str
    who_name: str
    day: date
    kind: str
    count: int
    why: str
    records: list[int]


class VerificationView(BaseModel):
    """records: how many. anchored: up to which one a signed anchor holds them. wrong: what does not follow."""

    sound: bool
    records: int
    anchored: int | None
    wrong: list[str]


@router.get("")
def records(
    request: Request,
    auditor: Auditor,
    since: Instant | None = None,
    until: Instant | None = None,
    who: Annotated[str | None, Query(max_length=128, description="a person's id or name")] = None,
    action: Annotated[str | None, Query(max_length=64, examples=["picture.look", "picture"])] = None,
    camera: Annotated[str | None, Query(max_length=64)] = None,
    outcome: Literal["begun", "done", "refused", "failed"] | None = None,
    cursor: Annotated[int | None, Query(ge=0, le=2**53, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPageView:
    """Who did what, the newest first. Reading it is recorded, too."""
    wanted = {"who": who, "action": action, "camera": camera, "outcome": outcome, "cursor": cursor}
    record(request, auditor, "audit.read", "records", filters={k: v for k, v in wanted.items() if v is not None})
    found, next_cursor = _store(request).page(
        since_s=since.timestamp() if since else None,
        until_s=until.timestamp() if until else None,
        who=who,
        action=action,
        camera=camera,
        outcome=outcome,
        cursor=cursor,
        limit=limit,
    )
    return AuditPageView(records=[_view(item) for item in found], next_cursor=next_cursor)


@router.get("/verification")
def verification(request: Request, auditor: Auditor) -> VerificationView:
    """Whether no record was changed, taken out, put in, moved, or cut off the end; as `hoaban audit verify`."""
    record(request, auditor, "audit.read", "verification")
    store, wrong, head = _store(request), [], None
    folder = request.app.state.settings.data_dir
    try:
        if folder is None:
            raise AnchorError("this API was started without a data folder, where the anchor is")
        head = Anchor(Path(folder)).read()
    except AnchorError as error:
        wrong.append(f"{error}; without it nothing says whether records are missing at the end")
    wrong = broken(store.records(), head) + wrong
    return VerificationView(sound=not wrong, records=store.head()[0], anchored=head[0] if head else None, wrong=wrong)


@router.get("/misuse")
def misuse(
    request: Request,
    auditor: Auditor,
    days: Annotated[int, Query(ge=1, le=400, description="how far back; their usual is learned of these")] = 30,
) -> list[SuspicionView]:
    """Looks at pictures that are unusual for who looked: a question to ask them, not a verdict."""
    record(request, auditor, "audit.read", "misuse", days=days)
    places: Places = request.app.state.places
    people: PeopleStore = request.app.state.people
    settings: MisuseSettings = request.app.state.misuse
    now_s = time.time()
    found = suspicions(
        _store(request).looks(now_s - days * DAY_S, now_s + DAY_S),
        {account.id: account.neighbourhood for account in people.accounts() if account.neighbourhood},
        places.districts(),
        places.timezone(),
        settings,
    )
    return [SuspicionView(**asdict(item)) for item in found]


def _view(item: AuditRecord) -> AuditRecordView:
    return AuditRecordView(**asdict(item))


def _store(request: Request) -> AuditStore:
    store: AuditStore = request.app.state.audit
    return store
