"""The plate list's routes: an officer proposes a plate, an approver approves and erases."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import Field

from actors.watchlist.feed import PLATES, publish_plates, was_published
from actors.watchlist.key import WatchlistKey
from actors.watchlist.store import NewPlate, PlateInfo, PlateStore, WatchlistError
from hoaban.access import Permission, Person
from serve.auditing import Looks, recorded
from serve.auth import may
from serve.lists import REFUSALS, ListedView, ListKeeper, NewListed
from serve.problems import Problem
from serve.settings import ApiSettings


class NewPlateBody(NewListed):
    """A plate that is looked for."""

    plate: str = Field(min_length=4, max_length=20, description="as written on it: 30A-123.45, 29-B1 123.45")


class PlateView(ListedView):
    """An entry of the plate list. Who approves it must see the plate."""

    plate: str


class PlateList(ListKeeper[PlateInfo]):
    """The plates."""

    entries: PlateStore


def install(app: FastAPI, prefix: str, settings: ApiSettings) -> None:
    """Add the routes, and begin to keep the list."""
    board, data_dir = app.state.board, Path(settings.data_dir) if settings.data_dir else None
    entries = PlateStore(app.state.store.engine, lambda: WatchlistKey.load_or_make(data_dir))

    def hand_out() -> None:
        publish_plates(board, WatchlistKey.load_or_make(data_dir), entries.active())

    app.state.plates = PlateList(entries, hand_out, lambda: was_published(board, PLATES))
    app.include_router(router, prefix=prefix)
    app.state.plates.start()


router = APIRouter(tags=["watchlist"], responses=REFUSALS)


@router.get("/watchlist/plates")
def plates(
    request: Request, person: Annotated[Person, may(Permission.WATCHLIST_SEE)], watchlist: str | None = None
) -> list[PlateView]:
    """The plates that are looked for, and those that wait for approval."""
    looks: Looks = request.app.state.looks
    looks.record(request, person, "watchlist.see", f"plates, {watchlist or 'all lists'}")
    return [_view(info) for info in _keeper(request).entries.entries(watchlist)]


@router.post("/watchlist/plates", status_code=201, responses={422: {"model": Problem}})
def add_plate(
    request: Request, body: NewPlateBody, person: Annotated[Person, may(Permission.WATCHLIST_PROPOSE)]
) -> PlateView:
    """Propose a plate. It is not looked for before another person has approved it."""
    with recorded(request, person, "watchlist.propose", body.subject, reason=body.law, watchlist=body.watchlist):
        try:
            return _view(_keeper(request).entries.add(NewPlate(**body.model_dump()), person))
        except WatchlistError as error:
            raise HTTPException(422, str(error)) from None


@router.post("/watchlist/plates/{entry}/approve", responses={404: {"model": Problem}, 409: {"model": Problem}})
def approve_plate(
    request: Request, entry: str, person: Annotated[Person, may(Permission.WATCHLIST_APPROVE)]
) -> PlateView:
    """Make an entry active. Another person than the one who proposed it must."""
    with recorded(request, person, "watchlist.approve", entry):
        return _view(_keeper(request).approve(entry, person))


@router.delete("/watchlist/plates/{entry}", status_code=204, responses={404: {"model": Problem}})
def erase_plate(request: Request, entry: str, person: Annotated[Person, may(Permission.WATCHLIST_APPROVE)]) -> None:
    """Erase an entry; the cameras forget it within seconds."""
    with recorded(request, person, "watchlist.erase", entry):
        _keeper(request).erase(entry, person)


def _keeper(request: Request) -> PlateList:
    keeper: PlateList = request.app.state.plates
    return keeper


def _view(info: PlateInfo) -> PlateView:
    return PlateView(state=info.state(datetime.now(UTC)), **asdict(info))
