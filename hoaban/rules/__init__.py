"""Rules: from tracks and views to findings. A new rule is one file and one line in `RuleKinds`."""

from collections.abc import Iterable
from typing import Annotated, get_args

from pydantic import Field

from hoaban.rules.abandoned_object import AbandonedObjectRule
from hoaban.rules.base import Measuring, Rule, RuleConfig, Site
from hoaban.rules.camera_health import CameraHealthRule
from hoaban.rules.congestion import CongestionRule
from hoaban.rules.crowd import CrowdRule
from hoaban.rules.enforcement import EnforcementConfig
from hoaban.rules.face_watchlist import FaceWatchlistRule
from hoaban.rules.illegal_parking import IllegalParkingRule
from hoaban.rules.illegal_turn import IllegalTurnRule
from hoaban.rules.intrusion import IntrusionRule
from hoaban.rules.line_count import LineCountRule
from hoaban.rules.line_crossing import LineCrossingRule
from hoaban.rules.loitering import LoiteringRule
from hoaban.rules.plate_watchlist import PlateWatchlistRule
from hoaban.rules.red_light import RedLightRule
from hoaban.rules.removed_object import RemovedObjectRule
from hoaban.rules.stop_line import StopLineRule
from hoaban.rules.turning_count import TurningCountRule
from hoaban.rules.wrong_way import WrongWayRule

__all__ = ["RULE_KINDS", "AnyRule", "Measuring", "Rule", "Site", "build_rules", "makes_evidence"]

RuleKinds = (
    LineCountRule
    | TurningCountRule
    | RedLightRule
    | StopLineRule
    | WrongWayRule
    | IllegalTurnRule
    | IllegalParkingRule
    | IntrusionRule
    | LineCrossingRule
    | LoiteringRule
    | AbandonedObjectRule
    | RemovedObjectRule
    | CrowdRule
    | CongestionRule
    | FaceWatchlistRule
    | PlateWatchlistRule
    | CameraHealthRule
)
AnyRule = Annotated[RuleKinds, Field(discriminator="type")]
RULE_KINDS: dict[str, type[RuleConfig]] = {
    get_args(k.model_fields["type"].annotation)[0]: k for k in get_args(RuleKinds)
}
"""rule type of the fleet file -> its class"""


def build_rules(rules: Iterable[RuleConfig], site: Site) -> list[Rule]:
    """The rules of a camera, in the fleet file's order, ready for their first frame."""
    return [built for rule in rules if (built := rule.build(site)) is not None]


def makes_evidence(rules: Iterable[RuleConfig]) -> bool:
    """Whether any of these rules gives evidence candidates, for which pictures must be kept."""
    return any(isinstance(rule, EnforcementConfig | PlateWatchlistRule) for rule in rules)
