"""What several rules of one camera work out of the same frame is worked out once."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.geometry import Points, inside
from hoaban.rules.lineage import GAP_S, REACH, Lineage

Kept = TypeVar("Kept")


class Shared:
    """Kept by a camera's site for its rules, as long as they live."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}
        self._boxes: object = None
        self._inside: dict[str, NDArray[np.bool_]] = {}

    def lineage(self, gap_s: float = GAP_S, reach: float = REACH) -> Lineage:
        """The lineage of these parameters, the same for all rules that ask for it."""
        return self.keep(("lineage", gap_s, reach), lambda: Lineage(gap_s, reach))

    def keep(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What was made under a key before, else what `make` gives now."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: Kept = self._kept[key]
        return kept

    def inside(self, tracks: Tracks, zone: str, polygon: Points) -> NDArray[np.bool_]:
        """(n,) whose foot point lies in a zone, given by its id and its corners in pixels."""
        if self._boxes is not tracks.boxes:
            self._boxes, self._inside = tracks.boxes, {}
        if zone not in self._inside:
            self._inside[zone] = inside(tracks.ground_points(), polygon)
        return self._inside[zone]
