"""Files that are not what they should be: each a named error, on replay and on the camera's thread alike."""

import io
import os
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from actors.preroll import PacketRing
from actors.reader import Reader, SourceError, explain, open_frames
from hoaban.detections import Detections
from hoaban.events import ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.pipeline import CameraPipeline
from hoaban.source_address import SourceAddress, redact
from hoaban.status import SourceState
from tests.misbehaving import cut, joined, renamed, sound, video, wait, watched, without_frames

NOBODY = 65534


def undecodable(path: Path) -> Path:
    """JPEG frame headers (ITU-T T.81, B.2.2) that announce far more than their data hold."""
    data = video(path, 2, (320, 304), codec="mjpeg", pixels="yuvj420p").read_bytes()
    header = b"\xff\xc0\x00\x11\x08"
    old, new = header + b"\x01\x30\x01\x40", header + b"\x20\x01\x20\x01"
    assert data.count(old) == 2
    path.write_bytes(data.replace(old, new))
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "none.mp4", "not found; check the path"),
    "empty": (lambda d: _written(d / "v.mp4", b""), "an empty file"),
    "folder": (lambda d: d, "a folder, not a video"),
    "text": (lambda d: _written(d / "v.mp4", b"no video" * 99), "not a video"),
    "zeros": (lambda d: _written(d / "v.avi", bytes(70_000)), "not a video"),
    "pipe": (lambda d: _pipe(d / "v.mp4"), "no regular file"),
    "mp4 cut off": (lambda d: cut(video(d / "v.mp4"), 0.5), "cut off before its index"),
    "avi cut off in its header": (lambda d: cut(video(d / "v.avi", codec="mpeg4"), 0.02), "not a video"),
    "avi, made-up codec": (lambda d: renamed(video(d / "v.avi", codec="mpeg4"), b"FMP4", b"QQZZ"), "codec is unknown"),
    "mp4, made-up codec": (lambda d: renamed(video(d / "v.mp4"), b"avc1\0", b"qqzz\0"), "codec is unknown"),
    "mkv, made-up codec": (
        lambda d: renamed(video(d / "v.mkv"), b"V_MPEG4/ISO/AVC", b"V_QQZZ9/ISO/AVC"),
        "codec is un",
    ),
    "sound in mp4": (lambda d: sound(d / "v.mp4"), "no video"),
    "sound in wav": (lambda d: sound(d / "v.wav"), "no video"),
    "mp4 without frames": (lambda d: without_frames(d / "v.mp4", d), "it holds no frame"),
    "mkv without frames": (lambda d: without_frames(d / "v.mkv", d), "it holds no frame"),
    "one pixel": (lambda d: video(d / "v.mkv", 3, (1, 1), codec="ffv1", pixels="yuv444p"), "1x1 pixels; 2x2 is least"),
    "nothing in it can be decoded": (lambda d: undecodable(d / "v.mkv"), "2 packets could not be decoded"),
}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("name", BAD)
def test_each_bad_file_has_its_error_and_its_camera_tries_again(
    name: str, tmp_path: Path, make_camera: Callable[..., Camera]
) -> None:
    make, words = BAD[name]
    path = make(tmp_path)
    with pytest.raises(SourceError, match=words) as refused:
        list(open_frames(str(path), "cam"))
    assert str(refused.value).startswith(f"{path}: ")
    thread, got = watched(make_camera(str(path)), lambda t: t.status().reconnects >= 2)
    status = thread.status()
    thread.stop()
    assert (status.state, status.error) == (SourceState.FAILED, str(refused.value))
    assert got == []


def test_pictures_too_large_for_the_machine_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.reader.MOST_PIXELS", 100 * 100)
    with pytest.raises(SourceError, match="128x96 is too large; lower its resolution"):
        list(open_frames(str(video(tmp_path / "large.ts", 10, (128, 96))), "cam"))
    path = joined(tmp_path / "grows.ts", [video(tmp_path / "small.ts", 10), tmp_path / "large.ts"])
    assert {picture.meta.width for picture in open_frames(str(path), "cam")} == {64}


