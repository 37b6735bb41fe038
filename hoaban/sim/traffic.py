"""Vehicles and people that follow ways on the ground, in steps of stage.STEP_S."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hoaban.sim.bodies import LENGTH_M, WIDTH_M, Body
from hoaban.sim.stage import STEP_S, Metres
from hoaban.sim.truth import ViolationKind

FREE = float("inf")
HARDEST_BRAKE = 7.0
"""m/s²"""


class Way:
    """A polyline on the ground; places along it are metres from its start. Before and beyond, it goes straight on."""

    def __init__(self, points: Sequence[Metres], name: str = "") -> None:
        self.name = name
        corners = np.asarray(points, np.float64)
        self._x, self._y = corners[:, 0].tolist(), corners[:, 1].tolist()
        steps = np.hypot(*np.diff(corners, axis=0).T)
        self._starts: list[float] = [0.0, *np.cumsum(steps).tolist()]
        self.length = self._starts[-1]
        self._along = (np.diff(corners, axis=0) / steps[:, None]).tolist()

    def at(self, along: float, right: float = 0.0) -> Metres:
        """The point so far along the way, and so far to its right."""
        piece = min(max(bisect_right(self._starts, along) - 1, 0), len(self._along) - 1)
        (dx, dy), on = self._along[piece], along - self._starts[piece]
        return self._x[piece] + dx * on + dy * right, self._y[piece] + dy * on - dx * right


def arc(centre: Metres, radius: float, from_deg: float, to_deg: float, pieces: int = 10) -> list[Metres]:
    """Points of an arc; 0 degrees is to the right, 90 away from the camera."""
    angles = np.radians(np.linspace(from_deg, to_deg, pieces + 1))
    return [(float(centre[0] + radius * np.cos(a)), float(centre[1] + radius * np.sin(a))) for a in angles]


@dataclass(slots=True, eq=False)
class Mover:
    """One vehicle or person. along: where its front is on its way. lane: movers of one lane keep behind each other.

    right_m: how far to the right of its way it keeps. plan: the rule it would break. stop_short_m: how far before a
    stop line its front comes to rest; below 0, beyond it. halt_at: where it stands for halt_s of its own will.
    committed: it has decided not to stop at the line.
    """

    id: int
    label: str
    way: Way
    lane: str
    wish_mps: float
    right_m: float = 0.0
    along: float = 0.0
    speed: float = 0.0
    plan: ViolationKind | None = None
    stop_short_m: float = 0.8
    halt_at: float | None = None
    halt_s: float = 0.0
    halted_until_s: float | None = None
    committed: bool = False
    was_along: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.was_along = self.along

    @property
    def length(self) -> float:
        return LENGTH_M[self.label]

    def body(self, share: float = 1.0) -> Body:
        """It, between the step before the last (0) and the last (1)."""
        along = self.was_along + (self.along - self.was_along) * share
        front, rear = self.way.at(along, self.right_m), self.way.at(along - self.length, self.right_m)
        heading = math.atan2(front[0] - rear[0], front[1] - rear[1])
        middle = (front[0] + rear[0]) / 2, (front[1] + rear[1]) / 2
        return Body(self.id, self.label, *middle, heading, self.speed)


@dataclass(frozen=True, slots=True)
class Driving:
    """How a class drives: m/s² of getting going, seconds and metres kept to the one ahead.

    Formula: Intelligent Driver Model, Treiber, Hennecke and Helbing, Physical Review E 62 (2000), equations 3 and 4.
    """

    accelerate: float
    brake: float = 2.5
    headway_s: float = 1.0
    least_gap_m: float = 1.5

    def acceleration(self, speed: float, wish: float, gap_m: float, ahead_mps: float) -> float:
        """m/s² with so much room to something that moves at ahead_mps."""
        free = 1 - (speed / max(wish, 0.1)) ** 4
        if gap_m == FREE:
            return max(self.accelerate * free, -HARDEST_BRAKE)
        closing = speed * (speed - ahead_mps) / (2 * math.sqrt(self.accelerate * self.brake))
        wanted = self.least_gap_m + max(0.0, speed * self.headway_s + closing)
        push = (wanted / max(gap_m, 0.1)) ** 2
        return max(self.accelerate * (free - push), -HARDEST_BRAKE)


DRIVING = {
    "car": Driving(1.8),
    "motorcycle": Driving(2.2, headway_s=0.8, least_gap_m=0.9),
    "bicycle": Driving(1.0, headway_s=0.8, least_gap_m=0.8),
    "bus": Driving(1.0, least_gap_m=2.0),
    "truck": Driving(1.1, least_gap_m=2.0),
}
MIX = {"motorcycle": 0.5, "car": 0.28, "truck": 0.1, "bus": 0.05, "bicycle": 0.07}
WISH_MPS = {"car": 11.0, "motorcycle": 9.5, "bus": 9.0, "truck": 9.0, "bicycle": 4.5}


class Inflow:
    """Vehicles of a lane as they arrive: a Poisson process (exponential gaps), each drawn from the seed alone."""

    def __init__(self, rng: np.random.Generator, per_s: float, build: Callable[[np.random.Generator], Mover]) -> None:
        self._rng, self._per_s, self._build = rng, per_s, build
        self._next_s = float(rng.exponential(1 / per_s)) if per_s > 0 else FREE
        self._waiting: Mover | None = None

    def due(self, time_s: float, movers: Iterable[Mover]) -> Mover | None:
        """The next one, once it has arrived and the lane's entry has room for it."""
        if self._waiting is None:
            if time_s < self._next_s:
                return None
            self._next_s = time_s + float(self._rng.exponential(1 / self._per_s))
            self._waiting = self._build(self._rng)
        new = self._waiting
        for other in movers:
            if other.lane == new.lane and beside(other, new):
                room = other.along - other.length - new.along
                if room < 3.0 or (room < 25 and other.speed < 0.5 * new.speed):
                    return None
        self._waiting = None
        return new


