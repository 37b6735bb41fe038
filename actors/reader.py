"""One pass over a stream or a file: packets in, frames out, and what went wrong in words that help."""

import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from actors.picture import Picture, shown_size
from actors.preroll import PacketRing
from actors.privacy import PrivacyMask
from hoaban.capture import MediaClock
from hoaban.frames import FrameMeta
from hoaban.media_time import MediaTime
from hoaban.source_address import SourceAddress

OPEN_LIMIT_S = 10.0
READ_LIMIT_S = 10.0
"""no picture for so long: the connection is given up and made anew"""
MOST_BAD_IN_A_ROW = 100
LEAST_SIDE = 2
MOST_PIXELS = 2**26
"""8192x8192: far beyond any camera, far below what would take the machine's memory"""
NO_FRAME = "it holds no frame; the recording is empty or cut off"
_OPTIONS = {
    "rtsp": {
        "timeout": str(int(READ_LIMIT_S * 1e6)),
        # Sound is never asked for: nobody may listen, and a silent microphone must not hold up the start.
        "allowed_media_types": "video",
        # Do not read on only to guess the frame rate. (fflags=nobuffer would throw the first keyframe away with the
        # packets that were looked at, and show nothing before the next one.)
        "fpsprobesize": "0",
        "analyzeduration": "2000000",
    }
}


class SourceError(Exception):
    """A stream or file cannot be read; the message says why and what to do, secrets removed."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame and its place on the stream's own clock. stamped: the stream gave it; else the frame rate did."""

    frame: av.VideoFrame
    stream_s: float
    stamped: bool


class StreamReader(Protocol):
    """One pass over a source of any kind. step_s: seconds between frames by the stream's own word."""

    decode_errors: int
    step_s: float

    @property
    def stream(self) -> VideoStream: ...
    @property
    def codec(self) -> str: ...
    @property
    def live(self) -> bool:
        """True when frames come as they are made. False: as fast as they are read (files, segments of HLS)."""
        ...

    def told_s(self, stream_s: float) -> float | None:
        """The time of day that the camera itself gives for a place on its stream's clock; None where it gives none."""
        ...

    def frames(self, on_packet: Callable[[av.Packet], None] | None = None) -> Iterator[Decoded]:
        """Every frame to the end of the source. Raises SourceError when it breaks, or ends without any frame."""
        ...

    def close(self) -> None: ...


def open_reader(
    source: SourceAddress | str, rtsp_transport: str = "tcp", read_limit_s: float = READ_LIMIT_S
) -> StreamReader:
    """A reader of the source's kind. Raises SourceError when it cannot be opened."""
    source = SourceAddress.of(source)
    if source.simulated:
        from actors.sim_source import SimReader

        return SimReader(source.reveal())
    return Reader(source, rtsp_transport, read_limit_s)


