"""Live pictures: fetched from a camera at most once each half second, however many look."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray
from fastapi import Response

KEEP_S = 0.45
MOST_KEPT = 1024
FETCH_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A camera's JPEG, faces hidden as `blur` says."""

    jpeg: bytes
    seq: int
    captured_s: float
    blur: str


class TileSource(Protocol):
    """Where pictures come from."""

    async def tile(self, camera: str) -> Picture | None:
        """The newest picture, or None when the camera has none yet or does not run."""
        ...

    async def heat_tile(self, camera: str) -> Picture | None:
        """The newest picture under the camera's heat map; None as well when it keeps no such map."""
        ...

    async def heat_map(self, camera: str) -> dict[str, Any] | None:
        """The heat map's grid, or None."""
        ...


class RayTiles:
    """From the camera actors."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    async def tile(self, camera: str) -> Picture | None:
        answer = await ask_camera(self._namespace, camera, "tile")
        return None if answer is None else Picture(**answer)

    async def heat_tile(self, camera: str) -> Picture | None:
        answer = await ask_camera(self._namespace, camera, "heat_tile")
        return None if answer is None else Picture(**answer)

    async def heat_map(self, camera: str) -> dict[str, Any] | None:
        return await ask_camera(self._namespace, camera, "heat_map")


async def ask_camera(namespace: str, camera: str, call: str, *arguments: Any) -> dict[str, Any] | None:
    """What a camera's actor answers to a call; None when it does not run, or does not answer in time."""
    try:
        actor = await asyncio.to_thread(ray.get_actor, f"camera:{camera}", namespace)
        answer: dict[str, Any] | None = await asyncio.wait_for(
            _wait(getattr(actor, call).remote(*arguments)), FETCH_LIMIT_S
        )
    except (ValueError, TimeoutError, ray.exceptions.RayError):
        return None
    return answer


def jpeg_answer(picture: Picture) -> Response:
    """A picture as an answer that nobody keeps."""
    headers = {
        "Cache-Control": "no-store",
        "X-Hoaban-Captured": f"{picture.captured_s:.3f}",
        "X-Hoaban-Age": f"{max(0.0, time.time() - picture.captured_s):.3f}",
        "X-Hoaban-Blur": picture.blur,
    }
    return Response(picture.jpeg, media_type="image/jpeg", headers=headers)


async def _wait(reference: Any) -> Any:
    return await reference


@dataclass(slots=True)
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    fetched_s: float = float("-inf")
    picture: Picture | None = None


class TileCache:
    """One fetch at a time for each camera, shared by all who wait for it; of the MOST_KEPT cameras asked for last."""

    def __init__(self, source: TileSource) -> None:
        self.source = source
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def get(self, camera: str) -> Picture | None:
        kept = self._kept.setdefault(camera, _Kept())
        self._kept.move_to_end(camera)
        while len(self._kept) > MOST_KEPT:  # ids come from whoever asks, of cameras that do not exist too
            self._kept.popitem(last=False)
        async with kept.lock:
            if time.monotonic() - kept.fetched_s >= KEEP_S:
                kept.picture = await self.source.tile(camera)
                kept.fetched_s = time.monotonic()
            return kept.picture
