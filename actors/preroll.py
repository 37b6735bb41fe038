"""The last seconds of a stream as it came, encoded: what evidence needs from before an event."""

import io
import threading
from collections import deque
from dataclasses import dataclass

import av
from av.stream import Stream


@dataclass(frozen=True, slots=True)
class _Kept:
    data: bytes
    pts: int
    dts: int
    keyframe: bool
    captured_s: float


@dataclass(frozen=True, slots=True)
class Clip:
    """MP4 of the packets captured from from_s to to_s; no data, and times of 0, when there were none."""

    data: bytes
    from_s: float = 0.0
    to_s: float = 0.0


class PacketRing:
    """Keeps at least the last `seconds` of packets, from a keyframe on, in at most `max_bytes`."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self._seconds, self._max_bytes = seconds, max_bytes
        self._lock = threading.Lock()
        self._packets: deque[_Kept] = deque()
        self._bytes = 0
        self._stream: Stream | None = None

    def open(self, stream: Stream) -> None:
        """A new stream: what is kept of the old one does not continue it."""
        with self._lock:
            self._packets.clear()
            self._bytes, self._stream = 0, stream

    def add(self, packet: av.Packet, captured_s: float) -> None:
        if packet.pts is None or packet.size == 0:
            return
        kept = _Kept(
            bytes(packet), packet.pts, packet.pts if packet.dts is None else packet.dts, packet.is_keyframe, captured_s
        )
        with self._lock:
            if self._packets and kept.dts <= self._packets[-1].dts:  # the stream's clock went back
                self._packets.clear()
                self._bytes = 0
            if not self._packets and not kept.keyframe:
                return
            self._packets.append(kept)
            self._bytes += len(kept.data)
            while self._bytes > self._max_bytes and len(self._packets) > 1:
                self._drop_group()
            while (second := self._second_keyframe()) is not None and second <= captured_s - self._seconds:
                self._drop_group()

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def nbytes(self) -> int:
        return self._bytes

    def clip(self, from_s: float, to_s: float) -> bytes:
        """The MP4 of `cut`."""
        return self.cut(from_s, to_s).data

    def cut(self, from_s: float, to_s: float) -> Clip:
        """The packets captured in the interval, from the keyframe before it, and what they cover.

        Nothing is decoded: the pictures are the camera's own.
        """
        with self._lock:
            packets, stream = list(self._packets), self._stream
        starts = [i for i, kept in enumerate(packets) if kept.keyframe and kept.captured_s <= from_s]
        first = starts[-1] if starts else 0
        chosen = [kept for kept in packets[first:] if kept.captured_s <= to_s]
        if not chosen or stream is None:
            return Clip(b"")
        out = io.BytesIO()
        with av.open(out, "w", format="mp4") as container:
            track = container.add_stream_from_template(stream)
            for kept in chosen:
                packet = av.Packet(kept.data)
                packet.pts, packet.dts = kept.pts - chosen[0].dts, kept.dts - chosen[0].dts
                packet.time_base, packet.stream, packet.is_keyframe = stream.time_base, track, kept.keyframe
                container.mux(packet)
        return Clip(out.getvalue(), chosen[0].captured_s, max(kept.captured_s for kept in chosen))

    def _second_keyframe(self) -> float | None:
        keyframes = (kept.captured_s for i, kept in enumerate(self._packets) if i and kept.keyframe)
        return next(keyframes, None)

    def _drop_group(self) -> None:
        """The oldest packets up to the next keyframe."""
        while self._packets:
            self._bytes -= len(self._packets.popleft().data)
            if not self._packets or self._packets[0].keyframe:
                return
