"""The last seconds of a stream as it came, encoded: what evidence needs from before an event."""

import io
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import structlog
from av.container import OutputContainer
from av.video.stream import VideoStream

log = structlog.get_logger(__name__)

MOST_GAP_S = 10.0
"""a stream whose own clock jumps by more is another stream: a clip across the jump would last hours"""
SET_BACK_S = 5.0


@dataclass(frozen=True, slots=True)
class _Kept:
    data: bytes
    pts: int | None
    dts: int | None
    keyframe: bool
    captured_s: float


class _Format:
    """What a muxer must know of a stream, alive after the stream itself is closed."""

    def __init__(self, stream: VideoStream) -> None:
        # A libav stream is gone when its container is closed, and a camera is most often asked for its last seconds
        # when its stream broke. So the parameters move into a container that is never written.
        self._holder = av.open(io.BytesIO(), "w", format="mp4")
        self._template = self._holder.add_stream_from_template(stream, opaque=True)
        self._decoder = stream.codec_context
        self.time_base = stream.time_base or Fraction(1, 90000)
        self.codec = stream.codec_context.codec.canonical_name
        self.step = max(1, round(1 / (stream.average_rate or 25) / self.time_base))

    def add_to(self, container: OutputContainer, parameter_sets: bytes) -> VideoStream:
        track = container.add_stream_from_template(self._template, opaque=True)
        if parameter_sets:  # they replace those that the stream began with
            track.codec_context.extradata = parameter_sets
        if self._decoder.width and self._decoder.height:
            track.codec_context.width, track.codec_context.height = self._decoder.width, self._decoder.height
        return track


@dataclass(frozen=True, slots=True)
class Clip:
    """MP4 of the packets captured from from_s to to_s; no data, and times of 0, when there were none."""

    data: bytes
    from_s: float = 0.0
    to_s: float = 0.0


class PacketRing:
    """Keeps at least the last `seconds` of packets, from a keyframe on, in at most `max_bytes`.

    camera: for the log. It begins anew where a clip could not be shown through: another stream, another picture size, a
    clock that jumped.
    """

    def __init__(self, seconds: float, max_bytes: int, camera: str = "") -> None:
        self._seconds, self._max_bytes, self._camera = seconds, max_bytes, camera
        self._short = self._said_short = False
        self._lock = threading.Lock()
        self._packets: deque[_Kept] = deque()
        self._bytes = 0
        self._format: _Format | None = None
        self._parameter_sets = b""
        self._last_dts: int | None = None

    def resize(self, seconds: float) -> None:
        """Keep so many seconds from now on; what is there stays as far as they reach."""
        with self._lock:
            self._seconds = seconds

    def open(self, stream: VideoStream) -> None:
        """A new stream. A codec that MP4 cannot hold is not kept, and that is logged."""
        with self._lock:
            self._clear()
            self._parameter_sets = b""
            try:
                self._format = _Format(stream)
            except (ValueError, av.error.FFmpegError) as error:
                self._format = None
                log.warning("no pre-roll", codec=stream.codec_context.name, why=str(error))

    def add(self, packet: av.Packet, captured_s: float) -> None:
        if packet.size == 0 or self._format is None:
            return
        kept = _Kept(bytes(packet), packet.pts, packet.dts, packet.is_keyframe, captured_s)
        with self._lock:
            if self._jumped(kept) or self._changed(kept):
                self._clear()
            if kept.dts is not None:
                self._last_dts = kept.dts
            if not self._packets and not kept.keyframe:
                return
            self._packets.append(kept)
            self._bytes += len(kept.data)
            while (second := self._second_keyframe()) is not None and second <= captured_s - self._seconds:
                self._drop_group()
                self._short = False
            while self._bytes > self._max_bytes and len(self._packets) > 1:
                self._drop_group()
                self._short = True
        if self._short and not self._said_short:
            self._said_short = True
            log.warning("pre-roll is too short", camera=self._camera, why=self.short)

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def nbytes(self) -> int:
        return self._bytes

    @property
    def short(self) -> str | None:
        """Where the stream's bit rate leaves room for fewer seconds than wanted: how many, and why."""
        with self._lock:
            if not self._short:
                return None
            held_s = self._packets[-1].captured_s - self._packets[0].captured_s if self._packets else 0.0
            return (
                f"{held_s:.0f} s of the {self._seconds:g} s wanted: {self._max_bytes / 2**20:g} MiB hold no more of "
                "this stream; lower the camera's bit rate, or let it send keyframes more often"
            )

    def clip(self, from_s: float, to_s: float) -> bytes:
        """The MP4 of `cut`."""
        return self.cut(from_s, to_s).data

    def cut(self, from_s: float, to_s: float) -> Clip:
        """The packets captured in the interval, from the keyframe before it, and what they cover.

        Nothing is decoded: the pictures are the camera's own.
        """
        with self._lock:
            packets, kind, parameter_sets = list(self._packets), self._format, self._parameter_sets
        starts = [i for i, kept in enumerate(packets) if kept.keyframe and kept.captured_s <= from_s]
        ends = [i for i, kept in enumerate(packets) if kept.captured_s <= to_s]
        first = starts[-1] if starts else 0
        if kind is None or not ends or ends[-1] < first:
            return Clip(b"")
        chosen = packets[first : ends[-1] + 1]
        out = io.BytesIO()
        with av.open(out, "w", format="mp4") as container:
            track = kind.add_to(container, parameter_sets)
            for kept, (pts, dts) in zip(chosen, _stamps(chosen, kind.step), strict=True):
                packet = av.Packet(kept.data)
                packet.pts, packet.dts, packet.time_base = pts, dts, kind.time_base
                packet.stream, packet.is_keyframe = track, kept.keyframe
                container.mux(packet)
        return Clip(out.getvalue(), chosen[0].captured_s, max(kept.captured_s for kept in chosen))

    def _jumped(self, kept: _Kept) -> bool:
        if self._packets and kept.captured_s < self._packets[-1].captured_s - SET_BACK_S:
            return True
        if kept.dts is None or self._last_dts is None or self._format is None:
            return False
        return not 0 < kept.dts - self._last_dts <= MOST_GAP_S / self._format.time_base

    def _changed(self, kept: _Kept) -> bool:
        """True when a keyframe brings other parameter sets (the size of the picture, say) than those before it."""
        if not kept.keyframe or self._format is None:
            return False
        found = _parameter_sets(self._format.codec, kept.data)
        if not found or found == self._parameter_sets:
            return False
        self._parameter_sets = found
        return True

    def _clear(self) -> None:
        self._packets.clear()
        self._bytes, self._last_dts, self._short = 0, None, False

    def _second_keyframe(self) -> float | None:
        keyframes = (kept.captured_s for i, kept in enumerate(self._packets) if i and kept.keyframe)
        return next(keyframes, None)

    def _drop_group(self) -> None:
        """The oldest packets up to the next keyframe."""
        while self._packets:
            self._bytes -= len(self._packets.popleft().data)
            if not self._packets or self._packets[0].keyframe:
                return


