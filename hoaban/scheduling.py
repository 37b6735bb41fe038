"""Which cameras' frames a model takes next: plain data and one step, with the time given by the caller.

Every camera holds at most one waiting frame, the newest. A camera's *turn* moves on by its period each time it is
served, and the earliest turn goes first: cameras of different rates get the same share of what they asked for when
there is too little for all (stride scheduling: Waldspurger, Weihl, MIT/LCS/TM-528, 1995). A camera below its guaranteed
rate goes before every camera that is not.

A spare seat (a candidate's, hoaban/shadow.py) is never picked with the others: whoever has time left asks for one.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class _Seat:
    group: Hashable
    period_s: float
    guaranteed_period_s: float
    served_s: float
    turn_s: float
    spare: bool = False
    offered_s: float = float("-inf")
    waiting_since_s: float | None = None
    in_flight: bool = False

    @property
    def ready(self) -> bool:
        return self.waiting_since_s is not None and not self.in_flight


class FrameScheduler:
    """Picks batches of cameras: the one whose turn is longest due first, one frame of a camera in flight at a time.

    A batch never mixes groups (a group is a model: its inputs have one shape).
    """

    def __init__(self) -> None:
        self._seats: dict[str, _Seat] = {}
        self._turn_s = 0.0  # of the camera served last
        self._lag_sum, self._lag_count = 0.0, 0

    def __contains__(self, camera: str) -> bool:
        return camera in self._seats

    def __len__(self) -> int:
        return len(self._seats)

    def join(
        self,
        camera: str,
        *,
        rate: float,
        now: float,
        guaranteed_rate: float = 0.0,
        group: Hashable = None,
        spare: bool = False,
    ) -> None:
        """Seat a camera that wants `rate` frames a second, of which `guaranteed_rate` come before others' wishes.

        Joining again replaces the seat. spare: only `pick_spare` takes it. Raises ValueError for a rate that is not
        above 0.
        """
        if not rate > 0 or guaranteed_rate < 0:
            raise ValueError(f"camera {camera}: rates {rate}, {guaranteed_rate}: above 0, and 0 or above, are expected")
        guaranteed_period_s = 1 / guaranteed_rate if guaranteed_rate else float("inf")
        self._seats[camera] = _Seat(group, 1 / rate, guaranteed_period_s, now, self._turn_s, spare)

    def group(self, camera: str) -> Any:
        """The group a camera was seated with. Raises KeyError."""
        return self._seats[camera].group

    def regroup(self, camera: str, group: Hashable) -> None:
        """Another group for a camera that keeps its seat. Raises KeyError."""
        self._seats[camera].group = group

    def leave(self, camera: str) -> None:
        """Forget a camera; one that is not seated is no error."""
        self._seats.pop(camera, None)

    def offer(self, camera: str, now: float) -> None:
        """The camera has a frame waiting; a frame that waited already is the same one, renewed."""
        if (seat := self._seats.get(camera)) is not None:
            seat.offered_s = now
            if seat.waiting_since_s is None:
                seat.waiting_since_s = now

    def waited_s(self, now: float) -> float:
        """How long the frame that waits longest has waited; 0 when none could be served. Spare seats may wait."""
        since = [seat.waiting_since_s for seat in self._seats.values() if not (seat.in_flight or seat.spare)]
        return max((now - since_s for since_s in since if since_s is not None), default=0.0)

    def pick(self, now: float, most: Callable[[Any], int]) -> list[str]:
        """Cameras of one group to serve now, the longest due first; empty when none waits.

        most: how many of a group may be served together; a group with 0 is passed over. A picked camera is in flight
        until `done`.
        """
        seats = self._seats.items()
        ready = sorted((self._rank(seat, now), name) for name, seat in seats if seat.ready and not seat.spare)
        room = 0
        for _, first in ready:
            if (room := most(group := self._seats[first].group)) > 0:
                break
        if room <= 0:
            return []
        batch = [name for _, name in ready if self._seats[name].group == group][:room]
        for name in batch:
            seat = self._seats[name]
            turn_s = self._turn_of(seat)
            self._turn_s = max(self._turn_s, turn_s)
            self._take(seat, now, turn_s + seat.period_s)
        return batch

    def spares(self) -> list[str]:
        """Spare seats whose frame waits, the one served longest ago first."""
        ready = [(seat.served_s, name) for name, seat in self._seats.items() if seat.ready and seat.spare]
        return [name for _, name in sorted(ready)]

    def pick_spare(self, camera: str, now: float) -> None:
        """Take the frame of a spare seat; it is in flight until `done`. Raises KeyError."""
        self._take(self._seats[camera], now, self._seats[camera].turn_s)

    def due(self, now: float, within_s: float) -> int:
        """How many cameras with seats that are not spare have a frame waiting, or are expected to within that time.

        A camera is expected a period after its last frame. One that let two periods pass is quiet: nothing moves there,
        and nobody knows when it will have a frame again.
        """
        return sum(
            seat.waiting_since_s is not None
            or (seat.offered_s + seat.period_s <= now + within_s and now < seat.offered_s + 2 * seat.period_s)
            for seat in self._seats.values()
            if not seat.spare
        )

    def take_lag(self, now: float) -> float | None:
        """How many of their cameras' periods due frames have waited since the last call, on average; None without any.

        Those that still wait for longer than a period count as well: a frame that nobody takes is the latest of all.
        Spare seats may wait.
        """
        waiting = [
            lag
            for seat in self._seats.values()
            if seat.waiting_since_s is not None and not seat.spare and (lag := self._lag(seat, now)) > 1
        ]
        total, count = self._lag_sum + sum(waiting), self._lag_count + len(waiting)
        self._lag_sum, self._lag_count = 0.0, 0
        return total / count if count else None

    @staticmethod
    def _lag(seat: _Seat, now: float) -> float:
        return (now - (seat.waiting_since_s if seat.waiting_since_s is not None else now)) / seat.period_s

    def _take(self, seat: _Seat, now: float, next_turn_s: float) -> None:
        if not seat.spare:
            self._lag_sum, self._lag_count = self._lag_sum + self._lag(seat, now), self._lag_count + 1
        seat.waiting_since_s, seat.in_flight, seat.served_s, seat.turn_s = None, True, now, next_turn_s

    def done(self, camera: str) -> None:
        """The camera's frame in flight was answered or given up."""
        if (seat := self._seats.get(camera)) is not None:
            seat.in_flight = False

    def _turn_of(self, seat: _Seat) -> float:
        """A camera that was away has no more than one period saved up."""
        return max(seat.turn_s, self._turn_s - seat.period_s)

    def _rank(self, seat: _Seat, now: float) -> tuple[int, float, float]:
        waited_s = now - seat.served_s
        if waited_s >= seat.guaranteed_period_s:
            return (0, -waited_s / seat.guaranteed_period_s, 0.0)
        return (1, self._turn_of(seat), seat.served_s)


def jain_index(shares: list[float]) -> float:
    """Jain's fairness index of shares: 1 when all are equal, 1/n when one has all.

    Jain, Chiu, Hawe: A Quantitative Measure of Fairness and Discrimination, DEC-TR-301, 1984.
    Raises ValueError without shares; all-zero shares are equal, so 1.
    """
    if not shares:
        raise ValueError("no shares to judge")
    squares = sum(share * share for share in shares)
    return 1.0 if squares == 0 else sum(shares) ** 2 / (len(shares) * squares)