class Reader:
    """One pass over a stream or a file, damaged packets counted. See StreamReader.

    read_limit_s: the longest time without a picture. Raises SourceError when the source cannot be opened or has no
    video this build can decode.
    """

    def __init__(
        self, source: SourceAddress | str, rtsp_transport: str = "tcp", read_limit_s: float = READ_LIMIT_S
    ) -> None:
        self.source = SourceAddress.of(source)
        self.decode_errors = 0
        self._read_limit_s = read_limit_s
        self._unfit: str | None = None
        self._container = _open(self.source, rtsp_transport, read_limit_s)
        try:
            self.stream = self._video()
        except BaseException:
            self._container.close()
            raise
        self.step_s = _step(self.stream)
        self._time = MediaTime(self.step_s)

    def _video(self) -> VideoStream:
        streams = self._container.streams.video
        if not self._container.streams and self.source.is_file:
            raise self._error(NO_FRAME)
        if not streams:
            raise self._error("it has no video that can be decoded here; check the file or codec")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise self._error("its codec is unknown; set the camera to H.264 or H.265")
        if context.width * context.height > MOST_PIXELS:
            raise self._error(f"its picture of {context.width}x{context.height} is too large; lower its resolution")
        context.options = {"max_pixels": str(MOST_PIXELS)}
        # One thread a camera: with many cameras a node, frame threads only add latency and switching.
        context.thread_count = 1
        return stream

    @property
    def codec(self) -> str:
        return self.stream.codec_context.name

    @property
    def live(self) -> bool:
        whole = self._container.duration is not None and self.source.scheme in ("http", "https")
        return not (self.source.is_file or whole or self._container.format.name.startswith("hls"))

    @property
    def endless(self) -> bool:
        """Whether it tells no end: a live stream."""
        return not self.source.is_file and self._container.duration is None

    def told_s(self, stream_s: float) -> float | None:
        """RTSP cameras tell their time by RTCP sender reports; the first one counts."""
        began_us = self._container.start_time_realtime
        return began_us / 1e6 + stream_s if began_us is not None and began_us > 0 else None

    def frames(self, on_packet: Callable[[av.Packet], None] | None = None) -> Iterator[Decoded]:
        bad = found = 0
        for packet in self._packets():
            if packet is not None and on_packet is not None and packet.size:
                on_packet(packet)
            try:
                frames = [] if packet is None else packet.decode()
            except av.error.EOFError:
                break
            except (av.error.FFmpegError, ValueError) as error:
                self.decode_errors += 1
                bad += 1
                if bad >= MOST_BAD_IN_A_ROW:
                    raise self._error(
                        f"{bad} packets in a row could not be decoded ({_reason(self.source, error)}); "
                        "check the camera's codec and its network"
                    ) from None
                continue
            for frame in frames:
                if min(frame.width, frame.height) < LEAST_SIDE:
                    self.decode_errors += 1
                    self._unfit = (
                        f"its picture is {frame.width}x{frame.height} pixels; {LEAST_SIDE}x{LEAST_SIDE} is least"
                    )
                    continue
                bad = 0
                found += 1
                if frame.is_corrupt:
                    self.decode_errors += 1
                stream_s = self._time.at(frame.pts, frame.dts, float(frame.time_base or 0))
                yield Decoded(frame, stream_s, frame.pts is not None or frame.dts is not None)
                self._shown_s = time.monotonic()
        if not found:
            undecoded = (
                f"its {bad} packets could not be decoded; check the codec, or record it again" if bad else NO_FRAME
            )
            raise self._error(self._unfit or undecoded)

    def _packets(self) -> Iterator[av.Packet | None]:
        """The video's packets. Raises SourceError also when others come, or packets without pictures, for too long."""
        self._shown_s = time.monotonic()
        packets = self._container.demux()
        while True:
            asked_s = time.monotonic()
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                return
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(explain(self.source, error, time.monotonic() - asked_s, self._read_limit_s)) from None
            now_s = time.monotonic()
            if now_s - asked_s > self._read_limit_s:  # some protocols give a last packet when their time is over
                raise SourceError(explain(self.source, TimeoutError(), now_s - asked_s, self._read_limit_s))
            if now_s - self._shown_s > self._read_limit_s:
                unfit = f" ({self._unfit})" if self._unfit else ""
                limit = f"{self._read_limit_s:g} s"
                raise self._error(f"data come, but no picture for {limit}{unfit}; check the camera's encoder")
            if packet.stream_index == self.stream.index:
                yield packet

    def _error(self, message: str) -> SourceError:
        return SourceError(f"{self.source}: {message}")

    def close(self) -> None:
        self._container.close()


def open_frames(
    source: SourceAddress | str, camera: str, ring: PacketRing | None = None, privacy: PrivacyMask | None = None
) -> Iterator[Picture]:
    """Every frame of a recorded file once, for replay: capture time is media time, from 1970-01-01 on.

    ring: keeps the encoded packets, by the same times. privacy: blacks zones out.
    Raises SourceError: cannot be opened, breaks in the middle, has no frame at all, or no end.
    """
    source = SourceAddress.of(source)
    if source.scheme in ("rtsp", "rtsps"):
        raise SourceError(f"{source}: a live stream has no end; name a recording of it with --source")
    if source.simulated:
        from actors.sim_source import refuse_endless

        refuse_endless(source.reveal())
    reader = open_reader(source)
    try:
        if isinstance(reader, Reader) and reader.endless:
            raise SourceError(f"{source}: a live stream has no end; name a recording of it with --source")
        clock = MediaClock(reader.step_s)
        if ring is not None:
            ring.open(reader.stream)

        def keep(packet: av.Packet) -> None:
            stamp = packet.pts if packet.pts is not None else packet.dts
            if ring is not None and stamp is not None and packet.time_base is not None:
                ring.add(packet, clock.near(float(stamp * packet.time_base)))

        for seq, decoded in enumerate(reader.frames(None if ring is None else keep)):
            meta = FrameMeta(camera, seq, clock.stamp(decoded.stream_s), *shown_size(decoded.frame), source.simulated)
            yield Picture(meta, decoded.frame if privacy is None else privacy.apply(decoded.frame))
    finally:
        reader.close()


