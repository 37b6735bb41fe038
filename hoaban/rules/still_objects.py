"""What rules on left and removed objects share: who stood near, and what changed in the picture of their zone."""

from collections import deque
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hoaban.calibration import Ground
from hoaban.detections import Floats, Tracks
from hoaban.geometry import Points, inside, to_pixels
from hoaban.rules.base import OBJECT_CLASSES, RuleConfig, Site
from hoaban.rules.seen import of_classes
from hoaban.scene import Pixels, Scene, View
from hoaban.shapes import Fraction
from hoaban.stillness import Region, StillChange

PERSON_M = 1.7
"""a person's height where nothing was calibrated: what measures distances then"""
MOVERS = (*OBJECT_CLASSES, "dog", "cat", "horse", "cow")
VIEW_PIXELS = 160 * 90
LOOKS_PER_S = 2.0
"""what stands still for seconds need not be looked for in every frame"""

Box = tuple[float, float, float, float]


class PictureRuleConfig(RuleConfig):
    """What rules on still changes of the picture set. Changes outside these sizes are left out."""

    min_area: Fraction = Field(0.0005, gt=0, description="share of the picture; smaller changes are left out")
    max_area: Fraction = Field(0.03, description="share of the picture; larger changes are left out")
    contrast: float = Field(18.0, gt=0, le=255, description="grey levels by which a thing must differ from its ground")

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        if self.min_area >= self.max_area:
            raise ValueError(f"min_area ({self.min_area}) must be below max_area ({self.max_area})")
        return self


@dataclass(frozen=True, slots=True)
class _Moment:
    """The people of one frame, or of several: numbers, foot points and heights in pixels, when (of watched time)."""

    ids: NDArray[np.int64]
    feet: Floats
    heights: NDArray[np.float32]
    at_s: NDArray[np.float64]


class Bystanders:
    """Who was near a place, now and a while ago. Numbers are a person's first track's (see Lineage)."""

    def __init__(self, site: Site, remember_s: float) -> None:
        self._ground = Ground(site.calibration, site.width, site.height) if site.calibration else None
        self._remember_s = remember_s
        self._lineage = site.shared.lineage()
        self._past: deque[tuple[float, _Moment]] = deque()
        self._all: _Moment | None = None

    def update(self, scene: Scene) -> None:
        tracks, now_s = scene.tracks, scene.watched_s
        people = of_classes(tracks, ("person",))
        ids, boxes = self._lineage.update(tracks, scene.now_s).ids[people], tracks.boxes[people]
        now = _Moment(ids, tracks.ground_points()[people], boxes[:, 3] - boxes[:, 1], np.full(len(ids), now_s))
        self._past.append((now_s, now))
        self._all = None
        while now_s - self._past[0][0] > self._remember_s:
            self._past.popleft()

    def near(self, foot: tuple[float, float], distance_m: float) -> set[int]:
        """People within distance_m of a place on the ground (pixels) in this frame."""
        _, now = self._past[-1]
        return set(now.ids[self._metres(now, foot) <= distance_m].tolist())

    def last_near(self, since_s: float, foot: tuple[float, float], distance_m: float) -> dict[int, float]:
        """Who was within distance_m of a place at any time from since_s on, as far as remembered, and when last."""
        if self._all is None:
            moments = [moment for _, moment in self._past]
            fields = ("ids", "feet", "heights", "at_s")
            self._all = _Moment(*(np.concatenate([getattr(m, name) for m in moments]) for name in fields))
        near = (self._all.at_s >= since_s) & (self._metres(self._all, foot) <= distance_m)
        return dict(zip(self._all.ids[near].tolist(), self._all.at_s[near].tolist(), strict=True))

    def _metres(self, people: _Moment, foot: tuple[float, float]) -> NDArray[np.float64]:
        place = np.array([foot], np.float64)
        if self._ground is not None:
            metres = np.linalg.norm(self._ground.to_metres(people.feet) - self._ground.to_metres(place), axis=1)
            return np.asarray(np.where(np.isnan(metres), np.inf, metres))
        return np.asarray(np.linalg.norm(people.feet - place, axis=1) * PERSON_M / np.maximum(people.heights, 1.0))


