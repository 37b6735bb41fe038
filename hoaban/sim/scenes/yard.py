"""A yard and the street before it: people who pass, one who comes in, one who loiters, a bag that is left and taken,
a plant pot that is carried off. All of it once in every round of PERIOD_S, at times drawn from the seed."""

from dataclasses import replace

import numpy as np

from hoaban.sim.address import SimParameters
from hoaban.sim.bodies import Body
from hoaban.sim.stage import ASPHALT, GRASS, KERB, PAINT, PAVEMENT, WALL, Metres, Patch, Stage, box
from hoaban.sim.traffic import Mover, Traffic, Way
from hoaban.sim.truth import Colour, HappeningKind, HappeningTruth
from hoaban.sim.view import Pose

PERIOD_S = 150.0
YARD, CORNER, PAVED = box(-6.5, 7.0, 3.0, 15.0), box(4.0, 5.5, 9.0, 12.0), box(-8.0, 2.0, 8.0, 5.0)
POT: Metres = (-4.8, 13.8)
GONE_M = 3.0
"""so far from its owner a bag is left alone"""

STAGE = Stage(
    pose=Pose(x=0.0, y=-7.5, height=5.5, down=21.0),
    patches=(
        Patch(box(-200, -60, 200, 200), GRASS),
        Patch(box(-200, -60, 200, 2.0), ASPHALT),
        Patch(box(-200, 1.8, 200, 2.0), KERB),
        Patch(box(-200, 2.0, 200, 5.4), PAVEMENT),
        Patch(box(-7.0, 6.4, 3.5, 6.6), WALL),
        Patch(box(-7.0, 6.6, 3.5, 15.5), (138, 140, 142)),
        Patch(box(-1.8, 5.4, -0.2, 6.8), PAVEMENT),
        Patch(box(-9.0, 15.5, 10.0, 40.0), WALL),
        Patch(box(3.7, 5.4, 9.5, 12.5), KERB),
        *(Patch(box(x, -1.6, x + 1.5, -1.45), PAINT) for x in range(-12, 14, 4)),
    ),
    reference=((-4.0, 1.0), (4.0, 1.0), (-6.0, 14.0), (6.0, 14.0)),
    lines={"gate": ((-2.0, 6.0), (0.0, 6.0))},
    zones={"yard": YARD, "corner": CORNER, "pavement": PAVED},
)


