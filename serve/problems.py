"""Errors as RFC 9457 problem details, for every route and every kind of error; no traceback leaves the server."""

from http import HTTPStatus
from typing import Any

import redis
import sqlalchemy.exc
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from actors.store import TooManyRowsError
from actors.store.columns import UnfitTextError
from actors.store.people import PeopleError
from serve.oidc import ProviderAwayError

log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None
    current: dict[str, Any] | None = None
    """of a 409: how what was to be changed stands now"""


def problem(status: int, detail: str | None = None, headers: Any = None, **more: Any) -> JSONResponse:
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more)
    return JSONResponse(
        body.model_dump(exclude_none=True), status, headers=headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"where": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
        return problem(422, "the request does not fit; see errors", errors=errors)

    @app.exception_handler(TooManyRowsError)
    async def _too_long(_: Request, error: TooManyRowsError) -> JSONResponse:
        return problem(422, str(error))

    @app.exception_handler(ProviderAwayError)
    async def _provider(_: Request, error: ProviderAwayError) -> JSONResponse:
        return problem(503, str(error), {"Retry-After": "10"})

    @app.exception_handler(PeopleError)
    async def _people(_: Request, error: PeopleError) -> JSONResponse:
        return problem(422, str(error))

    @app.exception_handler(sqlalchemy.exc.DataError)
    async def _unfit(_: Request, error: sqlalchemy.exc.DataError) -> JSONResponse:
        return problem(422, "a value has characters or a size that the database does not take")

    @app.exception_handler(sqlalchemy.exc.StatementError)
    async def _unfit_text(request: Request, error: sqlalchemy.exc.StatementError) -> JSONResponse:
        if isinstance(error.orig, UnfitTextError):
            return problem(422, str(error.orig))
        return await _unexpected(request, error)

    @app.exception_handler(redis.RedisError)
    @app.exception_handler(sqlalchemy.exc.OperationalError)
    async def _away(_: Request, error: Exception) -> JSONResponse:
        log.warning("a store is away", error=str(error))
        return problem(503, "the live store or the database does not answer; try again", {"Retry-After": "5"})

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("request failed", path=request.url.path, exc_info=error)
        return problem(500, "the server failed; its log says why")
