"""The dashboard's words. English is in the code; other languages are gettext catalogues in locale/.

After a change of a .po file: msgfmt -o hoaban.mo hoaban.po beside it.
"""

import gettext
import os
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

LANGUAGES = {"vi": "Tiếng Việt", "en": "English"}
LOCALE = Path(__file__).parent / "locale"

TERMS = {
    # states of a camera
    "live": "live",
    "connecting": "connecting",
    "stalled": "no new picture",
    "failed": "failed",
    "ended": "ended",
    "paused": "outside its hours",
    "silent": "no report",
    "off": "switched off",
    # what rules find
    "line_count": "crossed",
    "intrusion": "entered",
    "loitering": "loiters in",
    "crowd": "crowd in",
    "crowd_grow": "crowd grows in",
    "crowd_end": "crowd over in",
    "line_crossing": "crossed the watched line",
    "abandoned_object": "left behind in",
    "abandoned_object_end": "no longer left behind in",
    "removed_object": "something was taken from",
    "removed_object_end": "what was taken is back in",
    "congestion": "traffic in",
    "red_light": "may have run the red light at",
    "stop_line": "may stand beyond the stop line",
    "wrong_way": "may go the wrong way",
    "illegal_turn": "may have turned where it is forbidden",
    "illegal_parking": "may be parked where it is forbidden, in",
    "face_watchlist": "face to be compared by an officer, in",
    "plate_watchlist": "plate to be compared by an officer, in",
    "camera_health": "camera:",
    "camera_health_end": "camera again in order:",
    "turning_count": "turned to",
    # faults of a camera; stalled and silent are among its states
    "offline": "offline",
    "frozen": "picture frozen",
    "dark": "picture dark",
    "blurred": "picture blurred",
    "covered": "lens covered",
    "moved": "turned or shifted",
    "wrong_time": "wrong time",
    # levels of traffic
    "free": "free",
    "slow": "slow",
    "congested": "congested",
    "jam": "jam",
    # directions of a line
    "forward": "forward",
    "backward": "backward",
    # roles
    "traffic_enforcement": "Traffic enforcement",
    "traffic_counting": "Traffic counting",
    "overview": "Overview",
    "face_crowd": "Faces and crowds",
    "neighbourhood": "Neighbourhood",
    "shared": "Shared camera",
    # classes
    "person": "person",
    "car": "car",
    "motorcycle": "motorcycle",
    "bicycle": "bicycle",
    "bus": "bus",
    "truck": "truck",
}


def language() -> str:
    """The language of this viewer."""
    chosen = st.session_state.get("language") or os.environ.get("HOABAN_LANG", "vi")
    return chosen if chosen in LANGUAGES else "vi"


def t(text: str, **values: Any) -> str:
    """English words in the viewer's language; what has no translation stays English."""
    said = _catalogue(language()).gettext(text)
    return said.format(**values) if values else said


def term(code: str | None) -> str:
    """The words for a word of the API: a state, rule, class, direction or role. An unknown one is shown as it is."""
    return "" if not code else t(TERMS.get(code, code))


def number(value: float, digits: int = 0) -> str:
    """A number with the language's separators."""
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans(",.", ".,")) if language() == "vi" else text


def seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 3 min, 5 h."""
    if value < 10:
        return f"{number(value, 1)} s"
    if value < 100:
        return f"{value:.0f} s"
    if value < 6000:
        return t("{n} min", n=f"{value / 60:.0f}")
    return t("{n} h", n=f"{value / 3600:.0f}")


@cache
def _catalogue(code: str) -> gettext.NullTranslations:
    return gettext.translation("hoaban", LOCALE, [code], fallback=True)
