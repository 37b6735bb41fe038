"""Who sits at the screen, and which pages and actions are for them."""

from collections.abc import Sequence
from typing import TypedDict

import streamlit as st

from dashboards import session
from dashboards.client import ApiClient, ApiError


class Me(TypedDict):
    """Who the token speaks for. permissions: "thing.act", held somewhere."""

    id: str
    name: str
    agency: str | None
    roles: list[str]
    permissions: list[str]


def me(api: ApiClient) -> Me | None:
    """Who is signed in; None while the API does not tell."""
    found, _ = session.latest("me", api.me)
    return found


def may(api: ApiClient, permission: str) -> bool:
    """Whether a control is worth showing. The API decides for itself; while it is silent nothing is offered."""
    found = me(api)
    return found is not None and permission in found["permissions"]


def permissions() -> frozenset[str] | None:
    """What who is signed in may do somewhere; None when nobody is, or the API does not tell: then no page is hidden.

    Asked before any page runs, so it neither asks who they are nor ends the run.
    """
    api = session.someone()
    if api is None:
        return None
    kept: tuple[ApiClient, frozenset[str]] | None = st.session_state.get("permissions")
    if kept is not None and kept[0] is api:
        return kept[1]
    try:
        found = frozenset(api.me()["permissions"])
    except ApiError:
        return None
    st.session_state["permissions"] = (api, found)
    return found


def allowed(wanted: Sequence[str], held: frozenset[str] | None) -> bool:
    """Whether a page that needs one of these permissions is listed."""
    return held is None or not wanted or any(one in held for one in wanted)
