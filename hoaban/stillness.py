"""Where the picture changed and stays changed: what was left there, or taken away.

Two backgrounds that learn at two rates (Porikli, Ivanov, Haga: Robust Abandoned Object Detection Using Dual
Foregrounds, EURASIP J. Adv. Signal Process. 2008): what the quick one has learned and the slow one has not is new and
stands still. Left and taken are told apart by edges (Connell et al., Detection and Tracking in the IBM PeopleVision
System, ICME 2004): along the border of the change the picture with the object in it has the stronger ones.
"""

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.geometry import Points, painted

Luma = NDArray[np.uint8]
F32 = NDArray[np.float32]
Mask = NDArray[np.uint8]
"""0 or 255, as OpenCV takes it"""

LIGHT_SHARE = 0.4
"""more of the picture changed at once: light was switched, the camera moved; everything begins anew"""
COVER_S = 0.8
"""a place counts as hidden for so long after a box left it: boxes are late and tremble"""
EDGE_RATIO = 1.15


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of the picture that changed and stays so.

    box: x1, y1, x2, y2 in pixels of the view. share: of the view's area. since_s: when its oldest part changed.
    """

    box: tuple[int, int, int, int]
    share: float
    since_s: float
    kind: Literal["left", "taken", "unclear"]


class StillChange:
    """Finds regions that changed and stay still, in small pictures of one size; another size begins anew.

    contrast: grey levels from which a pixel counts as changed. fast_s, slow_s: time constants of the two backgrounds.
    still_s: how long a change must have been seen. min_share: of the view; smaller regions are left out.
    """

    _fast: F32
    _slow: F32
    _known: Mask
    _calm_s: F32
    _held_s: F32
    _since_s: NDArray[np.float64]
    _hidden_until: NDArray[np.float64]

    def __init__(
        self,
        contrast: float = 18.0,
        fast_s: float = 1.5,
        slow_s: float = 120.0,
        still_s: float = 2.0,
        min_share: float = 0.0005,
    ) -> None:
        self._contrast, self._fast_s, self._slow_s = contrast, fast_s, slow_s
        self._still_s, self._min_share = still_s, min_share
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: the next picture is the first."""
        self._now_s: float | None = None
        self._begin(np.zeros((0, 0), np.uint8))

    def update(self, luma: Luma, covered: Points, now_s: float) -> list[Region]:
        """Take a picture in; the regions now. covered: (n, 4) xyxy boxes, in its pixels, of people and vehicles."""
        if self._now_s is None or self._fast.shape != luma.shape or now_s < self._now_s:
            self._begin(luma)
        elapsed_s = 0.0 if self._now_s is None else now_s - self._now_s
        self._now_s = now_s
        height, width = luma.shape
        if len(covered):
            self._hidden_until[painted(covered, width, height)] = now_s + COVER_S
        seen = _mask(self._hidden_until <= now_s)
        calm = seen & ~_differs(luma, cv2.convertScaleAbs(self._fast), 0.6 * self._contrast)
        changed = self._known & _differs(luma, self._expected(luma, seen), self._contrast)
        if cv2.countNonZero(changed & seen) > LIGHT_SHARE * luma.size:
            self._begin(luma)
            return []
        self._learn(luma, seen, calm, changed, elapsed_s)
        return self._hold(calm & changed, seen, elapsed_s)

    def absorb(self, box: tuple[int, int, int, int]) -> None:
        """What is in a box belongs to the scene from now on."""
        x1, y1, x2, y2 = box
        self._slow[y1:y2, x1:x2] = self._fast[y1:y2, x1:x2]
        self._held_s[y1:y2, x1:x2] = 0

    def _begin(self, luma: Luma) -> None:
        self._fast = luma.astype(np.float32)
        self._slow = self._fast.copy()
        self._known = np.zeros(luma.shape, np.uint8)
        self._calm_s = np.zeros(luma.shape, np.float32)
        # Seconds of still change, less twice those without: a flicker neither makes nor breaks a region.
        self._held_s = np.zeros(luma.shape, np.float32)
        self._since_s = np.zeros(luma.shape)
        self._hidden_until = np.full(luma.shape, -np.inf)

    def _expected(self, luma: Luma, seen: Mask) -> Luma:
        """The slow background, made lighter or darker by as much as the whole picture became so."""
        slow = cv2.convertScaleAbs(self._slow)
        sample = (slice(2, None, 5), slice(2, None, 5))
        valid = (seen[sample] & self._known[sample]) > 0
        if np.count_nonzero(valid) < 20:
            return np.asarray(slow, np.uint8)
        shift = float(np.median(luma[sample][valid].astype(np.int16) - slow[sample][valid]))
        return np.asarray(cv2.convertScaleAbs(np.maximum(self._slow + np.float32(shift), 0)), np.uint8)

    def _learn(self, luma: Luma, seen: Mask, calm: Mask, changed: Mask, elapsed_s: float) -> None:
        cv2.accumulateWeighted(luma, self._fast, -np.expm1(-elapsed_s / self._fast_s), seen)
        if not self._known.all():
            # The slow background begins with what stood still for a second, never with someone who walks by.
            self._calm_s = np.where(calm > 0, self._calm_s + np.float32(elapsed_s), np.float32(0))
            first = (self._known == 0) & (self._calm_s >= 1.0)
            self._slow[first], self._known[first] = self._fast[first], 255
        cv2.accumulateWeighted(luma, self._slow, -np.expm1(-elapsed_s / self._slow_s), seen & self._known & ~changed)

    def _hold(self, candidate: Mask, seen: Mask, elapsed_s: float) -> list[Region]:
        """Count still change up and down; the regions of what lasted."""
        if not (candidate.any() or self._held_s.any()):
            return []
        self._since_s[(candidate > 0) & (self._held_s == 0)] = self._now_s or 0.0
        self._held_s[candidate > 0] += elapsed_s
        self._held_s[(seen & ~candidate) > 0] -= 2 * elapsed_s
        np.clip(self._held_s, 0, self._still_s + 1, out=self._held_s)
        return self._regions()

    def _regions(self) -> list[Region]:
        mask = (self._held_s >= self._still_s).astype(np.uint8)
        if not mask.any():
            return []
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        count, names, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        regions = []
        for index in range(1, count):
            left, top, width, height, area = stats[index].tolist()
            share = area / mask.size
            if share < self._min_share:
                continue
            box = left, top, left + width, top + height
            here = names == index
            since_s = float(self._since_s[here & (mask > 0)].min())
            regions.append(Region(box, share, since_s, self._kind(here, box)))
        return regions

    def _kind(self, mask: NDArray[np.bool_], box: tuple[int, int, int, int]) -> Literal["left", "taken", "unclear"]:
        """By the mean gradient along the region's border, in the present against the slow background."""
        y1, y2, x1, x2 = max(0, box[1] - 3), box[3] + 3, max(0, box[0] - 3), box[2] + 3
        piece = mask[y1:y2, x1:x2].astype(np.uint8)
        kernel = np.ones((3, 3), np.uint8)
        border = (cv2.dilate(piece, kernel) - cv2.erode(piece, kernel)) > 0
        present, before = (_edges(image[y1:y2, x1:x2])[border].mean() + 2.0 for image in (self._fast, self._slow))
        if present > EDGE_RATIO * before:
            return "left"
        return "taken" if before > EDGE_RATIO * present else "unclear"


def _differs(luma: Luma, expected: Any, contrast: float) -> Mask:
    return _mask(np.asarray(cv2.absdiff(luma, expected) > contrast))


def _mask(where: NDArray[np.bool_]) -> Mask:
    return where.view(np.uint8) * np.uint8(255)


def _edges(image: F32) -> F32:
    """Gradient magnitude, grey levels a pixel."""
    across, down = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.asarray(np.hypot(across, down) / 4, np.float32)
