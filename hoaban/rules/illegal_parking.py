"""Illegal parking: a vehicle stands in a zone for longer than it may."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from hoaban.detections import Tracks
from hoaban.events import Event, Finding
from hoaban.geometry import iou
from hoaban.rules.base import SignalId, Site, ZoneId
from hoaban.rules.enforcement import EnforcementConfig, EnforcementRule
from hoaban.rules.moments import Moment
from hoaban.rules.standing import Standing
from hoaban.rules.told import box_then
from hoaban.scene import Scene
from hoaban.signals import SignalState

SAME_PLACE = 0.45
"""overlap (IoU) from which a box stands where another stood: the same vehicle, whatever its track's number"""
SETTLE_S = 1.5
NOBODY = -1
"""no track has this number"""
EVERY_S = 0.35
"""who parks is looked at so often, not in every frame"""


class IllegalParkingRule(EnforcementConfig):
    """A vehicle stands in a zone for longer than it may. A queue at a red light does not park: name its signal."""

    type: Literal["illegal_parking"]
    zone: ZoneId
    classes: tuple[str, ...] = ("car", "bus", "truck", "motorcycle")
    after_s: float = Field(120.0, gt=0, description="how long a vehicle may stand there")
    gap_s: float = Field(15.0, gt=0, description="hidden for no longer than this, it is believed to stand there still")
    still: float = Field(0.12, gt=0, le=1, description="a vehicle that moves less, in box heights, stands")
    signal: SignalId | None = Field(None, description="time while it is red, and clear_s after it, does not count")
    clear_s: float = Field(10.0, ge=0, description="how long a queue takes to move off after red")

    def build(self, site: Site) -> "IllegalParking":
        return IllegalParking(self, site)


@dataclass(slots=True)
class _Spot:
    """A place where a vehicle stands."""

    track: int
    first: Moment
    half: Moment | None
    newest: Moment
    counted_s: float
    unseen_s: float
    told: bool = False


