"""An RTSP server on loopback for the demo and the tests: clips as cameras would send them."""

import socket
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av

from actors.processes import end, free_port, start

START_LIMIT_S = 15.0


class RtspServerError(RuntimeError):
    """The server did not start."""


class RtspServer:
    """Serves the videos of a folder at rtsp://127.0.0.1:PORT/FILE; a stream ends with its file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def url(self, file: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{file}"

    def start(self, port: int | None = None) -> None:
        """Raises RtspServerError."""
        self.port = port or free_port()
        command = [str(Path(sys.executable).with_name("rtsp-server")), "-d", str(self._folder), "-H", "127.0.0.1"]
        command += ["-p", str(self.port), "-cp", str(free_port())]
        self._process = start(command, self._folder / "rtsp.log")
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RtspServerError(f"the RTSP server did not start; see {self._folder / 'rtsp.log'}")

    def stop(self) -> None:
        end(self._process)


def loop_clip(clip: Path, target: Path, seconds: float) -> Path:
    """`clip` repeated until it lasts at least so long, its packets copied, not encoded again."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part.mp4")
    with av.open(str(part), "w") as out:
        track = None
        offset = 0
        while True:
            with av.open(str(clip)) as source:
                stream = source.streams.video[0]
                base = stream.time_base or Fraction(1, 90000)
                if track is None:
                    track = out.add_stream_from_template(stream)
                step = int(1 / (stream.average_rate or 25) / base)
                end = offset
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, track
                    packet.time_base = base
                    end = max(end, packet.pts + step)
                    out.mux(packet)
                offset = end
                if offset * base >= seconds:
                    break
    part.rename(target)
    return target
