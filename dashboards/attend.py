"""What a person's settings do on every page: language, clock and colours, a sound and a notice for new incidents."""

from pathlib import Path
from typing import Any

import streamlit as st

from dashboards import cases, feed, session
from dashboards.client import ApiClient, ApiError
from dashboards.words import LANGUAGES, t, term

_component = st.components.v2.component("hoaban_attend", js=Path(__file__).with_name("attend.js").read_text())
NONE: dict[str, Any] = {}


def preferences(api: ApiClient | None) -> dict[str, Any]:
    """Those of who is signed in, asked for once a session; none while the API does not tell."""
    if api is None:
        return NONE
    kept: tuple[ApiClient | None, dict[str, Any]] | None = st.session_state.get("preferences")
    if kept is None or kept[0] is not api:
        try:
            found = api.preferences()
        except ApiError:
            return NONE
        st.session_state["preferences"] = kept = (api, found)
        if found.get("language") in LANGUAGES and "lang" not in st.query_params:
            st.session_state["language"] = found["language"]
    return kept[1]


def attend(api: ApiClient, chosen: dict[str, Any]) -> None:
    """Keep colours as chosen, and tell of new incidents from the severities on that were chosen."""
    if chosen.get("sound") or chosen.get("notice"):
        _listening(api, chosen)
    else:
        _tell(chosen, None)


@st.fragment(run_every=5)
def _listening(api: ApiClient, chosen: dict[str, Any]) -> None:
    found, _ = session.latest("incidents-new", lambda: api.incidents(["new"], None, None))
    rank = {code: place for place, code in enumerate(cases.SEVERITIES)}

    def from_on(severity: str, least: str | None) -> bool:
        return least is not None and rank.get(severity, len(rank)) <= rank[least]

    names = session.names(api) if found else {}
    alarms = [
        {
            "number": one["number"],
            "title": f"{term(one['severity'])}: {feed.kind_said(one['kind'])}",
            "body": names.get(one["camera"], one["camera"]),
            "sound": from_on(one["severity"], chosen.get("sound")),
            "notice": from_on(one["severity"], chosen.get("notice")),
        }
        for one in found or []
    ]
    _tell(chosen, None if found is None else alarms)


def _tell(chosen: dict[str, Any], alarms: list[dict[str, Any]] | None) -> None:
    """alarms: the incidents that nobody has taken yet; None while they are not known."""
    data = {
        "theme": chosen.get("theme"),
        "sounds": bool(chosen.get("sound")),
        "notices": bool(chosen.get("notice")),
        "alarms": alarms,
        "words": {"click": t("Click anywhere once: the browser lets no sound out before that.")},
    }
    _component(key="attend", data=data, height="content")
