"""Plates: formats, pairing and doubts on lines of text; the reader itself on plates drawn with a font.

No photographs of real Vietnamese plates were at hand: dirt, reflection, night and the official typeface are not tested.
"""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from actors.plates import PlateReader
from hoaban.plates import PROVINCES, SERIES, UNKNOWN, Character, Plate, TextLine, combine, find_plate


def line(text: str, y: float = 0.0, x: float = 0.0, unsure: str = "", width: float = 100) -> TextLine:
    """A line of text 20 pixels high; the characters of `unsure` are hardly believed."""
    characters = tuple(Character(c, 0.3 if c in unsure else 0.95) for c in text)
    return TextLine((x, y, x + width, y + 20), characters)


@pytest.mark.parametrize(
    ("texts", "written", "kind"),
    [
        (["30A-123.45"], "30A-123.45", "civil"),
        (["30A12345"], "30A-123.45", "civil"),
        (["27a-1234"], "27A-1234", "civil"),
        (["27-B1", "123.45"], "27-B1 123.45", "civil"),
        (["29-X5", "1234"], "29-X5 1234", "civil"),
        (["29-AA", "123.45"], "29-AA 123.45", "civil"),
        (["51F", "888.80"], "51F-888.80", "civil"),
        (["51LD-123.45"], "51-LD 123.45", "civil"),
        (["TC 12-34"], "TC-12-34", "army"),
        (["80-123-NG-45"], "80-123-NG-45", "diplomatic"),
        (["80-123", "NG-45"], "80-123-NG-45", "diplomatic"),
    ],
)
def test_each_format_is_known_on_one_line_and_two(texts: list[str], written: str, kind: str) -> None:
    lines = [line(text, 25.0 * i) for i, text in enumerate(texts)]
    for order in (lines, lines[::-1]):
        plate = find_plate([*order, line("TAXI", y=300)])
        assert plate is not None
        assert (plate.text, plate.kind, plate.lines, plate.complete) == (written, kind, len(texts), True)


@pytest.mark.parametrize("text", ["TAXI", "0912345678", "13A-123.45", "30A-12", "ABCDEFG", "", "30W-123.45", "HONDA"])
def test_other_text_is_no_plate(text: str) -> None:
    assert find_plate([line(text)]) is None


def test_lines_that_do_not_belong_together_make_no_plate() -> None:
    assert find_plate([line("27-B1"), line("123.45", y=200)]) is None  # far below
    assert find_plate([line("27-B1"), line("123.45", y=25, x=300)]) is None  # beside
    assert find_plate([line("123.45"), line("27-B1", y=25)]) is None  # in the wrong order
    upper = TextLine((0, 0, 100, 60), line("27-B1").characters)
    assert find_plate([upper, line("123.45", y=65)]) is None  # three times as high


def test_confusions_are_corrected_by_place_and_say_so() -> None:
    plate = find_plate([line("3OA-I23.4S")])
    assert plate is None  # three corrections are too many to believe
    plate = find_plate([line("30A-I23.45")])
    assert plate.text == "30A-123.45"
    assert [(c.text, c.read) for c in plate.characters if c.read] == [("1", "I")]
    assert find_plate([line("308-123.45")]).text == "30B-123.45"
    # Where a letter and a digit may both stand, nothing is corrected.
    assert find_plate([line("29-B8"), line("123.45", y=25)]).text == "29-B8 123.45"


def test_unknown_stays_unknown() -> None:
    plate = find_plate([line("30A-123.45", unsure="2")])
    assert plate.text == "30A-1?3.45"
    assert not plate.complete
    assert plate.confidence == 0.3
    assert find_plate([line("30A-123.45", unsure="012345")]) is None
    assert plate.as_dict()["characters"][4] == {"text": "?", "confidence": 0.3}


def test_pictures_that_disagree_leave_a_character_unknown() -> None:
    six, eight, none = (find_plate([line(text)]) for text in ("30A-126.45", "30A-128.45", "TAXI"))
    assert combine([six, eight]).text == "30A-12?.45"
    assert combine([six, eight, six, none]).text == "30A-126.45"
    assert combine([six, find_plate([line("30A-126.45", unsure="6")])]).text == "30A-126.45"
    assert combine([none]) is None
    assert combine([six]) == six


