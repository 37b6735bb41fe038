"""Is the picture itself in order: is it frozen, dark, blurred or covered? From two small views, cheaply.

Detail and sharpness are judged against the camera's own history, block by block, so that a plain wall is not "blurred"
and a lorry that passes is not "covered". Thresholds were chosen on recorded clips, altered frame by frame.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
F64 = NDArray[np.float64]

ROWS, COLUMNS = 4, 8
DARK_MEAN, DARK_BRIGHT = 16.0, 37
"""grey levels (0 black, 255 white): darker on average, and nothing but 2 % brighter than the second"""
LESS_DARK = 1.3
SHARPNESS_NOISE, DETAIL_NOISE = 2.0, 0.5
"""squares of grey levels: what compression and rounding leave of a picture without any detail"""
BLURRED, SHARP_AGAIN = -1.5, -0.8
"""natural logarithm of the sharpness left, in the median block: a fifth of it, a half of it"""
LOST_DETAIL = 0.0625
"""of a block's squared gradients: a quarter of its edges' strength"""
COVERED_BLOCKS, FREE_BLOCKS = 0.6, 0.4
TEXTURED = 1.0
"""squared grey levels a pixel: blocks with less detail cannot lose any"""
SHARPNESS_TOLD = 5.0
"""times the noise: blocks with less cannot lose any"""
FEWEST_BLOCKS = 8
ROUNDING = 0.1
"""squared grey levels that rounding makes of nothing"""
SUDDEN_S = 6.0
UNLIKE = 0.5
"""correlation with the picture before below which it shows something else, not the same in other light"""
LEARN_S = 10.0
FORGET_S = 300.0
"""time constant of the history"""


@dataclass(frozen=True, slots=True)
class PictureSigns:
    """What is wrong with the picture now; None: cannot be told. The reasons are for people."""

    dark: bool
    blurred: bool | None
    covered: bool | None
    brightness: float
    sharpness: float
    detail: float


class FrozenWatch:
    """Since when the picture has not changed by a single grey level.

    A camera's sensor is never without noise: even a still street changes whenever its encoder sends a whole picture.
    An image that a fault repeats does not.
    """

    def __init__(self) -> None:
        self._last: tuple[Luma, ...] = ()
        self._since_s = 0.0

    def update(self, views: tuple[Luma, ...], now_s: float) -> float:
        """Seconds for which the views have been the same to the bit."""
        same = len(self._last) == len(views) and all(
            a.shape == b.shape and np.array_equal(a, b) for a, b in zip(self._last, views, strict=True)
        )
        if not same or now_s < self._since_s:
            self._last, self._since_s = views, now_s
        return now_s - self._since_s


class PictureHealth:
    """Brightness, sharpness and detail of a picture against the camera's own history."""

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._now_s = 0.0
        self._sharp: F64 = np.zeros(ROWS * COLUMNS)  # log of each block's usual sharpness
        self._detail: F64 = np.zeros(ROWS * COLUMNS)  # log of each block's usual detail
        self._contrast = 0.0  # log of the whole picture's usual variance
        self._look: NDArray[np.float32] = np.zeros((0, 0), np.float32)  # the usual picture
        self._whole_s = 0.0  # when most blocks last had their detail
        self._dark = self._blurred = self._covered = False

    def update(self, whole: Luma, sharper: Luma, now_s: float) -> PictureSigns:
        """Take a look in. whole: (h, w) the whole picture, small. sharper: (h, w) a part of it with finer detail."""
        if self._began_s is None or now_s < self._now_s:
            self._began_s = self._whole_s = now_s
        elapsed_s, self._now_s = max(0.0, now_s - self._now_s), now_s
        detail, sharp = _detail(whole), _sharpness(sharper)
        if self._look.shape != whole.shape:
            self._sharp, self._detail, self._look = np.log(sharp), np.log(detail), whole.astype(np.float32)
            self._contrast = float(np.log(whole.var() + 1.0))
            elapsed_s = 0.0
        learning = now_s - self._began_s < LEARN_S
        brightness = float(whole.mean())
        self._dark = self._is_dark(whole, brightness)
        lost, without, gone = self._losses(whole, sharp, detail)
        self._blurred = not learning and lost < (SHARP_AGAIN if self._blurred else BLURRED)
        covered = None if learning else self._is_covered(whole, without, gone, now_s)
        self._covered = bool(covered)
        if not (self._blurred or self._covered):
            if self._dark:
                self._whole_s = now_s  # a night that fell is no cover that came
            else:
                self._learn(whole, sharp, detail, elapsed_s, learning)
        blurred = None if learning or self._dark or self._covered else self._blurred
        return PictureSigns(self._dark, blurred, covered, brightness, float(np.exp(lost)), 1 - gone)

    def _is_dark(self, whole: Luma, brightness: float) -> bool:
        ease = LESS_DARK if self._dark else 1.0
        levels = np.bincount(whole.ravel(), minlength=256).cumsum()
        bright = int(np.searchsorted(levels, 0.98 * whole.size))
        return brightness < DARK_MEAN * ease and bright < DARK_BRIGHT * ease

    def _losses(self, whole: Luma, sharp: F64, detail: F64) -> tuple[float, NDArray[np.intp], float]:
        """Log of the sharpness left in the median block; the blocks without their detail, and their share.

        Only blocks that have any to lose are asked, and never fewer than FEWEST_BLOCKS: those with most.
        """
        # Less contrast, as in fog or at dusk, takes sharpness too; blur leaves the contrast of the whole picture.
        contrast = min(0.0, float(np.log(whole.var() + 1.0)) - self._contrast)
        asked = _most(self._sharp, np.log(SHARPNESS_TOLD * SHARPNESS_NOISE))
        lost = float(np.median((np.log(sharp) - self._sharp)[asked])) - contrast
        asked = _most(self._detail, np.log(TEXTURED + DETAIL_NOISE))
        usual, now = np.exp(self._detail[asked]) - DETAIL_NOISE, detail[asked] - DETAIL_NOISE
        without = asked[now < LOST_DETAIL * usual]
        return lost, without, len(without) / len(asked)

    def _is_covered(self, whole: Luma, without: NDArray[np.intp], gone: float, now_s: float) -> bool:
        if self._covered:
            return gone > FREE_BLOCKS and self._unlike(whole, without)
        if gone < FREE_BLOCKS:
            self._whole_s = now_s
        sudden = now_s - self._whole_s <= SUDDEN_S
        return gone >= COVERED_BLOCKS and sudden and self._unlike(whole, without)

    def _unlike(self, whole: Luma, blocks: NDArray[np.intp]) -> bool:
        """Whether these blocks show something else than before, not the same with less light or sharpness."""
        now, before = whole.astype(np.float32), self._look
        products = (now, before, now * now, before * before, now * before)
        means = np.stack([_blocks(values)[blocks] for values in products])
        # Fine structure within the blocks, or, where the dark has swallowed it, the coarse one of all of them together.
        return max(float(np.median(_correlation(means))), float(_correlation(means.mean(axis=1)))) < UNLIKE

    def _learn(self, whole: Luma, sharp: F64, detail: F64, elapsed_s: float, learning: bool) -> None:
        share = -np.expm1(-elapsed_s / (LEARN_S / 3 if learning else FORGET_S))
        self._sharp += share * (np.log(sharp) - self._sharp)
        self._detail += share * (np.log(detail) - self._detail)
        self._contrast += share * (float(np.log(whole.var() + 1.0)) - self._contrast)
        cv2.accumulateWeighted(whole, self._look, max(share, float(-np.expm1(-elapsed_s / 30.0))))


