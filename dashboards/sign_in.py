"""Who looks at the pages: each viewer signs in for themselves; this process holds nobody's rights."""

import os

import streamlit as st

from dashboards import viewer
from dashboards.client import ApiClient, ApiError
from dashboards.safe import plain
from dashboards.words import t

DEMO = "HOABAN_DEMO_SIGN_IN"
"""NAME:PASSWORD of the demo's person; set by `hoaban up` for its own demo, and for nothing else"""


def ask(url: str) -> None:
    """The form. A viewer who signs in has a client of their own in the session's state."""
    st.subheader(t("Sign in"), anchor=False)
    if st.session_state.pop("token_refused", False):
        st.error(
            t("You are signed out: the session is over, or the token is mistyped, expired or revoked."),
            icon=":material/key_off:",
        )
    if demo := os.environ.get(DEMO):
        name, _, password = demo.partition(":")
        with st.container(border=True, width=480):
            st.warning(
                t("Demo: simulated and recorded pictures. Who opens this page may do everything here."),
                icon=":material/science:",
            )
            if st.button(t("Enter the demo"), type="primary", icon=":material/login:"):
                _begin(url, name, password)
    with st.form("sign-in", width=480):
        name = st.text_input(t("Name"), autocomplete="username", max_chars=128)
        password = st.text_input(t("Password"), type="password", autocomplete="current-password", max_chars=200)
        if st.form_submit_button(t("Sign in"), type="secondary" if demo else "primary") and name.strip() and password:
            _begin(url, name.strip(), password)
    with st.expander(t("With an API token"), width=480), st.form("by-token", border=False):
        token = st.text_input(t("API token"), type="password", autocomplete="off")
        st.caption(t("An embedded system keeps it in the file `token` of its data folder."))
        if st.form_submit_button(t("Sign in")) and token.strip():
            st.session_state["token"] = token.strip()
            st.rerun()


def _begin(url: str, name: str, password: str) -> None:
    try:
        st.session_state["signed_in"] = ApiClient.signing_in(url, name, password, viewer.address())
    except ApiError as error:
        st.error(plain(str(error)), icon=":material/key_off:")
        return
    st.rerun()
