"""Requests by persons: what is held about them, and its erasure where the law allows. Every search is audited."""

from datetime import date, datetime, timedelta
from datetime import time as clock
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import session
from dashboards.client import ApiError
from dashboards.safe import plain
from dashboards.words import t, term, when

DAY, SECOND = "DD/MM/YYYY", "%d/%m/%Y %H:%M:%S"


def form() -> None:
    """What is searched. The answer stays until the next search."""
    cameras, error = session.cameras(api)
    session.trouble(error)
    names = {camera["id"]: camera["name"] for camera in cameras}
    with st.form("subject"):
        st.caption(t("By plate, or by place and time. The search and its reference are recorded under your name."))
        reference = st.text_input(t("Reference of the request"), key="subject_reference")
        plate = st.text_input(t("Plate"), key="subject_plate")
        places = st.multiselect(
            t("Cameras"),
            list(names),
            format_func=names.__getitem__,
            placeholder=t("Choose cameras"),
            key="subject_cameras",
        )
        today = datetime.now(session.zone(session.fleet(api))).date()
        first, last = st.columns(2)
        since = first.date_input(t("From day"), today - timedelta(days=7), format=DAY, key="subject_since")
        until = last.date_input(t("To day"), today, format=DAY, key="subject_until")
        if not st.form_submit_button(t("Search"), type="primary"):
            return
    wanted: dict[str, Any] = {"reference": reference, "plate": plate.strip() or None, "cameras": places}
    if places:
        wanted |= {"since": at_midnight(since), "until": at_midnight(until + timedelta(days=1))}
    try:
        st.session_state["subject_found"] = api.search_subject(wanted)
    except ApiError as error:
        st.session_state.pop("subject_found", None)
        st.error(plain(error))
    st.session_state.pop("subject_erased", None)


def at_midnight(day: date) -> str:
    return datetime.combine(day, clock(), session.zone(session.fleet(api))).isoformat()


def answer(found: dict[str, Any]) -> None:
    """What is held, with what may be erased ticked or not by the officer."""
    if not found["whole"]:
        st.warning(t("There is more than is shown: narrow the search."))
    ticked: dict[str, list[str]] = {}
    for kind, title in (("evidence", t("Evidence")), ("events", t("Events"))):
        rows = found[kind]
        st.subheader(f"{title}: {len(rows)}", anchor=False)
        if rows:
            ticked[kind] = table(kind, rows)
    for kind, rows in found["more"].items():
        st.subheader(f"{title_of(kind)}: {len(rows)}", anchor=False)
        if rows and "refusal" in rows[0]:
            ticked[kind] = table(kind, rows)
        else:
            st.dataframe(pd.DataFrame(rows), hide_index=True)
    if not any(ticked.values()):
        return
    basis = st.text_input(t("Why the law allows erasure"), key="subject_basis")
    if st.button(t("Erase for good"), type="primary", disabled=len(basis.strip()) < 10, key="subject_erase"):
        erase(found["reference"], basis, ticked)


def title_of(kind: str) -> str:
    """What other kinds are called."""
    titles = {
        "reports": t("Citizens' reports"),
        "disagreements": t("Pictures on which two models differ"),
        "dead_letters": t("Events that no database took"),
    }
    return titles.get(kind, kind)


def table(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    """One kind of what is held; ids of those that are ticked."""
    names, zone = session.names(api), session.zone(session.fleet(api))
    erase, kept = t("Erase"), t("Why it is kept")
    frame = pd.DataFrame(
        {
            erase: [False] * len(rows),
            t("What"): [term(row["type"].removeprefix("hoaban.")) for row in rows],
            t("Camera"): [names.get(row["camera"], row["camera"]) for row in rows],
            t("Captured"): [when(row.get("captured") or row.get("time"), zone, SECOND) for row in rows],
            t("Plate"): [row.get("plate") for row in rows],
            t("State"): [term(row.get("state")) for row in rows],
            kept: [row["refusal"] for row in rows],
        }
    )
    edited = st.data_editor(
        frame, hide_index=True, disabled=[name for name in frame if name != erase], key=f"subject_{kind}"
    )
    return [row["id"] for row, tick in zip(rows, edited[erase], strict=True) if tick]


def erase(reference: str, basis: str, ticked: dict[str, list[str]]) -> None:
    try:
        done = api.erase_subject(reference, basis, ticked)
        record = api.erasure_record(done["erasure"]) if done["erasure"] else None
    except ApiError as error:
        st.error(plain(error))
        return
    st.session_state["subject_erased"] = done, record
    st.session_state.pop("subject_found", None)
    st.rerun()


def told(done: dict[str, Any], record: bytes | None) -> None:
    """What came of an erasure."""
    if done["erased"]:
        st.success(t("{n} erased. The signed record says what and why.", n=len(done["erased"])))
    for id, why in done["refused"].items():
        st.warning(f"{plain(id)}: {plain(why)}")
    if record is not None:
        st.download_button(t("Record of the erasure"), record, f"erasure-{done['erasure']}.zip", "application/zip")


api = session.client()
form()
if "subject_erased" in st.session_state:
    told(*st.session_state["subject_erased"])
if "subject_found" in st.session_state:
    answer(st.session_state["subject_found"])
