"""The citizens' own way in: by a machine's token of the role `intake`, which may file reports and nothing else.

The machine is the dashboard's page for citizens, a province's own application, or a switchboard. Of each citizen's
address no more than so many reports an hour are taken; `citizen_proxies` says how much of X-Forwarded-For is to be
believed, for what a citizen's own browser wrote into it is not.
"""

from ipaddress import ip_address
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from hoaban.access import Permission, Person
from hoaban.incidents.reports import bare, grouped
from hoaban.incidents.states import ReportState
from serve import cases
from serve.auth import may
from serve.filing import Filed, Filing, Intake, file, filed, filing
from serve.limits import Limiter
from serve.problems import Problem

router = APIRouter(
    prefix="/public/reports",
    tags=["citizens"],
    responses={401: {"model": Problem, "description": "No valid token"}, 429: {"model": Problem}},
)
Machine = Annotated[Person, may(Permission.REPORT_FILE)]
TRIES_PER_HOUR = 60


class CitizenView(BaseModel):
    """What a citizen sees of their report: no note, no name, no camera."""

    tracking: str
    state: ReportState
    received_s: float
    answer: str | None = Field(description="once it is answered")


@router.post(
    "",
    status_code=201,
    responses={413: {"model": Problem}, 422: {"model": Problem}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Filing.model_json_schema()}}}
    },
)
async def file_report(request: Request, machine: Machine) -> Filed:
    """File a report. The answer holds the tracking number and the access code, which is shown this once."""
    settings = (await run_in_threadpool(cases.ground, request)).settings.reports
    _take(request, "filed", settings.per_hour, _address(request))
    _take(request, "filed by all", settings.most_per_hour, "all")
    report, code = await run_in_threadpool(file, request, await filing(request), machine, "public")
    return filed(report, code)


@router.get("/{tracking}", responses={404: {"model": Problem}})
def status(
    request: Request,
    tracking: str,
    _: Machine,
    x_access_code: Annotated[str, Header(description="the code that was shown when the report was filed")],
) -> CitizenView:
    """What has become of a report. The same answer for a wrong number and a wrong code."""
    _take(request, "asked", TRIES_PER_HOUR, _address(request))
    _take(request, "asked for one", TRIES_PER_HOUR, bare(tracking[:64]))
    intake: Intake = request.app.state.intake
    found = intake.store.of_citizen(tracking[:64], x_access_code[:64])
    if found is None:
        raise HTTPException(404, "there is no report with this number and this code")
    return CitizenView(
        tracking=grouped(found.tracking),
        state=ReportState(found.state),
        received_s=found.received_s,
        answer=found.answer,
    )


def _take(request: Request, what: str, per_hour: int, who: str) -> None:
    """Raises HTTPException 429 beyond so many an hour."""
    # One for each purpose and limit: an edit of the fleet file begins to count anew.
    limiters: dict[tuple[str, int], Limiter] = request.app.state.citizen_limiters
    if (limiter := limiters.get((what, per_hour))) is None:
        limiter = limiters[what, per_hour] = Limiter(f"{per_hour}/hour")
    if not limiter.take(who):
        raise HTTPException(429, "too many within the hour; try again later", {"Retry-After": str(limiter.wait_s(who))})


def _address(request: Request) -> str:
    """The citizen's address: of X-Forwarded-For what the outermost machine that is trusted wrote; else who asks."""
    client = request.client.host if request.client else ""
    proxies: int = request.app.state.citizen_proxies
    written = [part.strip() for line in request.headers.getlist("X-Forwarded-For") for part in line.split(",")]
    if not 0 < proxies <= len(written):
        return client
    try:
        return str(ip_address(written[-proxies]))
    except ValueError:
        return client
