"""Incidents, reports and work orders as a part of the application."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from actors.store import IncidentStore, ReportStore, WorkOrderStore
from actors.watchlist import WatchlistKey
from hoaban.events import utc
from hoaban.incidents.reports import grouped
from serve import citizens, incidents, reports, subjects, work_orders
from serve.cases import ConflictError
from serve.filing import Intake
from serve.problems import problem
from serve.settings import ApiSettings


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes. Conflicts are answered with how things stand, so that nobody has to ask again."""
    engine = app.state.store.engine
    data_dir = Path(settings.data_dir) if settings.data_dir else None
    app.state.incidents, app.state.work_orders = IncidentStore(engine), WorkOrderStore(engine)
    app.state.intake = Intake(ReportStore(engine, lambda: WatchlistKey.load_or_make(data_dir)))
    keep = app.state.intake.store

    def of_person(wanted: subjects.Search) -> list[dict[str, Any]]:
        since_s = wanted.since.timestamp() if wanted.since else None
        until_s = wanted.until.timestamp() if wanted.until else None
        found = keep.about(wanted.plate, wanted.cameras, since_s, until_s, subjects.MOST)
        return [
            {"tracking": grouped(r.tracking), "state": r.state, "camera": r.camera, "time": utc(r.happened_s)}
            for r in found
        ]

    subjects.also_held(app, "reports", of_person)
    for module in (incidents, reports, citizens, work_orders):
        app.include_router(module.router, prefix=prefix)

    @app.exception_handler(ConflictError)
    async def _conflict(_: Request, error: ConflictError) -> JSONResponse:
        return problem(409, str(error), current=error.current.model_dump(mode="json"))
