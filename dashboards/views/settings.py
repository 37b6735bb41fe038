"""Settings of who is signed in: they hold on every screen."""

from zoneinfo import available_timezones

import streamlit as st

from dashboards import cases, markup, person, session
from dashboards.words import LANGUAGES, t, term

SEVERITIES = (None, "critical", "high", "medium", "low")
COMMON = ("Asia/Ho_Chi_Minh", "Asia/Bangkok", "Asia/Vientiane", "UTC")


def who() -> None:
    found = person.me(api)
    if found is None:
        session.trouble(session.latest("me", api.me)[1])
        return
    rows = [
        (t("Name"), found["name"]),
        (t("Agency"), found["agency"] or "–"),
        (t("Roles"), ", ".join(term(f"role_{role}") for role in found["roles"])),
    ]
    st.html(markup.head(t("Who am I")) + markup.facts(rows))


def severity(code: str | None) -> str:
    return t("never") if code is None else t("from {severity} on", severity=cases.severity(code))


def choices() -> None:
    kept, error = session.latest("preferences", api.preferences)
    if kept is None:
        session.trouble(error)
        return
    zones = [None, *COMMON, *sorted(available_timezones() - set(COMMON))]
    languages, themes = [None, *LANGUAGES], [None, "light", "dark"]
    said = {None: t("as the browser"), "light": t("light"), "dark": t("dark")}
    province = t("the province's")
    with st.form("chosen"):
        left, right = st.columns(2)
        language = left.selectbox(
            t("Language"),
            languages,
            index=languages.index(kept.get("language")),
            format_func=lambda one: LANGUAGES[one] if one else t("as the system"),
        )
        zone = right.selectbox(
            t("Time zone"),
            zones,
            index=zones.index(kept.get("timezone")) if kept.get("timezone") in zones else 0,
            format_func=lambda one: one or province,
        )
        theme = st.selectbox(t("Colours"), themes, index=themes.index(kept.get("theme")), format_func=said.__getitem__)
        left, right = st.columns(2)
        sound = left.selectbox(
            t("A sound for new incidents"), SEVERITIES, index=SEVERITIES.index(kept.get("sound")), format_func=severity
        )
        notice = right.selectbox(
            t("A notice on the desktop"), SEVERITIES, index=SEVERITIES.index(kept.get("notice")), format_func=severity
        )
        st.caption(t("A notice needs the browser's permission: it asks when you next touch the page."))
        if st.form_submit_button(t("Save"), type="primary"):
            chosen = {"language": language, "timezone": zone, "theme": theme, "sound": sound, "notice": notice}
            st.session_state.pop("preferences", None)
            if language:
                st.session_state["language"] = language
            cases.act(api, lambda: api.set_preferences(chosen), t("Saved."))


api = session.client()
cases.flash()
one, two = st.columns([3, 2], gap="large")
with one:
    choices()
with two:
    who()
