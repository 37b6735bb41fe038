"""How a system ends: what was started, stage after stage, each within its time."""

import contextlib
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import psutil

from actors.side_by_side import at_once
from cli.common import say


class Stage(IntEnum):
    """What ends side by side. The stages end one after another: each rests on those that come after it."""

    CAMERAS_AND_DOORS = 0
    STORING = 1
    RAY = 2
    LIVE_STORE = 3


STOPPED_BY_S = {Stage.CAMERAS_AND_DOORS: 4.0, Stage.STORING: 5.0, Stage.RAY: 7.0, Stage.LIVE_STORE: 7.5}
"""seconds after Ctrl-C in which a stage has to be over; what does not end by itself then is ended by force. Nothing is
lost by that: what was not stored yet is on disk, and stored with the next start"""
CAMERAS_S = 2.5
"""of the first stage; the supervisor has the rest to end its own work"""


class Ending:
    """What was started so far, with how each is ended. Child processes that were there before are not ours."""

    def __init__(self) -> None:
        self._undo: dict[Stage, list[tuple[str, Callable[[], Any]]]] = {stage: [] for stage in Stage}
        self._not_ours = _family()

    def later(self, stage: Stage, name: str, undo: Callable[[], Any]) -> None:
        """Have `undo` called in its stage."""
        self._undo[stage].append((name, undo))

    def now(self) -> None:
        """End all of it, before the last of STOPPED_BY_S is over and what is left can be ended by force."""
        say("stopping …")
        began_s, family = time.monotonic(), set[psutil.Process]()
        for stage, parts in self._undo.items():
            family |= _family() - self._not_ours
            for name, why in at_once(parts, began_s + STOPPED_BY_S[stage] - time.monotonic()).items():
                say(f"  {name}: {why}")
            parts.clear()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        say(f"stopped in {time.monotonic() - began_s:.1f} s")


def _family() -> set[psutil.Process]:
    """All processes that come of this one."""
    return {*psutil.Process().children(recursive=True)}
