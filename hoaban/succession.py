"""How one set of inference actors follows another without a frame that nobody answers.

What a new set has more is started beside the old. While one of it does not answer yet, cameras have the old ones as
well; when all answer, cameras are told of the new set alone and go over to it by themselves (hoaban/failover.py).
Only then the old ones are ended.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hoaban.failover import BACK_FOR_S
from hoaban.placement import Place

LEAVE_S = BACK_FOR_S + 10.0
"""a camera looks for a nearer actor every two seconds, and goes to one that has answered for BACK_FOR_S"""
START_LIMIT_S = 120.0
"""a successor that does not answer by then keeps an old one no longer than that"""


@dataclass(frozen=True, slots=True)
class Standing:
    """peers: those that cameras turn to. kept: those that run."""

    peers: tuple[Place, ...]
    kept: tuple[Place, ...]


class Succession:
    """Times: seconds of one clock that runs on."""

    def __init__(self) -> None:
        self._known: dict[str, Place] = {}
        self._waited_s: float | None = None
        self._left_s: dict[str, float] = {}

    def update(
        self, wanted: Sequence[Place], running: Collection[str], answering: Collection[str], now_s: float
    ) -> Standing:
        """wanted: the places as they should be. running: names of actors that exist. answering: of those ready."""
        names = {place.name for place in wanted}
        self._known |= {place.name: place for place in wanted}
        old = [self._known[name] for name in sorted(running) if name not in names and name in self._known]
        self._known = {name: self._known[name] for name in {*names, *(place.name for place in old)}}
        starting = [place for place in wanted if place.name not in answering]
        self._waited_s = (self._waited_s if self._waited_s is not None else now_s) if starting else None
        late = self._waited_s is not None and now_s - self._waited_s > START_LIMIT_S
        if starting and not late:
            kept = self._with_room(wanted, starting, old)
            self._left_s = {}
            return Standing((*wanted, *kept), (*wanted, *kept))
        self._left_s = {place.name: self._left_s.get(place.name, now_s) for place in old}
        kept = [place for place in old if now_s - self._left_s[place.name] < LEAVE_S]
        return Standing(tuple(wanted), (*wanted, *kept))

    @staticmethod
    def _with_room(wanted: Sequence[Place], starting: Sequence[Place], old: Sequence[Place]) -> list[Place]:
        """The old ones, without one whose GPU a starting one waits for: a GPU takes one actor at a time.

        Not while one that was ended before has left a GPU to a successor that does not answer yet.
        """
        for node in dict.fromkeys(place.node for place in starting if place.gpus):
            there = [place for place in old if place.node == node and place.gpus]
            gpus = [place for place in wanted if place.node == node and place.gpus]
            answering = len(gpus) - sum(place.node == node for place in starting)
            if there and len(there) + answering >= len(gpus):
                return [place for place in old if place is not there[0]]
        return list(old)
