"""When something was told last, so that it is not told again too soon."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Recent(Generic[Key]):
    """Times by key, forgotten after keep_s."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._told_s: dict[Key, float] = {}  # the oldest first

    def tell(self, key: Key, now_s: float) -> None:
        """It is told now."""
        self._told_s.pop(key, None)
        self._told_s[key] = now_s
        while now_s - self._told_s[oldest := next(iter(self._told_s))] > self._keep_s:
            del self._told_s[oldest]

    def within(self, key: Key, now_s: float) -> bool:
        """Whether it was told within keep_s."""
        return now_s - self._told_s.get(key, float("-inf")) <= self._keep_s
