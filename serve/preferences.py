"""What each person wants to see and hear at their screens."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from actors.store import Holder
from actors.store.preferences import PreferenceStore
from hoaban.fleet import TimeZone
from serve.auth import signed_in
from serve.problems import Problem

router = APIRouter(prefix="/session/preferences", tags=["session"], responses={401: {"model": Problem}})


class Preferences(BaseModel):
    """timezone: null for the province's. sound, notice: from this severity on a new incident is heard, or announced by
    the browser also when the page is in the background; null for never."""

    model_config = ConfigDict(extra="forbid")
    language: Literal["vi", "en"] | None = None
    timezone: TimeZone | None = None
    theme: Literal["light", "dark"] | None = Field(None, description="null: as the person's browser")
    sound: Literal["critical", "high", "medium", "low"] | None = None
    notice: Literal["critical", "high", "medium", "low"] | None = None


@router.get("")
def preferences(request: Request, holder: Annotated[Holder, signed_in()]) -> Preferences:
    """Your own."""
    return Preferences.model_validate(_store(request).get(holder.person.id))


@router.put("")
def change(request: Request, wanted: Preferences, holder: Annotated[Holder, signed_in()]) -> Preferences:
    """Change your own; they hold on every screen that you sign in at."""
    _store(request).put(holder.person.id, wanted.model_dump(exclude_none=True))
    return wanted


def _store(request: Request) -> PreferenceStore:
    store: PreferenceStore = request.app.state.preferences
    return store