def beside(one: Mover, two: Mover) -> bool:
    """Whether they would touch if one drove through the other: motorcycles share a lane."""
    return abs(one.right_m - two.right_m) < (WIDTH_M[one.label] + WIDTH_M[two.label]) / 2 + 0.25


class Traffic:
    """Movers and their inflows. A scene says where they must stop, and hears of every step."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.movers: list[Mover] = []
        self.inflows: list[Inflow] = []
        self._steps = 0
        self._last_id = 0

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def step(self) -> None:
        self._steps += 1
        self.time_s = self._steps * STEP_S
        for inflow in self.inflows:
            if (new := inflow.due(self.time_s, self.movers)) is not None:
                self.movers.append(new)
        ordered = self._ordered()
        speeds = [self._speed(mover, ahead) for mover, ahead in ordered]
        for (mover, _), speed in zip(ordered, speeds, strict=True):
            mover.was_along = mover.along
            mover.along += (mover.speed + speed) / 2 * STEP_S
            mover.speed = speed
        for mover in self.movers:
            self.moved(mover)
        gone = [mover for mover in self.movers if mover.was_along - mover.length > mover.way.length]
        for mover in gone:
            self.movers.remove(mover)
            self.left(mover)

    def bodies(self, share: float) -> list[Body]:
        return [mover.body(share) for mover in self.movers]

    def limit(self, mover: Mover) -> float:
        """Where along its way it must stop now; FREE where it need not."""
        return FREE

    def wish(self, mover: Mover) -> float:
        """m/s it would drive with nothing ahead."""
        return mover.wish_mps

    def moved(self, mover: Mover) -> None:
        """It has made its step, from was_along to along."""

    def left(self, mover: Mover) -> None:
        """It has come to the end of its way."""

    def _ordered(self) -> list[tuple[Mover, list[Mover]]]:
        """Each mover with those ahead of it in its lane, the nearest last."""
        lanes: dict[str, list[Mover]] = {}
        ordered: list[tuple[Mover, list[Mover]]] = []
        for mover in sorted(self.movers, key=lambda m: (-m.along, m.id)):
            ahead = lanes.setdefault(mover.lane, [])
            ordered.append((mover, list(ahead[-6:])))
            ahead.append(mover)
        return ordered

    def _speed(self, mover: Mover, ahead: list[Mover]) -> float:
        if mover.label == "person":
            stop = self._stop(mover)
            return 0.0 if mover.along >= stop else self.wish(mover)
        driving, wish = DRIVING[mover.label], self.wish(mover)
        hardest = driving.acceleration(mover.speed, wish, FREE, 0.0)
        leader = next((other for other in reversed(ahead) if beside(mover, other)), None)
        if leader is not None:
            gap = leader.along - leader.length - mover.along
            hardest = min(hardest, driving.acceleration(mover.speed, wish, gap, leader.speed))
        if (stop := self._stop(mover)) != FREE:
            # The model keeps a gap to things; to a line it may come as near as it likes.
            gap = stop - mover.along + driving.least_gap_m
            hardest = min(hardest, driving.acceleration(mover.speed, wish, gap, 0.0))
        speed = max(0.0, mover.speed + hardest * STEP_S)
        return 0.0 if speed < 0.06 and hardest < 0.15 else speed

    def _stop(self, mover: Mover) -> float:
        """The nearest of the scene's limit and the place of its own halt."""
        limit = self.limit(mover)
        if mover.halt_at is None:
            return limit
        if mover.halted_until_s is None and mover.speed < 0.1 and mover.halt_at - mover.along < 1.0:
            mover.halted_until_s = self.time_s + mover.halt_s
        if mover.halted_until_s is not None and self.time_s >= mover.halted_until_s:
            mover.halt_at = None
            return limit
        return min(limit, mover.halt_at)


def drawn_label(rng: np.random.Generator, mix: dict[str, float] | None = None) -> str:
    """A class of the mix of traffic."""
    labels = mix or MIX
    return str(rng.choice(list(labels), p=np.array(list(labels.values())) / sum(labels.values())))
