"""Stills of evidence to who corrects labels: what an officer rejected says best where a model errs."""

import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from actors.labels import files_of
from actors.proof.archive import to_zip
from actors.proof.labels import LabelStills
from actors.purge import case_term, owners_days
from actors.store.evidence import CaseRow
from hoaban.access import Permission, Person
from hoaban.evidence.retention import Retention
from hoaban.evidence.review import State
from serve.auditing import recorded
from serve.auth import may
from serve.evidence import Evidence
from serve.places import Places
from serve.problems import Problem
from serve.times import Instant

MOST_EXPORTED = 1000
PAGE = 200
router = APIRouter(tags=["models"], responses={401: {"model": Problem}, 403: {"model": Problem}})
Changer = Annotated[Person, may(Permission.MODEL_CHANGE)]


class EvidenceExport(BaseModel):
    """Which evidence, and why its stills leave and to whom."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    reason: str = Field(min_length=10, max_length=500)
    state: Literal["rejected", "confirmed", "open"] = Field("rejected", description="open: not decided yet")
    type: str | None = Field(None, max_length=64, description="event type without its prefix")
    model: str | None = Field(None, max_length=200, description="the model that saw it, NAME@VERSION")
    camera: str | None = Field(None, max_length=64)
    since: Instant | None = None
    limit: int = Field(500, ge=1, le=MOST_EXPORTED, description="pictures; a case has up to three")


@router.post(
    "/models/evidence/export",
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}, 404: {"model": Problem}, 503: {"model": Problem}},
)
def export(request: Request, wanted: EvidenceExport, person: Changer) -> Response:
    """Stills and COCO JSON of evidence, the newest first, for people who correct labels; on record.

    Nobody in them can be recognised, the offender neither, and no plate be read. Only of cameras that the person may
    look at, whose owner shows them the pictures and lets models be tried on them, and within the evidence's term.
    """
    evidence: Evidence = request.app.state.evidence
    stills, found, cases = LabelStills(evidence.desk), list[tuple[dict[str, Any], bytes]](), list[CaseRow]()
    for case in _cases(request, evidence, wanted, person):
        if len(found) >= wanted.limit:
            break
        decided = evidence.records.decisions(case.id)
        pictures = [one for one in stills.of(case, decided[-1] if decided else None) if _is_of(one[0], wanted.model)]
        found += pictures[: wanted.limit - len(found)]
        cases += [case] if pictures else []
    if not found:
        raise HTTPException(404, "no evidence is there whose stills you may have; ask for other")
    detail = {"pictures": len(found), "cases": [case.id for case in cases], "state": wanted.state}
    cameras = sorted({case.camera for case in cases})
    with recorded(request, person, "model.export", "evidence", reason=wanted.reason, cameras=cameras, **detail):
        return Response(to_zip("evidence", files_of(found)), media_type="application/zip")


def _cases(request: Request, evidence: Evidence, wanted: EvidenceExport, person: Person) -> Iterator[CaseRow]:
    """Cases whose stills the person may have, the newest first."""
    places: Places = request.app.state.places
    fleet = request.app.state.board.get_json("fleet") or {}
    retention, owners = Retention.model_validate(fleet.get("retention") or {}), owners_days(fleet)
    cursor: int | None = None
    while True:
        cases, cursor = evidence.records.page(
            state=State(wanted.state),
            type=wanted.type,
            cameras=None if wanted.camera is None else [wanted.camera],
            since_s=wanted.since.timestamp() if wanted.since else None,
            cursor=cursor,
            limit=PAGE,
        )
        for case in cases:
            # Of a camera that has left the fleet nobody knows what its owner says of trials: then there are none.
            allowed = places.shows_to(case.camera, person) and places.trials_at(case.camera)
            # A hold may keep one beyond its term, yet not for this.
            over = case_term(case, retention, owners).is_over(case.captured_s, time.time())
            if allowed and not over and places.sees(case.camera, person):
                yield case
        if cursor is None:
            return


def _is_of(record: dict[str, Any], model: str | None) -> bool:
    return model is None or model == f"{record['primary']['name']}@{record['primary']['version']}"
