"""The picture of a simulated scene."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hoaban.sim.address import SimParameters
from hoaban.sim.bodies import Seen, extent, paint
from hoaban.sim.colours import DIRECTIONS, bgr
from hoaban.sim.mark import stamp
from hoaban.sim.stage import Post, Stage
from hoaban.sim.truth import Box, Colour, ObjectTruth, SignalSetup
from hoaban.sim.view import View

Pixels = NDArray[np.uint8]
SHIFT = 3
"""fraction bits of the coordinates handed to OpenCV: eighths of a pixel"""
NIGHT = 0.42
OUTLINE = (26, 26, 26)
_LIT = {
    Colour.RED: bgr(DIRECTIONS["red lamp"], chroma=125, luma=104),
    Colour.YELLOW: bgr(DIRECTIONS["yellow lamp"], chroma=110, luma=192),
    Colour.GREEN: bgr(DIRECTIONS["green lamp"], chroma=110, luma=150),
}
_LAMPS = (Colour.RED, Colour.YELLOW, Colour.GREEN)  # from the top


class Artist:
    """Draws the frames of one scene. Not thread-safe: the picture it gives is its own, until the next."""

    def __init__(self, stage: Stage, view: View, parameters: SimParameters) -> None:
        self._view, self._parameters = view, parameters
        self._light = NIGHT if parameters.night else 1.0
        rng = np.random.default_rng([parameters.seed, 1])
        self._ground = self._backdrop(stage, rng)
        self._leaves, self._hidden = self._foliage(rng)
        self._signals = {name: signal_setup(name, post, view) for name, post in stage.signals.items()}
        self._noise = self._grain(rng)
        self._picture = np.empty_like(self._ground)
        self._owner = np.zeros(self._ground.shape[:2], np.int32)
        self._scratch = np.zeros(self._ground.shape[:2], np.uint8)

    @property
    def signals(self) -> tuple[SignalSetup, ...]:
        return tuple(self._signals.values())

    def draw(self, seen: list[Seen], signals: dict[str, Colour], seq: int) -> Pixels:
        """(h, w, 3) BGR of these things, the farthest first. seq chooses the noise."""
        picture = self._picture
        np.copyto(picture, self._ground)
        for item in seen:
            hull = cv2.convexHull(_fixed(item.points))
            thickness = 2 if item.box[3] - item.box[1] < 16 else 3
            cv2.polylines(picture, [hull], True, self._dim(OUTLINE), thickness, cv2.LINE_8, SHIFT)
            for corners, part, light in item.faces:
                colour = paint(item.body.label, part, light * self._light)
                cv2.fillConvexPoly(picture, _fixed(corners), colour, cv2.LINE_8, SHIFT)
        for name, setup in self._signals.items():
            self._draw_signal(picture, setup, signals[name])
        if self._hidden is not None:
            cv2.copyTo(self._leaves, self._hidden, picture)
        if self._noise is not None:
            rng = np.random.default_rng([self._parameters.seed, 2, seq])
            top, left = rng.integers(0, 64, 2).tolist()
            grain = self._noise[top : top + picture.shape[0], left : left + picture.shape[1]]
            cv2.addWeighted(picture, 1.0, grain, 1.0, -128.0, dst=picture)
        stamp(picture)
        return picture

    def truths(self, seen: list[Seen]) -> tuple[ObjectTruth, ...]:
        """What of each thing the picture holds; those wholly outside it are left out."""
        self._owner[:] = 0
        hulls = [cv2.convexHull(_fixed(item.points)) for item in seen]
        for number, hull in enumerate(hulls, 1):
            cv2.fillConvexPoly(self._owner, hull, number, cv2.LINE_8, SHIFT)
        if self._hidden is not None:
            self._owner[self._hidden > 0] = 0
        left = np.bincount(self._owner.ravel(), minlength=len(seen) + 1)
        found = []
        for number, (item, hull) in enumerate(zip(seen, hulls, strict=True), 1):
            clipped = extent(item, self._view)
            if clipped is None:
                continue
            whole = self._pixels(hull, clipped)
            body = item.body
            visible = float(left[number] / whole) if whole else 0.0
            found.append(ObjectTruth(body.id, body.label, clipped, visible, (body.x, body.y), body.speed_mps))
        return tuple(found)

    def _pixels(self, hull: NDArray[Any], box: Box) -> int:
        """How many pixels of the picture a hull covers."""
        cv2.fillConvexPoly(self._scratch, hull, 1, cv2.LINE_8, SHIFT)
        part = self._scratch[int(box[1]) : int(box[3]) + 2, int(box[0]) : int(box[2]) + 2]
        count = cv2.countNonZero(part)
        part[:] = 0
        return int(count)

    def _dim(self, colour: tuple[int, int, int]) -> tuple[int, int, int]:
        blue, green, red = (round(c * self._light) for c in colour)
        return blue, green, red

    def _backdrop(self, stage: Stage, rng: np.random.Generator) -> Pixels:
        view = self._view
        ground = np.full((view.height, view.width, 3), (112, 116, 118), np.uint8)
        for patch in stage.patches:
            if (corners := view.corners(patch.polygon)) is not None:
                cv2.fillConvexPoly(ground, _fixed(corners), patch.colour, cv2.LINE_AA, SHIFT)
        coarse = rng.normal(0, 5, (view.height // 4, view.width // 4)).astype(np.float32)
        texture = cv2.resize(coarse, (view.width, view.height), interpolation=cv2.INTER_LINEAR)
        lit = (ground + texture[..., None]) * self._lamplight(rng)[..., None]
        return np.asarray(np.clip(lit, 0, 255), np.uint8)

    def _lamplight(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """(h, w) share of the light: even by day, pools of street lamps by night."""
        height, width = self._view.height, self._view.width
        light = np.full((height, width), self._light, np.float32)
        if self._parameters.night:
            ys, xs = np.mgrid[:height, :width]
            for _ in range(4):
                x, y = rng.uniform(0, width), rng.uniform(0.2, 0.9) * height
                light += 0.25 * np.exp(-(((xs - x) / (0.18 * width)) ** 2) - ((ys - y) / (0.14 * height)) ** 2)
        return light.astype(np.float32)

    def _foliage(self, rng: np.random.Generator) -> tuple[Pixels, Pixels | None]:
        """Leaves before the lens, and (h, w) 255 where they hide the scene."""
        height, width = self._view.height, self._view.width
        leaves, hidden = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        wanted = self._parameters.occlusion * height * width
        if wanted == 0:
            return leaves, None
        while cv2.countNonZero(hidden) < wanted:
            centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            axes = (max(2, int(rng.uniform(0.01, 0.035) * width)), max(2, int(rng.uniform(0.005, 0.02) * width)))
            angle, shade = float(rng.uniform(0, 180)), rng.uniform(0.5, 1.0) * self._light
            blue, green, red = (round(c * shade) for c in (58, 78, 66))
            cv2.ellipse(leaves, centre, axes, angle, 0, 360, (blue, green, red), -1)
            cv2.ellipse(hidden, centre, axes, angle, 0, 360, 255, -1)
        return leaves, hidden

    def _grain(self, rng: np.random.Generator) -> Pixels | None:
        """Noise around 128, larger than the picture so that each frame takes another part of it."""
        sigma = self._parameters.noise * (2.0 if self._parameters.night else 1.0)
        if sigma == 0:
            return None
        size = (self._view.height + 64, self._view.width + 64, 3)
        return np.clip(np.round(128 + rng.normal(0, sigma, size)), 0, 255).astype(np.uint8)

    def _draw_signal(self, picture: Pixels, setup: SignalSetup, shown: Colour) -> None:
        left, top, right, bottom = self._view.pixels(setup.head)
        cv2.rectangle(picture, (round(left), round(top)), (round(right) - 1, round(bottom) - 1), (22, 22, 22), -1)
        for colour in _LAMPS:
            x1, y1, x2, y2 = self._view.pixels(getattr(setup, colour.value))
            centre = np.array([(x1 + x2) / 2 - 0.5, (y1 + y2) / 2 - 0.5])
            lit = _LIT[colour] if colour is shown else (48, 48, 48)
            x, y = _fixed(centre).tolist()
            cv2.circle(picture, (x, y), round((x2 - x1) / 2 * 2**SHIFT), lit, -1, cv2.LINE_AA, SHIFT)


def signal_setup(name: str, post: Post, view: View) -> SignalSetup:
    """Where a signal's head and lamps lie on the picture. Raises ValueError where the picture does not show them."""
    pixel, depth = view.project(np.array([post.x, post.y, post.height]))
    lamp = post.lamp_m * view.pose.focal * view.width / float(depth)
    boxes: list[Box] = []
    for step in (-1, 0, 1):
        x, y = float(pixel[0]), float(pixel[1]) + step * lamp * 1.15
        boxes.append(view.fractions((x - lamp / 2, y - lamp / 2, x + lamp / 2, y + lamp / 2)))
    margin = lamp * 0.2
    x1, y1, x2, y2 = *view.pixels(boxes[0])[:2], *view.pixels(boxes[2])[2:]
    head = view.fractions((x1 - margin, y1 - margin, x2 + margin, y2 + margin))
    if min(head) < 0 or max(head) > 1:
        raise ValueError(f"signal {name!r} lies outside the picture")
    return SignalSetup(name, head, *boxes)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Pixels as OpenCV's fixed-point coordinates."""
    scaled: NDArray[np.int32] = np.round(np.clip(points, -20000, 20000) * 2**SHIFT).astype(np.int32)
    return scaled
