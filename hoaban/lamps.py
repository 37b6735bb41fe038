"""A signal's state from the picture of its lamps.

Two things tell a lit lamp, both against the other lamps of the same head, so that what changes all of them alike
(headlights, the sun, dusk, a red bus in front) cancels out: it is brighter, and at it there is more of its own colour.
At night a lamp burns white in the picture's eyes; its colour then stands in the glow around it, so the glow is looked
at too. How much is enough is learnt from the lamp's own past: halfway between what it was lit and what it was dark.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.scene import Pixels, View
from hoaban.shapes import Polygon
from hoaban.signals import PhaseLog, Signal, SignalState, SignalView

COLOURS = (SignalState.RED, SignalState.YELLOW, SignalState.GREEN)
F64 = NDArray[np.float64]

GLOW = 0.6
"""the glow is looked for within so much of a lamp's size around it"""
LEAST = 14.0
"""grey levels of colour, and of brightness, below which nothing is lit"""
SHARE = 0.45
"""of the way from dark to lit (as learnt) that a lamp must go"""
AHEAD = 1.6
"""how many times more evidence the lit lamp must show than any other"""
CONFIRM_S = 0.15
"""a lamp must stay lit for so long before the state changes; the phase then begins at its first frame"""
DARK_S = 0.6
"""no lamp is lit for so long: unknown. Shorter, it was the flicker of an LED lamp against the shutter"""
RELEARN_S = 30.0
"""nothing recognised for so long: what was learnt (before dusk, before the lamp was cleaned) is forgotten"""
LEARN = 0.05


