"""Reasons that the system tells in English, in the words of who looks."""

import ast
import re
from pathlib import Path

import av
import pytest

import actors
import hoaban
from actors.reader import explain
from dashboards import reasons
from hoaban.analysis_health import not_analysed
from hoaban.source_address import SourceAddress

SOURCE = SourceAddress("rtsp://viewer:secret@127.0.0.1:8554/gate")
ERRORS = (
    av.error.HTTPUnauthorizedError(1, "401"),
    av.error.FileNotFoundError(2, "no"),
    av.error.ConnectionRefusedError(111, "refused"),
    av.error.EOFError(1, "end"),
    av.error.InvalidDataError(1, "bad"),
    av.error.DecoderNotFoundError(1, "none"),
    av.error.PermissionError(13, "no"),
    OSError(5, "Input/output error"),
)


@pytest.fixture(autouse=True)
def vietnamese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_LANG", "vi")


def filled(sentence: str) -> str:
    """The sentence as the system might say it."""
    return re.sub(r"{(\w+)}", lambda hole: {"fault": "blurred", "why": "frames arrive"}.get(hole[1], "7"), sentence)


@pytest.mark.parametrize("sentence", reasons.KNOWN)
def test_a_known_reason_is_told_in_vietnamese_with_what_differs(sentence: str) -> None:
    said = reasons.said(filled(sentence))
    assert said != filled(sentence)
    assert "{" not in said
    assert said.count("7") == filled(sentence).count("7")
    assert "frames arrive" not in said


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_a_camera_says_of_its_stream_is_told_with_its_address(error: Exception) -> None:
    english = explain(SOURCE, error)
    assert english.startswith("rtsp://")
    place, _, rest = reasons.said(english).partition(": ")
    assert place == SOURCE.shown
    assert rest != english.partition(": ")[2]
    assert "check" not in rest


def test_reasons_within_reasons_are_told_too() -> None:
    why = not_analysed(400.0, 90.0, 5.0, "model: inference:1: no answer for 5 s; trying another")
    assert (
        reasons.said(why) == "chưa được phân tích 90 s: model: inference:1: không trả lời trong 5 s; đang thử nơi khác"
    )
    clock = "the camera's clock is 3.5 s ahead; give it a time server; its stream's clock gains 9 s an hour"
    assert "nhanh 3,5 s; đặt máy chủ giờ cho camera; đồng hồ của luồng nhanh thêm 9 s" in reasons.said(clock)
    assert reasons.said("the picture has shifted: 12% right, 3% up") == "hình bị lệch: 12% sang phải, 3% lên trên"


def test_what_is_not_known_stays_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", "something: else; than was foreseen", "<img src=x>"):
        assert reasons.said(text) == text
    assert reasons.said(None) == ""
    monkeypatch.setenv("HOABAN_LANG", "en")
    assert reasons.said("never written") == "never written"


def test_the_system_still_says_each_of_them() -> None:
    """Where it says something else by now, the Vietnamese would be lost without a word."""
    spoken = []
    for package in (actors, hoaban):
        for file in Path(str(package.__file__)).parent.rglob("*.py"):
            found = ast.walk(ast.parse(file.read_text()))
            spoken += [node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    text = "\n".join(spoken)
    for sentence in reasons.KNOWN:
        longest = max(re.split(r"{\w+}", sentence), key=len).strip("; ")
        assert longest in text, sentence


def test_a_long_or_much_divided_text_costs_no_time_and_stays() -> None:
    for text in ("; ".join(["x: y"] * 100), "a: " * 200 + "b", "; ".join(["z"] * 5000)):
        assert reasons.said(text) == text


def test_a_place_with_spaces_and_a_name_with_a_point() -> None:
    told = reasons.said("file:///data/My Videos/a.mp4: not found; check the path")
    assert told.startswith("file:///data/My Videos/a.mp4: ")
    assert "not found" not in told
    assert "cam.1.5" in reasons.said("the model failed on frame 7; see the log of cam.1.5")
