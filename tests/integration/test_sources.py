"""Streams that misbehave, over real RTSP and HTTP on loopback: each a clear state, and the camera comes back."""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from actors.bus import EventBus
from actors.camera import CameraRuntime
from actors.preroll import PacketRing
from actors.publisher import SpoolingPublisher
from actors.rtsp_server import RtspServer
from actors.source import SourceError, SourceThread, open_frames
from hoaban.fleet import Camera
from hoaban.fleet_text import parse_fleet
from hoaban.status import SourceState
from tests.misbehaving import Gate, HttpFolder, SilentServer, Trickle, joined, video, wait, watched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

RATE = 10
FLEET = """\
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
cameras:
  - {id: cam, name: Cam, role: shared, district: d, owner: o, source: "SOURCE"}
"""


@pytest.fixture(scope="module")
def rtsp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    folder = tmp_path_factory.mktemp("rtsp")
    short = {"g": "10", "x264-params": "repeat-headers=1"}
    video(folder / "long.mp4", 1200, (160, 120), rate=RATE, options=short)
    video(folder / "short.mp4", 30, (160, 120), rate=RATE, options=short)
    video(folder / "wide.mp4", 600, (320, 240), rate=RATE, options=short)
    joined(folder / "grows.mp4", [folder / "short.mp4", folder / "wide.mp4"], container="mp4")
    with av.open(str(folder / "long.mp4")) as source, av.open(str(folder / "sound.mp4"), "w") as out:
        picture = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream("aac", rate=8000)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                out.mux(packet)
        for start in range(0, 8000 * 60, 800):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.rate, frame.pts = 8000, start
            out.mux(sound.encode(frame))
    server = RtspServer(folder)
    server.start()
    yield server
    server.stop()


def live(thread: SourceThread) -> bool:
    return thread.status().state is SourceState.LIVE


def failed(thread: SourceThread) -> bool:
    return thread.status().state is SourceState.FAILED


def runtime(camera: Camera, folder: Path) -> CameraRuntime:
    """A camera without any model to talk to."""
    publisher = SpoolingPublisher(EventBus("redis://127.0.0.1:1/0"), folder / "spool")
    return CameraRuntime(camera, peers=[], node="here", publisher=publisher, board=None)


def until(what: Callable[[], object], limit_s: float = 60.0) -> None:
    ends = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < ends, f"not within {limit_s} s"
        time.sleep(0.02)


# --- passwords


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_wrong_password_is_named_and_a_corrected_one_brings_the_camera_back(
    rtsp: RtspServer, tmp_path: Path, scheme: str
) -> None:
    with Gate(rtsp.port, scheme, "viewer", "Điện-B1ên/@") as gate:
        text = FLEET.replace("SOURCE", gate.url("long.mp4", "viewer:${CAM_PASSWORD}"))
        wrong, right = "wr0ng", "%C4%90i%E1%BB%87n-B1%C3%AAn%2F%40"

        def of(password: str) -> Camera:
            return parse_fleet([("fleet.yaml", text)], {"CAM_PASSWORD": password}).cameras[0]

        camera = runtime(of(wrong), tmp_path)
        camera.start()
        try:
            until(lambda: camera.status().state is SourceState.FAILED)
            error = camera.status().error
            assert error is not None
            assert "the user or password was refused; correct them in the source's ${ENV} values" in error
            assert wrong not in error
            assert "viewer" not in error
            assert gate.refused > 0
            camera.configure(of(right))
            until(lambda: camera.status().state is SourceState.LIVE)
            assert camera.status().error is None or camera.status().error.startswith("model: ")
            until(lambda: camera.status().frames_decoded > 5)
        finally:
            camera.stop()
        assert "B1" not in str(camera.status().as_dict())


# --- connections


