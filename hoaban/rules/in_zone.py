"""Which tracks stand in a rule's zone."""

import numpy as np
from numpy.typing import NDArray

from hoaban.calibration import Ground
from hoaban.detections import Tracks
from hoaban.geometry import area, to_pixels
from hoaban.rules.base import Classes, RuleConfig, Site, TrackRule, ZoneId, of_classes


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
        self._shared = site.shared
        self._polygon = to_pixels(site.zones[config.zone].polygon, site.width, site.height)

    def rows(self, tracks: Tracks) -> NDArray[np.intp]:
        if len(tracks) == 0:
            return np.zeros(0, np.intp)
        return np.flatnonzero(of_classes(tracks, self._classes) & self._shared.inside(tracks, self.zone, self._polygon))


def zone_m2(site: Site, zone: str) -> float | None:
    """A zone's area on the ground in square metres; None without a calibration, or where it reaches the horizon."""
    if site.calibration is None:
        return None
    corners = to_pixels(site.zones[zone].polygon, site.width, site.height)
    ground = Ground(site.calibration, site.width, site.height).to_metres(corners)
    return area(ground) if np.isfinite(ground).all() else None