def test_a_file_that_appears_is_taken(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    path = tmp_path / "v.mp4"
    thread, got = watched(make_camera(str(path)), lambda t: t.status().state is SourceState.FAILED)
    video(tmp_path / "made.mp4").rename(path)
    wait(lambda: thread.status().state is SourceState.LIVE and len(got) > 3, thread)
    assert thread.status().error is None
    thread.stop()


@pytest.mark.parametrize(("suffix", "codec"), [(".ts", "libx264"), (".avi", "mpeg4"), (".mkv", "libx264")])
def test_a_cut_recording_plays_to_the_cut(tmp_path: Path, suffix: str, codec: str) -> None:
    path = cut(video(tmp_path / f"v{suffix}", 60, (320, 240), codec=codec), 0.5)
    times = [picture.meta.captured_s for picture in open_frames(str(path), "cam")]
    assert 10 < len(times) < 60
    assert all(0 < after - before < 0.5 for before, after in pairwise(times))


def test_a_file_without_the_right_to_read_it_says_so(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    path = video(tmp_path / "v.mp4")
    path.chmod(0)
    was = os.geteuid()
    if was == 0:  # root may read everything, so another user looks
        tmp_path.chmod(0o700)
        os.seteuid(NOBODY)
    try:
        with pytest.raises(SourceError, match="no right to read it"):
            list(open_frames(str(path), "cam"))
        thread, _ = watched(make_camera(str(path)), lambda t: t.status().state is SourceState.FAILED)
        thread.stop()
        assert "no right to read it" in (thread.status().error or "")
    finally:
        os.seteuid(was)


def test_a_scheme_in_capitals_is_the_same_scheme(make_camera: Callable[..., Camera]) -> None:
    assert make_camera("RTSP://u:Secret@Host/Path").source.reveal() == "rtsp://u:Secret@Host/Path"
    assert make_camera("Clip.MP4").source.reveal() == "Clip.MP4"


def test_secrets_stand_in_no_message() -> None:
    for address in (
        "rtsp://admin:s3cret@10.0.0.5/a",
        "rtsp://admin:s3cret@s3cret@10.0.0.5/a",
        "rtsp://admin:s3cret/s3cret@10.0.0.5/a",
        "http://10.0.0.5/a.m3u8?user=x&password=s3cret",
        "rtsp://10.0.0.5/user=admin_password=s3cret_channel=1",
        "https://10.0.0.5/a?token=s3cret&x=1",
    ):
        error = OSError(5, f"cannot open {address}")
        said = explain(SourceAddress(address), error, 99) + redact(f"while reading '{address}'")
        assert "s3cret" not in said
        assert "10.0.0.5" in said


# --- what changes in the middle of a recording


def sizes(clip: bytes) -> list[tuple[int, int]]:
    with av.open(io.BytesIO(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        shown = [(frame.width, frame.height) for frame in container.decode(stream)]
        assert (stream.codec_context.width, stream.codec_context.height) == shown[0]
    return shown


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_another_size_in_mid_stream_goes_on_and_the_clip_shows_one_size(
    tmp_path: Path, make_camera: Callable[..., Camera], codec: str
) -> None:
    rate = 25
    small = video(tmp_path / "small.ts", 25, (64, 48), codec=codec, rate=rate)
    large = video(tmp_path / "large.ts", 25, (128, 96), codec=codec, rate=rate)
    path = joined(tmp_path / "both.ts", [small, large])
    seen = [(p.meta.width, p.meta.height) for p in open_frames(str(path), "cam")]
    assert seen in ([(64, 48)] * n + [(128, 96)] * 25 for n in (24, 25))  # MPEG-2's decoder drops its last one
    ring = PacketRing(30.0, 10**7)
    thread, got = watched(
        make_camera(str(path), loop=False), lambda t: t.status().state is SourceState.ENDED, ring=ring
    )
    assert [(p.meta.width, p.meta.height) for p in got] == seen
    assert all(p.model_input(96, 96)[0].shape == (96, 96, 3) for p in got[20:30])
    if codec != "mpeg2video":  # its size stands in no parameter set of its own
        assert sizes(ring.clip(0, 2e9)) == [(128, 96)] * 25
    thread.stop()


def test_a_clip_can_be_had_after_the_stream_broke(tmp_path: Path) -> None:
    ring = PacketRing(30.0, 10**7)
    reader = Reader(str(video(tmp_path / "v.ts", 30)))
    ring.open(reader.stream)
    assert len(list(reader.frames(lambda packet: ring.add(packet, float(packet.pts * packet.time_base))))) == 30
    reader.close()
    del reader
    others = [av.open(str(tmp_path / "v.ts")) for _ in range(5)]  # they take the memory that the stream gave back
    assert sizes(ring.clip(0, 99)) == [(64, 48)] * 30
    assert len(others) == 5


def packet(data: bytes, pts: int | None, dts: int | None, key: bool) -> av.Packet:
    made = av.Packet(data)
    made.pts, made.dts, made.is_keyframe = pts, dts, key
    return made


def test_a_clip_survives_missing_stamps_and_jumps(tmp_path: Path) -> None:
    with av.open(str(video(tmp_path / "v.ts", 24, options={"bf": "2", "g": "12"}))) as container:
        stream = container.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in container.demux(stream) if p.size]
        for without in ("first pts", "first three", "every dts", "every pts", "all"):
            ring = PacketRing(30.0, 10**7)
            ring.open(stream)
            for i, (data, pts, dts, key) in enumerate(packets):
                no_pts = without in ("every pts", "all") or (i == 0 and without.startswith("first"))
                no_dts = without in ("every dts", "all") or (i < 3 and without == "first three")
                ring.add(packet(data, None if no_pts else pts, None if no_dts else dts, key), i / 10)
            assert len(sizes(ring.clip(0, 99))) == 24, without
        hour = 3600 * 90_000
        for jump in (hour, -hour, -(2**33)):
            ring = PacketRing(30.0, 10**7)
            ring.open(stream)
            for data, pts, dts, key in packets:
                ring.add(packet(data, pts, dts, key), pts / 90_000)
            for data, pts, dts, key in packets:
                ring.add(packet(data, pts + jump, dts + jump, key), 3 + pts / 90_000)
            with av.open(io.BytesIO(ring.clip(0, 99))) as made:
                assert made.duration < 5_000_000, jump
                assert sum(1 for _ in made.decode(video=0)) == 24


def test_a_wall_clock_that_was_set_back_does_not_fill_the_ring(tmp_path: Path) -> None:
    with av.open(str(video(tmp_path / "v.ts", 100, options={"g": "5"}))) as container:
        stream = container.streams.video[0]
        ring = PacketRing(2.0, 10**7)
        ring.open(stream)
        for p in container.demux(stream):
            if p.size:
                seconds = float(p.dts * p.time_base)
                ring.add(p, 10_000 + seconds if seconds < 5 else seconds)
        assert len(ring) <= 30


def test_a_machine_whose_clock_is_set_goes_on_giving_frames(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    offset = [0.0]
    video(tmp_path / "v.ts", 50, rate=50)
    thread, got = watched(
        make_camera(str(tmp_path / "v.ts")), lambda t: t.next_seq > 20, wall_clock=lambda: time.time() + offset[0]
    )
    for offset[0] in (7200.0, 7200.4, -7200.0, 0.0):
        count = len(got)
        wait(lambda count=count: len(got) >= count + 30, thread)
        status = thread.status()
        assert abs(got[-1].meta.captured_s - (time.time() + offset[0])) < 30.0
        assert (status.state, status.reconnects) == (SourceState.LIVE, 0)
        assert 0 <= time.time() + offset[0] - status.state_since_s < 600
    thread.stop()
    times = [picture.meta.captured_s for picture in got]
    assert sum(after <= before for before, after in pairwise(times)) == 1  # the one great step back, and no other
    assert [p.meta.seq for p in got] == list(range(len(got)))


def test_frame_numbers_go_on_and_no_thread_stays(tmp_path: Path, make_camera: Callable[..., Camera]) -> None:
    before = threading.active_count()
    camera = make_camera(str(video(tmp_path / "v.ts", 20, rate=50)))
    first, _ = watched(camera, lambda t: t.next_seq > 5)
    first.stop()
    count = first.next_seq
    second, got = watched(camera, lambda t: t.next_seq > count + 5, first_seq=count)
    second.stop()
    assert got[0].meta.seq == count
    assert threading.active_count() == before


def test_another_size_begins_tracks_anew_under_new_numbers(make_camera: Callable[..., Camera]) -> None:
    pipeline = CameraPipeline(make_camera(), ModelRef("m", "1", "d"), "0")

    def ids(seq: int, width: int, height: int) -> set[int]:
        box = np.array([[40, 20, 60, 60]], np.float32)  # stands still, wherever the picture's borders are
        found = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int32), ("person",))
        return set(pipeline.step(FrameMeta("cam", seq, seq / 5, width, height), found).tracks.ids.tolist())

    small = [ids(seq, 96, 80) for seq in range(10)]
    large = [ids(seq, 192, 160) for seq in range(10, 20)]
    assert len(small[-1]) == len(large[-1]) == 1
    assert large[0] == set() or large[0].isdisjoint(small[-1])
    assert small[-1].isdisjoint(large[-1])
