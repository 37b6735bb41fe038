"""Violations review: one case side by side, and an officer's decision. Keys: Y, X, N, P (Streamlit keeps C and R)."""

from datetime import datetime

import streamlit as st

from dashboards import address, markup, reasons, session
from dashboards.client import ApiError
from dashboards.evidence_calls import EvidenceCase, EvidenceDetail
from dashboards.safe import plain
from dashboards.words import number, t, term

STATES = ("open", "confirmed", "rejected", "damaged", "erased")
STILLS = ("before", "at", "past")
ALL = "all"
"""stands in the address where no state is asked for"""
PAGE = 100


def queue() -> list[EvidenceCase]:
    """The cases that the filters leave, and the filters."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        begin = None if st.query_params.get("state") == ALL else address.chosen("state", STATES, "open")
        state = st.pills(t("State"), STATES, format_func=term, default=begin, key="evidence_state")
        address.keep("state", state or ALL)
    cameras, _ = session.cameras(api)
    names = {camera["id"]: camera["name"] for camera in cameras}
    with right:
        options = [None, *names]
        camera = st.selectbox(
            t("Camera"),
            options,
            index=options.index(address.chosen("camera", options, None)),
            format_func=lambda c: names[c] if c else t("All"),
            key="evidence_camera",
        )
        address.keep("camera", camera)
    found, error = session.latest(
        f"evidence {state} {camera}", lambda: api.evidence(limit=PAGE, state=state, camera=camera)
    )
    session.trouble(error)
    return list(found["cases"]) if found else []


def chosen(cases: list[EvidenceCase]) -> EvidenceCase:
    """The case that is looked at; the one that followed when it has left the list."""
    ids = [case["id"] for case in cases]
    place = st.session_state.get("evidence_place", 0)
    wanted = st.session_state.get("evidence_id") or st.query_params.get("case")
    place = ids.index(wanted) if wanted in ids else min(place, len(ids) - 1)
    back, where, on = st.columns([1, 3, 1], vertical_alignment="center")
    for column, label, key, other in ((back, t("Previous"), "P", place - 1), (on, t("Next"), "N", place + 1)):
        there = 0 <= other < len(ids)
        # By a callback, which runs before the page is drawn: the buttons then stand as the case that is shown has them.
        column.button(
            label,
            shortcut=key,
            disabled=not there,
            width="stretch",
            key="previous" if key == "P" else "next",
            on_click=lambda id=ids[other] if there else None: st.session_state.update(evidence_id=id),
        )
    more = "+" if len(ids) == PAGE else ""
    where.markdown(t("Case {n} of {total}", n=place + 1, total=f"{len(ids)}{more}"))
    st.session_state["evidence_place"], st.session_state["evidence_id"] = place, ids[place]
    address.keep("case", ids[place])
    return cases[place]


def pictures(case: EvidenceDetail) -> dict[str, bytes]:
    """The case's pictures, fetched once while it is looked at; they are kept for this viewer alone."""
    id, kept = st.session_state.get("evidence_pictures", (None, {}))
    if id != case["id"] or set(kept) != set(case["pictures"]):
        kept = {name: api.evidence_picture(case["id"], name) for name in case["pictures"]}
        st.session_state["evidence_pictures"] = (case["id"], kept)
    return kept


def evidence(case: EvidenceDetail) -> None:
    """What was recorded, and beside it what is decided by it."""
    try:
        shown = pictures(case)
    except ApiError as error:
        shown = {}
        session.trouble(error)
    if not shown and case["state"] not in ("damaged", "erased"):
        st.info(t("Its pictures are being made presentable: others are hidden in them first."))
    for column, name in zip(st.columns(3), STILLS, strict=True):
        with column:
            if (still := shown.get(f"{name}.jpg")) is not None:
                st.image(still, caption=f"{term(name)}, {moment(case, name)}", width="stretch")
            elif why := case["missing"].get(f"{name}.jpg"):
                st.warning(f"{plain(term(name))}: {plain(reasons.said(why))}")
    left, right = st.columns([3, 2])
    with left:
        if "clip.mp4" in shown:
            st.video(shown["clip.mp4"])
        elif why := case["missing"].get("clip.mp4"):
            st.warning(f"{t('Clip')}: {plain(reasons.said(why))}")
    with right:
        if "plate.jpg" in shown:
            st.image(shown["plate.jpg"], caption=case["plate"] or t("not read"))
        st.html(facts(case))
        for doubt in case["doubts"]:
            st.warning(plain(reasons.said(doubt)), icon=":material/help:")
        if case["state"] not in ("damaged", "erased"):
            decision(case)
        if case["state"] == "confirmed":
            export(case)


