"""When a junction's signals show what: a fixed cycle, a function of time alone."""

import numpy as np

from hoaban.sim.address import JunctionParameters
from hoaban.sim.truth import Colour, PhaseTruth

CLEARANCE_S = 2.0
"""red for everyone, so that the junction empties"""


class SignalPlan:
    """The approach: green, yellow, red; the crossing road: green and yellow within that red."""

    def __init__(self, parameters: JunctionParameters, rng: np.random.Generator) -> None:
        self.green_s, self.yellow_s, self.red_s = parameters.green, parameters.yellow, parameters.red
        self._cycle_s = self.green_s + self.yellow_s + self.red_s
        self._offset_s = float(rng.uniform(0, self._cycle_s))

    def main(self, time_s: float) -> Colour:
        """What the approach sees."""
        at_s, _ = self._in_cycle(time_s)
        if at_s < self.green_s:
            return Colour.GREEN
        return Colour.YELLOW if at_s < self.green_s + self.yellow_s else Colour.RED

    def cross(self, time_s: float) -> Colour:
        """What the crossing road sees; its yellow is as long as the approach's."""
        red_for_s = self.red_for(time_s)
        if red_for_s is None or not CLEARANCE_S <= red_for_s < self.red_s - CLEARANCE_S:
            return Colour.RED
        return Colour.YELLOW if red_for_s >= self.red_s - CLEARANCE_S - self.yellow_s else Colour.GREEN

    def red_for(self, time_s: float) -> float | None:
        """Seconds since the approach's red began, None while it has none."""
        at_s, _ = self._in_cycle(time_s)
        since_s = at_s - self.green_s - self.yellow_s
        return since_s if since_s >= 0 else None

    def green_left(self, time_s: float) -> float:
        """Seconds of the approach's green to come; 0 while it has none."""
        return max(0.0, self.green_s - self._in_cycle(time_s)[0])

    def phase(self, time_s: float) -> PhaseTruth:
        """The approach's phase at a moment; what began before the stream did begins with it."""
        _, began_s = self._in_cycle(time_s)
        ends = {Colour.GREEN: self.green_s, Colour.YELLOW: self.green_s + self.yellow_s, Colour.RED: self._cycle_s}
        colour = self.main(time_s)
        length_s = {Colour.GREEN: self.green_s, Colour.YELLOW: self.yellow_s, Colour.RED: self.red_s}[colour]
        to_s = began_s + ends[colour]
        return PhaseTruth("phase", "main", colour, max(0.0, to_s - length_s), to_s)

    def _in_cycle(self, time_s: float) -> tuple[float, float]:
        """Seconds into the cycle, and when it began."""
        at_s = (time_s + self._offset_s) % self._cycle_s
        return at_s, time_s - at_s
