"""How work goes that nobody waits for: told on the board, so that a disk that is full is told by more than a log."""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from actors.board import Board

SEALING, ERASING = "sealing", "erasing"
DUTIES = (SEALING, ERASING)
RENEW_S = 20.0
SILENT_AFTER_S = 180.0
"""a piece of work may take minutes; who then says nothing hangs, is gone, or has no Redis to say it to"""


class State(StrEnum):
    SOUND = "sound"
    FAILING = "failing"
    SILENT = "silent"
    UNKNOWN = "unknown"
    """nothing was ever heard of it"""


@dataclass(frozen=True, slots=True)
class DutyState:
    """How a kind of work goes. since_s: it is sound, or failing. heard_s: of it last. why: it fails."""

    duty: str
    state: State
    since_s: float | None
    heard_s: float | None
    why: str | None


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


def states(board: Board, now_s: float) -> list[DutyState]:
    """How each kind of work goes."""
    return [_state(name, board.get_json(_key(name)), now_s) for name in DUTIES]


def _state(name: str, said: dict[str, Any] | None, now_s: float) -> DutyState:
    if said is None:
        return DutyState(name, State.UNKNOWN, None, None, None)
    state = State.FAILING if said["why"] else State.SOUND
    if now_s - said["at_s"] > SILENT_AFTER_S:
        state = State.SILENT
    return DutyState(name, state, said["since_s"], said["at_s"], said["why"] or None)


def _key(name: str) -> str:
    return f"duty:{name}"
