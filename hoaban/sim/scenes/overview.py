"""An arterial road and a square from a high mast: many small things, and a jam that builds and clears."""

from functools import partial

import numpy as np

from hoaban.sim.address import SimParameters
from hoaban.sim.stage import ASPHALT, GRASS, KERB, PAINT, PAVEMENT, WALL, Lane, Patch, Stage, box
from hoaban.sim.traffic import FREE, WISH_MPS, Inflow, Mover, Traffic, Way, drawn_label
from hoaban.sim.truth import Colour, HappeningKind, HappeningTruth
from hoaban.sim.view import Pose

HALF_M = 85.0
EAST = {"east-1": 3.0, "east-2": 6.5, "east-3": 10.0}
WEST = {"west-1": 15.0, "west-2": 18.5, "west-3": 22.0}
PERIOD_S, BLOCKED_FROM_S, BLOCKED_TO_S = 100.0, 15.0, 60.0
BLOCK_X = 30.0
"""every PERIOD_S the road to the east is shut here for a while"""
SLOW_MPS, FLOWING_MPS, LEAST_VEHICLES = 1.5, 3.0, 6

STAGE = Stage(
    pose=Pose(x=0.0, y=-40.0, height=32.0, down=29.0, focal=0.85),
    patches=(
        Patch(box(-400, -40, 400, 600), PAVEMENT),
        Patch(box(-400, 62, 400, 600), GRASS),
        Patch(box(-400, -40, 400, -4), GRASS),
        Patch(box(-400, 0.6, 400, 24.4), KERB),
        Patch(box(-400, 1.0, 400, 12.0), ASPHALT),
        Patch(box(-400, 13.0, 400, 24.0), ASPHALT),
        *(
            Patch(box(x, y, x + 2.5, y + 0.15), PAINT)
            for y in (4.7, 8.2, 16.7, 20.2)
            for x in range(-80, 80, 6)
        ),
        Patch(box(-70, 50, -22, 60), WALL),
        Patch(box(22, 50, 70, 60), WALL),
    ),
    reference=((-28.0, 1.0), (28.0, 1.0), (-28.0, 45.0), (28.0, 45.0)),
    lines={"west-end": ((-24.0, 1.0), (-24.0, 24.0)), "east-end": ((24.0, 1.0), (24.0, 24.0))},
    zones={
        "eastbound": box(-33.0, 1.0, 33.0, 12.0),
        "westbound": box(-33.0, 13.0, 33.0, 24.0),
        "square": box(-28.0, 27.0, 28.0, 48.0),
    },
    lanes=(
        Lane("eastbound", box(-33.0, 1.0, 33.0, 12.0), ("straight",), (-15.0, 6.5), (15.0, 6.5)),
        Lane("westbound", box(-33.0, 13.0, 33.0, 24.0), ("straight",), (15.0, 18.5), (-15.0, 18.5)),
    ),
)  # fmt: skip
WAYS = {
    **{name: Way([(-HALF_M, y), (HALF_M, y)], name) for name, y in EAST.items()},
    **{name: Way([(HALF_M, y), (-HALF_M, y)], name) for name, y in WEST.items()},
}


class Overview(Traffic):
    """The arterial road at work. See hoaban.sim.stage.World."""

    stage = STAGE

    def __init__(self, parameters: SimParameters) -> None:
        super().__init__()
        seed, density = parameters.seed, parameters.density
        for number, lane in enumerate(WAYS):
            rng = np.random.default_rng([seed, 30, number])
            self.inflows.append(Inflow(rng, 0.22 * density, partial(self._vehicle, lane=lane)))
        rng = np.random.default_rng([seed, 31])
        self.inflows.append(Inflow(rng, 0.6 * density, self._walker))
        self._jam: HappeningTruth | None = None
        self._told: list[HappeningTruth] = []

    def signals(self, time_s: float) -> dict[str, Colour]:
        return {}

    def limit(self, mover: Mover) -> float:
        stop = BLOCK_X + HALF_M
        blocked = BLOCKED_FROM_S <= self.time_s % PERIOD_S < BLOCKED_TO_S
        return stop if blocked and mover.lane in EAST and mover.along <= stop else FREE

    def step(self) -> None:
        super().step()
        self._watch()

    def told(self) -> list[HappeningTruth]:
        told, self._told = self._told, []
        return told

    def close(self) -> list[HappeningTruth]:
        self._end_jam()
        return self.told()

    def _vehicle(self, rng: np.random.Generator, lane: str) -> Mover:
        label = drawn_label(rng)
        wish = WISH_MPS[label] * float(rng.uniform(0.85, 1.1))
        side = float(rng.uniform(-1.2, 1.2)) if label in ("motorcycle", "bicycle") else 0.0
        return Mover(self.new_id(), label, WAYS[lane], lane, wish, side, speed=wish)

    def _walker(self, rng: np.random.Generator) -> Mover:
        """Somebody who crosses the square on a bent way; two of three stop for a while."""
        y1, y2, y3 = (float(y) for y in rng.uniform(28, 47, 3))
        middle = float(rng.uniform(-20, 20))
        points = [(-45.0, y1), (middle, y2), (45.0, y3)]
        way = Way(points if rng.uniform() < 0.5 else points[::-1])
        identity = self.new_id()
        mover = Mover(identity, "person", way, f"walk-{identity}", float(rng.uniform(1.0, 1.7)))
        if rng.uniform() < 0.66:
            mover.halt_at, mover.halt_s = float(rng.uniform(20, 70)), float(rng.uniform(5, 40))
        return mover

    def _watch(self) -> None:
        (left, near), (_, far), (right, _), _ = STAGE.zones["eastbound"]
        speeds = []
        for mover in self.movers:
            if mover.lane in EAST:
                body = mover.body()
                if left <= body.x <= right and near <= body.y <= far:
                    speeds.append(mover.speed)
        mean = sum(speeds) / len(speeds) if speeds else FREE
        if self._jam is None and len(speeds) >= LEAST_VEHICLES and mean < SLOW_MPS:
            kind = HappeningKind.CONGESTION
            self._jam = HappeningTruth("happening", kind, "eastbound", self.time_s, self.time_s, count=len(speeds))
        elif self._jam is not None:
            count = max(self._jam.count or 0, len(speeds))
            self._jam = HappeningTruth(
                "happening", self._jam.kind, "eastbound", self._jam.from_s, self.time_s, count=count
            )
            if mean > FLOWING_MPS:
                self._end_jam()

    def _end_jam(self) -> None:
        if self._jam is not None:
            self._told.append(self._jam)
            self._jam = None
