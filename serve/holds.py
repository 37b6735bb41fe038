"""Legal holds, which stop erasure, and the records of what was erased."""

import time
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.disagreements import Disagreements
from actors.proof.archive import to_zip
from hoaban.access import Permission, Person
from hoaban.events import utc
from hoaban.evidence import manifest as m
from hoaban.evidence.retention import Hold
from hoaban.evidence.review import RefusedError
from serve.auditing import recorded
from serve.auth import may
from serve.problems import Problem
from serve.times import Instant

router = APIRouter(tags=["retention"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Holder = Annotated[Person, may(Permission.HOLD_CHANGE)]


class NewHold(BaseModel):
    """kind evidence: subject is a case's id. kind report: a citizen's report's number. kind camera: all that the camera
    saw, and was reported near it, in [since, until)."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, populate_by_name=True)
    kind: Literal["evidence", "camera", "report"]
    subject: str = Field(min_length=1, max_length=64)
    reason: str = Field(min_length=10, max_length=2000)
    since: Instant | None = None
    until: Instant | None = None
    ends: Instant | None = Field(None, description="when the hold ends by itself; null: when it is lifted")

    @model_validator(mode="after")
    def _times_fit(self) -> "NewHold":
        if self.kind != "camera" and (self.since or self.until):
            raise ValueError("since and until are for holds on a camera")
        if self.since and self.until and self.since >= self.until:
            raise ValueError("since must lie before until")
        if self.ends and self.ends.timestamp() <= time.time():
            raise ValueError("ends lies in the past")
        return self


class Lift(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reason: str = Field(min_length=10, max_length=2000)


class HoldView(BaseModel):
    id: str
    kind: str
    subject: str
    reason: str
    since: datetime | None
    until: datetime | None
    ends: datetime | None
    by: str
    at: datetime
    lasts: bool
    lifted: datetime | None
    lifted_by: str | None
    lifted_reason: str | None
    too_late: list[str] = Field([], description="cases that it covers and whose erasure had begun before it")


class ErasureView(BaseModel):
    """done: whether it is finished and its record signed."""

    id: str
    rule: str
    basis: str
    by: str
    begun: datetime
    things: int
    done: bool


@router.get("/holds")
def holds(request: Request, _: Holder) -> list[HoldView]:
    """All legal holds, those that are over too."""
    return [_view(hold, about) for hold, about in request.app.state.evidence.retention.holds()]


@router.post(
    "/holds", status_code=201, responses={404: {"model": Problem}, 409: {"model": Problem}, 422: {"model": Problem}}
)
def begin(request: Request, wanted: NewHold, person: Holder) -> HoldView:
    """Keep a case, or all that a camera saw in a time, whatever its term. 409 for what is erased, or being erased."""
    store = request.app.state.evidence.retention
    camera = wanted.subject if wanted.kind == "camera" else None
    told = {"camera": camera, "reason": wanted.reason, "kind": wanted.kind}
    try:
        with recorded(request, person, "hold.begin", wanted.subject, **told):
            hold = store.hold(
                wanted.kind,
                wanted.subject,
                wanted.reason,
                person,
                from_s=wanted.since.timestamp() if wanted.since else None,
                until_s=wanted.until.timestamp() if wanted.until else None,
                ends_s=wanted.ends.timestamp() if wanted.ends else None,
                known=_cameras(request) if camera else (),
            )
    except KeyError:
        raise HTTPException(404, f"there is no {wanted.kind} {wanted.subject!r} here: nothing to keep") from None
    except RefusedError as error:
        raise HTTPException(409, str(error)) from None
    made = next(_view(one, about) for one, about in store.holds() if one.id == hold.id)
    return made.model_copy(update={"too_late": store.too_late(hold)})


def _cameras(request: Request) -> set[str]:
    """Those of the fleet, and those of which pictures of disagreements are kept."""
    fleet = request.app.state.board.get_json("fleet") or {}
    pictures: Disagreements | None = request.app.state.disagreements
    kept = {one.camera for one in pictures.kept(halves=True)} if pictures is not None else set()
    return {camera["id"] for camera in fleet.get("cameras", ())} | kept


@router.post("/holds/{id}/lift", responses={404: {"model": Problem}})
def lift(request: Request, id: str, wanted: Lift, person: Holder) -> HoldView:
    """End a hold. It stays on record."""
    store = request.app.state.evidence.retention
    with recorded(request, person, "hold.lift", id, reason=wanted.reason):
        if not store.lift(id, wanted.reason, person):
            raise HTTPException(404, f"there is no hold {id!r} that lasts")
    return next(_view(one, about) for one, about in store.holds() if one.id == id)


@router.get("/erasures")
def erasures(request: Request, _: Annotated[Person, may(Permission.AUDIT_READ)]) -> list[ErasureView]:
    """What was erased, the newest first."""
    return [
        ErasureView(
            id=one.id,
            rule=one.rule,
            basis=one.basis,
            by=one.by_name,
            begun=utc(one.begun_s),
            things=len(one.plan),
            done=one.done_s is not None,
        )
        for one in request.app.state.evidence.retention.erasures()
    ]


@router.get("/erasures/{id}", responses={404: {"model": Problem}}, response_class=Response)
def erasure(request: Request, id: str, _: Annotated[Person, may(Permission.SUBJECT_ANSWER)]) -> Response:
    """The signed record of an erasure, as a zip that `hoaban evidence verify` checks."""
    try:
        found = request.app.state.evidence.retention.erasure(id)
    except KeyError:
        found = None
    if found is None or found.done_s is None or found.signature is None or found.manifest is None:
        raise HTTPException(404, f"there is no finished erasure {id!r}")
    data = to_zip(f"erasure-{id}", {m.MANIFEST: found.manifest, m.SIGNATURE: found.signature})
    headers = {"Content-Disposition": f'attachment; filename="erasure-{id}.zip"'}
    return Response(data, media_type="application/zip", headers=headers)


def _view(hold: Hold, about: dict[str, Any]) -> HoldView:
    def at(seconds: float | None) -> datetime | None:
        return None if seconds is None else utc(seconds)

    return HoldView(
        id=hold.id,
        kind=hold.kind,
        subject=hold.subject,
        reason=hold.reason,
        since=at(hold.from_s),
        until=at(hold.until_s),
        ends=at(hold.ends_s),
        by=about["by_name"],
        at=utc(about["at_s"]),
        lasts=hold.lasts(time.time()),
        lifted=at(hold.lifted_s),
        lifted_by=about["lifted_by"],
        lifted_reason=about["lifted_reason"],
    )