class IllegalParking(EnforcementRule):
    """One finding a stay. Frames: the beginning of the stay, half of the allowed time, and its end.

    A stay is bound to its place, not to a track: a detector that loses a parked car and finds it again under another
    number does not set its time back.
    """

    def __init__(self, config: IllegalParkingRule, site: Site) -> None:
        super().__init__(config, site)
        self._zone, self._after_s, self._gap_s = config.zone, config.after_s, config.gap_s
        self._signal, self._clear_s = config.signal, config.clear_s
        self._standing = Standing(config.still, site, config.gap_s)
        self._spots: list[_Spot] = []
        self._red_s = float("-inf")
        self._last_s: float | None = None
        self._watched_s = 0.0

    def pins(self) -> set[int]:
        moments = [moment for spot in self._spots if not spot.told for moment in (spot.first, spot.half)]
        return {moment.seq for moment in moments if moment is not None}

    def remember(self, event: Event, scene: Scene) -> None:
        """See hoaban.lasting.Remembering: what still stands there was told; if nothing does, the place is soon free."""
        if (box := box_then(event, scene.frame)) is not None:
            there = Moment(scene.frame.seq, scene.now_s, box)
            self._spots.append(_Spot(NOBODY, there, None, there, 0.0, 0.0, told=True))

    def update(self, scene: Scene) -> list[Finding]:
        self.see(scene)
        tracks, now_s = scene.tracks, scene.now_s
        if self._last_s is not None and now_s - self._last_s < EVERY_S:
            return []
        elapsed_s = 0.0 if self._last_s is None else scene.watched_s - self._watched_s
        self._last_s, self._watched_s = now_s, scene.watched_s
        if scene.gap_s > self._gap_s:  # nobody saw who stood there meanwhile
            self._spots.clear()
        queueing = self._queueing(scene)
        stands_s = self._standing.update(scene)
        rows = np.zeros(0, np.intp)
        if len(tracks):
            rows = np.flatnonzero(self.wanted(tracks).flags & self.site.seen(tracks).inside(self._zone))
        placed = self._place(tracks, rows)
        found = [spot for index, spot in enumerate(self._spots) if index in placed]
        for index, spot in enumerate(self._spots):
            if index not in placed:
                spot.unseen_s += elapsed_s
                continue
            row = placed[index]
            spot.counted_s += 0.0 if queueing else elapsed_s + spot.unseen_s
            spot.unseen_s, spot.track = 0.0, int(tracks.ids[row])
            spot.newest = Moment.of(scene.frame, tracks, row)
            if spot.half is None and spot.counted_s >= self._after_s / 2:
                spot.half = spot.newest
        left = self._left(tracks)
        self._spots = [spot for spot, gone in zip(self._spots, left, strict=True) if not gone]
        taken = set(placed.values())
        for row in rows.tolist():
            if row not in taken and stands_s[row] >= SETTLE_S:
                moment = Moment.of(scene.frame, tracks, row)
                counted_s = 0.0 if queueing else float(stands_s[row])
                self._spots.append(_Spot(int(tracks.ids[row]), moment, None, moment, counted_s, 0.0))
        return [
            f for spot in found if spot.counted_s >= self._after_s and not spot.told for f in self._tell(scene, spot)
        ]

    def _queueing(self, scene: Scene) -> bool:
        """Whether who stands may be waiting at the light. A light that is not known may be red."""
        view = None if self._signal is None else scene.signals.get(self._signal)
        if view is not None and view.state in (SignalState.RED, SignalState.UNKNOWN):
            self._red_s = scene.now_s
        return scene.now_s - self._red_s <= self._clear_s

    def _place(self, tracks: Tracks, rows: np.ndarray) -> dict[int, int]:
        """spot -> row of the vehicle that stands there, best overlaps first."""
        if not self._spots or not len(rows):
            return {}
        overlap = iou(np.array([spot.newest.bbox for spot in self._spots]), tracks.boxes[rows])
        placed: dict[int, int] = {}
        for flat in np.argsort(-overlap, axis=None)[: len(self._spots) + len(rows) + 32]:
            spot, column = divmod(int(flat), len(rows))
            if overlap[spot, column] < SAME_PLACE:
                break
            if spot not in placed and int(rows[column]) not in placed.values():
                placed[spot] = int(rows[column])
        return placed

    def _left(self, tracks: Tracks) -> list[bool]:
        """Of each spot, whether its vehicle is seen elsewhere, crept out of where it stood, or is hidden for long."""
        rows = {track: row for row, track in enumerate(tracks.ids.tolist())}
        here = [rows.get(spot.track) for spot in self._spots]
        boxes = [
            spot.newest.bbox if row is None else tracks.boxes[row] for spot, row in zip(self._spots, here, strict=True)
        ]
        firsts = [spot.first.bbox for spot in self._spots]
        overlap = iou(np.array(firsts), np.array(boxes)).diagonal() if firsts else np.zeros(0)
        away = (overlap < SAME_PLACE).tolist()
        return [gone or spot.unseen_s > self._gap_s for spot, gone in zip(self._spots, away, strict=True)]

    def _tell(self, scene: Scene, spot: _Spot) -> list[Finding]:
        spot.told = True
        if not self.fresh(spot.track, spot.first, spot.newest):
            return []
        tracks = scene.tracks
        row = int(np.flatnonzero(tracks.ids == spot.track)[0])
        moments = {"before": spot.first, "at": spot.half or spot.newest, "past": spot.newest}
        more = {"stood_s": round(spot.counted_s, 1), "allowed_s": self._after_s}
        label, score = tracks.label(row), float(tracks.scores[row])
        return [
            self.finding(
                "illegal_parking", scene, spot.track, label, score, moments, more=more, gaps=False, zone=self._zone
            )
        ]
