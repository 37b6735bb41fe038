"""Simulated sources as streams: drawn, encoded and decoded again, so that all behind meets real packets and frames."""

import io
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import av.error
import cv2
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from actors.reader import Decoded, SourceError
from hoaban.sim.address import SimAddress, parse_address
from hoaban.sim.film import Film

CLOCK = 90_000
"""ticks of a second in timestamps, as in MPEG streams"""
KEYFRAME_EVERY_S = 2
_ENCODERS = {
    "h264": ("libx264", "yuv420p", {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"}),
    "mjpeg": ("mjpeg", "yuvj420p", {"qmin": "4", "qmax": "4"}),
}


class SimReader:
    """One pass over a simulated source. See actors.reader.StreamReader.

    Raises SourceError when the address is wrong.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.decode_errors = 0
        address = _parse(source)
        self.step_s = 1 / address.parameters.fps
        self._film = Film(address)
        encoder, self._format, options = _ENCODERS[address.parameters.codec]
        # Nothing is ever written to it: a muxer makes the encoder a stream, which the pre-roll copies for its clips.
        self._muxer = av.open(io.BytesIO(), "w", format="mp4")
        self.stream: VideoStream = self._muxer.add_stream(encoder, rate=address.parameters.fps, options=options)
        width, height = address.parameters.size
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, self._format
        context = self.stream.codec_context
        self.stream.time_base = context.time_base = Fraction(1, CLOCK)
        context.gop_size = KEYFRAME_EVERY_S * address.parameters.fps
        context.thread_count = 1
        if self._format == "yuvj420p":
            context.color_range = 2
        self._muxer.start_encoding()  # fills in what a copy of the stream needs

    @property
    def codec(self) -> str:
        return self._film.parameters.codec

    @property
    def live(self) -> bool:
        return False

    def told_s(self, stream_s: float) -> float | None:
        """None: a simulated camera has no clock of its own."""
        return None

    def frames(self, on_packet: Callable[[av.Packet], None] | None = None) -> Iterator[Decoded]:
        decoder = self._decoder()
        for shot in self._film.shots():
            frame = av.VideoFrame.from_ndarray(cv2.cvtColor(shot.pixels, cv2.COLOR_BGR2YUV_I420), "yuv420p")
            if self._format != "yuv420p":
                frame = frame.reformat(format=self._format, src_color_range=1, dst_color_range=2)
            frame.pts, frame.time_base = round(shot.time_s * CLOCK), Fraction(1, CLOCK)
            for packet in self.stream.encode(frame):
                if on_packet is not None:
                    on_packet(packet)
                try:
                    for decoded in decoder.decode(packet):
                        yield Decoded(decoded, float((decoded.pts or 0) * decoded.time_base), decoded.pts is not None)
                except av.error.FFmpegError:
                    self.decode_errors += 1

    def close(self) -> None:
        self._muxer.close()

    def _decoder(self) -> VideoCodecContext:
        decoder = av.CodecContext.create(self.codec, "r")
        decoder.extradata = self.stream.codec_context.extradata
        decoder.thread_count = 1
        return decoder


def refuse_endless(source: str) -> None:
    """Raises SourceError for a simulated source that has no end, or a wrong address."""
    if _parse(source).parameters.duration is None:
        joint = "&" if "?" in source else "?"
        raise SourceError(f"{source}: it has no end; name one that has: --source '{source}{joint}duration=60'")


def _parse(source: str) -> SimAddress:
    try:
        return parse_address(source)
    except ValueError as error:
        raise SourceError(f"{source}: {error}") from None
