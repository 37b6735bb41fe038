"""What the routes of incidents, reports and work orders share: how a change is asked for, and how it is refused."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from fastapi import Header, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from actors.store import StaleError
from actors.store.cases import LogLine
from actors.store.incident_keeping import Ground
from hoaban.incidents import NotAllowedError
from serve.problems import Problem

T = TypeVar("T")
MAX_NUMBER = 2**53
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER)]
Cursor = Annotated[int | None, Query(ge=0, le=MAX_NUMBER, description="next_cursor of the page before")]
Note = Annotated[str, Field(min_length=1, max_length=4000)]
MOST_ROUNDS = 20
REFUSALS: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem},
    404: {"model": Problem},
    409: {"model": Problem, "description": "Changed by another meanwhile, or not possible in its state; see `current`"},
    428: {"model": Problem, "description": "The version that was seen is missing"},
}
IfMatch = Annotated[str | None, Header(description='the version that was seen, e.g. "3"; or `version` in the body')]


class Change(BaseModel):
    """version: the one that the person saw; or in the header If-Match."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    version: int | None = Field(None, ge=1, le=2**31)
    note: Note | None = None


class LogView(BaseModel):
    """Who did what when."""

    seq: int
    at_s: float
    who: str
    action: str
    state_from: str | None
    state_to: str
    note: str | None
    detail: dict[str, Any]


class ConflictError(Exception):
    """Nothing was changed; current: how it stands."""

    def __init__(self, why: str, current: BaseModel) -> None:
        super().__init__(why)
        self.current = current


def seen_version(change: Change, if_match: str | None) -> int:
    """The version that the person saw. 428 when they do not say, 400 for an If-Match that no answer of ours gave."""
    if change.version is not None:
        return change.version
    if if_match is None:
        raise HTTPException(428, "say which version you saw: `version` in the body, or the header If-Match")
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise HTTPException(400, 'If-Match must be the ETag of an answer, e.g. "3"')
    return int(text)


@contextmanager
def told(what: str, number: int, current: Callable[[], BaseModel]) -> Iterator[None]:
    """The store's refusals as answers: 404, or 409 with how it stands."""
    try:
        yield
    except KeyError as missing:
        raise HTTPException(404, f"there is no {what if missing.args == (number,) else 'incident'} {missing}") from None
    except StaleError:
        raise ConflictError("somebody else changed it meanwhile; see `current`, then decide anew", current()) from None
    except NotAllowedError as error:
        raise ConflictError(str(error), current()) from None


def pages(
    fetch: Callable[[int | None], tuple[list[T], int | None]],
    shown: Callable[[list[T]], list[T]],
    number: Callable[[T], int],
    cursor: int | None,
    limit: int,
) -> tuple[list[T], int | None]:
    """A page of what may be shown, from pages of all, and the next cursor. A page may be short, and say so by it."""
    found: list[T] = []
    for _ in range(MOST_ROUNDS):
        items, cursor = fetch(cursor)
        found += shown(items)
        if len(found) > limit or (len(found) == limit and cursor is not None):
            return found[:limit], number(found[limit - 1])
        if cursor is None:
            break
    return found, cursor


def ground(request: Request) -> Ground:
    """The fleet's settings and places, as it runs."""
    return Ground.of_fleet(request.app.state.board.get_json("fleet") or {})


def log_view(line: LogLine) -> LogView:
    return LogView(
        seq=line.seq,
        at_s=line.at_s,
        who=line.who_name,
        action=line.action,
        state_from=line.state_from,
        state_to=line.state_to,
        note=line.note,
        detail=line.detail,
    )


def now_s() -> float:
    return round(time.time(), 3)
