"""What of a simulated scene does not move, and what a scene must be able to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hoaban.sim.bodies import Body
from hoaban.sim.truth import Colour, Truth
from hoaban.sim.view import Pose, View

Metres = tuple[float, float]
Polygon = tuple[Metres, ...]
Grey = tuple[int, int, int]

ASPHALT, KERB, PAVEMENT, GRASS, PAINT, WALL = (
    (96, 94, 92),
    (128, 128, 126),
    (146, 148, 150),
    (104, 118, 112),
    (214, 214, 212),
    (120, 124, 130),
)
"""BGR with hardly any chroma: what is coloured in the picture is an object or a lamp"""

STEP_S = 0.05
"""worlds go on in steps of this; a frame between two steps shows its things between their two places"""


@dataclass(frozen=True, slots=True)
class Patch:
    """A flat convex piece of the ground."""

    polygon: Polygon
    colour: Grey


@dataclass(frozen=True, slots=True)
class Post:
    """A signal head that faces the camera: metres of the middle of its lamps, the yellow one's height."""

    x: float
    y: float
    height: float
    lamp_m: float = 0.8


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane and what may be done at its end; start and end of its middle give its direction."""

    id: str
    polygon: Polygon
    moves: tuple[Literal["straight", "left", "right"], ...]
    start: Metres
    end: Metres


@dataclass(frozen=True, slots=True)
class Stage:
    """Camera, ground, lines from A to B, zones, lanes and signals. reference: four points for the calibration."""

    pose: Pose
    patches: tuple[Patch, ...]
    reference: Polygon
    lines: Mapping[str, tuple[Metres, Metres]] = field(default_factory=dict)
    zones: Mapping[str, Polygon] = field(default_factory=dict)
    lanes: tuple[Lane, ...] = ()
    signals: Mapping[str, Post] = field(default_factory=dict)


class World(Protocol):
    """A scene that goes on by itself. The same address gives the same world; nothing depends on a clock."""

    stage: Stage
    time_s: float
    """of the last step"""

    def step(self) -> None:
        """STEP_S further."""
        ...

    def bodies(self, share: float) -> list[Body]:
        """Everything in it. share: 0 shows the step before the last, 1 the last."""
        ...

    def signals(self, time_s: float) -> dict[str, Colour]:
        """What each signal shows at a moment."""
        ...

    def told(self) -> Sequence[Truth]:
        """What came to its end since the last call."""
        ...

    def close(self) -> Sequence[Truth]:
        """The world ends now: what has begun and has not ended."""
        ...


def box(left: float, near: float, right: float, far: float) -> Polygon:
    """A rectangle on the ground, from near left around."""
    return ((left, near), (left, far), (right, far), (right, near))


def dashes(
    x: float, near: float, far: float, *, width: float = 0.15, dash: float = 2.0, gap: float = 3.0
) -> list[Patch]:
    """A broken line along the y axis."""
    count = int((far - near) // (dash + gap)) + 1
    starts = [near + i * (dash + gap) for i in range(count)]
    return [Patch(box(x - width / 2, y, x + width / 2, min(y + dash, far)), PAINT) for y in starts if y < far]


def zebra(left: float, near: float, right: float, far: float, *, stripe: float = 0.5) -> list[Patch]:
    """A crossing for people who walk along the x axis."""
    count = int((right - left) // (2 * stripe))
    return [Patch(box(left + 2 * stripe * i, near, left + 2 * stripe * i + stripe, far), PAINT) for i in range(count)]


def on_picture(view: View, stage: Stage) -> tuple[dict[str, tuple[Metres, Metres]], dict[str, Polygon]]:
    """The stage's lines and zones as fractions of the picture."""
    lines = {name: view.line(*ends) for name, ends in stage.lines.items()}
    return lines, {name: view.zone(polygon) for name, polygon in stage.zones.items()}
