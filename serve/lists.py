"""What the routes of the two watchlists, faces and plates, share: entries that two people answer for, handed out."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Generic, TypeVar

import redis
import structlog
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field

from actors.watchlist.store import ListedInfo, ListStore, WatchlistError
from hoaban.access import Person
from hoaban.shapes import Id
from serve.problems import Problem
from serve.times import Instant

log = structlog.get_logger(__name__)
KEEP_EVERY_S = 30.0
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No valid token"},
    403: {"model": Problem, "description": "Not by one of your roles"},
    503: {"model": Problem, "description": "The key, the model or a store is away"},
}
Info = TypeVar("Info", bound=ListedInfo)


class NewListed(BaseModel):
    """What every entry must say."""

    model_config = ConfigDict(extra="forbid")
    watchlist: Id
    subject: str = Field(min_length=1, max_length=128, description="a case or file number, not a name")
    law: str = Field(min_length=1, max_length=400)
    authority: str = Field(min_length=1, max_length=400)
    document: str = Field(min_length=1, max_length=400)
    basis_until: Instant = Field(description="until when the lawful basis holds")
    expires_at: Instant = Field(description="when the entry is erased")


class ListedView(BaseModel):
    """An entry, as every list shows it."""

    id: str
    watchlist: str
    subject: str
    state: str = Field(description="waiting for approval, active, expired")
    law: str
    authority: str
    document: str
    basis_until: datetime
    expires_at: datetime
    added_by: str
    added_at: datetime
    approved_by: str | None
    approved_at: datetime | None


class ListKeeper(Generic[Info]):
    """A list and handing it out. What could not be, as Redis was away, is handed out later; what is over is erased.

    hand_out: gives the active entries to the cameras. was_handed_out: whether that was ever done. Both may raise
    redis.RedisError.
    """

    def __init__(
        self, entries: ListStore[Info], hand_out: Callable[[], object], was_handed_out: Callable[[], bool]
    ) -> None:
        self.entries, self._hand_out, self._was_handed_out = entries, hand_out, was_handed_out
        self._publishing = threading.Lock()
        self._handed_out = True

    def start(self) -> None:
        """Keep the list from now on."""
        threading.Thread(target=self._keep, name=f"watchlist-{self.entries.what}", daemon=True).start()

    def publish(self) -> None:
        """Hand the active entries to the cameras, now or, when Redis is away, as soon as it is back.

        Raises KeyMissingError.
        """
        with self._publishing:
            try:
                self._hand_out()
                self._handed_out = True
            except redis.RedisError as error:
                self._handed_out = False
                log.warning("watchlist not handed out; trying again", kind=self.entries.what, reason=str(error))

    def approve(self, entry: str, by: Person) -> Info:
        """Make an entry active. Raises HTTPException, KeyMissingError."""
        try:
            info = self.entries.approve(entry, by)
        except KeyError:
            raise HTTPException(404, f"there is no watchlist entry {entry!r}") from None
        except WatchlistError as error:
            raise HTTPException(409, str(error)) from None
        self.publish()
        return info

    def erase(self, entry: str, by: Person) -> None:
        """Erase an entry; the cameras forget it within seconds. Raises HTTPException, KeyMissingError."""
        try:
            self.entries.remove(entry, by)
        except KeyError:
            raise HTTPException(404, f"there is no watchlist entry {entry!r}") from None
        self.publish()

    def _keep(self) -> None:
        try:
            if self.entries.entries() or self._was_handed_out():
                self.publish()
        except Exception as error:
            self._handed_out = False
            log.warning("watchlist not handed out at the start", kind=self.entries.what, reason=str(error))
        while True:
            time.sleep(KEEP_EVERY_S)
            try:
                if self.entries.erase_expired() or not self._handed_out:
                    self.publish()
            except Exception as error:  # a store that is away: looked at again
                log.warning("watchlist not kept", kind=self.entries.what, reason=str(error).splitlines()[0])
