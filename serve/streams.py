"""Answers that do not end: events by SSE, pictures as MJPEG."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from sse_starlette import ServerSentEvent

from actors.store import EventStore
from serve.tiles import TileCache

POLL_S = 0.5
BATCH = 200
BOUNDARY = "hoaban-frame"


async def event_stream(
    request: Request, store: EventStore, after_seq: int, cameras: Callable[[], Collection[str] | None]
) -> AsyncIterator[ServerSentEvent]:
    """Events stored after a number, then each new one; the SSE id is the store's number, so a client resumes exactly.

    Reads committed rows only: what was streamed is stored. cameras: whose events may be told now, None for all; asked
    in a thread before each read; a PermissionError of it ends the stream.
    """
    while not await request.is_disconnected():
        try:
            told = await run_in_threadpool(cameras)
        except PermissionError:
            return
        found = await run_in_threadpool(store.tail, after_seq, BATCH, told)
        for stored in found:
            after_seq = stored.seq
            yield ServerSentEvent(id=str(stored.seq), event=stored.event.type, data=stored.event.to_json())
        if len(found) < BATCH:
            await asyncio.sleep(POLL_S)


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
