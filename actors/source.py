"""Streams and files as pictures: one thread a camera, which never stops trying and never fills a queue."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import av
import av.error
import structlog
from av.container import InputContainer
from av.video.stream import VideoStream

from actors.picture import Picture
from actors.preroll import PacketRing
from hoaban.fleet import Camera
from hoaban.fleet_text import redact
from hoaban.frames import FrameMeta
from hoaban.media_time import MediaTime
from hoaban.sim.address import is_sim
from hoaban.source_state import SourceTracker
from hoaban.status import SourceState
from hoaban.terms import OpenHours

log = structlog.get_logger(__name__)

OPEN_LIMIT_S = 10.0
READ_LIMIT_S = 10.0
MOST_BAD_IN_A_ROW = 100
LOOK_AT_HOURS_S = 1.0
JUMP_S = 1.0
"""a step of the stream's clock away from the wall clock beyond this is a jump, not jitter"""


class SourceError(Exception):
    """A stream or file cannot be read; the message says why and what to do, secrets removed."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """See hoaban.status.CameraStatus for the fields."""

    state: SourceState
    state_since_s: float
    error: str | None
    width: int | None
    height: int | None
    codec: str | None
    frames_decoded: int
    decode_errors: int
    reconnects: int
    last_frame_s: float | None
    decoded_fps: float
    simulated: bool = False


class StreamReader(Protocol):
    """One pass over a source of any kind."""

    decode_errors: int

    @property
    def stream(self) -> VideoStream: ...
    @property
    def codec(self) -> str: ...
    def told_s(self, stream_s: float) -> float | None:
        """The time of day that the camera itself gives for a place on its stream's clock; None where it gives none."""
        ...

    def frames(self, on_packet: Callable[[av.Packet], None] | None = None) -> Iterator[av.VideoFrame]:
        """Every frame to the end of the source. Raises SourceError when the source breaks."""
        ...

    def close(self) -> None: ...


def open_reader(source: str, rtsp_transport: str = "tcp") -> StreamReader:
    """A reader of the source's kind. Raises SourceError when it cannot be opened."""
    if is_sim(source):
        from actors.sim_source import SimReader

        return SimReader(source)
    return Reader(source, rtsp_transport)


class Reader:
    """One pass over a source: packets in, frames out, damaged ones counted.

    Raises SourceError when the source cannot be opened or has no video this build can decode.
    """

    def __init__(self, source: str, rtsp_transport: str = "tcp") -> None:
        self.source = source
        self.decode_errors = 0
        self._container = _open(source, rtsp_transport)
        try:
            self.stream = self._video()
        except BaseException:
            self._container.close()
            raise

    def _video(self) -> VideoStream:
        streams = self._container.streams.video
        if not streams:
            raise SourceError(
                f"{redact(self.source)}: it has no video that can be decoded here; check the file or codec"
            )
        stream = streams[0]
        if stream.codec_context is None:
            raise SourceError(f"{redact(self.source)}: its codec is unknown; set the camera to H.264 or H.265")
        # One thread a camera: with many cameras a node, frame threads only add latency and switching.
        stream.codec_context.thread_count = 1
        return stream

    @property
    def codec(self) -> str:
        return self.stream.codec_context.name

    def told_s(self, stream_s: float) -> float | None:
        """The time of day that the camera itself gives for a place on its stream's clock; None where it gives none.

        RTSP cameras tell it by RTCP sender reports; the first one counts.
        """
        began_us = self._container.start_time_realtime
        return began_us / 1e6 + stream_s if began_us is not None and began_us > 0 else None

    def frames(self, on_packet: Callable[[av.Packet], None] | None = None) -> Iterator[av.VideoFrame]:
        """Every frame to the end of the source. Raises SourceError when the source breaks."""
        bad = 0
        packets = self._container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, OSError) as error:
                raise SourceError(explain(self.source, error)) from None
            if on_packet is not None and packet.size:
                on_packet(packet)
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError) as error:
                self.decode_errors += 1
                bad += 1
                if bad >= MOST_BAD_IN_A_ROW:
                    raise SourceError(
                        f"{redact(self.source)}: {bad} packets in a row could not be decoded ({error}); "
                        "check the camera's codec and its network"
                    ) from None
                continue
            for frame in frames:
                if frame.width < 2 or frame.height < 2:
                    self.decode_errors += 1
                    continue
                bad = 0
                if frame.is_corrupt:
                    self.decode_errors += 1
                yield frame

    def close(self) -> None:
        self._container.close()


def open_frames(source: str, camera: str) -> Iterator[Picture]:
    """Every frame of a recorded file once, for replay: capture time is media time, from 1970-01-01 on.

    Raises SourceError: cannot be opened, breaks in the middle, has no frame at all, or (simulated) no end.
    """
    if is_sim(source):
        from actors.sim_source import refuse_endless

        refuse_endless(source)
    reader = open_reader(source)
    try:
        seq, last_s, step_s = 0, -1.0, _step(reader.stream)
        clock = MediaTime(step_s)
        first: float | None = None
        for frame in reader.frames():
            time_s = clock.at(frame.pts, frame.dts, float(frame.time_base or 0))
            first = time_s if first is None else first
            captured_s = time_s - first
            if captured_s <= last_s or captured_s > last_s + 60:  # the file's clock jumped: go on by its frame rate
                first = time_s - (last_s + step_s)
                captured_s = last_s + step_s
            yield Picture(FrameMeta(camera, seq, captured_s, frame.width, frame.height, is_sim(source)), frame)
            seq, last_s = seq + 1, captured_s
        if seq == 0:
            raise SourceError(f"{redact(source)}: it holds no frame; the recording is empty or cut off")
    finally:
        reader.close()


