"""What every page needs of this viewer's session: the API client, the last good answers, tickets for pictures."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dashboards import sign_in
from dashboards.client import ApiClient, ApiError, Camera, Fleet
from dashboards.safe import plain
from dashboards.words import t

DEFAULT_URL = "http://127.0.0.1:8000/api/v1"
RENEW_BEFORE_S = 300.0
"""tickets are renewed this long before they end, so that no picture is ever asked for with a dead one"""
SHARED_S = 0.9
T = TypeVar("T")


def client() -> ApiClient:
    """The viewer's own client. Asks who they are, and ends the page's run until they have signed in.

    HOABAN_API_TOKEN, where it is set, is everybody's who opens the page: for a wall on which nobody signs in.
    """
    if (known := someone()) is None:
        sign_in.ask(os.environ.get("HOABAN_API_URL", DEFAULT_URL))
        st.stop()
    return known


def someone() -> ApiClient | None:
    """The client of who has signed in, or of everybody's token; None where there is neither: nobody is asked."""
    token = os.environ.get("HOABAN_API_TOKEN") or st.session_state.get("token")
    if signed_in := st.session_state.get("signed_in"):
        if signed_in.must_change_password:
            sign_in.ask_own_password(signed_in)
            st.stop()
        return cast(ApiClient, signed_in)
    return _client(os.environ.get("HOABAN_API_URL", DEFAULT_URL), token) if token else None


def client_of(token: str) -> ApiClient:
    """A client for a token of the page's own, which needs nobody to sign in."""
    return _client(os.environ.get("HOABAN_API_URL", DEFAULT_URL), token)


@st.cache_resource(max_entries=200, show_spinner=False)
def _client(url: str, token: str) -> ApiClient:
    """One connection pool for each token, not one for each call."""
    return ApiClient(url, token)


@dataclass(slots=True)
class _Kept:
    """An answer. asked_s: monotonic clock. error: why value is an old one."""

    asked_s: float
    value: Any
    error: ApiError | None


def latest(key: str, call: Callable[[], T]) -> tuple[T | None, ApiError | None]:
    """The answer of a call; while the API is away, the last good one beside the error.

    Parts of a page that ask the same within a second share one call. A refused token ends the page's run and asks
    for another.
    """
    answers: dict[str, _Kept] = st.session_state.setdefault("answers", {})
    kept = answers.get(key)
    if kept is None or time.monotonic() - kept.asked_s > SHARED_S:
        try:
            value, error = call(), None
        except ApiError as caught:
            value, error = (kept.value if kept else None), caught
        kept = answers[key] = _Kept(time.monotonic(), value, error)
    if kept.error is not None and kept.error.status == 401 and signed_in():
        forget()
        st.session_state["token_refused"] = True
        st.rerun()
    return kept.value, kept.error


def signed_in() -> bool:
    """Whether this viewer signed in (and not the page for everybody)."""
    return "signed_in" in st.session_state or "token" in st.session_state


def sign_out() -> None:
    """End the session, and forget all that was read with it."""
    if client := st.session_state.get("signed_in"):
        with suppress(ApiError):  # it ends by itself, then
            client.sign_out()
    forget()


def forget() -> None:
    """Forget who signed in and all that was read with it."""
    for key in ("signed_in", "token", "answers", "tickets"):
        st.session_state.pop(key, None)


def cameras(api: ApiClient) -> tuple[list[Camera], ApiError | None]:
    """The cameras that are switched on first, in the order of the fleet file; empty before the fleet is read."""
    found, error = latest("cameras", api.cameras)
    return sorted(found or [], key=lambda camera: not camera["enabled"]), error


def names(api: ApiClient) -> dict[str, str]:
    """camera id -> name."""
    return {camera["id"]: camera["name"] for camera in cameras(api)[0]}


def districts(api: ApiClient) -> dict[str, str]:
    """district id -> name."""
    return {district["id"]: district["name"] for district in fleet(api)["districts"]}


def fleet(api: ApiClient) -> Fleet:
    """The fleet, empty while nothing is known of it."""
    found, _ = latest("fleet", api.fleet)
    return found or {"province": None, "districts": [], "errors": []}


def zone(of: Fleet) -> tzinfo:
    """The time zone that this person chose, else the province's; UTC when this machine does not know it."""
    chosen = st.session_state.get("preferences", (None, {}))[1].get("timezone")
    try:
        return ZoneInfo(chosen or (of["province"] or {}).get("timezone") or "Asia/Ho_Chi_Minh")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def clock(at: tzinfo) -> str:
    """The time now, to the second."""
    return datetime.now(at).strftime("%H:%M:%S")


def trouble(error: ApiError | None) -> None:
    """Says what is wrong with the API, if something is."""
    if error is None:
        return
    if error.status == 401:
        st.error(t("The API refused the dashboard's own token (HOABAN_API_TOKEN)."), icon=":material/key_off:")
    elif error.status == 403:
        st.error(f"{t('This token may not see this.')} {plain(error)}", icon=":material/lock:")
    else:
        away = t("**The API does not answer.** What is shown may be old; the page tries again by itself.")
        st.error(f"{away} {t('Check that `hoaban up` is running.')}\n\n{plain(error)}", icon=":material/cloud_off:")


def picture_addresses(api: ApiClient, cameras: list[str], picture: str = "snapshot.jpg") -> dict[str, str]:
    """camera id -> address of its picture, as the viewer's browser reaches it, with a ticket.

    An address stays the same until its ticket is about to end. A camera without one: no ticket could be had.
    """
    kept: dict[str, tuple[str, float]] = st.session_state.setdefault("tickets", {})
    now = time.time()
    due = [camera for camera in cameras if camera not in kept or kept[camera][1] < now]
    if due:
        # Without an answer the old tickets stay: most have minutes left, and the page already says what is wrong.
        with suppress(ApiError):
            for camera, ticket in api.tickets(due).items():
                lives_s = ticket["expires_in_s"]
                kept[camera] = (ticket["ticket"], now + lives_s - min(RENEW_BEFORE_S, lives_s / 4))
    base = (os.environ.get("HOABAN_PUBLIC_API_URL") or os.environ.get("HOABAN_API_URL", DEFAULT_URL)).rstrip("/")
    return {
        camera: f"{base}/cameras/{quote(camera)}/{picture}?ticket={quote(kept[camera][0])}"
        for camera in cameras
        if camera in kept
    }


def forget_tickets() -> None:
    """The API refuses them: it was started anew with another secret."""
    st.session_state.pop("tickets", None)
