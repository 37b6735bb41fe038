"""What every rule is, and what several of them need."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.events import Finding
from hoaban.frames import FrameMeta

FORGET_S = 30.0
"""a track not seen for so long does not come back under its id"""


class Rule(Protocol):
    """Looks at the tracks of each analysed frame and says what it found."""

    name: str

    def update(self, tracks: Tracks, frame: FrameMeta) -> list[Finding]: ...


class Visits:
    """Since when each track has been in a zone. A gap of up to gap_s, or a step over the edge, does not end a visit."""

    def __init__(self, gap_s: float = 1.0) -> None:
        self._gap_s = gap_s
        self._visits: dict[int, tuple[float, float]] = {}

    def update(self, ids: Iterable[int], now_s: float) -> dict[int, float]:
        """Seconds each of these tracks, which are inside now, has been so."""
        self._visits = {i: visit for i, visit in self._visits.items() if now_s - visit[1] <= self._gap_s}
        stays: dict[int, float] = {}
        for track in ids:
            began_s = self._visits.get(track, (now_s, now_s))[0]
            self._visits[track] = (began_s, now_s)
            stays[track] = now_s - began_s
        return stays

    def __contains__(self, track: int) -> bool:
        return track in self._visits


def of_classes(tracks: Tracks, classes: Iterable[str]) -> NDArray[np.bool_]:
    """(n,) which tracks are of one of these classes."""
    wanted = set(classes)
    known = np.array([label in wanted for label in tracks.labels], bool)
    return known[tracks.classes] if len(known) else np.zeros(len(tracks), bool)


def box_of(tracks: Tracks, row: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = tracks.boxes[row].tolist()
    return x1, y1, x2, y2


def track_fields(tracks: Tracks, row: int) -> dict[str, Any]:
    """The fields of a finding that a track gives."""
    return {
        "track": int(tracks.ids[row]),
        "label": tracks.label(row),
        "score": float(tracks.scores[row]),
        "bbox": box_of(tracks, row),
    }