def _detail(whole: Luma) -> F64:
    """(blocks,) mean squared gradient, grey levels a pixel squared, plus its noise."""
    gx, gy = cv2.Sobel(whole, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(whole, cv2.CV_32F, 0, 1, scale=0.125)
    return _blocks(cv2.multiply(gx, gx) + cv2.multiply(gy, gy)) + DETAIL_NOISE


def _sharpness(sharper: Luma) -> F64:
    """(blocks,) mean square of the Laplacian, plus its noise (Pech-Pacheco et al., Diatom autofocusing in brightfield
    microscopy, ICPR 2000)."""
    curved = cv2.Laplacian(sharper, cv2.CV_32F)
    return _blocks(cv2.multiply(curved, curved)) + SHARPNESS_NOISE


def _most(usual: F64, least: float) -> NDArray[np.intp]:
    """The blocks above a value, or, where they are few, the FEWEST_BLOCKS that are highest."""
    above = np.flatnonzero(usual > least)
    return above if len(above) >= FEWEST_BLOCKS else np.argsort(usual)[-FEWEST_BLOCKS:]


def _correlation(means: F64) -> F64:
    """Correlation of a and b from the means (5, …) of a, b, a squared, b squared and a times b."""
    a, b, aa, bb, ab = means
    spread = np.maximum(aa - a**2, ROUNDING) * np.maximum(bb - b**2, ROUNDING)
    return np.asarray((ab - a * b) / np.sqrt(spread), np.float64)


def _blocks(values: Any) -> F64:
    small = cv2.resize(values, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64).ravel()
