"""The situational dashboard: frame, language and pages. It talks to the API alone."""

import os
import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `streamlit run` knows the script's folder only

from dashboards.words import t

st.set_page_config(page_title="Hoa Ban", page_icon="🌸", layout="wide")
st.session_state.setdefault("language", os.environ.get("HOABAN_LANG", "vi"))
pages = Path(__file__).parent / "views"
navigation = st.navigation(
    [
        st.Page(pages / "situation.py", title=t("situation"), icon=":material/monitoring:", default=True),
        st.Page(pages / "cameras.py", title=t("cameras"), icon=":material/videocam:"),
    ]
)
with st.sidebar:
    st.segmented_control(
        "Ngôn ngữ / Language",
        ["vi", "en"],
        key="language_choice",
        default=st.session_state["language"],
        on_change=lambda: st.session_state.update(language=st.session_state["language_choice"] or "vi"),
    )
    st.caption(t("blurred"))
st.html("<style>.block-container{padding-top:2.4rem;padding-bottom:1rem}</style>")
navigation.run()
