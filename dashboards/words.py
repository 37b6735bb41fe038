"""The dashboard's words. English is in the code; other languages are gettext catalogues in locale/.

After a change of a .po file: msgfmt -o hoaban.mo hoaban.po beside it.
"""

import gettext
import os
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from dashboards.terms import TERMS

LANGUAGES = {"vi": "Tiếng Việt", "en": "English"}
LOCALE = Path(__file__).parent / "locale"


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


def when(text: str | None, zone: tzinfo, form: str = "%d/%m/%Y %H:%M") -> str:
    """A time of the API (RFC 3339) on a clock; a dash where there is none."""
    return datetime.fromisoformat(text).astimezone(zone).strftime(form) if text else "–"


@cache
def _catalogue(code: str) -> gettext.NullTranslations:
    return gettext.translation("hoaban", LOCALE, [code], fallback=True)
