"""Wrong way: a vehicle moves against the direction of a lane."""

from typing import Literal

import numpy as np
from pydantic import Field

from hoaban.events import Finding
from hoaban.rules.base import LineId, Site, ZoneId
from hoaban.rules.enforcement import EnforcementConfig, EnforcementRule
from hoaban.rules.moments import Moment
from hoaban.scene import Scene
from hoaban.track_table import TrackTable

_NOWHEN = (np.nan,) * 6
_FAR, _SIDE, _SHARE, _WHEN, _BEFORE = 0, 1, 2, 3, slice(4, 10)
"""columns of a track's way: along and across the line, where it was furthest on; the share of the way back; when it was
furthest on, and its sample then (number, time, box)"""
PIN_FROM = 0.25
"""of the way against the direction, from which the frames of its beginning are kept"""


class WrongWayRule(EnforcementConfig):
    """A vehicle moves against the direction in which a line is drawn."""

    type: Literal["wrong_way"]
    line: LineId = Field(description="drawn along the lane, from its beginning to its end, as its traffic goes")
    zone: ZoneId | None = Field(None, description="the lane; by default the whole picture")
    travel: float = Field(0.12, gt=0, le=1, description="how far against it, as a share of the picture's height")
    within_s: float = Field(20.0, gt=0, description="the longest time for that way; slower is creeping")

    def build(self, site: Site) -> "WrongWay":
        return WrongWay(self, site)


class WrongWay(EnforcementRule):
    """One finding a track, once its foot point went so far back along the line, more along it than across.

    A way of less than 0.7 box heights is never enough: a box trembles with its size. Frames: where the way back began,
    half way, and where it was far enough.
    """

    def __init__(self, config: WrongWayRule, site: Site) -> None:
        super().__init__(config, site)
        self._line, self._zone, self._within_s = config.line, config.zone, config.within_s
        start, end = site.places.ends[site.places.line_rows[config.line]]
        self._along = (end - start) / np.hypot(*(end - start))
        self._across = np.array([-self._along[1], self._along[0]])
        self._travel = config.travel * site.height
        nowhere = (np.nan, np.nan, 0.0, np.nan, *_NOWHEN)
        self._table = TrackTable(site.shared.rows, way=nowhere, at=_NOWHEN)  # at: its sample half way

    def pins(self) -> set[int]:
        table = self._table
        recent = (table["way"][:, _SHARE] >= PIN_FROM) & (table.touched_s >= table.touched_s.max(initial=0.0) - 2.0)
        seqs = np.concatenate([table["way"][recent, _BEFORE.start], table["at"][recent, 0]])
        return {int(seq) for seq in seqs[np.isfinite(seqs)]}

    def update(self, scene: Scene) -> list[Finding]:
        self.see(scene)
        tracks, now_s = scene.tracks, scene.now_s
        if not len(tracks):
            return []
        wanted = self.wanted(tracks)
        if not len(wanted.rows):
            return []
        table, points, samples = self._table, wanted.points, wanted.samples(scene.frame)
        places = wanted.places(self.site.shared.rows.of(tracks.ids, now_s))
        table.touch(places, now_s)
        before = table.get("way", places)
        progress, aside = points @ self._along, points @ self._across
        back = progress < before[:, _FAR]
        back &= now_s - before[:, _WHEN] <= self._within_s
        if self._zone is not None:
            back &= self.site.seen(tracks).inside(self._zone).take(wanted.rows)
        way = np.empty_like(before)
        way[:, _FAR], way[:, _SIDE], way[:, _SHARE], way[:, _WHEN], way[:, _BEFORE] = (
            progress,
            aside,
            0.0,
            now_s,
            samples,
        )
        goes_back = back.nonzero()[0]
        if len(goes_back):
            way[goes_back] = before = before.take(goes_back, axis=0)
            far = before[:, _FAR] - progress.take(goes_back)
            share = far / np.maximum(self._travel, 0.7 * wanted.heights.take(goes_back))
            share *= np.abs(aside.take(goes_back) - before[:, _SIDE]) <= far
            way[goes_back, _SHARE] = share
            halfway = goes_back[(share >= 0.5) & ~(before[:, _SHARE] >= 0.5)]
            if len(halfway):
                table.put("at", places.take(halfway), samples.take(halfway, axis=0))
        table.put("way", places, way)
        if not len(goes_back):
            return []
        done = (share >= 1).nonzero()[0]
        return [
            finding
            for index, against_px in zip(goes_back.take(done).tolist(), far.take(done).tolist(), strict=True)
            for finding in self._judge(scene, int(wanted.rows[index]), int(places[index]), against_px)
        ]

    def _judge(self, scene: Scene, row: int, place: int, against_px: float) -> list[Finding]:
        tracks = scene.tracks
        track = int(tracks.ids[row])
        if self.silent(track):
            return []
        before = Moment.of_sample(self._table["way"][place, _BEFORE])
        past = Moment.of(scene.frame, tracks, row)
        if not self.fresh(track, before, past):
            return []
        moments = {"before": before, "at": Moment.of_sample(self._table["at"][place]), "past": past}
        return [
            self.finding(
                "wrong_way", scene, track, tracks.label(row), float(tracks.scores[row]), moments,
                more={"against_px": round(against_px, 1)}, line=self._line, zone=self._zone, direction="backward",
            )
        ]  # fmt: skip