class SourceThread:
    """Decodes a camera's stream for as long as it lives.

    on_picture runs on this thread and must be quick. pacing "live": a file is played at its own speed. "demand":
    the next picture comes after `ready()`; nothing is dropped, as a benchmark needs. first_seq: the number of the
    first frame, where another thread's numbers are to go on.
    """

    def __init__(
        self,
        camera: Camera,
        on_picture: Callable[[Picture], None],
        *,
        ring: PacketRing | None = None,
        pacing: Literal["live", "demand"] = "live",
        wall_clock: Callable[[], float] = time.time,
        first_seq: int = 0,
    ) -> None:
        self._camera, self._on_picture, self._ring, self._clock = camera, on_picture, ring, wall_clock
        self._pacing = pacing
        self._simulated = is_sim(camera.source)
        self._file = is_file(camera.source) or self._simulated  # paced by its own timestamps, may come to an end
        self._tracker = SourceTracker(camera.stall_s, wall_clock())
        self._hours = OpenHours(camera.terms, camera.clock)
        self._lock = threading.Lock()
        self._wanted = threading.Semaphore(1)
        self._stopping = threading.Event()
        self._reader: StreamReader | None = None
        self._frames = first_seq
        self._errors = self._reconnects = 0
        self._size: tuple[int, int] | None = None
        self._codec: str | None = None
        self._last_frame_s: float | None = None
        self._arrivals: deque[float] = deque(maxlen=64)
        self._offset_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop; a read that hangs in the network ends by its own limit and is not waited for."""
        self._stopping.set()
        self._wanted.release()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    @property
    def next_seq(self) -> int:
        """The number that the next frame will have."""
        return self._frames

    @property
    def closed(self) -> bool:
        """Whether the owner's terms forbid to show the camera now."""
        return self._hours.closed(self._clock()) is not None

    def ready(self) -> None:
        """In demand pacing: the next picture, please."""
        self._wanted.release()

    def status(self) -> SourceStatus:
        now = self._clock()
        with self._lock:
            state = self._tracker.look(now)
            recent = [at for at in self._arrivals if now - at < 5]
            span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
            return SourceStatus(
                state,
                self._tracker.since_s,
                self._tracker.error,
                self._size[0] if self._size else None,
                self._size[1] if self._size else None,
                self._codec,
                self._frames,
                self._errors + (self._reader.decode_errors if self._reader else 0),
                self._reconnects,
                self._last_frame_s,
                (len(recent) - 1) / span if span > 0 else 0.0,
                self._simulated,
            )

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._closed():
                self._stopping.wait(LOOK_AT_HOURS_S)
                continue
            with self._lock:
                self._tracker.connecting(self._clock())
            try:
                decoded = self._pass()
                if self._stopping.is_set():
                    return
                if self._closed():
                    continue
                if not decoded:
                    raise SourceError(
                        f"{redact(self._camera.source)}: it holds no frame; the recording is empty or cut off"
                    )
                if self._file and not self._camera.loop:
                    with self._lock:
                        self._tracker.ended(self._clock())
                    return
                if not self._file:
                    self._reconnects += 1
                    with self._lock:
                        self._tracker.reconnecting(self._clock())
                    self._stopping.wait(random.uniform(0.05, 0.2))
            except Exception as error:  # whatever a source does, this camera alone waits and tries again
                if not isinstance(error, SourceError):
                    log.exception("source failed", camera=self._camera.id)
                self._fail(str(error))

    def _closed(self) -> bool:
        """Whether the owner's terms forbid to read the camera now; the state then says so."""
        now = self._clock()
        why = self._hours.closed(now)
        with self._lock:
            if why is not None:
                self._tracker.paused(why, now)
            else:
                self._tracker.resumed(now)
        return why is not None

    def _fail(self, message: str) -> None:
        with self._lock:
            self._tracker.failed(message, self._clock())
            pause_s = self._tracker.pause_s(random.random())
        self._reconnects += 1
        log.warning("source failed", camera=self._camera.id, error=message, retry_in_s=round(pause_s, 1))
        self._stopping.wait(pause_s)

    def _pass(self) -> int:
        """One connection, to its end; how many frames it gave."""
        reader = open_reader(self._camera.source, self._camera.rtsp_transport)
        self._codec = reader.codec
        with self._lock:
            self._reader = reader
        self._offset_s = None
        decoded, clock = 0, MediaTime(_step(reader.stream))
        if self._ring is not None:
            self._ring.open(reader.stream)
        try:
            for frame in reader.frames(self._keep if self._ring is not None else None):
                if self._closed():
                    break
                stream_s = clock.at(frame.pts, frame.dts, float(frame.time_base or 0))
                captured_s = self._capture_time(stream_s)
                decoded += 1
                if not self._wait_until_due(captured_s):
                    break
                self._hand_over(frame, captured_s, stream_s, reader.told_s(stream_s))
        finally:
            with self._lock:
                self._errors += reader.decode_errors
                self._reader = None
            reader.close()
        return decoded

    def _capture_time(self, pts_s: float) -> float:
        """The stream's clock carried onto the wall clock; anchored anew when the two part by more than JUMP_S."""
        now = self._clock()
        if self._offset_s is None:
            # A looped file goes on where its last pass ended, so that frames stay evenly spaced.
            begin = now if not self._file or self._last_frame_s is None else max(self._last_frame_s, now - JUMP_S)
            self._offset_s = begin - pts_s
        captured_s = pts_s + self._offset_s
        early_limit_s = 10.0 if self._file else JUMP_S
        if self._pacing == "live" and not -JUMP_S * 5 < captured_s - now < early_limit_s:
            self._offset_s, captured_s = now - pts_s, now
        if self._last_frame_s is not None and captured_s <= self._last_frame_s:
            captured_s = (
                max(now, self._last_frame_s + 1e-3)
                if captured_s < self._last_frame_s - JUMP_S
                else (self._last_frame_s + 1e-3)
            )
        return captured_s

    def _wait_until_due(self, captured_s: float) -> bool:
        if self._pacing == "demand":
            self._wanted.acquire()
        elif self._file and (ahead_s := captured_s - self._clock()) > 0:
            self._stopping.wait(ahead_s)
        return not self._stopping.is_set()

    def _hand_over(self, frame: av.VideoFrame, captured_s: float, stream_s: float, told_s: float | None) -> None:
        now = self._clock()
        with self._lock:
            self._tracker.frame(now)
            self._last_frame_s = captured_s
            self._arrivals.append(now)
            self._size = (frame.width, frame.height)
            seq, self._frames = self._frames, self._frames + 1
        # A file is played by our own clock, which tells nothing of any other.
        times = {} if self._file else {"arrived_s": now, "stream_s": stream_s, "told_s": told_s}
        meta = FrameMeta(self._camera.id, seq, captured_s, frame.width, frame.height, self._simulated, **times)
        try:
            self._on_picture(Picture(meta, frame))
        except Exception:  # a fault behind the decoder must not end the stream
            log.exception("picture lost", camera=self._camera.id, seq=seq)

    def _keep(self, packet: av.Packet) -> None:
        if self._ring is not None and packet.pts is not None and packet.time_base is not None:
            pts_s = float(packet.pts * packet.time_base)
            self._ring.add(packet, pts_s + self._offset_s if self._offset_s is not None else self._clock())