def _parameter_sets(codec: str, data: bytes) -> bytes:
    """The parameter sets before the first picture of an Annex B packet (H.264 and H.265, clause 7.3.1 NAL units)."""
    if codec not in ("h264", "hevc") or not data.startswith((b"\0\0\1", b"\0\0\0\1")):
        return b""
    found = b""
    at = data.find(b"\0\0\1") + 3
    while 3 <= at < len(data):
        kind = data[at] & 0x1F if codec == "h264" else data[at] >> 1 & 0x3F
        if kind in (1, 2, 3, 4, 5) if codec == "h264" else kind < 32:
            break
        after = data.find(b"\0\0\1", at)
        if kind in ((7, 8) if codec == "h264" else (32, 33, 34)):
            found += b"\0\0\0\1" + data[at : after if after >= 0 else None].rstrip(b"\0")
        if after < 0:
            break
        at = after + 3
    return found


def _stamps(packets: Sequence[_Kept], step: int) -> list[tuple[int, int]]:
    """(pts, dts) of each packet, from 0 on and growing, also where the stream left some out."""
    given: list[int | None] = [kept.dts for kept in packets]
    shown = sorted(kept.pts for kept in packets if kept.pts is not None)
    if not any(dts is not None for dts in given):
        given = [*[None] * (len(packets) - len(shown)), *shown]
    first = next((i for i, dts in enumerate(given) if dts is not None), 0)
    begin = (given[first] or 0) - first * step
    decoded = [begin + i * step for i in range(first + 1)]
    for dts in given[first + 1 :]:
        decoded.append(decoded[-1] + step if dts is None else max(dts, decoded[-1] + 1))
    stamps = [(dts if kept.pts is None else kept.pts, dts) for kept, dts in zip(packets, decoded, strict=True)]
    if packets[0].pts is None and shown:
        stamps[0] = (shown[0] - step, begin)  # a keyframe is shown before all that follow it
    return [(max(pts, dts) - begin, dts - begin) for pts, dts in stamps]
