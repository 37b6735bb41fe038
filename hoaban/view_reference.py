"""Does the camera still look where it did? Its view against one that was learned, whatever the light and the traffic.

Edges are compared by their orientation, averaged over some seconds, so that what moves fades out. Orientation does not
change with brightness, contrast or which side of an edge is lighter. Orientation correlation: Fitch, Kadyrov,
Christmas, Kittler, Orientation Correlation, BMVC 2002; its peak tells the shift.
"""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
Field = NDArray[np.complex64]

ROWS, COLUMNS = 45, 80
SMOOTH_S = 4.0
JUDGE_EVERY_S = 4.0
ADAPT_S = 1800.0
"""time constant of the second reference, which follows the light of the day"""
WEAKEST_EDGE = 10.0
"""summed Sobel response; weaker edges are mostly noise"""
AGREES = 0.4
SHIFTED, SHIFTED_BY = 0.3, 0.1
"""least correlation at another place, and by how much it must exceed the one in place"""
NOWHERE = 0.15
ENOUGH_EDGES = 0.6
TOLERANCE = 0.03
"""of the picture's width: smaller shifts are not told"""
TILE_ROWS, TILE_COLUMNS, TILE_REACH = 26, 34, 8
FEWEST_TILES = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """moved None: cannot be told. agreement: correlation in place, 1 for the learned view itself.

    placed: the learned view was found, in its place or elsewhere.
    """

    moved: bool | None
    agreement: float
    reason: str = ""
    placed: bool = True