def test_the_first_picture_does_not_wait_for_the_second_keyframe(
    rtsp: RtspServer, make_camera: Callable[..., Camera]
) -> None:
    thread, got = watched(make_camera(rtsp.url("long.mp4")), live)
    thread.stop()
    assert got[0].frame.key_frame
    assert got[0].frame.pts is None or got[0].frame.pts <= 90_000  # within the first second of the recording


def test_sound_is_never_asked_for(rtsp: RtspServer, make_camera: Callable[..., Camera]) -> None:
    with Gate(rtsp.port) as gate:
        thread, _ = watched(make_camera(gate.url("sound.mp4")), live)
        thread.stop()
        assert sum(request.startswith("SETUP") for request in gate.requests) == 1
        until(lambda: gate.open == 0)


def test_a_cut_connection_and_a_killed_server_are_got_over(
    rtsp: RtspServer, make_camera: Callable[..., Camera]
) -> None:
    ring = PacketRing(6.0, 10**7)
    with Gate(rtsp.port) as gate:
        thread, got = watched(make_camera(gate.url("long.mp4")), lambda t: t.next_seq > 15, ring=ring)
        for _ in range(2):
            count = gate.accepted
            gate.cut()
            wait(lambda count=count: gate.accepted > count and live(thread), thread)
        port = rtsp.port
        rtsp.stop()
        wait(lambda: failed(thread), thread)
        error = thread.status().error or ""
        clip = ring.clip(0, 1e12)
        rtsp.start(port)
        count = len(got)
        wait(lambda: live(thread) and len(got) > count + 10, thread)
        status = thread.status()
        thread.stop()
    assert "check the" in error
    with av.open(io.BytesIO(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 1
    assert status.error is None
    assert status.reconnects >= 3
    assert [picture.meta.seq for picture in got] == list(range(len(got)))
    times = [picture.meta.captured_s for picture in got]
    assert all(before < after for before, after in pairwise(times))


def test_a_stream_that_goes_silent_is_stalled_and_live_again(
    rtsp: RtspServer, make_camera: Callable[..., Camera]
) -> None:
    with Gate(rtsp.port) as gate:
        thread, got = watched(make_camera(gate.url("long.mp4"), stall_s=1.0), live)
        gate.frozen.set()
        wait(lambda: thread.status().state is SourceState.STALLED, thread)
        assert thread.status().error == "no frame for more than 1 s; check the camera and its network"
        gate.frozen.clear()
        count = len(got)
        wait(lambda: live(thread) and len(got) > count + 5, thread)
        thread.stop()
    assert gate.accepted == 1  # it was not given up


def test_a_stream_that_stays_silent_is_given_up_and_made_anew(
    rtsp: RtspServer, make_camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.source.READ_LIMIT_S", 1.5)
    with Gate(rtsp.port) as gate:
        thread, got = watched(make_camera(gate.url("long.mp4"), stall_s=0.7), live)
        gate.frozen.set()
        wait(lambda: failed(thread), thread)
        assert "no data for 1.5 s; check the network and that the camera is on" in (thread.status().error or "")
        gate.frozen.clear()
        count = len(got)
        wait(lambda: live(thread) and len(got) > count + 5, thread)
        thread.stop()


def test_a_stream_that_ends_again_and_again_is_not_hammered(
    rtsp: RtspServer, make_camera: Callable[..., Camera]
) -> None:
    with Gate(rtsp.port) as gate:
        thread, _ = watched(make_camera(gate.url("short.mp4")), failed)
        assert "it ended after" in (thread.status().error or "")
        thread.stop()
        assert gate.accepted == 1


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"", "no data for 1 s; check the network"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "no data for 1 s; check the network"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "check the"),
    ],
)
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_does_not_answer(
    make_camera: Callable[..., Camera],
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    greeting: bytes,
    words: str,
) -> None:
    monkeypatch.setattr("actors.reader.OPEN_LIMIT_S", 1.0)
    with SilentServer(greeting) as server:
        thread, got = watched(make_camera(f"{scheme}://u:s3cret@127.0.0.1:{server.port}/x"), failed)
        thread.stop()
        assert words in (thread.status().error or "")
        assert "s3cret" not in (thread.status().error or "")
        assert got == []


