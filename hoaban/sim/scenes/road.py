"""A city gateway: a road seen from a gantry, two lanes each way. Towards the camera, on the left, is into the city."""

from functools import partial

import numpy as np

from hoaban.sim.address import SimParameters
from hoaban.sim.stage import ASPHALT, GRASS, KERB, PAINT, Lane, Patch, Stage, box, dashes
from hoaban.sim.traffic import WISH_MPS, Inflow, Mover, Traffic, Way, drawn_label
from hoaban.sim.truth import Colour, Truth
from hoaban.sim.view import Pose

NEAR_M, FAR_M = -45.0, 130.0
LANES = {"out-fast": 2.4, "out-slow": 6.2, "in-fast": -2.4, "in-slow": -6.2}
MIX = {
    "fast": {"car": 0.6, "bus": 0.12, "truck": 0.28},
    "slow": {"motorcycle": 0.75, "bicycle": 0.1, "car": 0.1, "truck": 0.05},
}
FASTER = 1.35
"""than in town"""

STAGE = Stage(
    pose=Pose(x=0.0, y=-20.0, height=8.0, down=17.0),
    patches=(
        Patch(box(-200, -60, 200, 400), GRASS),
        Patch(box(-10.5, -60, 10.5, 400), KERB),
        Patch(box(-10.0, -60, 10.0, 400), ASPHALT),
        Patch(box(-0.5, -60, 0.5, 400), KERB),
        Patch(box(-8.3, -60, -8.15, 400), PAINT),
        Patch(box(8.15, -60, 8.3, 400), PAINT),
        *dashes(-4.3, -60, 150),
        *dashes(4.3, -60, 150),
    ),
    reference=((-8.0, -4.0), (8.0, -4.0), (-8.0, 40.0), (8.0, 40.0)),
    lines={"gate": ((-9.8, 4.0), (9.8, 4.0)), "far": ((-9.8, 16.0), (9.8, 16.0))},
    zones={
        "in": box(-9.0, -10.0, -0.5, 45.0),
        "out": box(0.5, -10.0, 9.0, 45.0),
    },
    lanes=(
        Lane("in-fast", box(-4.3, -10.0, -0.5, 45.0), ("straight",), (-2.4, 30.0), (-2.4, -2.0)),
        Lane("in-slow", box(-8.2, -10.0, -4.3, 45.0), ("straight",), (-6.2, 30.0), (-6.2, -2.0)),
        Lane("out-fast", box(0.5, -10.0, 4.3, 45.0), ("straight",), (2.4, -2.0), (2.4, 30.0)),
        Lane("out-slow", box(4.3, -10.0, 8.2, 45.0), ("straight",), (6.2, -2.0), (6.2, 30.0)),
    ),
)
WAYS = {
    name: Way([(x, NEAR_M), (x, FAR_M)] if name.startswith("out") else [(x, FAR_M), (x, NEAR_M)], name)
    for name, x in LANES.items()
}


class Road(Traffic):
    """The gateway at work. See hoaban.sim.stage.World."""

    stage = STAGE

    def __init__(self, parameters: SimParameters) -> None:
        super().__init__()
        for number, lane in enumerate(LANES):
            rng = np.random.default_rng([parameters.seed, 20, number])
            per_s = (0.16 if lane.endswith("fast") else 0.24) * parameters.density
            self.inflows.append(Inflow(rng, per_s, partial(self._mover, lane=lane)))

    def _mover(self, rng: np.random.Generator, lane: str) -> Mover:
        label = drawn_label(rng, MIX[lane.rpartition("-")[2]])
        wish = WISH_MPS[label] * FASTER * float(rng.uniform(0.85, 1.15))
        side = float(rng.uniform(-1.3, 1.3)) if label in ("motorcycle", "bicycle") else float(rng.uniform(-0.25, 0.25))
        return Mover(self.new_id(), label, WAYS[lane], lane, wish, side, speed=wish)

    def signals(self, time_s: float) -> dict[str, Colour]:
        return {}

    def told(self) -> list[Truth]:
        return []

    def close(self) -> list[Truth]:
        return []