@dataclass(frozen=True, slots=True)
class _Lamp:
    """Weights over the view's pixels: the lamp itself, and the ring of its glow."""

    core: NDArray[np.bool_]
    glow: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A lamp that may be the next state: first seen lit at began_s, last seen otherwise at before_s, lit at lit_s."""

    lamp: int
    began_s: float
    before_s: float
    lit_s: float


class LampWatch:
    """One signal's phases from the picture. `view` is the piece of the picture to give to `update`."""

    def __init__(self, signal: Signal) -> None:
        if signal.lamps is None:
            raise ValueError(f"signal {signal.id!r} has no lamps")
        self._id = signal.id
        polygons = [signal.lamps.red, signal.lamps.yellow, signal.lamps.green]
        self._colours = [colour for colour, polygon in zip(COLOURS, polygons, strict=True) if polygon is not None]
        given = [polygon for polygon in polygons if polygon is not None]
        self.view = _around(given)
        self._polygons = given
        self._lamps: list[_Lamp] = []
        self._shape: tuple[int, int] | None = None
        self._log = PhaseLog()
        self._dark, self._lit = np.zeros(len(given)), np.zeros(len(given))
        self._candidate: _Candidate | None = None
        self._last_s: float | None = None
        self._seen_s: float | None = None

    def update(self, now_s: float, pixels: Pixels | None) -> SignalView:
        """Take one frame in. pixels: (h, w, 3) uint8 BGR of `view`, None where the picture cannot give it."""
        last_s = now_s if self._last_s is None else self._last_s
        self._last_s = now_s
        self._seen_s = now_s if self._seen_s is None else self._seen_s
        lamp = None if pixels is None else self._lit_lamp(pixels, now_s)
        current = self._log.phases()[-1].state if self._log.phases() else None
        if self._candidate is not None and now_s - self._candidate.lit_s > DARK_S:
            self._candidate = None
        if lamp is None:
            if current is None or (current is not SignalState.UNKNOWN and now_s - self._seen_s > DARK_S):
                began_s = now_s if current is None else min(now_s, self._seen_s + 1e-3)
                self._log.observe(SignalState.UNKNOWN, began_s, self._seen_s)
        elif self._colours[lamp] is current:
            self._candidate, self._seen_s = None, now_s
        else:
            first = self._candidate
            first = _Candidate(lamp, now_s, last_s, now_s) if first is None or first.lamp != lamp else first
            self._candidate = replace(first, lit_s=now_s)
            if now_s - first.began_s >= CONFIRM_S:
                self._log.observe(self._colours[lamp], first.began_s, first.before_s)
                self._candidate, self._seen_s = None, now_s
            elif current is None:
                self._log.observe(SignalState.UNKNOWN, now_s, now_s)
        phases = self._log.phases()
        if phases[-1].state is SignalState.UNKNOWN:
            return SignalView(self._id, "lamps", phases, now_s, "no lamp is seen lit, or something hides it")
        # While the lamp is not seen lit, or another one is, what follows decides what this moment was.
        return SignalView(self._id, "lamps", phases, self._seen_s)

    def _lit_lamp(self, pixels: Pixels, now_s: float) -> int | None:
        """The one lamp that is lit, by this frame alone; None where that cannot be said."""
        evidence = self._evidence(pixels)
        best = int(evidence.argmax())
        others = np.delete(evidence, best)
        enough = max(LEAST, self._dark[best] + SHARE * (self._lit[best] - self._dark[best]))
        if evidence[best] < enough or evidence[best] < AHEAD * max(others.max(initial=0.0), 1.0):
            if self._seen_s is not None and now_s - self._seen_s > RELEARN_S:
                self._dark[:], self._lit[:] = 0, 0
            return None
        rate = LEARN if self._lit[best] else 1.0
        self._lit[best] += rate * (evidence[best] - self._lit[best])
        rest = np.arange(len(evidence)) != best
        self._dark[rest] += LEARN * (evidence[rest] - self._dark[rest])
        return best

    def _evidence(self, pixels: Pixels) -> F64:
        """(lamps,) grey levels: the geometric mean of how much brighter and how much more of its colour a lamp is."""
        if self._shape != pixels.shape[:2]:
            self._shape = pixels.shape[0], pixels.shape[1]
            self._lamps = self._masks(*self._shape)
        blue, green, red = (pixels[..., k].astype(np.float32) for k in range(3))
        bright = np.maximum(np.maximum(blue, green), red)
        own = {
            SignalState.RED: red - np.maximum(green, blue),
            SignalState.YELLOW: np.minimum(red, green) - blue,
            SignalState.GREEN: green - red - np.maximum(blue - green, 0),  # signal green is half way to blue
        }
        count = len(self._lamps)
        brightness = np.array([bright[lamp.core].mean() for lamp in self._lamps])
        colour = np.zeros((2, count, count))  # core or glow, colour of, at the place of
        for k, name in enumerate(self._colours):
            for place, lamp in enumerate(self._lamps):
                colour[0, k, place] = _top(own[name][lamp.core])
                colour[1, k, place] = _top(own[name][lamp.glow])
        evidence = np.zeros(count)
        for k in range(count):
            rest = np.arange(count) != k
            brighter = brightness[k] - np.median(brightness[rest])
            core, glow = (colour[part, k, k] - colour[part, k, rest].max(initial=0.0) for part in (0, 1))
            evidence[k] = np.sqrt(max(brighter, 0.0) * max(core, glow, 0.0))
        return evidence

    def _masks(self, height: int, width: int) -> list[_Lamp]:
        left, top, right, bottom = self.view.box
        scale = np.array([width / (right - left), height / (bottom - top)])
        cores: list[NDArray[np.uint8]] = []
        for polygon in self._polygons:
            corners = (np.array(polygon) - (left, top)) * scale
            mask = np.zeros((height, width), np.uint8)
            # In sixteenths of a pixel: a lamp may be a few pixels wide.
            cv2.fillPoly(mask, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
            if not mask.any():
                x, y = np.clip(corners.mean(axis=0).astype(int), 0, (width - 1, height - 1))
                mask[y, x] = 1
            cores.append(mask)
        anywhere = np.clip(np.sum(cores, axis=0), 0, 1).astype(bool)
        lamps = []
        for mask in cores:
            reach = max(1, round(GLOW * np.sqrt(mask.sum())))
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
            ring = cv2.dilate(mask, kernel).astype(bool) & ~anywhere
            lamps.append(_Lamp(mask.astype(bool), ring if ring.any() else mask.astype(bool)))
        return lamps


def _top(values: NDArray[np.float32]) -> float:
    """The mean of the greater half: a lamp's polygon holds its dark rim too."""
    count = max(1, values.size // 2)
    return float(np.partition(values, values.size - count)[values.size - count :].mean())


def _around(polygons: list[Polygon]) -> View:
    """The piece of the picture that holds all lamps and their glow."""
    corners = np.concatenate([np.array(polygon) for polygon in polygons])
    sizes = [np.ptp(np.array(polygon), axis=0) for polygon in polygons]
    margin = np.max(sizes, axis=0)
    low, high = np.clip(corners.min(axis=0) - margin, 0, 1), np.clip(corners.max(axis=0) + margin, 0, 1)
    return View((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
