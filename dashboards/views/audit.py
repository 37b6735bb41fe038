"""Audit and privacy: who did what, whether the record is whole, unusual looks, holds, terms, what is hidden where."""

from datetime import datetime, timedelta
from functools import partial
from html import escape

import pandas as pd
import streamlit as st

from dashboards import address, cases, keeping, person, session
from dashboards.client import ApiError
from dashboards.safe import plain
from dashboards.terms import TERMS
from dashboards.words import number, t, term

ACTIONS = (
    "picture",
    "unmask",
    "event",
    "watchlist",
    "evidence",
    "incident",
    "model",
    "account",
    "session",
    "counts",
    "audit",
    "hold",
)
OUTCOMES = ("done", "refused", "failed")
DAYS = (1, 7, 30, 365)


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, zone).strftime("%d/%m/%Y %H:%M:%S")


def done(action: str) -> str:
    """What was done, in words; an action that has none as the record names it."""
    if f"act_{action}" in TERMS:
        return term(f"act_{action}")
    thing, _, deed = action.partition(".")
    if f"act_{thing}" in TERMS and f"did_{deed}" in TERMS:
        return f"{term(f'act_{thing}')}: {term(f'did_{deed}')}".rstrip(".")
    return action


def log() -> None:
    a, b, c, d, e = st.columns([1, 1, 1, 1, 1], vertical_alignment="bottom")
    days = a.selectbox(
        t("Time"),
        DAYS,
        index=DAYS.index(address.chosen("days", DAYS, 7)),
        format_func=lambda n: t("Last {n} days", n=n) if n > 1 else t("Last 24 hours"),
        key="audit_days",
    )
    who = b.text_input(t("Who"), st.query_params.get("who", ""), max_chars=128, key="audit_who").strip() or None
    actions, outcomes = [None, *ACTIONS], [None, *OUTCOMES]
    action = c.selectbox(
        t("Did what"),
        actions,
        index=actions.index(address.chosen("action", actions, None)),
        format_func=lambda one: term(f"audit_{one}") if one else t("All"),
        key="audit_action",
    )
    camera = (
        d.text_input(t("Camera id"), st.query_params.get("camera", ""), max_chars=64, key="audit_camera").strip()
        or None
    )
    outcome = e.selectbox(
        t("Outcome"),
        outcomes,
        index=outcomes.index(address.chosen("outcome", outcomes, None)),
        format_func=lambda one: term(f"outcome_{one}") if one else t("All"),
        key="audit_outcome",
    )
    for name, value in {"days": days, "who": who, "action": action, "camera": camera, "outcome": outcome}.items():
        address.keep(name, value)
    since = (datetime.now(zone) - timedelta(days=days)).replace(second=0, microsecond=0).isoformat()
    filters = {"since": since, "who": who, "action": action, "camera": camera, "outcome": outcome, "limit": 200}
    asked = f"audit-{sorted((k, str(v)) for k, v in filters.items())}"
    # Reading the record is recorded, too: it is read when it is asked for, and not over and over.
    if st.session_state.get("audit_asked") != asked or st.button(t("Read again"), icon=":material/refresh:"):
        try:
            st.session_state["audit_rows"] = api.audit(**filters)
            st.session_state["audit_asked"] = asked
        except ApiError as error:
            cases.missing(error)
            return
    found = st.session_state["audit_rows"]
    if not found["records"]:
        st.info(t("Nothing was recorded for these filters."), icon=":material/receipt_long:")
        return
    # Of the fleet, which who reads the record may see: the cameras' own list is refused to them, and that is recorded.
    names = {camera["id"]: camera["name"] for camera in session.fleet(api).get("cameras") or []}
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "#": one["seq"],
                    t("Time"): at(one["at_s"]),
                    t("Who"): one["who_name"],
                    t("Did what"): done(one["action"]),
                    t("With what"): one["subject"],
                    t("Camera"): names.get(one["camera"], one["camera"] or ""),
                    t("Outcome"): {"begun": "◌", "done": "●", "refused": "▲", "failed": "✕"}.get(one["outcome"], "?")
                    + f" {term('outcome_' + one['outcome'])}",
                    t("Reason"): one["reason"] or "",
                    t("Details"): ", ".join(f"{k}={v}" for k, v in one["detail"].items() if v is not None),
                }
                for one in found["records"]
            ]
        ),
        hide_index=True,
        height=560,
    )
    if found["next_cursor"]:
        st.caption(t("There are older records: narrow the filters to see them."))


def whole() -> None:
    st.caption(t("Each record holds the digest of the one before; the newest is signed in a file beside the database."))
    if st.button(t("Check the whole record"), type="primary", icon=":material/verified_user:"):
        try:
            st.session_state["verified"] = api.audit_verification()
        except ApiError as error:
            cases.missing(error)
            return
    found = st.session_state.get("verified")
    if found is None:
        return
    if found["sound"]:
        st.success(
            plain(
                t(
                    "Sound: {n} records, signed up to number {anchored}.",
                    n=number(found["records"]),
                    anchored=found["anchored"],
                )
            ),
            icon=":material/verified_user:",
        )
    else:
        st.error(t("The record is not whole."), icon=":material/gpp_bad:")
        st.code("\n".join(found["wrong"][:50]), language=None, wrap_lines=True)


def unusual() -> None:
    days = st.select_slider(t("How far back, days"), [7, 30, 90, 180, 365], 30)
    found, error = session.latest(f"misuse-{days}", lambda: api.misuse(days))
    if found is None:
        cases.missing(error)
        return
    st.caption(t("A question to ask the person, not a verdict."))
    if not found:
        st.success(t("Nobody's looks are unusual."), icon=":material/task_alt:")
    for one in found:
        records = ", ".join(f"#{seq}" for seq in one["records"][:12])
        st.html(
            f'<ol class="hb-feed"><li class="hb-warn"><span class="hb-icon" aria-hidden="true">person_alert</span><div>'
            f"<b>{escape(one['who_name'])}</b> · {escape(str(one['day']))} · {escape(term('misuse_' + one['kind']))} "
            f"({number(one['count'])})<span>{escape(one['why'])} {escape(records)}</span></div></li></ol>"
        )


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
if person.me(api) is None:
    session.trouble(session.latest("me", api.me)[1])
shown = []
if person.may(api, "audit.read"):
    shown += [(t("Record"), log), (t("Whole?"), whole), (t("Unusual looks"), unusual)]
if person.may(api, "hold.change"):
    shown.append((t("Holds"), partial(keeping.holds, api)))
shown += [(t("Terms"), partial(keeping.terms, api)), (t("Hidden zones"), partial(keeping.hidden, api))]
# One at a time: each reads what is recorded as read.
names = dict(shown)
part = st.segmented_control(
    t("Part"), list(names), default=next(iter(names)), key="audit_part", label_visibility="collapsed"
)
names[part or next(iter(names))]()
