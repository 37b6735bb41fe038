"""Which tracks stand in a rule's zone."""

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import area
from hoaban.rules.base import Classes, RuleConfig, Site, TrackRule, ZoneId


class ZoneRuleConfig(RuleConfig):
    """A rule on one zone."""

    zone: ZoneId
    classes: Classes


class ZoneRule(TrackRule):
    """Which rows of the tracks stand with their foot point in the rule's zone."""

    def __init__(self, config: ZoneRuleConfig, site: Site) -> None:
        super().__init__(config.name)
        self.zone = config.zone
        self._classes = config.classes
        self._site = site

    def rows(self, tracks: Tracks) -> NDArray[np.intp]:
        if len(tracks) == 0:
            return np.zeros(0, np.intp)
        return self._site.seen(tracks).within(self.zone, self._classes)


def zone_m2(site: Site, zone: str) -> float | None:
    """A zone's area on the ground in square metres; None without a calibration, or where it reaches the horizon."""
    if site.places.ground is None:
        return None
    ground = site.places.ground.to_metres(site.places.polygons[zone])
    return area(ground) if np.isfinite(ground).all() else None