@dataclass(frozen=True, slots=True)
class Change:
    """A still change in pixels of the frame. share: of the frame's area."""

    box: Box
    share: float
    region: Region


class ZoneChanges:
    """Still changes in a zone's bounding box, seen as a small brightness picture; people and vehicles are cut out."""

    def __init__(self, zone: str, site: Site, contrast: float, min_area: float) -> None:
        polygon = np.asarray(site.zones[zone].polygon, np.float64)
        (left, top), (right, bottom) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
        self._polygon = to_pixels(polygon, site.width, site.height)
        wide, high = (right - left) * site.width, (bottom - top) * site.height
        scale = min(1.0, float(np.sqrt(VIEW_PIXELS / max(wide * high, 1.0))))
        size = max(8, round(wide * scale)), max(8, round(high * scale))
        self.view = View((left, top, right, bottom), *size, "luma")
        self._origin = np.array([left * site.width, top * site.height] * 2)
        self._to_view = np.array([size[0] / max(wide, 1.0), size[1] / max(high, 1.0)] * 2)
        self._zone_share = (right - left) * (bottom - top)
        self._model = StillChange(contrast, min_share=min_area / max(self._zone_share, 1e-6))
        self._now_s: float | None = None
        self._changes: list[Change] = []

    @classmethod
    def of(cls, zone: str, site: Site, contrast: float, min_area: float) -> "ZoneChanges":
        """The same for all rules of a camera that look alike."""
        return site.shared.keep(("changes", zone, contrast, min_area), lambda: cls(zone, site, contrast, min_area))

    def update(self, scene: Scene) -> list[Change]:
        """The changes whose foot lies in the zone; none while the picture is not there or the camera was moved."""
        luma = scene.views.get(self.view)
        if luma is None:
            return []
        if "moved" in scene.faults:
            self._model.reset()
            self._changes = []
        elif scene.now_s != self._now_s:
            self._now_s, self._changes = scene.now_s, self._look(scene, luma)
        return self._changes

    def _look(self, scene: Scene, luma: Pixels) -> list[Change]:
        covered = movers(scene.tracks)
        sides = covered[:, 2:] - covered[:, :2]
        # A box follows its object late and loosely: a tenth more on each side.
        grown = np.concatenate([covered[:, :2] - sides / 10, covered[:, 2:] + sides / 10], axis=1)
        regions = self._model.update(luma, (grown - self._origin) * self._to_view, scene.watched_s)
        changes = []
        for region in regions:
            box = np.array(region.box) / self._to_view + self._origin
            x1, y1, x2, y2 = box.tolist()
            if inside(np.array([[(x1 + x2) / 2, y2 - 1]]), self._polygon)[0]:
                changes.append(Change((x1, y1, x2, y2), region.share * self._zone_share, region))
        return changes

    def absorb(self, box: Box) -> None:
        """What is in a box of the frame belongs to the scene from now on."""
        cells = (np.array(box) - self._origin) * self._to_view
        x1, y1 = np.maximum(np.floor(cells[:2]) - 1, 0).astype(int).tolist()
        x2, y2 = (np.ceil(cells[2:]) + 1).astype(int).tolist()
        self._model.absorb((x1, y1, x2, y2))
        self._changes = []


def movers(tracks: Tracks) -> Floats:
    """(n, 4) boxes of people, animals and vehicles."""
    return tracks.boxes[of_classes(tracks, MOVERS)]


def foot_of(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, box[3]


def hidden(box: Box, covering: Points) -> bool:
    """Whether one of (n, 4) boxes hides more than a third of a box."""
    if len(covering) == 0:
        return False
    x1, y1, x2, y2 = box
    shared = np.clip(np.minimum(covering[:, 2:], (x2, y2)) - np.maximum(covering[:, :2], (x1, y1)), 0, None)
    return bool((shared.prod(axis=1) > (x2 - x1) * (y2 - y1) / 3).any())


def same_place(a: Box, b: Box) -> bool:
    """Whether two boxes show one still thing: their middles lie within the larger one's half size of each other."""
    return abs(a[0] + a[2] - b[0] - b[2]) < max(a[2] - a[0], b[2] - b[0]) and abs(a[1] + a[3] - b[1] - b[3]) < max(
        a[3] - a[1], b[3] - b[1]
    )
