"""The situational dashboard: frame, language and pages. It talks to the API alone."""

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `streamlit run` knows the script's folder only

from dashboards import attend, feed, person, session
from dashboards.words import LANGUAGES, language, t

HERE = Path(__file__).parent
SEE, AUDIT = ("camera.see",), ("audit.read", "hold.change", "retention.change")

st.set_page_config(page_title="Hoa Ban", page_icon="🌸", layout="wide", initial_sidebar_state="collapsed")
if (wanted := st.query_params.get("lang")) in LANGUAGES:
    st.session_state.setdefault("language", wanted)
st.session_state.setdefault("language", language())
st.html(HERE / "style.css")
api = session.someone()
held = person.permissions()
chosen = attend.preferences(api)
# Whoever reads the record and may look at no camera begins there: asking for cameras would write a refusal into it.
reads_only = not person.allowed(SEE, held) and person.allowed(AUDIT, held)


def page(file: str, title: str, icon: str, needs: tuple[str, ...] = (), default: bool = False) -> st.Page:
    """A page of views/. One that a person's roles have no use for is not listed; its address still says so."""
    listed = default or person.allowed(needs, held)
    return st.Page(
        HERE / "views" / f"{file}.py",
        title=title,
        icon=f":material/{icon}:",
        default=default,
        visibility="visible" if listed else "hidden",
    )


navigation = st.navigation(
    {
        "": [
            page("situation", t("Situation"), "monitoring", SEE, default=not reads_only),
            page("incidents", t("Incidents"), "notification_important", ("incident.see",)),
            page("cameras", t("Cameras"), "videocam", SEE),
            page("traffic", t("Traffic"), "traffic", SEE),
            page("crowd", t("Crowds"), "groups", SEE),
            page("violations", t("Violations review"), "gavel", ("evidence.see",)),
        ],
        t("People and cases"): [
            page("field_reports", t("Field reports"), "inbox", ("report.see",)),
            page("work_orders", t("Maintenance"), "build", ("workorder.handle",)),
            page("watchlist", t("Watchlists"), "frame_person", ("watchlist.see",)),
            page("subjects", t("Requests by persons"), "person_search", ("subject.answer",)),
            page("citizen", t("Report something"), "add_comment"),
        ],
        t("System"): [
            page("models", t("Models"), "neurology", ("model.see",)),
            page("cluster", t("Cluster"), "lan", ("metrics.read",)),
            page("audit", t("Audit and privacy"), "shield_person", AUDIT, default=reads_only),
            page("settings", t("Settings"), "tune"),
        ],
    },
    position="hidden" if api is None else "top",  # who has not signed in has the form, or the page for citizens
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
    if api is not None:
        attend.attend(api, chosen)
        if followed := feed.follow():
            query = {name: followed[name] for name in ("camera", "moment", "at")}
            st.switch_page("views/cameras.py", query_params=query | {"part": "moments"})
navigation.run()