def is_file(source: str) -> bool:
    """True for a path or file:// address."""
    return "://" not in source or source.startswith("file://")


def explain(source: str, error: Exception) -> str:
    """An FFmpeg error in words a camera's keeper can act on."""
    shown = redact(source)
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            return f"{shown}: the user or password was refused; correct them in the source's ${{ENV}} values"
        case av.error.FileNotFoundError() | FileNotFoundError() | av.error.HTTPNotFoundError():
            return f"{shown}: not found; check the path"
        case av.error.ConnectionRefusedError():
            return f"{shown}: nothing listens there; check address, port and that the camera is on"
        case av.error.TimeoutError() | av.error.ExitError():
            return f"{shown}: no answer within {OPEN_LIMIT_S:.0f} s; check the network and that the camera is on"
        case av.error.InvalidDataError():
            return f"{shown}: not a video, or cut off before its index; check the file"
        case av.error.DecoderNotFoundError():
            return f"{shown}: its codec is unknown here; set the camera to H.264 or H.265"
        case av.error.PermissionError() | PermissionError():
            return f"{shown}: no right to read it; change the file's permissions"
    reason = getattr(error, "strerror", None) or str(error)
    return f"{shown}: {redact(str(reason))}; check the address and that the camera is on"


def _open(source: str, rtsp_transport: str) -> InputContainer:
    options: dict[str, str] = {}
    if source.startswith(("rtsp://", "rtsps://")):
        options = {"rtsp_transport": rtsp_transport, "fflags": "nobuffer", "timeout": str(int(READ_LIMIT_S * 1e6))}
    name = source.removeprefix("file://") if source.startswith("file://") else source
    if is_file(source) and not Path(name).exists():
        raise SourceError(f"{redact(source)}: not found; check the path")
    if is_file(source) and Path(name).is_dir():
        raise SourceError(f"{redact(source)}: a folder, not a video; name a file in it")
    try:
        return av.open(name, options=options, timeout=(OPEN_LIMIT_S, READ_LIMIT_S))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(explain(source, error)) from None


def _step(stream: VideoStream) -> float:
    """Seconds between frames by the stream's own word; 25 a second where it says nothing."""
    rate = stream.average_rate or stream.base_rate
    return float(1 / rate) if rate else 0.04