class ViewReference:
    """A learned view, and the view now. learn_s: how long the reference is averaged over before it stands."""

    def __init__(self, learn_s: float = 60.0) -> None:
        self._learn_s = learn_s
        self._learned_s = 0.0
        self._now_s: float | None = None
        self._view: Field | None = None
        self._anchor: Field | None = None
        self._adapted: Field | None = None

    @property
    def known(self) -> bool:
        """Whether the reference stands."""
        return self._anchor is not None and self._learned_s >= self._learn_s

    def look(self, luma: Luma, now_s: float) -> None:
        """Take a picture into the view. luma: (h, w) uint8, the whole picture, small."""
        edges = _orientations(luma)
        elapsed_s = 0.0 if self._now_s is None else now_s - self._now_s
        self._now_s = now_s
        if self._view is None or elapsed_s < 0:
            self._view = edges
            return
        self._view = self._view + np.float32(-np.expm1(-elapsed_s / SMOOTH_S)) * (edges - self._view)
        if not self.known:
            # A plain average over the time of learning.
            elapsed_s = min(elapsed_s, 2.0)
            self._learned_s += elapsed_s
            before = edges if self._anchor is None else self._anchor
            self._anchor = before + np.float32(elapsed_s / max(self._learned_s, 1e-6)) * (edges - before)

    def forget_view(self) -> None:
        """What was just seen is not to be trusted: begin the view, not the reference, anew."""
        self._view = None

    def judge(self) -> Verdict:
        """The view now against the reference."""
        if not self.known or self._view is None or self._anchor is None:
            return Verdict(None, 1.0)
        here = _spectrum(self._view)
        verdict = _compare(self._anchor, self._view, here)
        if verdict.moved and not verdict.placed and self._adapted is not None:
            followed = _compare(self._adapted, self._view, here)
            verdict = followed if followed.agreement >= AGREES else verdict
        if verdict.moved is False and verdict.agreement >= AGREES:
            before = self._anchor if self._adapted is None else self._adapted
            self._adapted = before + np.float32(JUDGE_EVERY_S / ADAPT_S) * (self._view - before)
        return verdict

    def saved(self) -> dict[str, Any] | None:
        """The reference as plain JSON values, some kilobytes; None before it stands."""
        if not self.known or self._anchor is None:
            return None
        return {"edges": _packed(self._anchor)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on with a saved reference. Raises ValueError for anything else."""
        self._anchor, self._learned_s = _unpacked(saved["edges"]), self._learn_s


def _orientations(luma: Luma) -> Field:
    """(ROWS, COLUMNS) doubled angle of the gradient as a complex number, its length 0..1 by the edge's strength."""
    gx, gy = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
    xx, yy = cv2.multiply(gx, gx), cv2.multiply(gy, gy)
    strength = xx + yy
    # Against the picture's own contrast, so that the same edges count by day and by night.
    scale = strength + max(float(strength.mean()), WEAKEST_EDGE**2)
    doubled = cv2.merge([(xx - yy) / scale, 2 * cv2.multiply(gx, gy) / scale])
    small = cv2.resize(doubled, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    field: Field = np.ascontiguousarray(small).view(np.complex64)[..., 0]
    return field


@dataclass(frozen=True, slots=True)
class _Spectrum:
    values: NDArray[np.complexfloating]
    norm: float


def _spectrum(field: Field) -> _Spectrum:
    rows, columns = field.shape
    # The picture's rim fades out, since a transform takes it for endless, and clocks written in its corners with it.
    window = np.sqrt(np.outer(np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1]))
    faded = field * window
    faded -= faded.mean()
    return _Spectrum(np.fft.fft2(faded), float(np.sqrt((np.abs(faded) ** 2).sum())))


def _surface(reference: _Spectrum, here: _Spectrum) -> NDArray[np.float64]:
    """Correlation for every shift, no shift in the middle."""
    product = np.fft.ifft2(np.conj(reference.values) * here.values).real
    surface: NDArray[np.float64] = np.fft.fftshift(product) / max(reference.norm * here.norm, 1e-9)
    return surface


def _peaks(surface: NDArray[np.float64], apart: int, reach: int | None = None) -> tuple[float, float, int, int]:
    """Correlation in place, the best farther than `apart` from it, and where that is (x, y)."""
    y, x = surface.shape[0] // 2, surface.shape[1] // 2
    if reach is not None:
        surface = surface[y - reach : y + reach + 1, x - reach : x + reach + 1]
        y = x = reach
    in_place = float(surface[y - 1 : y + 2, x - 1 : x + 2].max())
    away = surface.copy()
    away[y - apart : y + apart + 1, x - apart : x + apart + 1] = -1.0
    at_y, at_x = np.unravel_index(int(away.argmax()), away.shape)
    return in_place, float(away.max()), int(at_x) - x, int(at_y) - y


def _compare(reference: Field, view: Field, here: _Spectrum) -> Verdict:
    known = _spectrum(reference)
    if here.norm < ENOUGH_EDGES * known.norm:
        return Verdict(None, 0.0)
    in_place, away, dx, dy = _peaks(_surface(known, here), apart=2)
    if away >= SHIFTED and away > in_place + SHIFTED_BY and np.hypot(dx, dy) >= TOLERANCE * COLUMNS:
        across = f"{abs(dx) / COLUMNS:.0%} {'right' if dx > 0 else 'left'}"
        along = f"{abs(dy) / ROWS:.0%} {'down' if dy > 0 else 'up'}"
        return Verdict(True, in_place, f"the picture has shifted: {across}, {along}")
    if max(in_place, away) < NOWHERE:
        return Verdict(True, in_place, "shows another place than the one that was learned", placed=False)
    if in_place < 1.5 * AGREES and _turned(reference, view):
        return Verdict(True, in_place, "the picture has turned, or its zoom has changed")
    return Verdict(False, in_place)


def _turned(reference: Field, view: Field) -> bool:
    """Whether the parts of the picture have shifted, each its own way, as they do in a turn or a zoom."""
    sure = shifted = 0
    for top in (0, ROWS - TILE_ROWS):
        for left in (0, (COLUMNS - TILE_COLUMNS) // 2, COLUMNS - TILE_COLUMNS):
            part = np.s_[top : top + TILE_ROWS, left : left + TILE_COLUMNS]
            surface = _surface(_spectrum(reference[part]), _spectrum(view[part]))
            in_place, away, _, _ = _peaks(surface, apart=1, reach=TILE_REACH)
            if max(in_place, away) >= SHIFTED + 0.05:
                sure += 1
                shifted += away > 1.1 * in_place
    return shifted >= FEWEST_TILES and 2 * shifted >= sure


def _packed(field: Field) -> str:
    parts = np.stack([field.real, field.imag], axis=-1)
    return base64.b64encode(zlib.compress(np.rint(parts * 127).astype(np.int8).tobytes(), 9)).decode()


def _unpacked(text: str) -> Field:
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"a saved view that cannot be unpacked: {error}") from None
    if len(data) != ROWS * COLUMNS * 2:
        raise ValueError(f"a saved view of {len(data)} bytes, not {ROWS * COLUMNS * 2}")
    parts = np.frombuffer(data, np.int8).reshape(ROWS, COLUMNS, 2).astype(np.float32) / 127
    field: Field = np.ascontiguousarray(parts).view(np.complex64)[..., 0]
    return field
