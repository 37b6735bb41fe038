"""Line crossings and turns, counted over a time, also as a file to take away."""

import csv
import io
import time
from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, HTTPException, Query, Request, Response

from actors.store.store import CountRow
from hoaban.access import Permission, Person
from serve import problems, schemas
from serve.auditing import record
from serve.auth import may
from serve.health import clock_ahead_s
from serve.places import Places
from serve.shown import gate
from serve.times import Instant

router = APIRouter(tags=["counts"], responses={401: {"model": problems.Problem, "description": "No valid token"}})
MOST_DAYS = 366
Seer = Annotated[Person, may(Permission.CAMERA_SEE)]
Bucket = Annotated[int | None, Query(ge=1, le=86400 * 31, description="interval in seconds, e.g. 900")]


@router.get("/counts")
def counts(
    request: Request,
    person: Seer,
    since: Instant | None = None,
    until: Instant | None = None,
    camera: str | None = None,
    bucket: Bucket = None,
) -> list[schemas.CountView]:
    """Line crossings by camera, line, direction, class and lane. The intervals' sum is the number of stored events.

    Intervals are aligned to the province's clock: those of 86400 s begin at its midnight. At most 366 days are counted,
    the newest where since is left out; an answer of more than 50,000 rows is refused.
    """
    return [schemas.CountView(**asdict(row)) for row in _counted(request, person, since, until, camera, bucket)]


@router.get("/counts.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def export(
    request: Request,
    person: Seer,
    since: Instant | None = None,
    until: Instant | None = None,
    camera: str | None = None,
    bucket: Bucket = 900,
) -> Response:
    """The same as a file for a spreadsheet; times on the province's clock. That it was taken away is recorded."""
    rows = _counted(request, person, since, until, camera, bucket)
    asked = {"since": since and since.isoformat(), "until": until and until.isoformat(), "bucket": bucket}
    record(request, person, "counts.export", f"{len(rows)} rows", camera=camera, **asked)
    places: Places = request.app.state.places
    headers = {"Content-Disposition": 'attachment; filename="counts.csv"'}
    # The mark of the byte order tells spreadsheets that it is UTF-8.
    return Response("\ufeff" + _csv(rows, places.timezone()), media_type="text/csv; charset=utf-8", headers=headers)


def _csv(rows: list[CountRow], clock: ZoneInfo) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["from", "camera", "line", "direction", "lane", "class", "n"])
    for row in rows:
        begins = "" if row.bucket_s is None else datetime.fromtimestamp(row.bucket_s, clock).isoformat()
        words = (row.camera, row.line, row.direction, row.lane or "", row.label)
        writer.writerow([begins, *map(_no_formula, words), row.n])
    return text.getvalue()


def _no_formula(word: str) -> str:
    """A spreadsheet takes words that begin so for formulas."""
    return f"'{word}" if word.startswith(("=", "+", "-", "@")) else word


def _counted(
    request: Request,
    person: Person,
    since: datetime | None,
    until: datetime | None,
    camera: str | None,
    bucket: int | None,
) -> list[CountRow]:
    span = _span(since, until)
    rows: list[CountRow] = request.app.state.store.counts(
        since_s=span[0],
        until_s=span[1],
        camera=camera,
        cameras=gate(request, person).cameras,
        bucket_s=bucket,
        clock_s=clock_ahead_s(request.app.state.board.get_json("fleet"), since),
    )
    return rows


def _span(since: datetime | None, until: datetime | None) -> tuple[float, float | None]:
    """[since, until) in seconds since 1970; the MOST_DAYS before until where since is left out."""
    ends_s = until.timestamp() if until else time.time()
    begins_s = since.timestamp() if since else ends_s - MOST_DAYS * 86400
    if ends_s - begins_s > MOST_DAYS * 86400:
        raise HTTPException(422, f"since and until are more than {MOST_DAYS} days apart; ask for one part at a time")
    return begins_s, None if until is None else ends_s


@router.get("/counts/turns")
def turns(
    request: Request,
    person: Seer,
    since: Instant | None = None,
    until: Instant | None = None,
    camera: str | None = None,
    bucket: Bucket = None,
) -> list[schemas.TurnView]:
    """Turning counts by camera, rule, both lines and class, in intervals as those of /counts."""
    span = _span(since, until)
    rows = request.app.state.store.turns(
        since_s=span[0],
        until_s=span[1],
        camera=camera,
        cameras=gate(request, person).cameras,
        bucket_s=bucket,
        clock_s=clock_ahead_s(request.app.state.board.get_json("fleet"), since),
    )
    return [schemas.TurnView(**asdict(row)) for row in rows]
