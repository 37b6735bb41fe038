"""The situational dashboard: frame, language and pages. It talks to the API alone."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `streamlit run` knows the script's folder only

from dashboards import session
from dashboards.words import LANGUAGES, language, t

HERE = Path(__file__).parent

st.set_page_config(page_title="Hoa Ban", page_icon="🌸", layout="wide", initial_sidebar_state="collapsed")
if (wanted := st.query_params.get("lang")) in LANGUAGES:
    st.session_state.setdefault("language", wanted)
st.session_state.setdefault("language", language())
st.html(HERE / "style.css")
navigation = st.navigation(
    [
        st.Page(HERE / "views" / "situation.py", title=t("Situation"), icon=":material/monitoring:", default=True),
        st.Page(HERE / "views" / "incidents.py", title=t("Incidents"), icon=":material/notification_important:"),
        st.Page(HERE / "views" / "cameras.py", title=t("Cameras"), icon=":material/videocam:"),
        st.Page(HERE / "views" / "violations.py", title=t("Violations review"), icon=":material/gavel:"),
        st.Page(HERE / "views" / "subjects.py", title=t("Requests by persons"), icon=":material/person_search:"),
        st.Page(HERE / "views" / "field_reports.py", title=t("Field reports"), icon=":material/inbox:"),
        st.Page(HERE / "views" / "work_orders.py", title=t("Maintenance"), icon=":material/build:"),
        st.Page(HERE / "views" / "citizen.py", title=t("Report something"), icon=":material/add_comment:"),
    ],
    position="top",
)
with st.sidebar:
    # The widget has a key of its own: Streamlit forgets a widget's value on a page that does not show it.
    st.segmented_control(
        "Ngôn ngữ / Language",
        list(LANGUAGES),
        format_func=LANGUAGES.__getitem__,
        key="language_choice",
        default=language(),
        on_change=lambda: st.session_state.update(language=st.session_state["language_choice"] or language()),
    )
    st.caption(t("Faces are hidden in every picture."))
    if session.signed_in() and st.button(t("Sign out"), icon=":material/logout:"):
        session.sign_out()
        st.rerun()
navigation.run()
