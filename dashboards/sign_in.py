"""Who looks at the pages: each viewer signs in for themselves; this process holds nobody's rights."""

import os
from html import escape

import streamlit as st

from dashboards import viewer
from dashboards.client import ApiClient, ApiError
from dashboards.safe import plain
from dashboards.words import t

DEMO = "HOABAN_DEMO_SIGN_IN"
"""NAME:PASSWORD of the demo's person; set by `hoaban up` for its own demo, and for nothing else"""
COOKIES = ("__Host-hoaban-sign-in", "hoaban-sign-in")
"""by which the API knows the browser that began to sign in at a provider: with https, and without"""


def ask(url: str) -> None:
    """The form. A viewer who signs in has a client of their own in the session's state."""
    _take_handover(url)
    st.subheader(t("Sign in"), anchor=False)
    if why := st.query_params.get("sign_in_failed"):
        st.error(plain(_failed(why)), icon=":material/key_off:")
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
    if start := _provider_start(url):
        words = t("Sign in with your organisation's account")
        st.html(f'<a class="hb-sign-in" href="{escape(start)}">{escape(words)}</a>')
    with st.form("sign-in", width=480):
        name = st.text_input(t("Name"), autocomplete="username", max_chars=128)
        password = st.text_input(t("Password"), type="password", autocomplete="current-password", max_chars=200)
        if st.form_submit_button(t("Sign in"), type="secondary" if demo else "primary") and name.strip() and password:
            _begin(url, name.strip(), password)
    if os.environ.get("HOABAN_INTAKE_TOKEN"):
        st.page_link("views/citizen.py", label=t("For citizens: report something"), icon=":material/add_comment:")
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


def ask_own_password(client: ApiClient) -> None:
    """The form for who signed in with a password that another set: nothing else is shown before."""
    st.subheader(t("Choose a password of your own"), anchor=False)
    st.info(t("Yours was set by another, who knows it. Until you change it you can do nothing else."))
    with st.form("own-password", width=480):
        old = st.text_input(t("Password until now"), type="password", autocomplete="current-password", max_chars=200)
        new = st.text_input(t("New password"), type="password", autocomplete="new-password", max_chars=200)
        again = st.text_input(t("New password again"), type="password", autocomplete="new-password", max_chars=200)
        sent = st.form_submit_button(t("Change the password"), type="primary")
    if not (sent and old and new):
        return
    if new != again:
        st.error(t("The two new passwords differ."))
        return
    try:
        st.session_state["signed_in"] = client.change_password(old, new)
    except ApiError as error:
        st.error(plain(str(error)), icon=":material/key_off:")
        return
    st.rerun()


@st.cache_data(ttl=60, show_spinner=False)
def _provider_start(url: str) -> str | None:
    try:
        return ApiClient.provider_start(url)
    except ApiError:
        return None  # what the API says is said by the form


def _take_handover(url: str) -> None:
    """Whoever comes back from the provider has a code in the address, good once and in this browser alone."""
    code = st.query_params.get("handover")
    if not code:
        return
    del st.query_params["handover"]
    cookies = st.context.cookies
    browser = next((cookies[name] for name in COOKIES if name in cookies), "")
    try:
        st.session_state["signed_in"] = ApiClient.redeeming(url, code, browser, str(st.context.ip_address or ""))
    except ApiError as error:
        st.error(plain(str(error)), icon=":material/key_off:")
        return
    st.query_params.pop("sign_in_failed", None)
    st.rerun()


def _failed(why: str) -> str:
    match why:
        case "over":
            return t("This sign-in took too long, or was used before. Sign in again.")
        case "another_browser":
            return t("This sign-in began in another browser or page. Sign in again here.")
        case "away":
            return t("The provider of your account does not answer. Try again later.")
        case "disabled":
            return t("You are shut out here. Ask an administrator.")
        case _:
            return t("The provider of your account refused, or its answer was not good. Ask an administrator.")