class Yard(Traffic):
    """The yard. See hoaban.sim.stage.World."""

    stage = STAGE

    def __init__(self, parameters: SimParameters) -> None:
        super().__init__()
        self._rng = np.random.default_rng([parameters.seed, 50])
        self._density = parameters.density
        self._coming: list[tuple[float, Mover]] = []
        self._round = -1
        self._things: dict[int, Body] = {}
        self._carried: dict[int, Body] = {}  # by whom
        self._drops: dict[int, str] = {}
        self._takes: dict[int, int] = {}
        self._pot = self._put("potted plant", POT)
        self._open: dict[tuple[HappeningKind, int], HappeningTruth] = {}
        self._told: list[HappeningTruth] = []
        self._owner: dict[int, int] = {}

    def signals(self, time_s: float) -> dict[str, Colour]:
        return {}

    def step(self) -> None:
        if int(self.time_s // PERIOD_S) > self._round:
            self._round += 1
            self._arrange(self._round * PERIOD_S)
            self._coming.sort(key=lambda pair: (pair[0], pair[1].id))
        while self._coming and self._coming[0][0] <= self.time_s:
            self.movers.append(self._coming.pop(0)[1])
        super().step()
        self._watch()

    def bodies(self, share: float) -> list[Body]:
        moving = super().bodies(share)
        carried = [
            replace(thing, x=body.x + 0.35, y=body.y - 0.15, speed_mps=body.speed_mps)
            for body in moving
            if (thing := self._carried.get(body.id)) is not None
        ]
        return [*moving, *carried, *self._things.values()]

    def told(self) -> list[HappeningTruth]:
        told, self._told = self._told, []
        return told

    def close(self) -> list[HappeningTruth]:
        for key in list(self._open):
            self._end(key)
        return self.told()

    # --- the round's script

    def _arrange(self, begins_s: float) -> None:
        rng = self._rng
        if self._pot not in self._things:
            self._pot = self._put("potted plant", POT)
        for _ in range(round(10 * self._density)):
            self._pass_by(begins_s + float(rng.uniform(0, PERIOD_S - 15)))
        inside = (float(rng.uniform(-4, 1)), float(rng.uniform(9, 12)))
        self._person(
            begins_s + float(rng.uniform(3, 12)), [*self._from_street(), inside, *self._to_street()], inside, 6
        )
        corner = (float(rng.uniform(5, 8)), float(rng.uniform(7, 10)))
        stay_s = float(rng.uniform(38, 55))
        self._person(
            begins_s + float(rng.uniform(15, 25)),
            [(14.0, 4.0), (6.5, 5.0), corner, (6.5, 5.0), (14.0, 3.0)],
            corner,
            stay_s,
        )
        place = (float(rng.uniform(-3.5, 3.5)), float(rng.uniform(2.8, 4.4)))
        label = "suitcase" if rng.uniform() < 0.5 else "backpack"
        left_s = begins_s + float(rng.uniform(35, 45))
        owner = self._person(left_s, [(-14.0, 3.5), place, (14.0, 3.2)], place, 2.0)
        bag = self.new_id()
        self._carried[owner.id] = Body(bag, label, 0.0, 0.0, 0.0, 0.0)
        self._drops[owner.id] = label
        taker = self._person(left_s + float(rng.uniform(45, 60)), [(14.0, 3.6), place, (-14.0, 3.6)], place, 1.5)
        self._takes[taker.id] = bag
        by_pot = (POT[0] + 0.7, POT[1] - 0.5)
        thief = self._person(
            begins_s + float(rng.uniform(100, 110)), [*self._from_street(), by_pot, *self._to_street()], by_pot, 2.0
        )
        self._takes[thief.id] = self._pot

    def _from_street(self) -> list[Metres]:
        return [(-14.0, 4.2), (-1.0, 5.0), (-1.0, 7.5)]

    def _to_street(self) -> list[Metres]:
        return [(-1.0, 7.5), (-1.0, 5.0), (14.0, 4.0)]

    def _pass_by(self, at_s: float) -> None:
        y = float(self._rng.uniform(2.6, 4.8))
        ends = [(-15.0, y), (15.0, y)]
        way = Way(ends if self._rng.uniform() < 0.5 else ends[::-1])
        self._come(at_s, Mover(self.new_id(), "person", way, "", float(self._rng.uniform(1.1, 1.7))))

    def _person(self, at_s: float, points: list[Metres], stops: Metres, stay_s: float) -> Mover:
        before = Way(points[: points.index(stops) + 1])
        mover = Mover(self.new_id(), "person", Way(points), "", float(self._rng.uniform(1.2, 1.6)))
        mover.halt_at, mover.halt_s = before.length, stay_s
        return self._come(at_s, mover)

    def _come(self, at_s: float, mover: Mover) -> Mover:
        mover.lane = f"walk-{mover.id}"
        self._coming.append((at_s, mover))
        return mover

    def _put(self, label: str, place: Metres, identity: int | None = None) -> int:
        identity = self.new_id() if identity is None else identity
        self._things[identity] = Body(identity, label, *place, 0.0, 0.0)
        return identity

    # --- what is true

    def moved(self, mover: Mover) -> None:
        """Bags change hands half-way through a halt."""
        if mover.halted_until_s is None or self.time_s < mover.halted_until_s - mover.halt_s / 2:
            return
        body = mover.body()
        if mover.id in self._drops:
            label, thing = self._drops.pop(mover.id), self._carried.pop(mover.id)
            self._put(label, (body.x + 0.35, body.y - 0.15), thing.id)
            self._owner[thing.id] = mover.id
        if mover.id in self._takes:
            thing_id = self._takes.pop(mover.id)
            if (taken := self._things.pop(thing_id, None)) is not None:
                self._carried[mover.id] = taken
                self._end((HappeningKind.ABANDONED_OBJECT, thing_id))
                self._owner.pop(thing_id, None)
                if taken.label == "potted plant":
                    self._begin(HappeningKind.REMOVED_OBJECT, "yard", thing_id, taken.label)
                    self._end((HappeningKind.REMOVED_OBJECT, thing_id))

    def left(self, mover: Mover) -> None:
        self._carried.pop(mover.id, None)

    def _watch(self) -> None:
        for kind, zone, polygon in (
            (HappeningKind.INTRUSION, "yard", YARD),
            (HappeningKind.LOITERING, "corner", CORNER),
        ):
            (left, near), (_, far), (right, _), _ = polygon
            for mover in self.movers:
                body = mover.body()
                if left <= body.x <= right and near <= body.y <= far:
                    self._begin(kind, zone, mover.id, mover.label)
                else:
                    self._end((kind, mover.id))
        where = {mover.id: mover.body() for mover in self.movers}
        for thing_id, owner_id in self._owner.items():
            owner, thing = where.get(owner_id), self._things[thing_id]
            if owner is None or np.hypot(owner.x - thing.x, owner.y - thing.y) > GONE_M:
                self._begin(HappeningKind.ABANDONED_OBJECT, "pavement", thing_id, thing.label)

    def _begin(self, kind: HappeningKind, zone: str, track: int, label: str) -> None:
        if (kind, track) not in self._open:
            self._open[kind, track] = HappeningTruth("happening", kind, zone, self.time_s, self.time_s, track, label)

    def _end(self, key: tuple[HappeningKind, int]) -> None:
        if (happening := self._open.pop(key, None)) is not None:
            self._told.append(replace(happening, to_s=self.time_s))
