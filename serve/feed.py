"""New events for all who follow them: one reader of the store in a process, however many clients."""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from itertools import takewhile

import structlog
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import ServerSentEvent

from actors.store import EventStore, StoredEvent
from hoaban.withheld import of_a_list, withheld
from serve.shown import Gate

log = structlog.get_logger(__name__)

POLL_S = 0.5
BATCH = 200
KEPT, KEPT_BYTES = 2000, 16 * 2**20
CHECK_S = 5.0
"""so often an idle client is asked whether it may still follow"""


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it is sent to every client."""

    seq: int
    camera: str
    message: bytes
    withheld: bytes | None = None
    """for who may not see the watchlist that it comes from"""

    def told(self, gate: Gate) -> "Told":
        """As it may be told."""
        return self if self.withheld is None or gate.lists else replace(self, message=self.withheld, withheld=None)


def everyone() -> Gate:
    """All cameras' events may be told, and of watchlists' hits what all may know."""
    return Gate(None, lists=False)


class EventFeed:
    """Keeps the newest events; a client that is behind them reads the store from its own number until it is not.

    A client holds nothing but its number and a batch on its way, so a slow one costs no memory and loses no event.
    Reads committed rows only: what was told is stored. Used from one event loop.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._kept: deque[Told] = deque()
        self._bytes = 0
        self._floor = self._newest = 0  # every event in (floor, newest] is kept
        self._restored = 0
        self._followers = 0
        self._reader: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun, self._grown = asyncio.Event(), asyncio.Event()

    @property
    def newest(self) -> int:
        """The number of the newest event that was read."""
        return self._newest

    async def follow(self, after: int, gate: Callable[[], Gate] = everyone) -> AsyncIterator[Told | None]:
        """Events stored after a number, then each new one, as they may be told; None where the database went back in
        time.

        gate: what may be told now; asked in a thread before each batch. A PermissionError of it ends the feed.
        """
        self._join()
        try:
            await self._begun.wait()
            restored = self._restored
            while True:
                try:
                    now = await run_in_threadpool(gate)
                except PermissionError:
                    return
                if restored != self._restored:
                    restored, after = self._restored, self._newest
                    yield None
                grown, floor = self._grown, self._floor
                if after >= floor:
                    batch = self._after(after)
                else:
                    batch = await self._caught_up(after)
                    after = after if batch else floor
                for event in batch:
                    after = event.seq
                    if now.lets(event.camera):
                        yield event.told(now)
                if not batch and after >= self._newest:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(grown.wait(), CHECK_S)
        finally:
            self._leave()

    def _after(self, seq: int) -> list[Told]:
        newer = list(takewhile(lambda event: event.seq > seq, reversed(self._kept)))
        return newer[: -BATCH - 1 : -1]

    async def _caught_up(self, after: int) -> list[Told]:
        while True:
            try:
                return [_told(stored) for stored in await run_in_threadpool(self._store.tail, after, BATCH)]
            except SQLAlchemyError:
                await asyncio.sleep(POLL_S)  # the reader says in the log what is wrong

    # --- the reader

    def _join(self) -> None:
        self._followers += 1
        if self._reader is None:
            loop = asyncio.get_running_loop()
            if self._loop not in (None, loop):  # events belong to the loop on which they were first waited for
                self._begun, self._grown = asyncio.Event(), asyncio.Event()
            self._loop = loop
            self._begun.clear()
            self._reader = asyncio.get_running_loop().create_task(self._read_forever())

    def _leave(self) -> None:
        self._followers -= 1
        if self._followers == 0 and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read_forever(self) -> None:
        away = False
        while True:
            try:
                full = await self._read()
                if away:
                    log.info("the store answers again")
                away = False
            except Exception as error:
                if not away:
                    log.warning("the store does not answer; trying again", error=str(error).split("\n")[0])
                away, full = True, False
            if not full:
                await asyncio.sleep(POLL_S)

    async def _read(self) -> bool:
        """Read once; whether there may be more at once."""
        if not self._begun.is_set():
            self._begin_at(await run_in_threadpool(self._store.last_seq))
            self._begun.set()
        found = await run_in_threadpool(self._store.tail, self._newest, BATCH)
        if not found and await run_in_threadpool(self._store.highest_given) < self._newest:
            newest = await run_in_threadpool(self._store.last_seq)
            log.warning("the database was restored from a backup: events begin again", before=self._newest, now=newest)
            self._begin_at(newest)
            self._restored += 1
            self._wake()
        for stored in found:
            self._keep(_told(stored))
        if found:
            self._wake()
        return len(found) == BATCH

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    def _begin_at(self, seq: int) -> None:
        self._kept.clear()
        self._bytes = 0
        self._floor = self._newest = seq

    def _keep(self, event: Told) -> None:
        self._kept.append(event)
        self._bytes += len(event.message)
        self._newest = event.seq
        while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
            gone = self._kept.popleft()
            self._floor = gone.seq
            self._bytes -= len(gone.message)


def _told(stored: StoredEvent) -> Told:
    event = stored.event
    message = ServerSentEvent(id=str(stored.seq), event=event.type, data=event.to_json()).encode()
    if not of_a_list(event):
        return Told(stored.seq, event.camera, message)
    less = json.dumps(withheld(event), ensure_ascii=False, separators=(",", ":"))
    return Told(
        stored.seq, event.camera, message, ServerSentEvent(id=str(stored.seq), event=event.type, data=less).encode()
    )