def explain(source: SourceAddress, error: Exception, waited_s: float = 0.0, limit_s: float | None = None) -> str:
    """An FFmpeg error in words. waited_s: how long it took, of at most limit_s (OPEN_LIMIT_S by default)."""
    limit_s = OPEN_LIMIT_S if limit_s is None else limit_s
    shown, local = source.shown, source.is_file
    if isinstance(error, av.error.ExitError | TimeoutError) or (not local and waited_s >= limit_s):
        return f"{shown}: no data for {limit_s:g} s; check the network and that the camera is on"
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            return f"{shown}: the user or password was refused; correct them in the source's ${{ENV}} values"
        case av.error.FileNotFoundError() | FileNotFoundError() | av.error.HTTPNotFoundError():
            return f"{shown}: not found; check the path"
        case av.error.ConnectionRefusedError():
            return f"{shown}: nothing listens there; check address, port and that the camera is on"
        case av.error.EOFError() if local:
            return f"{shown}: {NO_FRAME}"
        case av.error.EOFError():
            return f"{shown}: it closed the connection before any video came; check the address and the camera's limits"
        case av.error.InvalidDataError() if local:
            return f"{shown}: not a video, or cut off before its index; check the file"
        case av.error.InvalidDataError():
            return f"{shown}: what it sends is no video stream; check the address"
        case av.error.DecoderNotFoundError():
            return f"{shown}: its codec is unknown here; set the camera to H.264 or H.265"
        case av.error.PermissionError() | PermissionError():
            return f"{shown}: no right to read it; change the file's permissions"
    if not local and not _is_known(source):
        return f"{shown}: no such host; check the address and the name server"
    return f"{shown}: {_reason(source, error)}; " + (
        "check the file" if local else "check the address and that the camera is on"
    )


def _reason(source: SourceAddress, error: Exception) -> str:
    if getattr(error, "errno", None) == errno.EIO:
        return "the connection broke off"
    return source.hide(str(getattr(error, "strerror", None) or error))


def _is_known(source: SourceAddress) -> bool:
    """False when the host's name has no address."""
    with contextlib.suppress(ValueError):
        try:
            return bool(socket.getaddrinfo(urlsplit(source.reveal()).hostname or "", None))
        except socket.gaierror:
            return False
    return True


def _open(source: SourceAddress, rtsp_transport: str, read_limit_s: float) -> InputContainer:
    name = source.reveal().removeprefix("file://")
    options = dict(_OPTIONS.get(source.scheme.removesuffix("s"), {}))
    if source.scheme in ("rtsp", "rtsps"):
        options["rtsp_transport"] = rtsp_transport
    began_s = time.monotonic()
    try:
        if source.is_file:
            _check(Path(name), source)
        return av.open(name, options=options, timeout=(OPEN_LIMIT_S, read_limit_s))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(explain(source, error, time.monotonic() - began_s)) from None


def _check(path: Path, source: SourceAddress) -> None:
    """Raises SourceError, or OSError when there is nothing to read."""
    if path.is_dir():
        raise SourceError(f"{source}: a folder, not a video; name a file in it")
    if path.exists() and not path.is_file():  # opening a pipe that nobody writes into would hang for ever
        raise SourceError(f"{source}: no regular file; name a video file")
    with path.open("rb") as file:
        if not file.read(1):
            raise SourceError(f"{source}: an empty file; record it again")


def _step(stream: VideoStream) -> float:
    """Seconds between frames by the stream's own word; 25 a second where it says nothing."""
    rate = stream.average_rate or stream.base_rate
    return float(1 / rate) if rate and 0.1 < rate < 1000 else 0.04
