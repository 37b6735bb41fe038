"""Live pictures: fetched from a camera at most once each half second, however many look."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Protocol

import ray
from fastapi import Response

KEEP_S = 0.45
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


class TileCache:
    """One fetch at a time for each camera, shared by all who wait for it."""

    def __init__(self, source: TileSource) -> None:
        self.source = source
        self._kept: dict[str, tuple[float, Picture | None]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, camera: str) -> Picture | None:
        async with self._locks.setdefault(camera, asyncio.Lock()):
            fetched_s, picture = self._kept.get(camera, (float("-inf"), None))
            if time.monotonic() - fetched_s < KEEP_S:
                return picture
            picture = await self.source.tile(camera)
            self._kept[camera] = (time.monotonic(), picture)
            return picture
