"""What the pages of incidents, reports and work orders share: signs, times, the log, and doing something."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import markup, session
from dashboards.case_calls import LogLine
from dashboards.client import ApiClient, ApiError
from dashboards.words import seconds, t, term

SEVERITIES = ("critical", "high", "medium", "low")
SIGNS = {"critical": "◆◆", "high": "◆", "medium": "◇", "low": "·"}
"""severity is told by sign and word, never by colour alone"""


def severity(code: str) -> str:
    return f"{SIGNS.get(code, '')} {term(code)}".strip()


def at(time_s: float | None, zone: tzinfo) -> str:
    """A time in the province's clock; the day only when it is another than today."""
    if time_s is None:
        return "–"
    moment = datetime.fromtimestamp(time_s, zone)
    return moment.strftime("%H:%M:%S" if moment.date() == datetime.now(zone).date() else "%d/%m/%Y %H:%M")


def age(since_s: float) -> str:
    """How long ago."""
    return seconds(max(0.0, time.time() - since_s))


def log_list(lines: Sequence[LogLine], zone: tzinfo) -> str:
    """A log as HTML, the newest line first. Text from outside is escaped."""
    rows = "".join(
        f"<li><div><b>{escape(term('did_' + line['action']))}</b> {escape(_detail(line))}"
        f"<span>{escape(line['who'])}{': ' if line['note'] else ''}{escape(line['note'] or '')}</span></div>"
        f"<time>{escape(at(line['at_s'], zone))}</time></li>"
        for line in reversed(lines)
    )
    return f'<ol class="hb-feed">{rows}</ol>' if rows else markup.nothing(t("Nothing yet."))


def _detail(line: LogLine) -> str:
    """What an action was done with, in words."""
    detail = line["detail"]
    if line["action"] == "joined":
        return f"(+{detail.get('events', 1)})"
    return " ".join(str(term(str(value))) for value in detail.values() if isinstance(value, str | int))


def act(api: ApiClient, call: Callable[[], Any], done: str) -> None:
    """Do something, and say on the page's next run whether it was done; nothing shown is older than it."""
    try:
        call()
        told("success", done)
    except ApiError as error:
        if error.status == 409:
            told("warning", f"{t('Not done: it has changed meanwhile. This is how it stands now.')} {error}")
        else:
            told("error", f"{t('Not done.')} {error}")
    st.session_state.pop("answers", None)
    st.rerun()


def told(kind: str, text: str) -> None:
    """Say something on the page's next run. kind: success, warning or error."""
    st.session_state["flash"] = (kind, text)


def flash() -> None:
    """What was done last."""
    if last := st.session_state.pop("flash", None):
        kind, text = last
        icon = {"success": ":material/check:", "warning": ":material/sync_problem:", "error": ":material/error:"}[kind]
        {"success": st.success, "warning": st.warning, "error": st.error}[kind](text, icon=icon)


def choose_assignee(api: ApiClient, of: str, number: int, now: str | None) -> str | None:
    """A form that gives a case of "incidents" or "work-orders" to one of who may handle it; the name, once sent."""
    found, error = session.latest(f"assignees-{of}-{number}", lambda: api.assignees(of, number))
    if error is not None and error.status != 403:  # who may not handle it is asked nothing
        session.trouble(error)
    if not found:
        if found is not None:
            st.caption(t("Nobody may be assigned here. An admin grants roles."))
        return None
    agencies = {one["name"]: one["agency"] for one in found}
    names = list(agencies)
    with st.form(f"assign-{number}", border=False):
        who = st.selectbox(
            t("Assigned to"),
            names,
            index=names.index(now) if now in agencies else None,
            placeholder=t("Choose a person"),
            format_func=lambda name: " · ".join(filter(None, [name, agencies[name]])),
        )
        return who if st.form_submit_button(t("Assign")) else None


def missing(error: ApiError | None) -> None:
    """Why there is no list at all: no right to it, or no answer."""
    if error is not None and error.status == 403:
        st.info(t("Your roles do not show you this page's contents. An admin grants roles."), icon=":material/lock:")
    else:
        session.trouble(error)


def choose(key: str, numbers: Sequence[int], rows: Sequence[dict[str, object]], table: str, nothing: str) -> None:
    """A list in which one case is chosen, by a click or by the keys J and K; kept in the session under `key`.

    The one chosen last stays chosen while it is listed. The address names it under `key`, too; one that an address
    leads to is shown also when the list does not have it. table: key of the table's widget. nothing: what an empty list
    says. Within a fragment: another choice draws the whole page anew.
    """
    before = st.session_state.get(key)
    if before is None or (before not in numbers and before != st.session_state.get(f"{key}-linked")):
        st.session_state[key] = numbers[0] if numbers else None
    if not numbers:
        st.success(nothing, icon=":material/task_alt:")
    else:
        chosen = st.session_state[key]
        marks = [{"": "▶" if number == chosen else ""} | row for number, row in zip(numbers, rows, strict=True)]
        picked = st.dataframe(
            pd.DataFrame(marks),
            hide_index=True,
            height=min(560, 38 + 35 * len(rows)),
            on_select="rerun",
            selection_mode="single-row",
            key=table,
        )
        marked = next((numbers[index] for index in picked["selection"]["rows"] if index < len(numbers)), None)
        # A mark in the table stays when the keys move on: only a new one counts.
        if marked is not None and marked != st.session_state.get(f"{key}-marked"):
            st.session_state[key] = marked
        st.session_state[f"{key}-marked"] = marked
        _steps(key, numbers)
    _tell_address(key)
    if before != st.session_state[key]:
        st.rerun()


def follow_address(key: str) -> None:
    """Choose what the address names under `key`, where it is another than the page itself wrote there."""
    wanted = st.query_params.get(key)
    if wanted is None or wanted == st.session_state.get(f"{key}-told") or not wanted.isdecimal():
        return
    st.session_state[key] = st.session_state[f"{key}-linked"] = int(wanted[:9])
    st.session_state[f"{key}-told"] = wanted


def _tell_address(key: str) -> None:
    """The address leads to what is shown."""
    chosen = st.session_state[key]
    if chosen is not None:
        st.session_state[f"{key}-told"] = st.query_params[key] = str(chosen)


def _steps(key: str, numbers: Sequence[int]) -> None:
    """Buttons to the one before and the one after, also by the keys K and J."""
    chosen = st.session_state[key]
    here = numbers.index(chosen) if chosen in numbers else -1
    row = st.container(horizontal=True, vertical_alignment="center")
    for label, icon, step, shortcut in (
        (t("Previous"), ":material/keyboard_arrow_up:", -1, "k"),
        (t("Next"), ":material/keyboard_arrow_down:", 1, "j"),
    ):
        there = here + step
        wanted = row.button(
            label, icon=icon, key=f"{key}{step}", shortcut=shortcut, disabled=not 0 <= there < len(numbers)
        )
        if wanted:
            st.session_state[key] = numbers[there]
            st.rerun()
    row.caption(t("{n} of {all}", n=here + 1, all=len(numbers)))