def test_an_unknown_host_is_named(make_camera: Callable[..., Camera]) -> None:
    for scheme in ("rtsp", "http"):
        thread, _ = watched(make_camera(f"{scheme}://camera.invalid/x"), failed)
        thread.stop()
        assert (
            thread.status().error == f"{scheme}://camera.invalid/x: no such host; check the address and the name server"
        )


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_stopping_a_read_that_hangs_leaves_nothing_behind(make_camera: Callable[..., Camera], scheme: str) -> None:
    with SilentServer() as server:
        camera = make_camera(f"{scheme}://127.0.0.1:{server.port}/x")
        threads, before = threading.active_count(), descriptors()
        for round_ in range(10):
            thread = SourceThread(camera, lambda _: None)
            thread.start()
            until(lambda round_=round_: server.accepted > round_)
            thread.stop()
            assert threading.active_count() == threads  # it did not outlive stop(), though its limit is 10 s
        until(lambda: server.open() == 0)
        assert descriptors() == before


def test_edits_of_a_camera_whose_stream_hangs_leave_nothing_behind(
    rtsp: RtspServer, make_camera: Callable[..., Camera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.camera.OLD_STREAM_S", 0.5)  # each edit has a thread that forgets the old stream then
    with Gate(rtsp.port) as gate:
        sources = [gate.url("long.mp4"), gate.url("long.mp4") + "?again"]
        camera = runtime(make_camera(sources[0]), tmp_path)
        camera.start()
        until(lambda: camera.status().state is SourceState.LIVE)
        gate.frozen.set()
        threads = threading.active_count()
        for i in range(8):
            count = gate.accepted
            camera.configure(make_camera(sources[(i + 1) % 2]))
            until(lambda count=count: gate.accepted > count)
        gate.frozen.clear()
        camera.configure(make_camera(sources[0]))
        until(lambda: camera.status().state is SourceState.LIVE)
        until(lambda: gate.open == 1)
        until(lambda: threading.active_count() <= threads)
        camera.stop()
        until(lambda: gate.open == 0)


# --- what changes in mid-stream


def test_another_size_in_mid_stream_over_rtsp(rtsp: RtspServer, make_camera: Callable[..., Camera]) -> None:
    ring = PacketRing(6.0, 10**7)
    thread, got = watched(
        make_camera(rtsp.url("grows.mp4")), lambda t: t.status().width == 320 and t.next_seq > 38, ring=ring
    )
    status, clip = thread.status(), ring.clip(0, 1e12)
    thread.stop()
    assert {(p.meta.width, p.meta.height) for p in got} == {(160, 120), (320, 240)}
    assert (status.state, status.height, status.reconnects) == (SourceState.LIVE, 240, 0)
    with av.open(io.BytesIO(clip)) as container:
        assert container.streams.video[0].width == 320
        assert {frame.width for frame in container.decode(video=0)} == {320}


def jumping(folder: Path, how: str) -> bytes:
    """Three seconds of MPEG-TS, 20 frames a second, whose stamps jump."""
    options = {"g": "10", "tune": "zerolatency"}
    part = video(folder / "part.ts", 20, (160, 120), rate=20, options=options)
    if how == "starts anew":
        return part.read_bytes() * 3
    if how == "wraps":  # the 33 bits of MPEG-TS stamps (ISO/IEC 13818-1, 2.4.3.7) come to their end after 1 s
        first = round((2**33 / 90_000 - 1.0) * 20)
        late = video(folder / "late.ts", 60, (160, 120), rate=20, options=options, first_pts=first).read_bytes()
        stamps = raw_stamps(late)
        assert (len(stamps), stamps[0] > 2**33 - 300_000, stamps[-1] < 500_000) == (60, True, True)
        return late
    return joined(folder / "all.ts", [part, part, part], shift_s=float(how)).read_bytes()


def raw_stamps(data: bytes) -> list[int]:
    """The presentation stamps of the video as they stand in the bytes: FFmpeg's reader would unwrap them."""
    found, at = [], data.find(b"\x00\x00\x01\xe0")
    while at >= 0:
        p = data[at + 9 : at + 14]
        found.append((p[0] >> 1 & 7) << 30 | p[1] << 22 | (p[2] >> 1) << 15 | p[3] << 7 | p[4] >> 1)
        at = data.find(b"\x00\x00\x01\xe0", at + 1)
    return found


@pytest.mark.parametrize("how", ["7200", "90000", "starts anew", "wraps"])
def test_stamps_that_jump_in_a_live_stream(tmp_path: Path, make_camera: Callable[..., Camera], how: str) -> None:
    data = jumping(tmp_path, how)
    ring = PacketRing(6.0, 10**7)
    with Trickle(data, 3.0, then_silent=True) as server:
        thread, got = watched(make_camera(server.url, stall_s=4), lambda t: t.next_seq >= 55, ring=ring)
        arrived = time.time()
        status, clip = thread.status(), ring.clip(0, 1e12)
        thread.stop()
    assert (status.state, status.reconnects) == (SourceState.LIVE, 0)
    times = [picture.meta.captured_s for picture in got]
    assert all(before < after for before, after in pairwise(times))
    assert -1.0 < arrived - times[-1] < 30.0  # the stamps are hours off
    assert 1.0 < times[-1] - times[0] < 60.0  # nor was time invented, or left out, between the frames
    with av.open(io.BytesIO(clip)) as container:
        assert container.duration < 10_000_000
        assert sum(1 for _ in container.decode(video=0)) > 10


def test_pictures_that_stop_while_sound_goes_on(
    tmp_path: Path, make_camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.source.READ_LIMIT_S", 2.0)
    with av.open(str(tmp_path / "v.ts"), "w") as out:
        picture, sound = out.add_stream("libx264", rate=RATE), out.add_stream("mp2", rate=16_000)
        picture.width, picture.height, picture.codec_context.gop_size = 64, 48, 5
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * i, np.uint8), "bgr24")
            frame.pts = i
            out.mux(picture.encode(frame))
        out.mux(picture.encode())
        for start in range(0, 16_000 * 20, 1152):
            noise = np.random.default_rng(start).integers(-9999, 9999, (1, 1152), np.int16)
            heard = av.AudioFrame.from_ndarray(noise, "s16", "mono")
            heard.rate, heard.pts = 16_000, start
            out.mux(sound.encode(heard))
    with Trickle((tmp_path / "v.ts").read_bytes(), 10.0) as server:
        thread, got = watched(make_camera(server.url, stall_s=1.0), failed)
        thread.stop()
    assert len(got) > 5
    assert "data come, but no picture for 2 s; check the camera's encoder" in (thread.status().error or "")


# --- HLS


class Playlist:
    """Segments of a second each, of which a playlist announces as many as `show` says."""

    def __init__(self, folder: Path, seconds: int) -> None:
        folder.mkdir()
        self.folder = folder
        options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": str(folder / "%03d.ts")}
        with (
            av.open(str(folder / "all.m3u8"), "w", format="hls", options=options) as out,
            av.open(
                str(video(folder / "v.mp4", seconds * RATE, (160, 120), rate=RATE, options={"g": "10", "bf": "0"}))
            ) as v,
        ):
            track = out.add_stream_from_template(v.streams.video[0])
            for packet in v.demux(video=0):
                if packet.dts is not None:
                    packet.stream = track
                    out.mux(packet)
        assert len(list(folder.glob("*.ts"))) == seconds

    def show(self, first: int, last: int, *, ended: bool = False) -> None:
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, last + 1):
            lines += ["#EXTINF:1.0,", f"{number:03d}.ts"]
        part = self.folder / "live.part"
        part.write_text("\n".join(lines + ["#EXT-X-ENDLIST"] * ended) + "\n")
        part.replace(self.folder / "live.m3u8")


