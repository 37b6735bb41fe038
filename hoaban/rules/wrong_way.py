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
_FAR, _SIDE, _SHARE, _WHEN = range(4)
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
        # far, side: along and across the line, where it was furthest on; then the share of the way back, and when.
        # before, at: number, time, box.
        nowhere = (np.nan, np.nan, 0.0, np.nan)
        self._table = TrackTable(site.shared.rows, way=nowhere, before=_NOWHEN, at=_NOWHEN)

    def pins(self) -> set[int]:
        table = self._table
        recent = (table["way"][:, _SHARE] >= PIN_FROM) & (table.touched_s >= table.touched_s.max(initial=0.0) - 2.0)
        seqs = np.concatenate([table["before"][recent, 0], table["at"][recent, 0]])
        return {int(seq) for seq in seqs[np.isfinite(seqs)]}

    def update(self, scene: Scene) -> list[Finding]:
        self.see(scene)
        tracks, now_s = scene.tracks, scene.now_s
        rows = np.flatnonzero(self.wanted(tracks)) if len(tracks) else np.zeros(0, np.intp)
        if not len(rows):
            return []
        seen = self.site.seen(tracks)
        points, samples = seen.points.take(rows, axis=0), seen.samples(scene.frame)
        table = self._table
        at = self.site.shared.rows.of(tracks.ids, now_s).take(rows)
        table.touch(at, now_s)
        way = table.get("way", at)
        progress, aside = points @ self._along, points @ self._across
        onward = ~(progress < way[:, _FAR])
        onward |= now_s - way[:, _WHEN] > self._within_s
        if self._zone is not None:
            there = seen.inside(self._zone).take(rows)
            onward |= ~there
        moved = onward.nonzero()[0]
        way[moved, _FAR], way[moved, _SIDE], way[moved, _WHEN] = progress.take(moved), aside.take(moved), now_s
        table.put("before", at.take(moved), samples.take(rows.take(moved), axis=0))
        back = way[:, _FAR] - progress
        share = back / np.maximum(self._travel, 0.7 * seen.heights.take(rows).astype(np.float64))
        counts = np.abs(aside - way[:, _SIDE]) <= back
        if self._zone is not None:
            counts &= there
        share *= counts
        halfway = ((share >= 0.5) & ~(way[:, _SHARE] >= 0.5)).nonzero()[0]
        way[:, _SHARE] = share
        table.put("way", at, way)
        if len(halfway):
            table.put("at", at.take(halfway), samples.take(rows.take(halfway), axis=0))
        findings = []
        for index in np.flatnonzero(share >= 1).tolist():
            row, place = int(rows[index]), int(at[index])
            if self.silent(int(tracks.ids[row])):
                continue
            before, past = self._moment("before", place), Moment.of(scene.frame, tracks, row)
            if not self.fresh(int(tracks.ids[row]), before, past):
                continue
            moments = {"before": before, "at": self._moment("at", place), "past": past}
            more = {"against_px": round(float(back[index]), 1)}
            findings.append(
                self.finding(
                    "wrong_way", scene, int(tracks.ids[row]), tracks.label(row), float(tracks.scores[row]), moments,
                    more=more, line=self._line, zone=self._zone, direction="backward",
                )
            )  # fmt: skip
        return findings

    def _moment(self, when: str, at: int) -> Moment:
        seq, captured_s, x1, y1, x2, y2 = self._table[when][at].tolist()
        return Moment(int(seq), captured_s, (x1, y1, x2, y2))
