"""Abandoned object: something was put down, and whoever put it down went away."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from hoaban.events import Finding
from hoaban.geometry import Points
from hoaban.rules.base import Classes, Site, box_of
from hoaban.rules.in_zone import ZoneRule, ZoneRuleConfig
from hoaban.rules.still_objects import (
    LOOKS_PER_S,
    Box,
    Bystanders,
    PictureRuleConfig,
    ZoneChanges,
    foot_of,
    hidden,
    movers,
    same_place,
)
from hoaban.sampling import FrameSampler
from hoaban.scene import Scene, View

BAGS = ("backpack", "handbag", "suitcase")
RETURN_S = 2.0
"""the owner must be back for so long"""
SETTLE_S = 1.5
"""a bag that stands in one place for so long was put down"""


class AbandonedObjectRule(PictureRuleConfig, ZoneRuleConfig):
    """Something was put down in a zone, and its owner went away."""

    type: Literal["abandoned_object"]
    classes: Classes = BAGS
    after_s: float = Field(30.0, gt=0, description="how long it must lie there without its owner")
    distance_m: float = Field(
        3.0, gt=0, description="the owner is with it when nearer; uncalibrated, a person's height counts as 1.7 m"
    )
    owner_s: float = Field(5.0, ge=0, le=60, description="who was near within so long before it appeared is its owner")
    picture: bool = Field(True, description="look at the picture too, for things that the detector does not know")
    gone_s: float = Field(3.0, gt=0, description="taken: its place is in view, and it was not seen for so long")
    absorb_s: float = Field(1800.0, gt=0, description="told and not taken for so long: it belongs to the scene")

    def build(self, site: Site) -> "AbandonedObject":
        return AbandonedObject(self, site)


@dataclass(frozen=True, slots=True)
class _Sight:
    """One thing seen in one frame, by the detector or in the picture."""

    box: Box
    appeared_s: float
    by: Literal["detector", "picture"]
    label: str = "object"
    track: int | None = None
    score: float | None = None


@dataclass(slots=True)
class _Item:
    sight: _Sight
    number: int
    began_s: float
    seen_s: float
    attended_s: float
    owners: set[int] | None = None
    """None until it was put down"""
    told_s: float | None = None
    absorbed: bool = False
    back_s: float | None = None


class AbandonedObject(ZoneRule):
    """Two findings for each thing left: phase "start" when it lay alone for after_s, "end" with the reason.

    A thing is a bag that the detector sees standing still, or a still change of the picture with the edges of a new
    object. Its owners are the people near it when it appeared; with nobody near it has none and is alone from then on.
    It ends when it is "taken", its owner came back ("owner_returned"), or it lay so long that it belongs to the scene
    ("absorbed"). Someone else who stands beside it ends nothing.
    """

    def __init__(self, config: AbandonedObjectRule, site: Site) -> None:
        super().__init__(config, site)
        self._config = config
        self._looks = FrameSampler(LOOKS_PER_S)
        self._people = Bystanders(site, remember_s=config.owner_s + 15.0)
        self._changes = ZoneChanges.of(config.zone, site, config.contrast, config.min_area) if config.picture else None
        self.views: tuple[View, ...] = (self._changes.view,) if self._changes else ()
        self._items: list[_Item] = []
        self._number = 0

    def resume(self, data: Mapping[str, Any], scene: Scene) -> bool:
        """Go on with a bag that was told (hoaban/lasting.py). Its owners have other numbers now: it has none.

        What was seen in the picture alone cannot be followed: it belongs to the ground that is learned anew.
        """
        self._number = max(self._number, number := int(data["object"]))
        if data["seen_by"] != "detector" or data["bbox"] is None:
            return False
        x1, y1, x2, y2 = data["bbox"]
        now_s = scene.watched_s
        sight = _Sight((x1, y1, x2, y2), now_s, "detector", data["class"], score=data["score"])
        began_s, alone_s = now_s - data["there_s"], now_s - data["alone_s"]
        self._items.append(_Item(sight, number, began_s, now_s, alone_s, owners=set(), told_s=now_s))
        return True

    def update(self, scene: Scene) -> list[Finding]:
        now_s = scene.watched_s
        if not self._looks.due(scene.now_s):
            return []
        self._people.update(scene)
        for sight in self._bags(scene):
            self._take(sight, now_s)
        for change in self._changes.update(scene) if self._changes else ():
            if change.region.kind != "taken" and change.share <= self._config.max_area:
                self._take(_Sight(change.box, change.region.since_s, "picture"), now_s)
        covering = movers(scene.tracks)
        findings = [told for item in self._items if (told := self._judge(item, covering, now_s)) is not None]
        self._items = [item for item in self._items if now_s - item.seen_s <= self._config.gone_s]
        return findings

    def _bags(self, scene: Scene) -> Iterator[_Sight]:
        tracks = scene.tracks
        for row in self.rows(tracks).tolist():
            score = float(tracks.scores[row])
            track = int(tracks.ids[row])
            yield _Sight(box_of(tracks, row), scene.watched_s, "detector", tracks.label(row), track, score)

    def _take(self, sight: _Sight, now_s: float) -> None:
        item = self._known(sight)
        if item is None:
            self._number += 1
            self._items.append(_Item(sight, self._number, sight.appeared_s, now_s, sight.appeared_s))
            return
        item.seen_s = now_s
        if item.owners is None and not same_place(item.sight.box, sight.box):
            item.sight, item.began_s = sight, now_s  # still carried
        # Better known: by the detector, or in the picture when more of it has come into view.
        elif item.sight.by == "picture" and (sight.by == "detector" or item.told_s is None):
            item.sight = sight

    def _known(self, sight: _Sight) -> _Item | None:
        """The thing that a sight shows: the same track's while it is carried, else the one in its place."""
        if sight.track is not None:
            for item in self._items:
                if item.sight.track == sight.track and item.owners is None:
                    return item
        return next((item for item in self._items if same_place(item.sight.box, sight.box)), None)

    def _put_down(self, item: _Item) -> set[int]:
        """Who put a thing down: its owners. They are with it until they were last near it."""
        since_s, foot = item.began_s - self._config.owner_s, foot_of(item.sight.box)
        near_s = self._people.last_near(since_s, foot, self._config.distance_m)
        item.owners, item.attended_s = set(near_s), max([item.began_s, *near_s.values()])
        return item.owners

    def _judge(self, item: _Item, covering: Points, now_s: float) -> Finding | None:
        config = self._config
        if item.owners is None and now_s - item.began_s < SETTLE_S:
            return None
        owners = self._put_down(item) if item.owners is None else item.owners
        if now_s - item.seen_s > 1.0 and hidden(item.sight.box, covering):
            item.seen_s = now_s
        near = owners & self._people.near(foot_of(item.sight.box), config.distance_m) if owners else set()
        if near:
            item.attended_s = now_s
        if item.told_s is None:
            if item.absorbed or now_s - item.attended_s < config.after_s or now_s - item.seen_s > 1.0:
                return None
            item.told_s = now_s
            return self._finding(item, now_s, "start")
        item.back_s = (item.back_s or now_s) if near else None
        reason = None
        if now_s - item.seen_s > config.gone_s:
            reason = "taken"
        elif item.back_s is not None and now_s - item.back_s >= RETURN_S:
            reason = "owner_returned"
        elif now_s - item.told_s >= config.absorb_s:
            reason, item.absorbed = "absorbed", True
            if self._changes is not None and item.sight.by == "picture":
                self._changes.absorb(item.sight.box)
        if reason is None:
            return None
        item.told_s = item.back_s = None
        return self._finding(item, now_s, "end", reason)

    def _finding(self, item: _Item, now_s: float, phase: str, reason: str | None = None) -> Finding:
        sight = item.sight
        extra: dict[str, Any] = {
            "phase": phase,
            "object": item.number,
            "seen_by": sight.by,
            "owners": sorted(item.owners or ()),
            "there_s": round(now_s - item.began_s, 2),
            "alone_s": round(now_s - item.attended_s, 2),
        }
        if reason is not None:
            extra["reason"] = reason
        return Finding(
            "abandoned_object",
            self.name,
            track=sight.track,
            label=sight.label,
            zone=self.zone,
            score=sight.score,
            bbox=sight.box,
            extra=extra,
            part=f"{item.number}/{phase}",
        )
