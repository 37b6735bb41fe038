"""What is true of a simulated scene: the records that `hoaban sim truth` writes, one JSON object a line.

Times are seconds of media time, from 0 on; a replay's events bear the same times since 1970-01-01. Boxes are xyxy
pixels of the source frame. Ground coordinates are metres: x to the right of the picture, y away from the camera, from
a fixed point of the scene. Shapes on the picture are fractions of its width and height, as in the fleet file.

An object's *foot* is the middle of its box's lower edge, the point that rules follow (Tracks.ground_points). Seen from
behind, as the junction is, that is the rear of a vehicle: its front passes a line earlier, and both times are told.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from hoaban.shapes import Point

Box = tuple[float, float, float, float]
Metres = tuple[float, float]


class Colour(StrEnum):
    """What a signal shows."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"


class ViolationKind(StrEnum):
    RED_LIGHT = "red_light"
    """its front passed the stop line during red and it went on into the junction"""
    STOP_LINE = "stop_line"
    """it came to rest during red with its front beyond the stop line, and waited there for green"""
    WRONG_WAY = "wrong_way"
    """it drove against the direction of its lane"""
    ILLEGAL_TURN = "illegal_turn"
    """it turned where its lane may not turn"""
    ILLEGAL_PARKING = "illegal_parking"
    """it stood in a zone where nobody may; short halts are told too, see `until_s`"""


class HappeningKind(StrEnum):
    INTRUSION = "intrusion"
    LOITERING = "loitering"
    ABANDONED_OBJECT = "abandoned_object"
    REMOVED_OBJECT = "removed_object"
    CROWD = "crowd"
    CONGESTION = "congestion"


@dataclass(frozen=True, slots=True)
class SignalSetup:
    """A signal head on the picture: left, top, right, bottom of the whole head and of each lamp, as fractions."""

    id: str
    head: Box
    red: Box
    yellow: Box
    green: Box


@dataclass(frozen=True, slots=True)
class LaneSetup:
    """A lane on the picture. moves: what a vehicle may do at its end. heading: the lane's direction as seen in the
    picture, from its first point to its second."""

    id: str
    polygon: tuple[Point, ...]
    moves: tuple[Literal["straight", "left", "right"], ...]
    heading: tuple[Point, Point]


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """The first record: what is drawn, and where. calibration: as in the fleet file. lines, zones: id -> points."""

    record: Literal["scene"]
    scene: str
    source: str
    seed: int
    width: int
    height: int
    fps: float
    calibration: dict[str, Any]
    lines: dict[str, tuple[Point, Point]]
    zones: dict[str, tuple[Point, ...]]
    signals: tuple[SignalSetup, ...] = ()
    lanes: tuple[LaneSetup, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectTruth:
    """One object in one frame. box: its whole extent, clipped to the picture, whether hidden or not. visible: the
    share of its pixels that nothing nearer hides. ground_m: the ground under its middle."""

    id: int
    label: str
    box: Box
    visible: float
    ground_m: Metres
    speed_mps: float


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """One frame that the stream holds. seq counts these from 0, as FrameMeta does in a replay. time_s: the frame's
    own timestamp; world_s: the moment drawn, which differs from it by the timestamp's jitter alone. zones: how many
    have their foot in each."""

    record: Literal["frame"]
    seq: int
    time_s: float
    world_s: float
    signals: dict[str, Colour]
    zones: dict[str, int]
    objects: tuple[ObjectTruth, ...]


@dataclass(frozen=True, slots=True)
class PhaseTruth:
    """A signal showed one colour from from_s to to_s."""

    record: Literal["phase"]
    signal: str
    colour: Colour
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class CrossingTruth:
    """An object's foot passed a line; direction as the contract names it (forward: from A->B's left to its right)."""

    record: Literal["crossing"]
    line: str
    direction: Literal["forward", "backward"]
    track: int
    label: str
    time_s: float
    speed_mps: float


@dataclass(frozen=True, slots=True)
class ViolationTruth:
    """One violation, told when it is over.

    at_s: red_light: the front passed the stop line; stop_line, illegal_parking: it came to rest; wrong_way: it came
    into the scene; illegal_turn: it left the way its lane allows. until_s: stop_line, illegal_parking: it moved on;
    otherwise it left the scene, or the recording ended. before_s, line_s, after_s: its foot passed the lines "before",
    "stop" and "after"; None where it did not. red_for_s: seconds into red at at_s. yellow_s: how long yellow was shown
    before that red. overrun_m: how far the front stood beyond the stop line. speed_mps: at at_s.
    """

    record: Literal["violation"]
    kind: ViolationKind
    track: int
    label: str
    at_s: float
    until_s: float
    before_s: float | None = None
    line_s: float | None = None
    after_s: float | None = None
    red_for_s: float | None = None
    yellow_s: float | None = None
    overrun_m: float | None = None
    lane: str | None = None
    zone: str | None = None
    speed_mps: float = 0.0


@dataclass(frozen=True, slots=True)
class HappeningTruth:
    """Something that lasted, and where. count: people in a crowd, vehicles in a jam, at the most."""

    record: Literal["happening"]
    kind: HappeningKind
    zone: str
    from_s: float
    to_s: float
    track: int | None = None
    label: str | None = None
    count: int | None = None


Truth = SceneTruth | FrameTruth | PhaseTruth | CrossingTruth | ViolationTruth | HappeningTruth


def to_json(truth: Truth) -> str:
    """One line of compact JSON; floats to the fourth decimal, the same bytes for the same truth."""
    return json.dumps(_rounded(asdict(truth)), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def from_json(line: str) -> Truth:
    """The record in a line of JSON. Raises ValueError that says what is wrong with anything else."""
    return _ANY.validate_json(line)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


_ANY: TypeAdapter[Truth] = TypeAdapter(Annotated[Truth, Field(discriminator="record")])
