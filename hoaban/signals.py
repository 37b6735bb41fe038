"""What a traffic signal shows, and since when: its part of the fleet file, and the phases that rules ask for.

A state comes from the picture (hoaban/lamps.py) or from a feed, readings that the signal's controller sends. Whatever
is not known stays unknown: a lamp behind a bus, a feed that fell silent.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from pydantic import Field, model_validator

from hoaban.shapes import Id, Polygon, Strict

MOST_PHASES = 64
BRIDGE_S = 8.0
"""no signal turns red, green, yellow and red again within so short a time: what was red before and after an unknown
time of at most this was red in between"""
AHEAD_S = 2.0
"""a reading's time may lie so far ahead of the frame's; beyond it, one of the two clocks is wrong"""


class SignalState(StrEnum):
    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    UNKNOWN = "unknown"


class Lamps(Strict):
    """Where each lamp of a signal lies on the picture: polygons around the lit glass, a little larger than it."""

    red: Polygon
    yellow: Polygon | None = None
    green: Polygon


class FeedConfig(Strict):
    """The signal's controller tells its state (POST /api/v1/signals/CAMERA/SIGNAL), on each change and in between."""

    stale_after_s: float = Field(5.0, gt=0, le=600, description="no reading for so long: the feed is lost")


class Signal(Strict):
    """A traffic signal that a camera watches, or whose controller sends what it shows."""

    id: Id
    lamps: Lamps | None = None
    feed: FeedConfig | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Signal":
        if (self.lamps is None) == (self.feed is None):
            raise ValueError("a signal is seen by its lamps or told by a feed; give one of lamps and feed")
        return self


@dataclass(frozen=True, slots=True)
class Reading:
    """What a feed says: the signal showed `state` at `at_s` (seconds since 1970, UTC)."""

    signal: str
    state: SignalState
    at_s: float


@dataclass(frozen=True, slots=True)
class Phase:
    """A state from `began_s` on. before_s: the last time at which it was not so yet, by the observations."""

    state: SignalState
    began_s: float
    before_s: float


@dataclass(frozen=True, slots=True)
class SignalView:
    """A signal's recent phases, oldest first, at least one; believed up to `known_until_s`.

    source: "lamps" or "feed". why: why it is unknown now, in words; None while it is known.
    """

    id: str
    source: str
    phases: tuple[Phase, ...]
    known_until_s: float
    why: str | None = None

    @property
    def state(self) -> SignalState:
        """What it shows now."""
        return self.phases[-1].state

    def at(self, time_s: float) -> SignalState:
        """What it showed at a time; unknown before the first phase and after known_until_s."""
        index = self._index(time_s)
        return SignalState.UNKNOWN if index is None or time_s > self.known_until_s else self.phases[index].state

    def known_before(self, time_s: float) -> tuple[SignalState, float] | None:
        """The last known state at or before a time, and how many seconds before it that was."""
        index = self._index(time_s)
        while index is not None and index >= 0:
            if self.phases[index].state is not SignalState.UNKNOWN:
                end_s = self.phases[index + 1].began_s if index + 1 < len(self.phases) else self.known_until_s
                return self.phases[index].state, max(0.0, time_s - end_s)
            index -= 1
        return None

    def since(self, time_s: float) -> Phase | None:
        """The phase in force at a time, from its true beginning: short unknown times within it are passed over."""
        index = self._index(time_s)
        return None if index is None else self.phases[self._start(index)]

    def longest_s(self, state: SignalState) -> float | None:
        """How long it was seen in a state at the most, of those times that are over; None before there were two."""
        seen: dict[int, float] = {}
        for index, (phase, after) in enumerate(pairwise(self.phases)):
            if phase.state is state:
                start = self._start(index)
                seen[start] = after.began_s - self.phases[start].began_s
        return max(seen.values()) if len(seen) > 1 else None

    def yellow_s(self, time_s: float) -> float | None:
        """How long yellow was shown before the phase in force at a time; None where that was not seen whole."""
        index = self._index(time_s)
        if index is None:
            return None
        start = self._start(index)
        before = start - 1
        if before < 1 or self.phases[before].state is not SignalState.YELLOW:
            return None
        yellow = self._start(before)
        if yellow < 1 or self.phases[yellow - 1].state is SignalState.UNKNOWN:
            return None
        return self.phases[start].began_s - self.phases[yellow].began_s

    def _index(self, time_s: float) -> int | None:
        index = bisect_right([phase.began_s for phase in self.phases], time_s + 1e-6) - 1
        return None if index < 0 else index

    def _start(self, index: int) -> int:
        phases = self.phases
        while index >= 2 and phases[index - 1].state is SignalState.UNKNOWN:
            same = phases[index - 2].state is phases[index].state
            if not same or phases[index].began_s - phases[index - 1].began_s > BRIDGE_S:
                break
            index -= 2
        return index


class PhaseLog:
    """Phases as they are observed; keeps the newest MOST_PHASES."""

    def __init__(self) -> None:
        self._phases: list[Phase] = []

    def observe(self, state: SignalState, began_s: float, before_s: float) -> None:
        """From began_s on it showed this; the last observation of another state was at before_s."""
        if not self._phases or self._phases[-1].state is not state:
            self._phases.append(Phase(state, began_s, before_s))
            del self._phases[:-MOST_PHASES]

    def phases(self) -> tuple[Phase, ...]:
        return tuple(self._phases)


class FeedWatch:
    """One signal's state from its feed's readings."""

    def __init__(self, signal: Signal) -> None:
        if signal.feed is None:
            raise ValueError(f"signal {signal.id!r} has no feed")
        self._id, self._stale_s = signal.id, signal.feed.stale_after_s
        self._log = PhaseLog()
        self._newest_s: float | None = None
        self._lost = False

    def update(self, now_s: float, readings: Iterable[Reading]) -> SignalView:
        """Take new readings in. Those older than the newest one, or of a time to come, are not believed."""
        ahead_s = 0.0
        for reading in sorted(readings, key=lambda r: r.at_s):
            if reading.signal != self._id or (self._newest_s is not None and reading.at_s <= self._newest_s):
                continue
            if reading.at_s > now_s + AHEAD_S:
                ahead_s = max(ahead_s, reading.at_s - now_s)
                continue
            self._silence(reading.at_s)
            self._log.observe(reading.state, reading.at_s, reading.at_s if self._newest_s is None else self._newest_s)
            self._newest_s = reading.at_s
        if self._newest_s is None:
            self._log.observe(SignalState.UNKNOWN, now_s, now_s)
            nothing = f"the feed's clock is {ahead_s:.1f} s ahead" if ahead_s else "the feed has told nothing yet"
            return SignalView(self._id, "feed", self._log.phases(), now_s, nothing)
        self._silence(now_s)
        phases = self._log.phases()
        if self._lost_at(now_s):
            lost = f"the feed is lost: nothing heard for {now_s - self._newest_s:.1f} s"
            return SignalView(self._id, "feed", phases, now_s, lost)
        why = "the feed itself says unknown" if phases[-1].state is SignalState.UNKNOWN else None
        return SignalView(self._id, "feed", phases, self._newest_s, why)

    def _lost_at(self, time_s: float) -> bool:
        return self._newest_s is not None and time_s - self._newest_s > self._stale_s

    def _silence(self, time_s: float) -> None:
        """Note that the feed was lost before `time_s`, if it was."""
        if self._newest_s is not None and self._lost_at(time_s):
            # What it showed after the last reading nobody knows, so the unknown time begins right there.
            self._log.observe(SignalState.UNKNOWN, self._newest_s + 1e-3, self._newest_s)
