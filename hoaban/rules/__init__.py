"""Rules: from tracks to findings."""

from hoaban.fleet import Camera
from hoaban.fleet_rules import CrowdRule, IntrusionRule, LineCountRule, LoiteringRule
from hoaban.rules.base import Rule
from hoaban.rules.line_count import LineCount
from hoaban.rules.zones import Crowd, Intrusion, Loitering

__all__ = ["Rule", "build_rules"]


def build_rules(camera: Camera, width: int, height: int) -> list[Rule]:
    """The rules of a camera for frames of width x height pixels.

    camera_health is not among them: it looks at the stream, not at tracks, and stays with the camera's actor.
    """
    lines = {line.id: line for line in camera.lines}
    zones = {zone.id: zone for zone in camera.zones}
    rules: list[Rule] = []
    for rule in camera.rules:
        if isinstance(rule, LineCountRule):
            rules.append(LineCount(rule, lines[rule.line], width, height))
        elif isinstance(rule, IntrusionRule):
            rules.append(Intrusion(rule, zones[rule.zone], width, height))
        elif isinstance(rule, LoiteringRule):
            rules.append(Loitering(rule, zones[rule.zone], width, height))
        elif isinstance(rule, CrowdRule):
            rules.append(Crowd(rule, zones[rule.zone], width, height))
    return rules
