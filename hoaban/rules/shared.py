"""What several rules of one camera keep or work out in common."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from hoaban.detections import Tracks
from hoaban.rules.lineage import GAP_S, REACH, Lineage
from hoaban.rules.seen import Places, Seen
from hoaban.track_table import TrackRows

Kept = TypeVar("Kept")


class Shared:
    """Kept by a camera's site for its rules, as long as they live. rows: of tracks by their own numbers."""

    def __init__(self) -> None:
        self.rows = TrackRows()
        self._kept: dict[Hashable, Any] = {}
        self._seen: Seen | None = None

    def lineage(self, gap_s: float = GAP_S, reach: float = REACH) -> Lineage:
        """The lineage of these parameters, the same for all rules that ask for it."""
        return self.keep(("lineage", gap_s, reach), lambda: Lineage(gap_s, reach))

    def keep(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """What was made under a key before, else what `make` gives now."""
        if key not in self._kept:
            self._kept[key] = make()
        kept: Kept = self._kept[key]
        return kept

    def seen(self, tracks: Tracks, places: Places) -> Seen:
        """The tracks of this frame, also where they bear other numbers: where they stand is the same."""
        if self._seen is None or self._seen.tracks.boxes is not tracks.boxes:
            self._seen = Seen(tracks, places)
        return self._seen
