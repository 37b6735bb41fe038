"""Why a camera or a case is as it is, in the viewer's language.

The API tells reasons as English sentences, as logs and events have them. Those that are known here are told in the
viewer's words; another is shown as it came. In {a sentence} stands what differs; {why} and {more} are reasons again.
"""

import re
from functools import cache

from dashboards.words import TERMS, language, t, term

KNOWN = (
    # a stream that cannot be read
    "no data for {n} s; check the network and that the camera is on",
    "the user or password was refused; correct them in the source's {name} values",
    "not found; check the path",
    "nothing listens there; check address, port and that the camera is on",
    "it closed the connection before any video came; check the address and the camera's limits",
    "not a video, or cut off before its index; check the file",
    "what it sends is no video stream; check the address",
    "its codec is unknown here; set the camera to H.264 or H.265",
    "its codec is unknown; set the camera to H.264 or H.265",
    "no right to read it; change the file's permissions",
    "no such host; check the address and the name server",
    "the connection broke off",
    "it holds no frame; the recording is empty or cut off",
    "it has no video that can be decoded here; check the file or codec",
    "its picture of {size} is too large; lower its resolution",
    "its picture is {size} pixels; {least} is least",
    "{n} packets in a row could not be decoded ({what}); check the camera's codec and its network",
    "its {n} packets could not be decoded; check the codec, or record it again",
    "data come, but no picture for {n} s; check the camera's encoder",
    "data come, but no picture for {n} s ({why}); check the camera's encoder",
    "it ended after {n} s; check the camera, its network and how many viewers it allows",
    "a folder, not a video; name a file in it",
    "an empty file; record it again",
    "outside the hours its owner shares it; it opens by itself",
    "{why}; check the address and that the camera is on",
    "{why}; check the file",
    # pictures that nobody analyses
    "not analysed for {n} s: {why}",
    "the model has not answered for {n} s",
    "the models have no time for it",
    "no inference actor is known yet",
    "no answer for {n} s; trying another",
    "the model failed on frame {n}; see the log of {actor}",
    # what the health rule says
    "not one grey level has changed for {n} s",
    "{share} of the picture has suddenly lost its detail; clean or free the lens",
    "brightness {n} of 255 on average and nothing brighter",
    "{share} of the usual sharpness is left; focus or clean the lens",
    "the picture has shifted: {across}, {along}",
    "shows another place than the one that was learned",
    "the picture has turned, or its zoom has changed",
    "the camera's clock is {n} s {way}; give it a time server",
    "its stream's clock {way} {n} s an hour",
    "its process reports nothing; the node or the actor is down, it is started again",
    "reports arrive",
    "frames arrive",
    "no longer in the fleet",
    "{held} s of the {wanted} s wanted: {size} MiB hold no more of this stream; lower the camera's bit rate, or let it"
    " send keyframes more often",
    # why a case is no proof, or lacks something
    "the source is a simulation",
    "the capture times are a recording's own, not a clock's",
    "camera {fault}: {why}",
    "frames are missing: {n} s without one where {most} s are allowed",
    "calibration {name} ran out on {day}",
    "it had stood on the line: when it went over is not certain",
    "its track was lost at the line for {n} s: that it is the same one is concluded",
    "how it went over the line was not seen for {n} s where {most} s are allowed",
    "it was out of sight for {n} s on its way: that it is the same one is concluded",
    "the picture was gone",
    "never written",
    "the stream's packets were gone",
    "the camera's process ended before the post-roll was over",
)
WAYS = ("left", "right", "up", "down", "ahead", "behind", "gains", "loses")
"""in which a picture has shifted, or a clock goes wrong"""
MOST = 600
"""characters of a text that is looked through; errors of libraries may be pages"""
NAMES = ("name", "actor", "what")
"""parts in which a point is no decimal point"""


def said(text: str | None) -> str:
    """A reason in the viewer's language. What stands before it (an address, a name) stays there."""
    if not text or len(text) > MOST or language() == "en":
        return text or ""
    if known := _placed(text):
        return known
    for end in re.finditer("; ", text):  # two reasons of a clock come together
        if known := _placed(text[: end.start()]):
            return f"{known}; {said(text[end.end() :])}"
    return text


def _placed(text: str) -> str | None:
    """One sentence that is known, with what it is about before it; None for any other."""
    if known := _sentence(text):
        return known
    for end in re.finditer(": ", text):
        if known := _sentence(text[end.end() :]):
            return text[: end.end()] + known
    return None


def _sentence(text: str) -> str | None:
    for sentence, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return t(sentence, **{name: _part(name, value) for name, value in found.groupdict().items()})
    return None


def _part(name: str, value: str) -> str:
    if name == "why":
        return _placed(value) or value
    if name == "fault" and value in TERMS:
        return term(value)
    if name in ("across", "along", "way"):  # 12% right
        return " ".join(t(word) if word in WAYS else word for word in value.split())
    return value.replace(".", ",") if name not in NAMES and re.fullmatch(r"\d+\.\d+", value) else value


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((sentence, re.compile(_pattern(sentence), re.DOTALL)) for sentence in KNOWN)


def _pattern(sentence: str) -> str:
    parts = re.split(r"{(\w+)}", sentence)  # words, name, words, name, …, words
    return "".join(f"(?P<{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
