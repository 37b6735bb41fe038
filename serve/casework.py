"""Incidents, reports and work orders as a part of the application."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from actors.store import IncidentStore, ReportStore, WorkOrderStore
from actors.watchlist.key import WatchlistKey
from serve import citizens, incidents, reports, work_orders
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
    for module in (incidents, reports, citizens, work_orders):
        app.include_router(module.router, prefix=prefix)

    @app.exception_handler(ConflictError)
    async def _conflict(_: Request, error: ConflictError) -> JSONResponse:
        return problem(409, str(error), current=error.current.model_dump(mode="json"))