def moment(case: EvidenceDetail, name: str) -> str:
    """When a still was captured, to the hundredth of a second."""
    frame = ((case["manifest"] or {}).get("frames") or {}).get(name)
    return clock(frame["time"]) if frame else "?"


def place(case: EvidenceDetail) -> str:
    """The line or zone of the event."""
    event = ((case["manifest"] or {}).get("event") or {}).get("data") or {}
    return str(event.get("line") or event.get("zone") or "")


def facts(case: EvidenceDetail) -> str:
    """What is known of a case, as HTML."""
    red = case["seconds_into_red"]
    names = session.names(api)
    rows = [
        (t("What"), f"{term(case['type'].removeprefix('hoaban.'))} {place(case)}"),
        (t("Camera"), names.get(case["camera"], case["camera"])),
        (t("Captured"), clock(case["captured"], date=True)),
        (t("Plate as read"), case["plate"] or t("not read")),
        (t("Seconds into red"), number(red, 2) if red is not None else "–"),
        (t("Valid as proof"), t("nothing speaks against it") if case["evidential"] else t("no, see below")),
        (t("Timestamp"), clock(case["timestamp"], date=True) if case["timestamp"] else t("none")),
        (t("Kept until"), t("held") if case["held_by"] else clock(case["kept_until"], date=True)),
    ]
    if case["simulated"]:
        rows.append((t("Source"), t("simulated")))
    rows += [
        (term(one["verdict"]), f"{term(one['reason'])} · {one['by']} · {clock(one['at'], date=True)} {one['note']}")
        for one in case["decisions"]
    ]
    return markup.facts(rows)


def decision(case: EvidenceDetail) -> None:
    """The two buttons, each with its reasons."""
    note = st.text_input(t("Note"), key=f"note-{case['id']}-{case['version']}")
    for column, verdict, key, label in zip(
        st.columns(2), ("confirmed", "rejected"), "YX", (t("Confirm"), t("Reject")), strict=True
    ):
        with column:
            reason = st.selectbox(
                t("Reason"), case["reasons"][verdict], format_func=term, key=f"{verdict}-{case['id']}"
            )
            closed = verdict == "confirmed" and not case["evidential"]
            kind = "primary" if verdict == "confirmed" else "secondary"
            if st.button(label, shortcut=key, type=kind, disabled=closed, width="stretch", key=f"do-{verdict}"):
                decide(case, verdict, reason, note)


def decide(case: EvidenceDetail, verdict: str, reason: str, note: str) -> None:
    try:
        api.decide(case["id"], verdict, reason, note, case["version"])
    except ApiError as error:
        st.error(plain(error), icon=":material/gavel:")
        if error.status != 409:
            return
        st.session_state["evidence_late"] = t("Another officer decided this case meanwhile: look at it again.")
    else:
        st.session_state["evidence_told"] = t("{verdict}: recorded under your name.", verdict=term(verdict))
    st.session_state.get("answers", {}).clear()
    st.rerun()


def export(case: EvidenceDetail) -> None:
    """A signed archive of a confirmed case."""
    with st.expander(t("Export"), icon=":material/archive:"):
        st.caption(t("Other people's faces and other vehicles are hidden. The export is recorded under your name."))
        reason = st.text_input(t("To whom, and why"), key=f"export-{case['id']}")
        if st.button(t("Make the archive"), disabled=len(reason.strip()) < 10, key="do-export"):
            try:
                st.session_state["evidence_export"] = case["id"], api.export(case["id"], reason, case["version"])
            except ApiError as error:
                st.error(plain(error))
        id, data = st.session_state.get("evidence_export", (None, b""))
        if id == case["id"]:
            st.download_button(t("Download"), data, f"{id}.zip", "application/zip")


def clock(text: str | None, *, date: bool = False) -> str:
    """A time of the API on the province's clock."""
    if not text:
        return "–"
    at = datetime.fromisoformat(text).astimezone(session.zone(session.fleet(api)))
    return at.strftime("%d/%m/%Y %H:%M:%S" if date else "%H:%M:%S.%f")[: None if date else -4]


api = session.client()
cases = queue()
if told := st.session_state.pop("evidence_told", None):
    st.success(told)
if late := st.session_state.pop("evidence_late", None):
    st.warning(late)
if not cases:
    st.info(t("No case here."), icon=":material/done_all:")
else:
    picked = chosen(cases)
    detail, error = session.latest(f"case {picked['id']}", lambda: api.evidence_case(picked["id"]))
    session.trouble(error)
    if detail is not None:
        evidence(detail)