letters = st.sampled_from(sorted(SERIES))
digits = st.text("0123456789", min_size=4, max_size=5)


@given(st.sampled_from(sorted(PROVINCES)), letters, st.none() | letters | st.sampled_from("0123456789"), digits)
def test_a_plate_read_without_error_comes_back_as_it_was(
    code: int, first: str, second: str | None, number: str
) -> None:
    head = f"{code}{first}{second or ''}"
    plate = find_plate([line(head), line(number, y=25)])
    assert plate is not None
    assert "".join(c.text for c in plate.characters) == head + number
    assert all(c.read is None for c in plate.characters)


@given(st.lists(st.text("ABCDOIZ0123456789-. ?", max_size=12), max_size=4))
def test_whatever_text_there_is_a_plate_fits_its_own_format(texts: list[str]) -> None:
    plate = find_plate([line(text, y=25.0 * i) for i, text in enumerate(texts)])
    if plate is not None:
        known = [c.text for c in plate.characters if c.text != UNKNOWN]
        assert "".join(known) == "".join(c for c in plate.text if c.isalnum())
        assert sum(c.read is not None for c in plate.characters) <= 2


def drawn(texts: list[str], height: int, blur: float = 0.0, angle: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """A vehicle's crop with a plate: black letters on white, `height` pixels a line, in a grey body."""
    h, w = height * len(texts), round(height * (4.7 if len(texts) == 1 else 2.8))
    image = Image.new("RGB", (w, h), (235, 235, 235))
    draw = ImageDraw.Draw(image)
    draw.rectangle([1, 1, w - 2, h - 2], outline=(20, 20, 20), width=max(1, height // 25))
    for index, text in enumerate(texts):
        font = ImageFont.load_default(height * 0.75)
        font = ImageFont.load_default(height * 0.75 * min(1, 0.92 * w / draw.textlength(text, font)))
        draw.text(
            (w / 2, height * (index + 0.5)), text, font=font, fill=(15, 15, 15), anchor="mm", stroke_width=height // 30
        )
    crop = np.full((round(h * 3.5), round(w * 2.2), 3), (90, 70, 60), np.uint8)
    y, x = round(h * 1.8), round(w * 0.6)
    crop[y : y + h, x : x + w] = np.asarray(image)[..., ::-1]
    turn = cv2.getRotationMatrix2D((x + w / 2, y + h / 2), angle, 1)
    crop = cv2.warpAffine(crop, turn, crop.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    if blur:
        crop = cv2.GaussianBlur(crop, (0, 0), blur)
    grain = np.random.default_rng(0).normal(0, noise, crop.shape) if noise else 0
    return np.clip(crop + grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def reader() -> PlateReader:
    pytest.importorskip(
        "rapidocr_onnxruntime", reason="rapidocr is not installed: pip install --no-deps -r no-deps.txt"
    )
    return PlateReader()


@pytest.mark.parametrize("texts", [["30A-123.45"], ["27A-6789"], ["27-B1", "123.45"], ["51F", "888.80"], ["TC 12-34"]])
@pytest.mark.parametrize(
    "how", [{"height": 48}, {"height": 16}, {"height": 32, "angle": 7}, {"height": 48, "blur": 1.5, "noise": 8}]
)
def test_drawn_plates_are_read(reader: PlateReader, texts: list[str], how: dict[str, float]) -> None:
    reading = reader.read(drawn(texts, **how))
    assert reading.plate is not None, reading.lines
    assert "".join(c for c in reading.plate.text if c.isalnum()) == "".join(c for c in "".join(texts) if c.isalnum())
    assert reading.plate.lines == len(texts)
    x1, y1, x2, y2 = reading.plate.box
    assert x2 - x1 > y2 - y1 > 0


def test_what_cannot_be_read_is_not_read(reader: PlateReader) -> None:
    plates: list[Plate | None] = [
        reader.read(drawn(["30A-123.45"], height=32, blur=5)).plate,
        reader.read(np.full((200, 300, 3), 90, np.uint8)).plate,
        reader.read(np.zeros((4, 4, 3), np.uint8)).plate,
        reader.read(drawn(["TAXI 24H"], height=32)).plate,
    ]
    assert plates == [None] * 4
