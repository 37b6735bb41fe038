"""Privacy zones blacked out in decoded frames, before anything else sees them, and in clips cut from the stream."""

import io
from collections.abc import Iterable

import av
import numpy as np
from numpy.typing import NDArray

from actors.picture import quarter_turns
from actors.preroll import Clip
from hoaban.privacy import hidden_samples
from hoaban.shapes import Zone

BLACK, GREY = 16, 128
"""luma and chroma of black (ITU-R BT.601, studio range; in full range nearly black)"""
_PLANAR_420 = ("yuv420p", "yuvj420p")
_CLIP_OPTIONS = {"preset": "veryfast", "crf": "20"}


class PrivacyMask:
    """Blacks out zones in frames. One caller at a time."""

    def __init__(self, zones: Iterable[Zone]) -> None:
        self._polygons = [zone.polygon for zone in zones]
        self._made: dict[tuple[int, int, int], tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}

    def __bool__(self) -> bool:
        return bool(self._polygons)

    def apply(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame with the zones black; the same frame where there are none. The decoder's own copy stays whole."""
        if not self._polygons:
            return frame
        if frame.format.name not in _PLANAR_420:
            frame = _upright(frame).reformat(format="yuv420p")
        frame.make_writable()  # the decoder may still predict from it
        luma, chroma = self._samples(frame.width, frame.height, quarter_turns(frame))
        for index, (hidden, value) in enumerate(((luma, BLACK), (chroma, GREY), (chroma, GREY))):
            plane = frame.planes[index]
            samples = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
            samples[hidden] = value
        return frame

    def clip(self, clip: Clip) -> Clip:
        """A clip with the zones black: decoded and encoded anew (H.264), since packets cannot be drawn upon.

        What cannot be decoded is left out: a clip never shows what the zones hide.
        """
        if not self._polygons or not clip.data:
            return clip
        out = io.BytesIO()
        with av.open(io.BytesIO(clip.data)) as source, av.open(out, "w", format="mp4") as target:
            stream = source.streams.video[0]
            track = None
            for frame in _decoded(source, stream):
                shown = self.apply(frame)
                shown = _upright(shown).reformat(format="yuv420p") if quarter_turns(shown) else shown
                if track is None:
                    track = target.add_stream("libx264", rate=stream.average_rate or 25, options=_CLIP_OPTIONS)
                    track.width, track.height = shown.width - shown.width % 2, shown.height - shown.height % 2
                    track.pix_fmt = "yuv420p"
                    track.time_base = track.codec_context.time_base = stream.time_base
                    track.codec_context.thread_count = 1
                plain = shown.reformat(width=track.width, height=track.height, format="yuv420p")
                plain.pts, plain.time_base, plain.pict_type = frame.pts, stream.time_base, 0
                target.mux(track.encode(plain))
            if track is None:
                return Clip(b"")
            target.mux(track.encode(None))
        return Clip(out.getvalue(), clip.from_s, clip.to_s)

    def _samples(self, width: int, height: int, turns: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        key = (width, height, turns)
        if key not in self._made:
            self._made = {key: hidden_samples(self._polygons, width, height, turns)}
        return self._made[key]


def _decoded(source: av.container.InputContainer, stream: av.VideoStream) -> Iterable[av.VideoFrame]:
    for packet in source.demux(stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _upright(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame in colour as it is to be shown, with no turn left to make."""
    pixels = np.rot90(frame.to_ndarray(format="bgr24"), quarter_turns(frame))
    upright = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")
    upright.pts, upright.time_base = frame.pts, frame.time_base
    return upright
