"""A junction with signals, seen along one approach from behind, as an enforcement camera sees it.

The approach comes from below and goes up the picture: an inner lane for going straight, an outer one for straight and
right, a shoulder where nobody may stand. Opposite traffic comes down on the left; the crossing road lies beyond.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hoaban.sim.address import JunctionParameters
from hoaban.sim.scenes.signal_plan import SignalPlan
from hoaban.sim.stage import (
    ASPHALT,
    KERB,
    PAINT,
    PAVEMENT,
    STEP_S,
    WALL,
    Lane,
    Metres,
    Patch,
    Post,
    Stage,
    box,
    dashes,
    zebra,
)
from hoaban.sim.traffic import FREE, WISH_MPS, Inflow, Mover, Traffic, Way, arc, drawn_label
from hoaban.sim.truth import Colour, PhaseTruth, ViolationKind, ViolationTruth
from hoaban.sim.view import Pose

ENTRY_M, EXIT_M = -70.0, 95.0
INNER, OUTER, SHOULDER = 1.75, 5.25, 8.3
ENTERED_M = 6.0
"""so far beyond the stop line a front has gone on into the junction"""
NO_PARKING = box(7.05, -14.0, 9.6, -3.5)
EAST, WEST = {"east-1": 7.75, "east-2": 11.25}, {"west-1": 14.75, "west-2": 18.25}
CROSS_LANES = (*EAST, *WEST)

STAGE = Stage(
    pose=Pose(x=1.5, y=-30.0, height=9.5, down=17.0),
    patches=(
        Patch(box(-200, -60, 200, 300), PAVEMENT),
        Patch(box(-200, 24.5, -12, 300), WALL),
        Patch(box(13, 24.5, 200, 300), WALL),
        Patch(box(-9.9, -60, 9.9, 300), KERB),
        Patch(box(-200, 5.4, 200, 20.6), KERB),
        Patch(box(-9.6, -60, 9.6, 300), ASPHALT),
        Patch(box(-200, 5.7, 200, 20.3), ASPHALT),
        *dashes(3.5, -60, -6),
        *dashes(-3.5, -60, -6),
        *dashes(3.5, 26, 120),
        *dashes(-3.5, 26, 120),
        Patch(box(-0.25, -60, -0.1, 0), PAINT),
        Patch(box(0.1, -60, 0.25, 0), PAINT),
        Patch(box(-0.15, 25.5, 0.15, 150), PAINT),
        Patch(box(6.95, -60, 7.1, 0), PAINT),
        Patch(box(0.3, 0.0, 7.0, 0.45), PAINT),
        Patch(box(-7.0, 25.5, -0.3, 25.9), PAINT),
        *zebra(-9, 1.6, 9.4, 4.6),
        *zebra(-9, 21.4, 9.4, 24.4),
    ),
    reference=((-7.0, -6.0), (7.0, -6.0), (-7.0, 24.0), (7.0, 24.0)),
    lines={
        "before": ((0.2, -6.0), (9.6, -6.0)),
        "stop": ((0.2, 0.0), (9.6, 0.0)),
        "after": ((-0.5, 7.0), (15.0, 7.0)),
        "left": ((-1.5, 20.5), (-1.5, 6.5)),
        "right": ((12.5, 6.5), (12.5, 20.5)),
    },
    zones={
        "approach": box(0.1, -16.0, 7.0, 0.0),
        "no-parking": NO_PARKING,
        "zebra": box(-9.6, 1.3, 9.6, 4.9),
        "box": box(-9.6, 5.7, 9.6, 20.3),
        "opposite": box(-7.0, -16.0, -0.3, 0.0),
    },
    lanes=(
        Lane("inner", box(0.1, -16.0, 3.5, 0.0), ("straight",), (INNER, -12.0), (INNER, 0.0)),
        Lane("outer", box(3.5, -16.0, 7.0, 0.0), ("straight", "right"), (OUTER, -12.0), (OUTER, 0.0)),
        Lane("opposite", box(-7.0, -16.0, -0.3, 0.0), ("straight",), (-3.5, 0.0), (-3.5, -12.0)),
    ),
    signals={"main": Post(10.6, 22.0, 4.6)},
)

_ROUTES: dict[str, list[Metres]] = {
    "inner": [(INNER, ENTRY_M), (INNER, EXIT_M)],
    "outer": [(OUTER, ENTRY_M), (OUTER, EXIT_M)],
    "right": [(OUTER, ENTRY_M), *arc((9.5, 3.5), 4.25, 180, 90), (70.0, 7.75)],
    "left": [(INNER, ENTRY_M), *arc((-7.0, 6.0), 8.75, 0, 90), (-70.0, 14.75)],
    "kerb": [
        (OUTER, ENTRY_M), (OUTER, -44.0), (SHOULDER, -28.0), *arc((SHOULDER + 4.75, 3.0), 4.75, 180, 90), (70.0, 7.75),
    ],
    "wrong": [(6.7, EXIT_M), (6.7, ENTRY_M)],
    "opposite-1": [(-INNER, EXIT_M), (-INNER, ENTRY_M)],
    "opposite-2": [(-OUTER, EXIT_M), (-OUTER, ENTRY_M)],
    **{name: [(-70.0, y), (70.0, y)] for name, y in EAST.items()},
    **{name: [(70.0, y), (-70.0, y)] for name, y in WEST.items()},
}  # fmt: skip
WAYS = {name: Way(points, name) for name, points in _ROUTES.items()}
STOPS = {  # along each way, its stop line
    **dict.fromkeys(("inner", "outer", "right", "left"), -ENTRY_M),
    "kerb": 26.0 + float(np.hypot(SHOULDER - OUTER, 16.0)) + 28.0,
    "opposite-1": EXIT_M - 26.3,
    "opposite-2": EXIT_M - 26.3,
    **dict.fromkeys(CROSS_LANES, 70.0 - 10.5),
}
OWN = ("inner", "outer", "right", "left", "kerb")


@dataclass(slots=True)
class _Entry:
    """A front that passed the stop line in red."""

    at_s: float
    red_for_s: float
    speed_mps: float
    rested: bool = False


class Junction(Traffic):
    """The junction at work. See hoaban.sim.stage.World."""

    stage = STAGE

    def __init__(self, parameters: JunctionParameters) -> None:
        super().__init__()
        self._rate = parameters.violations
        seed, density = parameters.seed, parameters.density
        self._plan = SignalPlan(parameters, np.random.default_rng([seed, 10]))
        self._told: list[PhaseTruth | ViolationTruth] = []
        self._open: dict[tuple[int, ViolationKind], ViolationTruth] = {}
        self._entered: dict[int, _Entry] = {}
        self._phase = self._plan.phase(0.0)
        flows: list[tuple[str, float, Callable[..., Mover]]] = [
            ("inner", 0.16, self._own),
            ("outer", 0.16, self._own),
            ("opposite-1", 0.1, self._plain),
        ]
        flows += [("opposite-2", 0.1, self._plain), *((lane, 0.07, self._plain) for lane in CROSS_LANES)]
        flows += [
            ("kerb", 0.006 + 0.02 * self._rate if self._rate else 0.0, self._parker),
            ("wrong", 0.03 * self._rate, self._ghost),
        ]
        for number, (lane, per_s, build) in enumerate(flows):
            rng = np.random.default_rng([seed, 11, number])
            self.inflows.append(Inflow(rng, per_s * density, partial(build, lane=lane)))
        self._walkers = np.random.default_rng([seed, 12])
        self._walk_per_s = 0.5 * density

    def signals(self, time_s: float) -> dict[str, Colour]:
        return {"main": self._plan.main(time_s)}

    def step(self) -> None:
        super().step()
        phase = self._plan.phase(self.time_s)
        if phase.colour is not self._phase.colour:
            self._told.append(self._phase)
            self._phase = phase
        self._let_walk()

    def told(self) -> list[PhaseTruth | ViolationTruth]:
        told, self._told = self._told, []
        return told

    def close(self) -> list[PhaseTruth | ViolationTruth]:
        cut = PhaseTruth("phase", "main", self._phase.colour, self._phase.from_s, self.time_s)
        for mover in self.movers:
            self.left(mover)
        return [*self.told(), cut]

    # --- who comes

    def _mover(self, rng: np.random.Generator, lane: str, way: str, label: str) -> Mover:
        wish = WISH_MPS[label] * float(rng.uniform(0.85, 1.1))
        side = float(rng.uniform(-1.15, 1.15)) if label in ("motorcycle", "bicycle") else float(rng.uniform(-0.2, 0.2))
        mover = Mover(self.new_id(), label, WAYS[way], lane, wish, side, speed=wish)
        mover.stop_short_m = float(rng.uniform(0.5, 1.6))
        return mover

    def _plain(self, rng: np.random.Generator, lane: str) -> Mover:
        return self._mover(rng, lane, lane, drawn_label(rng))

    def _own(self, rng: np.random.Generator, lane: str) -> Mover:
        label, breaks = drawn_label(rng), rng.uniform() < self._rate
        kinds = [ViolationKind.RED_LIGHT, ViolationKind.RED_LIGHT, ViolationKind.STOP_LINE]
        if lane == "inner":
            kinds.append(ViolationKind.ILLEGAL_TURN)
        plan = kinds[int(rng.integers(len(kinds)))] if breaks else None
        turns_right = lane == "outer" and rng.uniform() < 0.25
        way = "left" if plan is ViolationKind.ILLEGAL_TURN else "right" if turns_right else lane
        mover = self._mover(rng, lane, way, label)
        mover.plan = plan
        if plan is ViolationKind.STOP_LINE:
            small = label in ("motorcycle", "bicycle")
            mover.stop_short_m = -float(rng.uniform(2.7, 4.2) if small else rng.uniform(1.6, 3.4))
        return mover

    def _parker(self, rng: np.random.Generator, lane: str) -> Mover:
        label = drawn_label(rng, {"car": 0.8, "motorcycle": 0.2})
        mover = self._mover(rng, "kerb", "kerb", label)
        mover.wish_mps *= 0.7
        mover.speed = mover.wish_mps
        mover.right_m = 0.0
        mover.halt_at = STOPS["kerb"] - float(rng.uniform(5.0, 8.0))
        mover.halt_s = float(rng.uniform(25, 60)) if rng.uniform() < max(0.3, self._rate) else float(rng.uniform(3, 7))
        mover.plan = ViolationKind.ILLEGAL_PARKING
        return mover

    def _ghost(self, rng: np.random.Generator, lane: str) -> Mover:
        mover = self._mover(rng, "wrong", "wrong", "motorcycle")
        mover.plan, mover.right_m = ViolationKind.WRONG_WAY, float(rng.uniform(-0.15, 0.15))
        mover.wish_mps *= 0.7
        return mover

    def _let_walk(self) -> None:
        """People set out over the near crossing while the approach has red and enough of it is left."""
        rng, since_s = self._walkers, self._plan.red_for(self.time_s)
        wants = rng.uniform() < self._walk_per_s * STEP_S
        if not wants or since_s is None or not 1.0 < since_s < max(2.0, self._plan.red_s - 13.5):
            return
        y, right = float(rng.uniform(2.2, 4.0)), rng.uniform() < 0.5
        ends = [(-11.5, y), (11.5, y)]
        way = Way(ends if right else ends[::-1])
        walker = Mover(self.new_id(), "person", way, "walk", float(rng.uniform(1.4, 1.8)), along=0.5)
        self.movers.append(walker)

    # --- how they drive

    def wish(self, mover: Mover) -> float:
        if mover.way.name in ("right", "left", "kerb"):
            to_turn = STOPS["inner"] - mover.along
            if -30 < to_turn < 12 or mover.way.name == "kerb":
                return min(mover.wish_mps, 5.5)
        if mover.committed and mover.plan is ViolationKind.RED_LIGHT:
            return min(mover.wish_mps, 8.0)
        return mover.wish_mps

    def limit(self, mover: Mover) -> float:
        if mover.halt_at is not None and self._plan.green_left(self.time_s) < 7.0:
            mover.halted_until_s = mover.halted_until_s and max(mover.halted_until_s, self.time_s + STEP_S)
        stop = STOPS.get(mover.way.name)
        if stop is None or mover.committed:
            return self._yield_in_box(mover)
        target = stop - mover.stop_short_m
        if mover.along > max(stop, target + 0.3):
            mover.committed = True
            return FREE
        own = mover.way.name in OWN or mover.lane.startswith("opposite")
        colour = self._plan.main(self.time_s) if own else self._plan.cross(self.time_s)
        if colour is Colour.GREEN:
            return FREE
        if colour is Colour.YELLOW and target - mover.along < mover.speed**2 / (2 * 3.0):
            mover.committed = True
            return FREE
        if mover.plan is ViolationKind.RED_LIGHT and self._dares(mover, stop):
            mover.committed = True
            return FREE
        return target

    def _yield_in_box(self, mover: Mover) -> float:
        """Who turns left against the rule waits in the middle until nobody comes the other way."""
        if mover.way.name != "left":
            return FREE
        wait = STOPS["left"] + 10.0
        if mover.along > wait + 0.5:
            return FREE
        for other in self.movers:
            if other.lane.startswith("opposite"):
                to_meet = EXIT_M - 14.0 - other.along
                moving = other.speed > 1.0
                if -other.length - 2 < to_meet < 4.0 + 3.5 * other.speed and moving:
                    return wait
        return FREE

    def _dares(self, mover: Mover, stop: float) -> bool:
        """Whether a driver who does not mind red goes now: first in the lane, the junction clear, nobody walking."""
        room = stop - mover.along
        if room > 2.0 + mover.speed * 1.2:
            return False
        if any(o.lane == mover.lane and not o.committed and mover.along < o.along < stop + 6 for o in self.movers):
            return False
        x = mover.way.at(stop, mover.right_m)[0]
        arrives_s = (room + 14.0) / max(mover.speed, 4.0) + 1.0
        for other in self.movers:
            if other.label == "person" and other.lane == "walk":
                if abs(other.body().x - x) < 2.5:
                    return False
            elif other.lane in CROSS_LANES:
                here = other.body().x
                ahead = (x - here) if other.lane.startswith("east") else (here - x)
                waits = other.speed < 0.5 and self._plan.cross(self.time_s) is not Colour.GREEN
                if -other.length < ahead < 3.0 + arrives_s * max(other.speed, 3.0) and not waits:
                    return False
        return True

    # --- what they did

    def moved(self, mover: Mover) -> None:
        name, time_s = mover.way.name, self.time_s
        if mover.plan is ViolationKind.WRONG_WAY:
            self._begin(mover, ViolationKind.WRONG_WAY, time_s, lane="outer")
        if name not in OWN:
            return
        stop = STOPS[name]
        if mover.was_along < stop <= mover.along:
            share = (stop - mover.was_along) / (mover.along - mover.was_along)
            at_s = time_s - STEP_S * (1 - share)
            if (red_for_s := self._plan.red_for(at_s)) is not None:
                self._entered[mover.id] = _Entry(at_s, red_for_s, mover.speed)
        self._watch_entry(mover, mover.along - stop)
        resting = mover.speed < 0.15
        if name == "left" and mover.was_along < stop + 8.0 <= mover.along:
            self._begin(mover, ViolationKind.ILLEGAL_TURN, time_s, lane="inner")
        if name == "kerb" and resting and NO_PARKING[0][1] + 1 < mover.body().y < NO_PARKING[1][1]:
            self._begin(mover, ViolationKind.ILLEGAL_PARKING, time_s, zone="no-parking")
        elif name == "kerb" and mover.speed > 0.5:
            self._end(mover, ViolationKind.ILLEGAL_PARKING)

    def _watch_entry(self, mover: Mover, over_m: float) -> None:
        """What becomes of one whose front passed the line in red: it waits beyond it, or it goes on."""
        entry = self._entered.get(mover.id)
        if entry is None:
            return
        red_for_s = self._plan.red_for(self.time_s)
        if mover.speed < 0.15 and over_m < ENTERED_M:
            entry.rested = True
            if red_for_s is not None and over_m > 0.3:
                kind = ViolationKind.STOP_LINE
                self._begin(mover, kind, self.time_s, red_for_s=red_for_s, overrun_m=over_m)
        elif mover.speed > 0.5:
            self._end(mover, ViolationKind.STOP_LINE)
        if over_m >= ENTERED_M:
            del self._entered[mover.id]
            if red_for_s is not None or not entry.rested:
                kind = ViolationKind.RED_LIGHT
                self._begin(mover, kind, entry.at_s, red_for_s=entry.red_for_s, speed_mps=entry.speed_mps)

    def left(self, mover: Mover) -> None:
        for kind in ViolationKind:
            self._end(mover, kind)

    def _begin(
        self,
        mover: Mover,
        kind: ViolationKind,
        at_s: float,
        *,
        lane: str | None = None,
        zone: str | None = None,
        red_for_s: float | None = None,
        overrun_m: float | None = None,
        speed_mps: float | None = None,
    ) -> None:
        yellow_s = self._plan.yellow_s if red_for_s is not None else None
        truth = ViolationTruth(
            "violation", kind, mover.id, mover.label, at_s, at_s,
            yellow_s=yellow_s, red_for_s=red_for_s, overrun_m=overrun_m,
            lane=lane or mover.lane, zone=zone, speed_mps=mover.speed if speed_mps is None else speed_mps,
        )  # fmt: skip
        self._open.setdefault((mover.id, kind), truth)

    def _end(self, mover: Mover, kind: ViolationKind) -> None:
        truth = self._open.pop((mover.id, kind), None)
        if truth is not None:
            self._told.append(replace(truth, until_s=self.time_s))
