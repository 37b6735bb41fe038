"""What every page needs: the API client of this viewer, and one way to show that the API is away."""

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from dashboards.client import ApiClient, ApiError
from dashboards.words import t

RENEW_BEFORE_S = 300
T = TypeVar("T")


def client() -> ApiClient:
    """The client; asks for a token when the environment gives none. Stops the page until there is one."""
    url = os.environ.get("HOABAN_API_URL", "http://127.0.0.1:8000/api/v1")
    token = os.environ.get("HOABAN_API_TOKEN") or st.session_state.get("token")
    if not token:
        st.session_state["token"] = st.text_input(t("token"), type="password", help=t("token_help"))
        if not st.session_state["token"]:
            st.stop()
        token = st.session_state["token"]
    return ApiClient(url, token)


def public_url() -> str:
    """The API's address as the viewer's browser reaches it."""
    return os.environ.get("HOABAN_PUBLIC_API_URL") or os.environ.get("HOABAN_API_URL", "http://127.0.0.1:8000/api/v1")


def asked(call: Callable[[], T]) -> T | None:
    """The answer of an API call, or None after the page has said what is wrong."""
    try:
        return call()
    except ApiError as error:
        if error.status == 401:
            st.session_state.pop("token", None)
            st.error(t("refused"), icon=":material/key_off:")
        else:
            st.error(f"**{t('offline')}** — {error}\n\n{t('offline_help')}", icon=":material/cloud_off:")
        return None


def picture_addresses(api: ApiClient, cameras: list[str]) -> dict[str, str]:
    """camera id -> address of its picture with a ticket. Kept for the session, or tiles would flicker."""
    kept: dict[str, Any] = st.session_state.setdefault("tickets", {})
    now = time.time()
    missing = [camera for camera in cameras if kept.get(camera, ("", 0.0))[1] < now + RENEW_BEFORE_S]
    if missing:
        for camera, ticket in api.tickets(missing).items():
            kept[camera] = (ticket["ticket"], now + ticket["expires_in_s"])
    return {camera: f"{public_url()}/cameras/{camera}/snapshot.jpg?ticket={kept[camera][0]}" for camera in cameras}
