"""A camera's stream on a thread of its own, which never stops trying and never fills a queue."""

import random
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import av
import structlog

from actors.interrupt import ReadingThread
from actors.picture import Picture, shown_size
from actors.preroll import PacketRing
from actors.privacy import PrivacyMask
from actors.reader import READ_LIMIT_S, Decoded, SourceError, StreamReader, open_frames, open_reader
from hoaban.capture import ArrivalClock, MediaClock, PlayoutClock, WallTime
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.source_state import STEADY_S, SourceTracker
from hoaban.status import SourceState
from hoaban.terms import OpenHours

__all__ = ["SourceError", "SourceStatus", "SourceThread", "open_frames"]

log = structlog.get_logger(__name__)

LOOK_AT_HOURS_S = 1.0


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


class SourceThread:
    """Decodes a camera's stream for as long as it lives.

    on_picture runs on this thread and must be quick. pacing "live": a file is played at its own speed. "demand":
    the next picture comes after `ready()`; nothing is dropped, as a benchmark needs. first_seq: the number of the
    first frame, where another thread's numbers are to go on. wall_clock: seconds since 1970; it may be set at any
    time. running_clock only ever runs on.
    """

    def __init__(
        self,
        camera: Camera,
        on_picture: Callable[[Picture], None],
        *,
        ring: PacketRing | None = None,
        pacing: Literal["live", "demand"] = "live",
        wall_clock: Callable[[], float] = time.time,
        running_clock: Callable[[], float] = time.monotonic,
        first_seq: int = 0,
    ) -> None:
        self._camera, self._on_picture, self._ring = camera, on_picture, ring
        self._wall_clock, self._now = wall_clock, running_clock
        self._privacy = PrivacyMask(camera.privacy_zones)
        self._simulated = camera.source.simulated
        self._file = camera.source.is_file or self._simulated  # paced by its own timestamps, may come to an end
        self._tracker = SourceTracker(camera.stall_s, self._now())
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
        self._wall = WallTime()
        self._media = MediaClock(0.04, wall_clock()) if pacing == "demand" else None
        self._clock: ArrivalClock | PlayoutClock | None = None
        self._thread = ReadingThread(target=self._run, name="decode", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop. A read that hangs is ended; one that cannot be (a name server, a dead network disk) is not waited for.

        After it no picture comes any more.
        """
        self._stopping.set()
        self._wanted.release()
        self._thread.interrupt()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    @property
    def next_seq(self) -> int:
        """The number that the next frame will have."""
        return self._frames

    @property
    def closed(self) -> bool:
        """Whether the owner's terms forbid to show the camera now."""
        return self._hours.closed(self._wall_clock()) is not None

    def ready(self) -> None:
        """In demand pacing: the next picture, please."""
        self._wanted.release()

    def status(self) -> SourceStatus:
        now, wall = self._now(), self._wall_clock()
        with self._lock:
            state = self._tracker.look(now)
            recent = [at for at in self._arrivals if now - at < 5]
            span = recent[-1] - recent[0] if len(recent) > 1 else 0.0
            return SourceStatus(
                state,
                round(wall - (now - self._tracker.since_s), 3),
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
                self._tracker.connecting(self._now())
            try:
                lasted_s = self._pass()
                if self._closed():
                    continue
                if self._stopping.is_set() or (self._file and self._file_ended()):
                    return
                if not self._file:
                    self._stream_ended(lasted_s)
            except Exception as error:  # whatever a source does, this camera alone waits and tries again
                if self._stopping.is_set():
                    return
                source = self._camera.source
                if not isinstance(error, SourceError):
                    log.error("source failed", camera=self._camera.id, trace=source.hide(traceback.format_exc()))
                self._fail(source.hide(str(error)))

    def _file_ended(self) -> bool:
        """False when it begins again."""
        if self._camera.loop:
            return False
        with self._lock:
            self._tracker.ended(self._now())
        return True

    def _stream_ended(self, lasted_s: float) -> None:
        """In good order, so that another connection follows at once; unless that happens again and again."""
        if lasted_s < STEADY_S:
            raise SourceError(
                f"{self._camera.source}: it ended after {lasted_s:.0f} s; "
                "check the camera, its network and how many viewers it allows"
            )
        with self._lock:
            self._tracker.reconnecting(self._now())
        self._reconnects += 1
        self._stopping.wait(random.uniform(0.05, 0.2))

    def _closed(self) -> bool:
        """Whether the owner's terms forbid to read the camera now; the state then says so."""
        why = self._hours.closed(self._wall_clock())
        with self._lock:
            if why is not None:
                self._tracker.paused(why, self._now())
            else:
                self._tracker.resumed(self._now())
        return why is not None

    def _fail(self, message: str) -> None:
        with self._lock:
            self._tracker.failed(message, self._now())
            pause_s = self._tracker.pause_s(random.random())
        self._reconnects += 1
        log.warning("source failed", camera=self._camera.id, error=message, retry_in_s=round(pause_s, 1))
        self._stopping.wait(pause_s)

    def _pass(self) -> float:
        """One connection, to its end; for how many seconds it gave frames."""
        reader = open_reader(self._camera.source, self._camera.rtsp_transport, self._read_limit_s)
        try:
            with self._lock:
                self._reader, self._codec = reader, reader.codec
            self._set_clock(reader)
            if self._ring is not None:
                self._ring.open(reader.stream)
            first_s = None
            for decoded in reader.frames(self._keep if self._ring is not None else None):
                if self._closed():
                    break
                captured_s = self._wait_until_due(decoded)
                if self._stopping.is_set():
                    break
                first_s = self._now() if first_s is None else first_s
                self._hand_over(decoded, captured_s, reader.told_s(decoded.stream_s))
            return 0.0 if first_s is None else self._now() - first_s
        finally:
            with self._lock:
                self._errors += reader.decode_errors
                self._reader = None
            reader.close()

    @property
    def _read_limit_s(self) -> float:
        """A camera that may be silent for stall_s is given longer before its connection is made anew."""
        return max(READ_LIMIT_S, 2 * self._camera.stall_s)

    def _set_clock(self, reader: StreamReader) -> None:
        if self._media is not None:
            self._media.again()
        elif reader.live:
            self._clock = ArrivalClock()
        elif self._file and isinstance(self._clock, PlayoutClock):
            self._clock.again()  # a looped file goes on where its last pass ended, so that frames stay evenly spaced
        else:
            self._clock = PlayoutClock(reader.step_s, self._now())

    def _wait_until_due(self, decoded: Decoded) -> float:
        """Wait until a frame is to be shown; its capture time."""
        if self._media is not None:
            self._wanted.acquire()
            return self._media.stamp(decoded.stream_s)
        if isinstance(self._clock, PlayoutClock):
            at_s = self._clock.stamp(decoded.stream_s, self._now())
            self._stopping.wait(max(0.0, at_s - self._now()))
        else:
            at_s = self._clock.stamp(decoded.stream_s if decoded.stamped else None, self._now())
        return self._wall.at(at_s, self._now(), self._wall_clock())

    def _hand_over(self, decoded: Decoded, captured_s: float, told_s: float | None) -> None:
        size, now = shown_size(decoded.frame), self._now()
        with self._lock:
            self._tracker.frame(now)
            self._last_frame_s = captured_s
            self._arrivals.append(now)
            self._size = size
            seq, self._frames = self._frames, self._frames + 1
        # What the camera's own clock says is of use only where its frames come as they are made.
        live = isinstance(self._clock, ArrivalClock)
        clocks = (self._wall_clock(), decoded.stream_s if decoded.stamped else None, told_s) if live else ()
        try:
            meta = FrameMeta(self._camera.id, seq, captured_s, *size, self._simulated, *clocks)
            self._on_picture(Picture(meta, self._privacy.apply(decoded.frame)))
        except Exception:  # a fault behind the decoder must not end the stream
            log.exception("picture lost", camera=self._camera.id, seq=seq)

    def _keep(self, packet: av.Packet) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        stream_s = None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)
        now = self._now()
        if self._media is not None:
            captured_s = self._media.near(stream_s) if stream_s is not None else self._wall_clock()
        else:
            near_s = now if stream_s is None or self._clock is None else self._clock.near(stream_s, now)
            captured_s = self._wall.about(near_s, now, self._wall_clock())
        self._ring.add(packet, captured_s)
