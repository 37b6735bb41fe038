"""The rules a camera can be given in the fleet file."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

OBJECT_CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
"""what the traffic and security rules speak of; a model's other labels may be named too"""

UNBUILT_RULES = (
    "red_light",
    "stop_line",
    "wrong_way",
    "illegal_parking",
    "congestion",
    "abandoned_object",
    "face_watchlist",
    "plate_watchlist",
)
"""rule types of the contract that this version does not have yet; a fleet file that asks for one is refused"""

Classes = Annotated[tuple[str, ...], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Rule(_Strict):
    id: str | None = Field(None, description="name of the rule within the camera; by default TYPE:ZONE or TYPE:LINE")


class LineCountRule(_Rule):
    """Count each track that crosses a line, by class and direction."""

    type: Literal["line_count"]
    line: str
    classes: Classes = OBJECT_CLASSES


class IntrusionRule(_Rule):
    """Someone or something entered a zone and stayed for a moment."""

    type: Literal["intrusion"]
    zone: str
    classes: Classes = OBJECT_CLASSES
    min_inside_s: float = Field(0.5, ge=0, description="shorter visits are not reported")
    cooldown_s: float = Field(10.0, ge=0, description="the same track is not reported again sooner")


class LoiteringRule(_Rule):
    """A track stays in a zone for long."""

    type: Literal["loitering"]
    zone: str
    classes: Classes = ("person",)
    after_s: float = Field(30.0, gt=0)


class CrowdRule(_Rule):
    """Many at once in a zone, and the end of it."""

    type: Literal["crowd"]
    zone: str
    classes: Classes = ("person",)
    at_least: int = Field(ge=1, description="how many at once make a crowd")
    clear_below: int | None = Field(None, ge=1, description="the crowd is over below this; by default 80 % of at_least")
    hold_s: float = Field(3.0, ge=0, description="how long either must last to be believed")


class CameraHealthRule(_Rule):
    """An event whenever the camera's stream changes its state."""

    type: Literal["camera_health"]


ZoneRule = IntrusionRule | LoiteringRule | CrowdRule
Rule = Annotated[
    LineCountRule | IntrusionRule | LoiteringRule | CrowdRule | CameraHealthRule, Field(discriminator="type")
]
BUILT_RULES = ("line_count", "intrusion", "loitering", "crowd", "camera_health")


def rule_name(rule: Rule) -> str:
    """The rule's name within its camera."""
    if rule.id:
        return rule.id
    if isinstance(rule, LineCountRule):
        return f"{rule.type}:{rule.line}"
    return rule.type if isinstance(rule, CameraHealthRule) else f"{rule.type}:{rule.zone}"
