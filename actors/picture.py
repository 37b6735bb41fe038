"""A decoded frame, converted only as far as someone asks: most frames are never seen in colour at full size."""

from collections.abc import Iterable
from dataclasses import dataclass

import av
import cv2
import numpy as np

from hoaban.frames import Crop, FrameMeta, Letterbox
from hoaban.scene import Pixels, View

PAD = 114
_PLANAR_420 = ("yuv420p", "yuvj420p")


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame and what is known of it."""

    meta: FrameMeta
    frame: av.VideoFrame

    def model_input(
        self, width: int, height: int, out: Pixels | None = None, crop: Crop | None = None
    ) -> tuple[Pixels, Letterbox]:
        """(height, width, 3) uint8 BGR, fitted and padded with 114 at the bottom and right, and how it was fitted.

        crop: a piece of the frame with even offsets, the whole by default. Written into `out` when given. The planes
        of 4:2:0 video are scaled before they become BGR: 0.3 ms for a 768x576 frame where converting first costs
        1.2 ms.
        """
        letterbox = Letterbox.fit(self.frame.width, self.frame.height, width, height, crop)
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
        scale = min(1.0, max_width / self.frame.width)
        size = max(2, round(self.frame.height * scale)), max(2, round(self.frame.width * scale))
        target = np.empty((*size, 3), np.uint8)
        self._scale_into(target, self._whole())
        return target

    def luma(self, width: int, height: int) -> Pixels:
        """(height, width) uint8 brightness, stretched to that size."""
        return cv2.resize(self._grey(), (width, height), interpolation=cv2.INTER_AREA)

    def views(self, wanted: Iterable[View]) -> dict[View, Pixels]:
        """The pieces of the picture that rules asked for (see hoaban.scene.View), less those without any area."""
        colour: Pixels | None = None
        found: dict[View, Pixels] = {}
        for view in wanted:
            left, right = (round(share * self.frame.width) for share in view.box[0::2])
            top, bottom = (round(share * self.frame.height) for share in view.box[1::2])
            if right <= left or bottom <= top:
                continue
            if view.colour == "bgr" and colour is None:
                colour = self.frame.to_ndarray(format="bgr24")
            piece = (self._grey() if view.colour == "luma" else colour)[top:bottom, left:right]
            size = view.width or right - left, view.height or bottom - top
            same = size == (right - left, bottom - top)
            found[view] = piece.copy() if same else cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
        return found

    def _grey(self) -> Pixels:
        planar = self.frame.format.name in _PLANAR_420
        return _plane(self.frame, 0) if planar else self.frame.to_ndarray(format="gray")

    def _whole(self) -> Crop:
        return Crop(0, 0, self.frame.width, self.frame.height)

    def _scale_into(self, target: Pixels, piece: Crop) -> None:
        """Fill an (h, w, 3) uint8 array with a piece of the picture in BGR, scaled to its size."""
        height, width = target.shape[:2]
        rows, columns = _slices(piece)
        if self.frame.format.name not in _PLANAR_420 or self.frame.color_range == 2:
            colour = self.frame.to_ndarray(format="bgr24")[rows, columns]
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


def _slices(piece: Crop) -> tuple[slice, slice]:
    return slice(piece.top, piece.top + piece.height), slice(piece.left, piece.left + piece.width)


def _plane(frame: av.VideoFrame, index: int) -> Pixels:
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