def test_a_live_playlist_grows_loses_a_segment_and_ends(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    playlist = Playlist(tmp_path / "hls", 10)
    ring = PacketRing(4.0, 10**7)
    with HttpFolder(playlist.folder) as server:
        playlist.show(0, 3)
        server.status["/006.ts"] = 404
        thread, got = watched(make_camera(server.url("live.m3u8"), stall_s=30), live, ring=ring)
        for last in range(4, 10):
            time.sleep(0.8)
            playlist.show(max(0, last - 5), last, ended=last == 9)
        wait(lambda: failed(thread), thread)
        error = thread.status().error or ""
        thread.stop()
    assert "it ended after" in error
    times = [picture.meta.captured_s for picture in got]
    assert len(got) == (10 - 1 - 1) * RATE  # from the third segment before the last that was there; 006 is missing
    steps = [after - before for before, after in pairwise(times)]
    assert min(steps) > 0
    assert sum(0.05 < step < 0.15 for step in steps) > 0.9 * len(steps)  # shown evenly, though they come in bursts
    assert 0.9 < max(steps) < 2.0  # the missing second stays a second
    with av.open(io.BytesIO(ring.clip(0, 1e12))) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 20


def test_a_playlist_that_stops_growing_is_stalled_then_failed(
    tmp_path: Path, make_camera: Callable[..., Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.source.READ_LIMIT_S", 3.0)
    playlist = Playlist(tmp_path / "hls", 4)
    with HttpFolder(playlist.folder) as server:
        playlist.show(0, 3)
        thread, got = watched(make_camera(server.url("live.m3u8"), stall_s=1), live)
        # A machine that is too busy to read for 3 s is failed early, and begins again.
        wait(lambda: len(got) > 2 * RATE, thread)
        wait(lambda: thread.status().state in (SourceState.STALLED, SourceState.FAILED), thread)
        wait(lambda: failed(thread), thread)
        error = thread.status().error or ""  # now: once it reads again nothing is wrong any more
        thread.stop()
    assert "no data for 3 s" in error
    assert (
        2 * RATE < len(got) <= 3 * RATE * thread.status().reconnects
    )  # of the three segments it begins with; the parser holds the last frame


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "not found"), (401, "user or password was refused"), (403, "user or password was refused"), (503, "check")],
)
def test_http_errors_are_named(tmp_path: Path, make_camera: Callable[..., Camera], status: int, words: str) -> None:
    with HttpFolder(tmp_path) as server:
        server.status["/live.m3u8"] = status
        thread, _ = watched(make_camera(server.url("live.m3u8", "u:s3cret")), failed)
        thread.stop()
    assert words in (thread.status().error or "")
    assert "s3cret" not in (thread.status().error or "")


def test_a_recording_over_http_plays_at_its_own_speed(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    video(tmp_path / "v.mp4", 40, (160, 120), rate=20)
    with HttpFolder(tmp_path) as server:
        thread, got = watched(make_camera(server.url("v.mp4")), failed)
        thread.stop()
    times = [picture.meta.captured_s for picture in got]
    assert len(times) == 40
    assert times[-1] - times[0] == pytest.approx(39 / 20, abs=0.2)


def test_a_replay_takes_what_has_an_end_and_refuses_what_has_none(tmp_path: Path) -> None:
    playlist = Playlist(tmp_path / "hls", 4)
    with HttpFolder(playlist.folder) as server:
        playlist.show(0, 3)
        with pytest.raises(SourceError, match="a live stream has no end; name a recording of it"):
            next(open_frames(server.url("live.m3u8"), "cam"))
        playlist.show(0, 3, ended=True)
        assert len(list(open_frames(server.url("live.m3u8"), "cam"))) == 4 * RATE
        assert len(list(open_frames(server.url("v.mp4"), "cam"))) == 4 * RATE
