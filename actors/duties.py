"""How work goes that nobody waits for: told on the board, so that a disk that is full is told by more than a log."""

import time
from typing import Any

import redis

from actors.board import Board

SEALING, ERASING = "sealing", "erasing"
DUTIES = (SEALING, ERASING)
RENEW_S = 20.0
SILENT_AFTER_S = 180.0
"""a piece of work may take minutes; who then says nothing hangs, is gone, or has no Redis to say it to"""


class Duty:
    """One kind of work, as who does it tells of it."""

    def __init__(self, board: Board, name: str) -> None:
        self._board, self._name = board, name
        self._why: str | None = None
        self._since_s, self._told_s = 0.0, float("-inf")

    def tell(self, why: str = "") -> None:
        """It is done, or cannot be done now, and why. Told when that changes, and now and then."""
        if why == self._why and time.monotonic() - self._told_s < RENEW_S:
            return
        now_s = round(time.time(), 3)
        if self._why is None or bool(why) != bool(self._why):
            self._since_s = now_s
        self._why = why
        try:
            self._board.put_json(_key(self._name), {"since_s": self._since_s, "at_s": now_s, "why": why})
        except redis.RedisError:  # told again; meanwhile it is silent
            self._told_s = float("-inf")
        else:
            self._told_s = time.monotonic()


def told(board: Board) -> dict[str, dict[str, Any] | None]:
    """duty -> what was told of it last: since_s, at_s, why. None: nothing ever."""
    return {name: board.get_json(_key(name)) for name in DUTIES}


def _key(name: str) -> str:
    return f"duty:{name}"
