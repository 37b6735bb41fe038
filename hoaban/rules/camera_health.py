"""The camera's own health: an event whenever its stream changes its state."""

from typing import Literal

from hoaban.rules.base import Rule, RuleConfig, Site


class CameraHealthRule(RuleConfig):
    """An event whenever the camera's stream changes its state."""

    type: Literal["camera_health"]

    def build(self, site: Site) -> Rule | None:
        """None: the camera's actor sees the stream's state, also when no frame comes to show a rule."""
        return None
