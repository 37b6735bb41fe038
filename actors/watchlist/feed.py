"""The lists on their way to the cameras: sealed as a whole in Redis, opened in the memory of those that search."""

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from actors.board import Board
from actors.watchlist.key import KeyMissingError, WatchlistKey
from hoaban.faces.gallery import WatchlistEntry
from hoaban.plate_watch import ListedPlate

log = structlog.get_logger(__name__)

GALLERY, PLATES = "watchlist", "plate_watchlist"
"""names in Redis. Beside each lies its version, which is small: every camera that searches asks for it once a second"""
_PURPOSES = {GALLERY: "hoaban watchlist gallery", PLATES: "hoaban plate watchlist"}


def was_published(board: Board, name: str) -> bool:
    """Whether a list was ever handed out. Raises redis.RedisError."""
    return board.get_json(f"{name}:version") is not None


def publish_gallery(board: Board, key: WatchlistKey, entries: Sequence[WatchlistEntry]) -> str:
    """Hand the active faces out; returns the version. Raises redis.RedisError."""
    document = [
        {
            "id": entry.id,
            "list": entry.watchlist,
            "subject": entry.subject,
            "template": base64.b64encode(np.ascontiguousarray(entry.template, np.float32).tobytes()).decode(),
            "model_digest": entry.model_digest,
            "expires_s": entry.expires_s,
        }
        for entry in entries
    ]
    return _publish(board, key, GALLERY, document)


def publish_plates(board: Board, key: WatchlistKey, entries: Sequence[ListedPlate]) -> str:
    """Hand the active plates out; returns the version. Raises redis.RedisError."""
    document = [
        {"id": e.id, "list": e.watchlist, "subject": e.subject, "plate": e.plate, "expires_s": e.expires_s}
        for e in entries
    ]
    return _publish(board, key, PLATES, document)


def _publish(board: Board, key: WatchlistKey, name: str, document: list[dict[str, Any]]) -> str:
    version = f"{time.time_ns()}"
    sealed = key.seal(json.dumps(document).encode(), f"{_PURPOSES[name]} {version}")
    board.put_json(name, {"version": version, "sealed": base64.b64encode(sealed).decode()})
    board.put_json(f"{name}:version", {"version": version})
    return version


class _Feed:
    """What a camera knows of a list. error: why it knows nothing, in words."""

    def __init__(self, board: Board, data_dir: Path | None, name: str) -> None:
        self._board, self._data_dir, self._name = board, data_dir, name
        self._version: str | None = None
        self.error: str | None = None

    def _newer(self) -> list[dict[str, Any]] | None:
        """The list when it changed since the last call, else None. Raises redis.RedisError."""
        newest = self._board.get_json(f"{self._name}:version")
        if newest is None or newest["version"] == self._version:
            return None
        if (document := self._board.get_json(self._name)) is None:
            return None
        version = str(document["version"])
        try:
            key = WatchlistKey.load(self._data_dir)
            plain = key.open(base64.b64decode(document["sealed"]), f"{_PURPOSES[self._name]} {version}")
        except KeyMissingError as error:
            if str(error) != self.error:
                log.error("watchlist not read", list=self._name, reason=str(error))
            self.error = str(error)
            return None
        self._version, self.error = version, None
        entries: list[dict[str, Any]] = json.loads(plain)
        return entries


class GalleryFeed(_Feed):
    """What a camera knows of the faces."""

    def __init__(self, board: Board, data_dir: Path | None) -> None:
        super().__init__(board, data_dir, GALLERY)

    def refresh(self) -> tuple[WatchlistEntry, ...] | None:
        """The entries when they changed since the last call, else None. Raises redis.RedisError."""
        if (document := self._newer()) is None:
            return None
        return tuple(
            WatchlistEntry(
                one["id"],
                one["list"],
                one["subject"],
                np.frombuffer(base64.b64decode(one["template"]), np.float32),
                one["model_digest"],
                one["expires_s"],
            )
            for one in document
        )


class PlateFeed(_Feed):
    """What a camera knows of the plates."""

    def __init__(self, board: Board, data_dir: Path | None) -> None:
        super().__init__(board, data_dir, PLATES)

    def refresh(self) -> tuple[ListedPlate, ...] | None:
        """The entries when they changed since the last call, else None. Raises redis.RedisError."""
        if (document := self._newer()) is None:
            return None
        return tuple(
            ListedPlate(one["id"], one["list"], one["subject"], one["plate"], one["expires_s"]) for one in document
        )
