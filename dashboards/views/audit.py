"""Audit and privacy: who did what, whether the record is whole, unusual looks, holds, terms, what is hidden where."""

from datetime import date, datetime, timedelta
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import address, cases, person, session
from dashboards.client import ApiError
from dashboards.drawn import drawing
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


def when(text: str | None) -> str:
    return datetime.fromisoformat(text).astimezone(zone).strftime("%d/%m/%Y %H:%M") if text else "–"


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


def holds() -> None:
    found, error = session.latest("holds", api.holds)
    if found is None:
        cases.missing(error)
        return
    if not found:
        st.info(t("Nothing is held."), icon=":material/lock_open:")
    for one in found:
        with st.container(border=True):
            left, right = st.columns([4, 1], vertical_alignment="center")
            lasts = f'<b class="hb-stalled">‖ {escape(t("held"))}</b>' if one["lasts"] else f"– {escape(t('over'))}"
            what, by = f"{term('hold_' + one['kind'])} {one['subject']}", f"{one['by']}, {when(one['at'])}"
            left.html(
                f"{lasts} <b>{escape(what)}</b><br>{escape(one['reason'])}"
                f"<br><small>{escape(by)} · {escape(t('ends'))} {escape(when(one['ends']))}</small>"
            )
            if one["lasts"]:
                with right.popover(t("Lift")):
                    why = st.text_input(t("Why"), key=f"lift-{one['id']}")
                    if st.button(t("Lift"), key=f"do-lift-{one['id']}", disabled=len(why.strip()) < 10):
                        lift = partial(api.lift_hold, one["id"], why.strip())
                        cases.act(api, lift, t("Lifted; it stays on record."))
    with st.form("hold", clear_on_submit=True):
        left, right = st.columns(2)
        kind = left.selectbox(t("What is held"), ["evidence", "camera"], format_func=lambda one: term(f"hold_{one}"))
        subject = right.text_input(t("Number of the case, or id of the camera"), max_chars=64)
        reason = left.text_input(t("Why"), max_chars=2000)
        ends = right.date_input(
            t("Ends by itself on"), None, min_value=date.today() + timedelta(days=1), format="DD/MM/YYYY"
        )
        if st.form_submit_button(t("Hold"), icon=":material/lock:"):
            wanted = {"kind": kind, "subject": subject.strip(), "reason": reason.strip()}
            wanted |= {"ends": datetime.combine(ends, datetime.min.time(), zone).isoformat()} if ends else {}
            cases.act(api, lambda: api.begin_hold(wanted), t("Held."))


def terms() -> None:
    """How long things are kept, by the fleet file, and what was erased."""
    rules = session.fleet(api).get("retention") or {}
    rows: list[tuple[str, str]] = []
    for name, value in rules.items():
        if isinstance(value, dict):
            rows += [
                (f"{name}.{key}", t("{n} days", n=number(days))) for key, days in value.items() if days is not None
            ]
        else:
            rows.append((name, t("no limit") if value is None else t("{n} days", n=number(value))))
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    st.html(f'<h2 class="hb-head">{escape(t("How long things are kept"))}</h2><dl class="hb-facts">{cells or "–"}</dl>')
    if person.may(api, "audit.read"):
        found, _ = session.latest("erasures", api.erasures)
        lines = "".join(
            f"<li><div><b>{escape(one['rule'])}</b> · {t('{n} things', n=number(one['things']))}"
            f"<span>{escape(one['basis'])} · {escape(one['by'])}</span></div>"
            f"<time>{escape(when(one['begun']))} {'✓' if one['done'] else '◌'}</time></li>"
            for one in (found or [])[:20]
        )
        none = f'<div class="hb-none">{escape(t("Nothing was erased yet."))}</div>'
        head = f'<h2 class="hb-head" style="margin-top:16px">{escape(t("What was erased"))}</h2>'
        st.html(head + (f'<ol class="hb-feed">{lines}</ol>' if lines else none))


def hidden() -> None:
    """Privacy zones of each camera, drawn, and the terms that owners set."""
    cameras: list[dict[str, Any]] = session.fleet(api).get("cameras") or []
    with_zones = [camera for camera in cameras if camera.get("privacy_zones")]
    st.caption(
        t(
            "Faces are hidden in every picture. {n} of {all} cameras also have zones that are blacked out.",
            n=len(with_zones),
            all=len(cameras),
        )
    )
    for start in range(0, len(with_zones), 4):
        for column, camera in zip(st.columns(4), with_zones[start : start + 4], strict=False):
            shapes = "".join(
                f'<polygon points="{" ".join(f"{160 * x:.1f},{90 * y:.1f}" for x, y in zone["polygon"])}" />'
                for zone in camera["privacy_zones"]
            )
            names = ", ".join(zone["id"] for zone in camera["privacy_zones"])
            drawn = drawing(shapes, 160, 90, camera["name"], "polygon { fill: #7d8894; stroke: #56616e }")
            column.html(f"{drawn}<b>{escape(camera['name'])}</b><br><small>{escape(names)}</small>")
    owners = [
        {
            t("Camera"): camera["name"],
            t("Owner"): camera["owner"],
            t("Seen by"): ", ".join(camera["terms"].get("viewers") or []) or t("all who may see cameras"),
            t("Kept, days"): camera["terms"].get("retention_days"),
        }
        for camera in cameras
        if camera.get("terms")
    ]
    if owners:
        st.html(f'<h2 class="hb-head">{escape(t("Terms of owners who share cameras"))}</h2>')
        st.dataframe(pd.DataFrame(owners), hide_index=True)


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
if person.me(api) is None:
    session.trouble(session.latest("me", api.me)[1])
shown = []
if person.may(api, "audit.read"):
    shown += [(t("Record"), log), (t("Whole?"), whole), (t("Unusual looks"), unusual)]
if person.may(api, "hold.change"):
    shown.append((t("Holds"), holds))
shown += [(t("Terms"), terms), (t("Hidden zones"), hidden)]
# One at a time: each reads what is recorded as read.
names = dict(shown)
part = st.segmented_control(
    t("Part"), list(names), default=next(iter(names)), key="audit_part", label_visibility="collapsed"
)
names[part or next(iter(names))]()
