"""Which of its inference actors a camera asks: the nearest that works, and when it goes back to a nearer one."""

from collections.abc import Mapping, Sequence

BACK_FOR_S = 5.0
"""a nearer actor must have answered for so long before the link moves back to it"""
MOST_BACK_FOR_S = 600.0
STEADY_S = 60.0
"""who served for so long has made good for failures before"""


class Failover:
    """Names of inference actors, nearest first, and how each has behaved. Times: seconds of one clock that runs on.

    One that was lost while it served is tried after the others, and must answer for BACK_FOR_S before the link moves
    back to it. Each further loss without STEADY_S of service between doubles that, so that an actor which dies again
    and again, or takes frames and never answers, costs ever less.
    """

    def __init__(self) -> None:
        self._order: tuple[str, ...] = ()
        self._losses: dict[str, int] = {}
        self._lost_s: dict[str, float] = {}
        self._serving: tuple[str, float] | None = None

    def rank(self, names: Sequence[str]) -> None:
        """Another order, nearest first. What is known of those that stay is kept."""
        self._order = tuple(names)
        for known in (self._losses, self._lost_s):
            for name in known.keys() - set(names):
                del known[name]

    def to_try(self, now_s: float) -> list[str]:
        """All of them, in the order to try: nearest first, those that failed lately last."""
        return sorted(self._order, key=lambda name: now_s - self._lost_s.get(name, -1e9) < self.back_for_s(name))

    def refused(self, name: str, now_s: float) -> None:
        """No connection could be made."""
        self._lost_s[name] = now_s

    def linked(self, name: str, now_s: float) -> None:
        """It serves from now on."""
        self._serving = name, now_s

    def lost(self, now_s: float) -> None:
        """The one that served died, or hangs."""
        if self._serving is not None:
            name, since_s = self._serving
            self._losses[name] = (0 if now_s - since_s >= STEADY_S else self._losses.get(name, 0)) + 1
            self._lost_s[name] = now_s
        self._serving = None

    def back_for_s(self, name: str) -> float:
        """For how long it must have answered before the link moves back to it."""
        return float(min(MOST_BACK_FOR_S, BACK_FOR_S * 2.0 ** min(max(0, self._losses.get(name, 0) - 1), 16)))

    def nearer(self) -> list[str]:
        """Those nearer than the one that serves; none when the nearest does, or nobody."""
        if self._serving is None:
            return []
        name = self._serving[0]
        return list(self._order[: self._order.index(name)] if name in self._order else self._order)

    def better(self, answering_since_s: Mapping[str, float], now_s: float) -> str | None:
        """The one to move to now, of the nearer ones that answer since these times; None to stay."""
        for name in self.nearer():
            since_s = answering_since_s.get(name)
            if since_s is not None and now_s - since_s >= self.back_for_s(name):
                return name
        return None
