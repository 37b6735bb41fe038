"""A square on which people gather, stay and disperse, again and again: how many there are is known at every moment."""

import numpy as np

from hoaban.sim.address import SimParameters
from hoaban.sim.stage import GRASS, KERB, PAVEMENT, WALL, Metres, Patch, Stage, box
from hoaban.sim.traffic import Mover, Traffic, Way
from hoaban.sim.truth import Colour, HappeningKind, HappeningTruth
from hoaban.sim.view import Pose

PEOPLE = 30
PERIOD_S, COMING_S, LEAVING_FROM_S, LEAVING_TO_S = 90.0, 25.0, 45.0, 62.0
SQUARE = box(-8.0, -2.0, 8.0, 16.0)
APART_M = 0.9

STAGE = Stage(
    pose=Pose(x=0.0, y=-17.0, height=8.5, down=21.0),
    patches=(
        Patch(box(-200, -60, 200, 200), GRASS),
        Patch(box(-200, 24, 200, 200), WALL),
        Patch(box(-14.5, -60, 14.5, 22.5), KERB),
        Patch(box(-14.0, -60, 14.0, 22.0), PAVEMENT),
        *(Patch(box(-14.0, y, 14.0, y + 0.06), KERB) for y in range(-10, 22, 3)),
        *(Patch(box(x, -14.0, x + 0.06, 22.0), KERB) for x in range(-12, 14, 3)),
    ),
    reference=((-6.0, -4.0), (6.0, -4.0), (-8.0, 16.0), (8.0, 16.0)),
    lines={"path": ((-9.0, 18.0), (9.0, 18.0))},
    zones={"square": SQUARE},
)


class Plaza(Traffic):
    """The square. See hoaban.sim.stage.World."""

    stage = STAGE

    def __init__(self, parameters: SimParameters) -> None:
        super().__init__()
        self._rng = np.random.default_rng([parameters.seed, 40])
        self._people = round(PEOPLE * parameters.density)
        self._coming: list[tuple[float, Mover]] = []
        self._round = -1
        self._crowd: HappeningTruth | None = None
        self._told: list[HappeningTruth] = []

    def signals(self, time_s: float) -> dict[str, Colour]:
        return {}

    def step(self) -> None:
        if int(self.time_s // PERIOD_S) > self._round:
            self._round += 1
            self._coming += self._invite(self._round * PERIOD_S)
            self._coming.sort(key=lambda pair: (pair[0], pair[1].id))
        while self._coming and self._coming[0][0] <= self.time_s:
            self.movers.append(self._coming.pop(0)[1])
        super().step()
        self._watch()

    def told(self) -> list[HappeningTruth]:
        told, self._told = self._told, []
        return told

    def close(self) -> list[HappeningTruth]:
        self._end_crowd()
        return self.told()

    def _invite(self, begins_s: float) -> list[tuple[float, Mover]]:
        """Everyone of a round, with the time of coming: a place to stand, a way there and another away."""
        rng, places = self._rng, self._places()
        coming = []
        for place in places:
            at_s = begins_s + float(rng.uniform(0, COMING_S))
            way = Way([self._edge(), place, self._edge()])
            mover = Mover(self.new_id(), "person", way, "", float(rng.uniform(1.2, 1.8)))
            mover.lane = f"walk-{mover.id}"
            mover.halt_at = float(np.hypot(place[0] - way.at(0)[0], place[1] - way.at(0)[1]))
            leaves_s = begins_s + float(rng.uniform(LEAVING_FROM_S, LEAVING_TO_S))
            mover.halt_s = max(1.0, leaves_s - at_s - mover.halt_at / mover.wish_mps)
            coming.append((at_s, mover))
        return coming

    def _places(self) -> list[Metres]:
        """Places on the square, none nearer to another than APART_M."""
        (left, near), (_, far), (right, _), _ = SQUARE
        places: list[Metres] = []
        for _ in range(self._people * 50):
            x, y = float(self._rng.uniform(left + 1, right - 1)), float(self._rng.uniform(near + 1, far - 1))
            if all((x - a) ** 2 + (y - b) ** 2 >= APART_M**2 for a, b in places):
                places.append((x, y))
            if len(places) >= self._people:
                break
        return places

    def _edge(self) -> Metres:
        """Outside the picture to the left or right, or at the far end."""
        side = int(self._rng.integers(3))
        if side == 2:
            return float(self._rng.uniform(-10, 10)), 30.0
        return (-22.0 if side == 0 else 22.0), float(self._rng.uniform(4, 20))

    def _watch(self) -> None:
        (left, near), (_, far), (right, _), _ = SQUARE
        count = sum(left <= b.x <= right and near <= b.y <= far for b in self.bodies(1.0))
        many = count > 0 and count >= self._people / 2
        if self._crowd is None and many:
            self._crowd = HappeningTruth(
                "happening", HappeningKind.CROWD, "square", self.time_s, self.time_s, label="person", count=count
            )
        elif self._crowd is not None:
            at_most = max(count, self._crowd.count or 0)
            self._crowd = HappeningTruth(
                "happening",
                HappeningKind.CROWD,
                "square",
                self._crowd.from_s,
                self.time_s,
                label="person",
                count=at_most,
            )
            if not many:
                self._end_crowd()

    def _end_crowd(self) -> None:
        if self._crowd is not None:
            self._told.append(self._crowd)
            self._crowd = None
