"""What is kept for how long, what is held beyond that, and what is hidden in pictures: parts of the audit's page."""

from datetime import date, datetime, timedelta
from functools import partial
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import cases, markup, person, session
from dashboards.client import ApiClient
from dashboards.drawn import drawing
from dashboards.words import number, t, term, when


def holds(api: ApiClient) -> None:
    """What is not to be erased, and why; who may change that does it here."""
    zone = session.zone(session.fleet(api))
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
            what, by = f"{term('hold_' + one['kind'])} {one['subject']}", f"{one['by']}, {when(one['at'], zone)}"
            left.html(
                f"{lasts} <b>{escape(what)}</b><br>{escape(one['reason'])}"
                f"<br><small>{escape(by)} · {escape(t('ends'))} {escape(when(one['ends'], zone))}</small>"
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


def terms(api: ApiClient) -> None:
    """How long things are kept, by the fleet file, and what was erased."""
    rules, zone = session.fleet(api).get("retention") or {}, session.zone(session.fleet(api))
    rows: list[tuple[str, str]] = []
    for name, value in rules.items():
        if isinstance(value, dict):
            rows += [
                (f"{name}.{key}", t("{n} days", n=number(days))) for key, days in value.items() if days is not None
            ]
        else:
            rows.append((name, t("no limit") if value is None else t("{n} days", n=number(value))))
    st.html(markup.head(t("How long things are kept")) + markup.facts(rows))
    if person.may(api, "audit.read"):
        found, _ = session.latest("erasures", api.erasures)
        lines = "".join(
            f"<li><div><b>{escape(one['rule'])}</b> · {t('{n} things', n=number(one['things']))}"
            f"<span>{escape(one['basis'])} · {escape(one['by'])}</span></div>"
            f"<time>{escape(when(one['begun'], zone))} {'✓' if one['done'] else '◌'}</time></li>"
            for one in (found or [])[:20]
        )
        none = markup.nothing(t("Nothing was erased yet."))
        st.html(markup.head(t("What was erased")))
        st.html(f'<ol class="hb-feed">{lines}</ol>' if lines else none)


def hidden(api: ApiClient) -> None:
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
        st.html(markup.head(t("Terms of owners who share cameras")))
        st.dataframe(pd.DataFrame(owners), hide_index=True)
