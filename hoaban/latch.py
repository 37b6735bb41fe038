"""A fault that begins and ends only after its sign has held for a while."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal["start", "end"]


@dataclass(slots=True)
class Latch:
    """start_s: how long it must be bad before the fault begins. end_s: how long good before it is over.

    reason: why it began, in words.
    """

    start_s: float
    end_s: float
    on: bool = False
    reason: str = ""
    _turned_s: float | None = None

    def update(self, bad: bool | None, now_s: float, reason: str = "") -> Phase | None:
        """What begins or ends now. bad None: it cannot be told now, so the wait for a change starts anew.

        A clock that went back starts the wait anew too.
        """
        if bad and not self.on:
            self.reason = reason
        if bad is None or bad == self.on:
            self._turned_s = None
            return None
        if self._turned_s is None or now_s < self._turned_s:
            self._turned_s = now_s
        if now_s - self._turned_s < (self.end_s if self.on else self.start_s):
            return None
        self.on, self._turned_s = bad, None
        return "start" if bad else "end"
