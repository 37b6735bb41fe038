"""Privacy zones: black in the decoded frame before anything sees it, in tiles and unblurred pictures, and in clips."""

import io
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.picture import Picture, shown_size
from actors.preroll import PacketRing
from actors.privacy import PrivacyMask
from actors.reader import open_frames
from actors.source import SourceThread
from actors.tile import TileMaker, plain_tile
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.privacy import hidden_samples
from hoaban.shapes import Zone

WINDOW = Zone(id="window", polygon=((0.5, 0.25), (0.75, 0.25), (0.75, 0.5), (0.5, 0.5)))
INSIDE, OUTSIDE = (slice(31, 59), slice(101, 149)), (slice(70, 110), slice(10, 90))
BLACKER, LIGHTER = 24, 120


def film(path: Path, frames: int = 30, size: tuple[int, int] = (200, 120), pix_fmt: str = "yuv420p") -> Path:
    """A bright picture that moves, so that frames are predicted from those before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for at in range(frames):
            pixels = np.full((size[1], size[0], 3), 200, np.uint8)
            cv2.circle(pixels, (20 + 5 * at, 60), 15, (90, 180, 255), -1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def camera(source: Path, **fields: object) -> Camera:
    base = {"id": "cam", "name": "C", "role": "shared", "district": "d", "owner": "o", "model": "yolox-nano"}
    return Camera.model_validate(base | {"source": str(source), "privacy_zones": [WINDOW]} | fields)


def hidden(bgr: np.ndarray) -> bool:
    return bool(bgr[INSIDE].max() <= BLACKER)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuvj420p"])
def test_a_frame_is_black_in_the_zone_and_as_it_was_outside(tmp_path: Path, pix_fmt: str) -> None:
    path = film(tmp_path / "a.mp4", pix_fmt=pix_fmt)
    plain = [p.bgr(200) for p in open_frames(str(path), "cam")]
    masked = [p.bgr(200) for p in open_frames(str(path), "cam", privacy=PrivacyMask([WINDOW]))]
    assert len(plain) == len(masked) == 30
    for before, after in zip(plain, masked, strict=True):
        assert before[INSIDE].min() > 3 * BLACKER
        assert hidden(after)
        beside = before.astype(int)[:, 154:], after.astype(int)[:, 154:]  # where a spoilt reference would spread
        assert np.abs(beside[0] - beside[1]).mean() < 3  # of rounding when 4:4:4 becomes 4:2:0


def test_the_model_the_tile_and_the_unblurred_picture_see_black(tmp_path: Path) -> None:
    source = camera(film(tmp_path / "a.mp4"))
    seen: list[Picture] = []

    def take(picture: Picture) -> None:
        seen.append(picture)
        thread.ready()

    thread = SourceThread(source, take, pacing="demand")
    thread.start()
    while len(seen) < 5:
        assert thread.status().error is None
    thread.stop()
    picture = seen[4]
    model_input, _ = picture.model_input(200, 120)
    assert hidden(model_input)
    assert picture.luma(200, 120)[INSIDE].max() <= BLACKER
    for tile in (TileMaker().make(source, picture, None, 200), plain_tile(source, picture, 200)):
        shown = cv2.imdecode(np.frombuffer(tile.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert shown[35:55, 105:145].max() <= BLACKER + 20  # JPEG
        assert shown[OUTSIDE].mean() > LIGHTER


def test_a_clip_is_encoded_anew_with_the_zone_black_and_keeps_its_times(tmp_path: Path) -> None:
    path, ring = film(tmp_path / "a.mp4"), PacketRing(60, 2**24)
    for _ in open_frames(str(path), "cam", ring):
        pass
    plain = ring.cut(0.5, 2.0)
    masked = PrivacyMask([WINDOW]).clip(plain)
    assert (masked.from_s, masked.to_s) == (plain.from_s, plain.to_s)

    def frames(data: bytes) -> list[tuple[float, np.ndarray]]:
        with av.open(io.BytesIO(data)) as container:
            return [(f.time, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]

    before, after = frames(plain.data), frames(masked.data)
    assert [round(t - before[0][0], 2) for t, _ in before] == [round(t - after[0][0], 2) for t, _ in after]
    assert len(after) >= 15
    assert not hidden(before[0][1])
    assert all(hidden(pixels) and pixels[OUTSIDE].mean() > LIGHTER for _, pixels in after)


def test_without_zones_nothing_is_done() -> None:
    frame = av.VideoFrame(16, 16, "yuv420p")
    assert PrivacyMask([]).apply(frame) is frame


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=6),
    size=st.tuples(st.integers(2, 70), st.integers(2, 70)),
    turns=st.integers(0, 3),
)
def test_every_pixel_of_a_zone_is_hidden_however_the_picture_is_turned(
    points: list[tuple[float, float]], size: tuple[int, int], turns: int
) -> None:
    width, height = size
    luma, chroma = hidden_samples([points], width, height, turns)
    assert luma.shape == (height, width)
    assert chroma.shape == (-(-height // 2), -(-width // 2))
    assert (chroma.repeat(2, 0).repeat(2, 1)[:height, :width] == luma).all()
    shown = np.rot90(luma, turns)
    tall, wide = shown.shape
    drawn = np.zeros((tall, wide), np.uint8)
    cv2.fillPoly(drawn, [np.array([(round(x * wide), round(y * tall)) for x, y in points], np.int32)], 1)
    assert shown[drawn.astype(bool)].all()


def test_a_turned_frame_is_hidden_where_it_is_shown() -> None:
    pixels = np.full((120, 200, 3), 200, np.uint8)
    frame = av.VideoFrame.from_ndarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420), "yuv420p")
    frame.pts, frame.time_base = 0, Fraction(1, 10)
    for turns in range(4):
        luma, _ = hidden_samples([WINDOW.polygon], 200, 120, turns)
        shown = np.rot90(luma, turns)
        rows, columns = np.nonzero(shown)
        centre = (columns.mean() / shown.shape[1], rows.mean() / shown.shape[0])
        assert centre == pytest.approx((0.625, 0.375), abs=0.02)
    masked = PrivacyMask([WINDOW]).apply(frame)
    meta = FrameMeta("cam", 0, 0.0, *shown_size(masked))
    assert hidden(Picture(meta, masked).bgr(200))
