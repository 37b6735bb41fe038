"""Answers that do not end: events by SSE, pictures as MJPEG."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from sse_starlette import ServerSentEvent

from actors.store import EventStore
from serve.feed import EventFeed, everyone
from serve.shown import Gate
from serve.tiles import TileCache

POLL_S = 0.5
BOUNDARY = "hoaban-frame"


def resume_at(store: EventStore, after: int | None) -> tuple[int, bool]:
    """Where a client begins that has seen events up to a number (None: it wants new ones), and whether to tell it so.

    A number that no event was ever given comes from before the database was restored from an older backup: the client
    is told to begin again, at the newest event.
    """
    newest = store.last_seq()
    if after is None:
        return newest, False
    restored = after > max(newest, store.highest_given())
    return (newest, True) if restored else (after, False)


async def event_stream(
    feed: EventFeed,
    after: int,
    restored: bool,
    gate: Callable[[], Gate] = everyone,
) -> AsyncIterator[bytes]:
    """Events as Server-Sent Events; the id is the store's number, so a client resumes exactly.

    gate: what may be told now. An event `reset` says that numbers began again, the database
    having been restored: what the client holds of later events is no more, new ones follow.
    """
    if restored:
        yield _reset(after)
    async for event in feed.follow(after, gate):
        if event is None:
            yield _reset(feed.newest)
        else:
            yield event.message


def _reset(newest: int) -> bytes:
    return ServerSentEvent(id=str(newest), event="reset", data=json.dumps({"newest": newest})).encode()


async def mjpeg(request: Request, tiles: TileCache, camera: str, may_see: Callable[[], bool]) -> AsyncIterator[bytes]:
    """A camera's pictures, each once, as parts of multipart/x-mixed-replace, while may_see, which may wait, allows."""
    last_seq = -1
    while await run_in_threadpool(may_see) and not await request.is_disconnected():
        picture = await tiles.get(camera)
        if picture is not None and picture.seq != last_seq:
            last_seq = picture.seq
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n"
            yield f"{head}X-Hoaban-Captured: {picture.captured_s:.3f}\r\n\r\n".encode() + picture.jpeg + b"\r\n"
        await asyncio.sleep(POLL_S)
