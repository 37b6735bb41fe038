"""Ends a read that hangs in the network, at once and in good order.

FFmpeg asks a callback ten times a second whether to go on waiting. PyAV (18.1) answers by a time limit alone: it
compares `time.monotonic()` with the start of the read. So that a camera can be stopped within a tenth of a second,
that clock is put ahead for a thread that is to stop. Should a later PyAV do this another way, then the read ends by
its limit, as it would without this module; a test tells.
"""

import threading
import time
from typing import Any

import av.container.core

FAR_AHEAD_S = 1e6


class ReadingThread(threading.Thread):
    """A thread whose reads `interrupt` ends."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.interrupted = 0
        """how often the clock was asked since; 0 while reads may go on"""

    def interrupt(self) -> None:
        """End the read that hangs now, and those that follow, with an error."""
        self.interrupted = self.interrupted or 1

    def allow(self) -> None:
        """Let reads go on again."""
        self.interrupted = 0


class _Clock:
    """The `time` module that PyAV's containers see."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def monotonic() -> float:
        thread = threading.current_thread()
        if isinstance(thread, ReadingThread) and thread.interrupted:
            thread.interrupted += 1  # ever further ahead, so that a read which only starts now is over at once too
            return time.monotonic() + thread.interrupted * FAR_AHEAD_S
        return time.monotonic()


av.container.core.time = _Clock()
