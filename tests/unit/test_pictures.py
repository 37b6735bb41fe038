"""Pictures of every size and pixel format, against the plain conversion of the whole frame."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.picture import Picture
from actors.reader import SourceError, open_frames
from hoaban.frames import FrameMeta
from hoaban.scene import View
from tests.misbehaving import pictures, video

SIZES = [(2, 2), (3, 5), (17, 9), (65, 49), (99, 100), (640, 35), (4096, 2160)]
FORMATS = [
    ("libx264", "yuv420p"),
    ("libx264", "yuvj420p"),
    ("libx264", "yuv422p"),
    ("libx264", "yuv444p"),
    ("libx264", "yuv420p10le"),
    ("libx264", "gray"),
    ("libx264rgb", "rgb24"),
    ("libx265", "yuv420p"),
    ("libx265", "yuv420p10le"),
    ("mjpeg", "yuvj420p"),
    ("mjpeg", "yuvj422p"),
    ("mpeg4", "yuv420p"),
    ("ffv1", "gray16le"),
    ("ffv1", "bgra"),
    ("ffv1", "yuv410p"),
]


def first(path: Path) -> Picture:
    return next(open_frames(str(path), "cam"))


def check(picture: Picture, expected: np.ndarray, most: float = 4.0) -> None:
    """All that a picture gives agrees with `expected`, (h, w, 3) BGR of the whole picture as it is to be shown."""
    height, width = expected.shape[:2]
    grey = cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY)
    assert (picture.meta.width, picture.meta.height) == (width, height)

    fitted, letterbox = picture.model_input(96, 64)
    scale = min(96 / width, 64 / height)
    fit_w, fit_h = min(96, max(2, round(width * scale))), min(64, max(2, round(height * scale)))
    assert letterbox.scale == pytest.approx(scale)
    assert fitted.shape == (64, 96, 3)
    assert difference(fitted[:fit_h, :fit_w], cv2.resize(expected, (fit_w, fit_h))) < most
    assert (fitted[fit_h:] == 114).all()
    assert (fitted[:fit_h, fit_w:] == 114).all()

    tile = picture.bgr(48)
    tile_w = max(2, round(width * min(1, 48 / width)))
    assert tile.shape == (max(2, round(height * min(1, 48 / width))), tile_w, 3)
    assert difference(tile, cv2.resize(expected, tile.shape[1::-1])) < most

    assert picture.luma(12, 8) is picture.luma(12, 8)  # of all who look whether something moved, one has it made
    assert difference(picture.luma(12, 8), cv2.resize(grey, (12, 8), interpolation=cv2.INTER_AREA)) < most
    colour, dark, part = View(), View(colour="luma"), View((0.1, 0.2, 0.9, 0.8), 8, 6, "luma")
    found = picture.views([colour, dark, part])
    assert difference(found[colour], expected) < most
    assert difference(found[dark], grey) < most
    left, right, top, bottom = round(0.1 * width), round(0.9 * width), round(0.2 * height), round(0.8 * height)
    piece = cv2.resize(grey[top:bottom, left:right], (8, 6), interpolation=cv2.INTER_AREA)
    assert difference(found[part], piece) < most


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    return float(np.abs(found.astype(int) - expected).mean())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("codec", ["ffv1", "rawvideo", "mjpeg"])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int], codec: str) -> None:
    pixels = {"ffv1": "yuv444p", "rawvideo": "yuv420p", "mjpeg": "yuvj420p"}[codec]
    picture = first(video(tmp_path / "v.mkv", 2, size, codec=codec, pixels=pixels))
    check(picture, picture.frame.to_ndarray(format="bgr24"))


@pytest.mark.parametrize(("codec", "pixels"), FORMATS)
def test_pixel_formats(tmp_path: Path, codec: str, pixels: str) -> None:
    picture = first(video(tmp_path / "v.mkv", 3, (322, 240), codec=codec, pixels=pixels, options={"crf": "10"}))
    plain = picture.frame.to_ndarray(format="bgr24")
    check(picture, plain)
    if (codec, pixels) == ("libx264", "gray"):
        return  # the encoder itself writes full-range grey as limited
    drawn = next(pictures(1, (322, 240)))
    colourless = pixels.startswith("gray")
    assert difference(cv2.cvtColor(plain, cv2.COLOR_BGR2GRAY), cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY)) < 6
    assert colourless or difference(plain, drawn) < 12


def test_interlaced_pictures(tmp_path: Path) -> None:
    picture = first(video(tmp_path / "v.mkv", 8, (322, 240), options={"x264-params": "interlaced=1:tff=1"}))
    assert picture.frame.interlaced_frame
    check(picture, picture.frame.to_ndarray(format="bgr24"))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_recordings_are_shown_as_players_show_them(tmp_path: Path, turn: int) -> None:
    path = video(tmp_path / "v.mp4", 3, (322, 240))
    one, cosine, sine = 0x10000, round(np.cos(np.radians(turn))), round(np.sin(np.radians(turn)))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2: the matrix of a version 0 track header
    matrix = [cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 0x40000000]
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    shown = cv2.VideoCapture(str(path)).read()[1]  # OpenCV turns by itself
    assert shown.shape[:2] == ((322, 240) if turn != 180 else (240, 322))
    check(first(path), shown)


def test_brightness_means_the_same_in_every_format(tmp_path: Path) -> None:
    made = [
        first(video(tmp_path / f"{codec}{pixels}.mkv", 3, (96, 64), codec=codec, pixels=pixels)).luma(8, 8)
        for codec, pixels in FORMATS
        if pixels != "gray"
    ]
    assert max(difference(luma, made[0]) for luma in made) < 4


def test_a_picture_of_one_pixel_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="1x1 pixels; 2x2 is least"):
        list(open_frames(str(video(tmp_path / "v.mkv", 3, (1, 1), codec="ffv1", pixels="yuv444p")), "cam"))


def test_two_threads_may_ask_one_picture(tmp_path: Path) -> None:
    picture = first(video(tmp_path / "v.mkv", 2, (1280, 720), codec="mjpeg", pixels="yuvj422p"))
    expected = picture.bgr(1280)
    wrong: list[float] = []

    def ask(width: int) -> None:
        for _ in range(40):
            if width == 1280:
                wrong.append(difference(picture.bgr(width), expected))
            else:
                picture.luma(width, 90)

    threads = [threading.Thread(target=ask, args=(width,)) for width in (1280, 1280, 160, 320)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(wrong) == 0
    assert Picture(FrameMeta("cam", 0, 0.0, 1280, 720), picture.frame) == Picture(picture.meta, picture.frame)
