"""A simulated source, frame by frame: pictures, and what is true of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hoaban.geometry import inside, segments_meet, signed_distance, to_pixels
from hoaban.sim.address import SimAddress
from hoaban.sim.bodies import Seen, extent, see
from hoaban.sim.draw import Artist, Pixels
from hoaban.sim.scenes import build_world
from hoaban.sim.stage import STEP_S, on_picture
from hoaban.sim.truth import (
    Box,
    CrossingTruth,
    FrameTruth,
    LaneSetup,
    ObjectTruth,
    SceneTruth,
    Truth,
    ViolationTruth,
)
from hoaban.sim.view import View


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of the stream. seq counts them from 0. pixels: (h, w, 3) BGR, valid until the next shot."""

    seq: int
    time_s: float
    pixels: Pixels


class Film:
    """The frames of an address, in order, once. Everything follows from the address; nothing from a clock."""

    def __init__(self, address: SimAddress) -> None:
        self.address, self.parameters = address, address.parameters
        self._world = build_world(address)
        self.view = View(self._world.stage.pose, *self.parameters.size)
        self._artist = Artist(self._world.stage, self.view, self.parameters)
        self._lines, self._zones = on_picture(self.view, self._world.stage)

    def shots(self) -> Iterator[Shot]:
        """The stream's frames; without end where the address has no duration."""
        for seq, time_s, world_s in self._times():
            seen = see(self._world.bodies(self._advance(world_s)), self.view)
            yield Shot(seq, time_s, self._artist.draw(seen, self._world.signals(world_s), seq))

    def setup(self) -> SceneTruth:
        """What is drawn, and where."""
        stage, view = self._world.stage, self.view
        lanes = tuple(
            LaneSetup(lane.id, view.zone(lane.polygon), lane.moves, view.line(lane.start, lane.end))
            for lane in stage.lanes
        )
        address, (width, height) = self.address, self.parameters.size
        calibration = view.calibration(f"sim-{address.scene}", stage.reference).model_dump(mode="json")
        return SceneTruth(
            "scene", address.scene, address.text, self.parameters.seed, width, height, float(self.parameters.fps),
            calibration, self._lines, self._zones, self._artist.signals, lanes,
        )  # fmt: skip

    def truth(self, *, frames: bool = True) -> Iterator[Truth]:
        """All that is true, as it comes to pass: the set-up first. Nothing is painted for it.

        Raises ValueError for an address without duration, whose truth has no end.
        """
        if self.parameters.duration is None:
            raise ValueError(f"{self.address.text}: it has no end; add duration=SECONDS")
        yield self.setup()
        feet = _Feet(self.view, self._lines)
        for seq, time_s, world_s in self._times():
            share = self._advance(world_s, feet)
            yield from feet.crossings()
            yield from (feet.completed(record) for record in self._world.told())
            if frames:
                objects = self._artist.truths(see(self._world.bodies(share), self.view))
                signals = self._world.signals(world_s)
                yield FrameTruth("frame", seq, time_s, world_s, signals, self._inside(objects), objects)
        yield from (feet.completed(record) for record in self._world.close())

    def _times(self) -> Iterator[tuple[int, float, float]]:
        """(number in the stream, timestamp, moment drawn) of each frame that the stream holds."""
        p = self.parameters
        rng = np.random.default_rng([p.seed, 3])
        seq = 0
        for index in count():
            world_s = index / p.fps
            if p.duration is not None and world_s >= p.duration:
                return
            lost, late = rng.uniform(0, 1, 2).tolist()
            if lost < p.drop:
                continue
            # Half a frame either way at the most would let two frames meet: they keep a tenth between them.
            error_s = (late * 2 - 1) * min(p.jitter, 0.45) / p.fps
            yield seq, max(0.0, world_s + error_s), world_s
            seq += 1

    def _advance(self, world_s: float, feet: "_Feet | None" = None) -> float:
        """Let the world reach a moment; the share of its last step that had passed by then."""
        world = self._world
        while world.time_s < world_s - 1e-9:
            world.step()
            if feet is not None:
                feet.see(see(world.bodies(1.0), self.view), world.time_s)
        return float(min(1.0, max(0.0, 1 - (world.time_s - world_s) / STEP_S)))

    def _inside(self, objects: tuple[ObjectTruth, ...]) -> dict[str, int]:
        feet = np.array([_foot(item.box) for item in objects]).reshape(-1, 2)
        return {
            name: int(inside(feet, to_pixels(polygon, self.view.width, self.view.height)).sum()) if len(feet) else 0
            for name, polygon in self._zones.items()
        }


class _Feet:
    """Where every object's foot was a step ago, and which lines it passed when."""

    def __init__(self, view: View, lines: dict[str, tuple[tuple[float, float], tuple[float, float]]]) -> None:
        self._view = view
        self._lines = {name: to_pixels(ends, view.width, view.height) for name, ends in lines.items()}
        self._last: dict[int, tuple[float, float]] = {}
        self._passed: dict[tuple[int, str], float] = {}
        self._new: list[CrossingTruth] = []

    def see(self, seen: list[Seen], time_s: float) -> None:
        """Everything as it is a step later."""
        now: dict[int, tuple[float, float]] = {}
        moved: list[Seen] = []
        for item in seen:
            if (box := extent(item, self._view)) is not None:
                now[item.body.id] = _foot(box)
                if item.body.id in self._last:
                    moved.append(item)
        if moved:
            was = np.array([self._last[item.body.id] for item in moved])
            self._cross(moved, was, np.array([now[item.body.id] for item in moved]), time_s)
        self._last = now

    def crossings(self) -> list[CrossingTruth]:
        """Those since the last call, in order of time."""
        new, self._new = sorted(self._new, key=lambda c: (c.time_s, c.track, c.line)), []
        return new

    def completed(self, record: Truth) -> Truth:
        """A violation with the times at which its foot passed the lines of evidence."""
        if not isinstance(record, ViolationTruth):
            return record
        before, line, after = (self._passed.get((record.track, name)) for name in ("before", "stop", "after"))
        return replace(record, before_s=before, line_s=line, after_s=after)

    def _cross(self, moved: list[Seen], was: NDArray[np.float64], now: NDArray[np.float64], time_s: float) -> None:
        """was, now: (n, 2) pixels of the feet of those that were seen at both steps."""
        for name, (start, end) in self._lines.items():
            before, after = signed_distance(was, start, end), signed_distance(now, start, end)
            for row in np.flatnonzero((before > 0) != (after > 0)).tolist():
                if not segments_meet(was[row], now[row], start, end):
                    continue
                at_s = time_s - STEP_S * (1 - float(before[row] / (before[row] - after[row])))
                direction: Literal["forward", "backward"] = "forward" if after[row] > 0 else "backward"
                body = moved[row].body
                self._passed.setdefault((body.id, name), at_s)
                self._new.append(CrossingTruth("crossing", name, direction, body.id, body.label, at_s, body.speed_mps))


def _foot(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, box[3]
