"""A decoded frame, converted only as far as someone asks: most frames are never seen in colour at full size."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import av
import cv2
import numpy as np

from hoaban.frames import Crop, FrameMeta, Letterbox
from hoaban.scene import Pixels, View

PAD = 114
SMALL = 32
"""a side shorter than this, before or after: converted plainly, for the planes' rounding would show"""
_PLANAR_420 = ("yuv420p", "yuvj420p")
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_BRIGHTNESS = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)
"""brightness 0..255 of a luma sample 16..235 (ITU-R BT.601), as nearly all video has it"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame and what is known of it. All that it gives is turned as the recording says it is to be shown."""

    meta: FrameMeta
    frame: av.VideoFrame
    # libswscale's context belongs to the frame, and PyAV changes the frame's colour fields while it converts: two
    # threads that ask at once (a tile and a model input) would meet in there.
    _converting: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _lumas: dict[tuple[int, int], Pixels] = field(default_factory=dict, repr=False, compare=False)

    def model_input(
        self, width: int, height: int, out: Pixels | None = None, crop: Crop | None = None
    ) -> tuple[Pixels, Letterbox]:
        """(height, width, 3) uint8 BGR, fitted and padded with 114 at the bottom and right, and how it was fitted.

        crop: a piece of the frame with even offsets, the whole by default. Written into `out` when given. The planes
        of 4:2:0 video are scaled before they become BGR: 0.3 ms for a 768x576 frame where converting first costs
        1.2 ms.
        """
        letterbox = Letterbox.fit(self.meta.width, self.meta.height, width, height, crop)
        target = np.empty((height, width, 3), np.uint8) if out is None else out
        piece = crop or self._whole()
        fit_w = min(width, max(2, round(piece.width * letterbox.scale)))
        fit_h = min(height, max(2, round(piece.height * letterbox.scale)))
        self._scale_into(target[:fit_h, :fit_w], piece)
        target[fit_h:] = PAD
        target[:fit_h, fit_w:] = PAD
        return target, letterbox

    def bgr(self, max_width: int) -> Pixels:
        """(h, w, 3) uint8 BGR, no wider than max_width, in the frame's proportions."""
        scale = min(1.0, max_width / self.meta.width)
        size = max(2, round(self.meta.height * scale)), max(2, round(self.meta.width * scale))
        target = np.empty((*size, 3), np.uint8)
        self._scale_into(target, self._whole())
        return target

    def luma(self, width: int, height: int) -> Pixels:
        """(height, width) uint8 brightness, black 0 and white 255, stretched to that size.

        Made once a size: scene and faces ask for the same one. Not to be written to.
        """
        if (made := self._lumas.get((width, height))) is None:
            grey, table = self._grey()
            made = self._lumas[width, height] = _looked_up(_shrunk(grey, (width, height)), table)
        return made

    def views(self, wanted: Iterable[View]) -> dict[View, Pixels]:
        """The pieces of the picture that rules asked for (see hoaban.scene.View), less those without any area."""
        colour: Pixels | None = None
        grey: tuple[Pixels, Pixels | None] | None = None
        found: dict[View, Pixels] = {}
        for view in wanted:
            left, right = (round(share * self.meta.width) for share in view.box[0::2])
            top, bottom = (round(share * self.meta.height) for share in view.box[1::2])
            if right <= left or bottom <= top:
                continue
            size = view.width or right - left, view.height or bottom - top
            same = size == (right - left, bottom - top)
            if view.colour == "luma":
                grey = self._grey() if grey is None else grey
                whole, table = grey
            else:
                colour = self._turned(self._converted("bgr24")) if colour is None else colour
                whole, table = colour, None
            piece = whole[top:bottom, left:right]
            piece = piece.copy() if same else _shrunk(piece, size)
            found[view] = _looked_up(piece, table)
        return found

    def _grey(self) -> tuple[Pixels, Pixels | None]:
        """Luma samples of the whole picture, and the table that makes brightness of them where they are not yet."""
        if self.frame.format.name not in _PLANAR_420:
            return self._turned(self._converted("gray")), None
        return self._turned(_plane(self.frame, 0)), None if self._full_range else _BRIGHTNESS

    @property
    def _full_range(self) -> bool:
        return self.frame.format.name == "yuvj420p" or self.frame.color_range == _FULL_RANGE

    def _whole(self) -> Crop:
        return Crop(0, 0, self.meta.width, self.meta.height)

    def _scale_into(self, target: Pixels, piece: Crop) -> None:
        """Fill an (h, w, 3) uint8 array with a piece of the picture in BGR, scaled to its size."""
        height, width = target.shape[:2]
        rows, columns = _slices(piece)
        small = min(piece.width, piece.height, width, height) < SMALL
        planar = self.frame.format.name in _PLANAR_420 and not self._full_range
        if small or not planar or quarter_turns(self.frame):
            colour = self._turned(self._converted("bgr24"))[rows, columns]
            target[:] = cv2.resize(colour, (width, height), interpolation=cv2.INTER_LINEAR)
            return
        # I420 needs even sides; the picture is scaled to the next even size and its last row or column left out.
        even_w, even_h = width + width % 2, height + height % 2
        i420 = np.empty((even_h * 3 // 2, even_w), np.uint8)
        luma = _plane(self.frame, 0)[rows, columns]
        cv2.resize(luma, (even_w, even_h), dst=i420[:even_h], interpolation=cv2.INTER_LINEAR)
        chroma = i420[even_h:].reshape(2, even_h // 2, even_w // 2)
        rows, columns = _slices(Crop(piece.left // 2, piece.top // 2, -(-piece.width // 2), -(-piece.height // 2)))
        for index in (0, 1):
            plane = _plane(self.frame, index + 1)[rows, columns]
            cv2.resize(plane, (even_w // 2, even_h // 2), dst=chroma[index], interpolation=cv2.INTER_LINEAR)
        if (even_w, even_h) == (width, height) and target.flags.c_contiguous:
            cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420, dst=target)
        else:
            target[:] = cv2.cvtColor(i420, cv2.COLOR_YUV2BGR_I420)[:height, :width]

    def _converted(self, pixels: str) -> Pixels:
        with self._converting:
            return self.frame.to_ndarray(format=pixels, threads=1)

    def _turned(self, pixels: Pixels) -> Pixels:
        turns = quarter_turns(self.frame)
        return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def quarter_turns(frame: av.VideoFrame) -> int:
    """By how many quarter turns, against the clock, a frame is to be shown turned: 0..3. Other angles are left out."""
    return round(frame.rotation / 90) % 4


def shown_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height in pixels of a frame as it is to be shown."""
    return (frame.height, frame.width) if quarter_turns(frame) % 2 else (frame.width, frame.height)


def _looked_up(samples: Pixels, table: Pixels | None) -> Pixels:
    return samples if table is None else cv2.LUT(samples, table)


def _slices(piece: Crop) -> tuple[slice, slice]:
    return slice(piece.top, piece.top + piece.height), slice(piece.left, piece.left + piece.width)


def _plane(frame: av.VideoFrame, index: int) -> Pixels:
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _shrunk(piece: Pixels, size: tuple[int, int]) -> Pixels:
    """A piece scaled to (width, height) by areas; first by whole numbers that divide it, which is much quicker."""
    height, width = piece.shape[:2]
    across, down = _divisor(width, width // size[0]), _divisor(height, height // size[1])
    if across * down > 1:
        piece = cv2.resize(piece, (width // across, height // down), interpolation=cv2.INTER_AREA)
    if piece.shape[1::-1] == size:
        return piece
    return cv2.resize(piece, size, interpolation=cv2.INTER_AREA)


def _divisor(number: int, most: int) -> int:
    """The greatest divisor of a number that is not above `most`; 1 at least."""
    return next(by for by in range(max(1, most), 0, -1) if number % by == 0)
