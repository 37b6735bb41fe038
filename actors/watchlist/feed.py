"""The watchlist on its way to the cameras: sealed as a whole in Redis, opened in the memory of those that search."""

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog

from actors.board import Board
from actors.watchlist.key import KeyMissingError, WatchlistKey
from hoaban.faces.gallery import WatchlistEntry

log = structlog.get_logger(__name__)

GALLERY, VERSION = "watchlist", "watchlist:version"
"""the second is small: every camera with a face rule asks for it once a second"""


def publish_gallery(board: Board, key: WatchlistKey, entries: Sequence[WatchlistEntry]) -> str:
    """Hand the active entries out; returns the version. Raises redis.RedisError."""
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
    version = f"{time.time_ns()}"
    sealed = key.seal(json.dumps(document).encode(), _purpose(version))
    board.put_json(GALLERY, {"version": version, "sealed": base64.b64encode(sealed).decode()})
    board.put_json(VERSION, {"version": version})
    return version


class GalleryFeed:
    """What a camera knows of the watchlist. error: why it knows nothing, in words."""

    def __init__(self, board: Board, data_dir: Path | None) -> None:
        self._board, self._data_dir = board, data_dir
        self._version: str | None = None
        self.error: str | None = None

    def refresh(self) -> tuple[WatchlistEntry, ...] | None:
        """The entries when they changed since the last call, else None. Raises redis.RedisError."""
        newest = self._board.get_json(VERSION)
        if newest is None or newest["version"] == self._version or (document := self._board.get_json(GALLERY)) is None:
            return None
        version = str(document["version"])
        try:
            key = WatchlistKey.load(self._data_dir)
            plain = key.open(base64.b64decode(document["sealed"]), _purpose(version))
        except KeyMissingError as error:
            if str(error) != self.error:
                log.error("watchlist not read", reason=str(error))
            self.error = str(error)
            return None
        self._version, self.error = version, None
        return tuple(
            WatchlistEntry(
                one["id"],
                one["list"],
                one["subject"],
                np.frombuffer(base64.b64decode(one["template"]), np.float32),
                one["model_digest"],
                one["expires_s"],
            )
            for one in json.loads(plain)
        )


def _purpose(version: str) -> str:
    return f"hoaban watchlist gallery {version}"
