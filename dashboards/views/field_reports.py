"""Citizens' field reports, for those who handle them: the list, and the chosen one up to its answer."""

from html import escape

import streamlit as st

from dashboards import cases, feed, markup, session
from dashboards.case_calls import Report, ReportDetail
from dashboards.client import ApiError
from dashboards.safe import plain
from dashboards.words import t, term

OPEN = ["received", "checked", "in_progress"]
DONE = ["answered", "closed"]
CHOSEN = "report"


def row(one: Report) -> dict[str, object]:
    return {
        "#": one["number"],
        t("State"): term(one["state"]),
        t("Received"): cases.at(one["received_s"], zone),
        t("Where"): where(one),
        t("Text"): one["text"],
        t("Photo"): "●" if one["has_photo"] else "",
        t("Incident"): f"#{one['incident']}" if one["incident"] else "",
    }


def where(one: Report) -> str:
    spot = f"{one['lat']:.5f}, {one['lon']:.5f}" if one["lat"] is not None and one["lon"] is not None else None
    return " · ".join(filter(None, [one["landmark"], spot])) or "–"


@st.fragment(run_every=10)
def listing() -> None:
    said = {"open": t("Open"), "done": t("Answered")}
    wanted = st.segmented_control(
        t("State"), list(said), format_func=said.__getitem__, default="open", key="reports-of"
    )
    of = DONE if wanted == "done" else OPEN
    found, error = session.latest(f"reports-{of}", lambda: api.reports(of))
    cases.missing(error)
    if found is None:
        return
    rows = [row(one) for one in found]
    cases.choose(CHOSEN, [one["number"] for one in found], rows, f"reports-{wanted}", t("No report waits here."))


def detail(number: int) -> None:
    seen, error = session.latest(f"report-{number}", lambda: api.report(number))
    if seen is None:
        cases.missing(error)
        return
    st.subheader(t("Report #{n}", n=number), anchor=False)
    rows = [
        (t("Tracking number"), seen["tracking"]),
        (t("State"), term(seen["state"])),
        (t("Happened"), cases.at(seen["happened_s"], zone)),
        (t("Where"), where(seen)),
        (t("Incident"), f"#{seen['incident']}" if seen["incident"] else "–"),
        (t("Answer"), seen["answer"] or "–"),
    ]
    st.html(f"<blockquote>{escape(seen['text'])}</blockquote>{markup.facts(rows)}")
    if seen["has_photo"]:
        try:
            st.image(api.report_photo(number), caption=t("Faces are hidden in every picture."))
        except ApiError as refused:
            cases.missing(refused)
    if seen["allowed"]:
        actions(seen)
        contact(seen)
    near, log = st.tabs([t("Cameras near it"), t("Log")])
    with near:
        cameras_near(seen)
    with log:
        st.html(cases.log_list(seen["log"], zone))


def actions(seen: ReportDetail) -> None:
    number, version, allowed = seen["number"], seen["version"], seen["allowed"]

    def do(action: str, **more: object) -> None:
        cases.act(api, lambda: api.act_on_report(number, action, version, **more), term(f"did_{action}"))

    plain = [(t("Checked"), "check", "v"), (t("Start"), "start", "s"), (t("Close"), "close", "x")]
    for column, (label, action, key) in zip(st.columns(len(plain)), plain, strict=True):
        if column.button(label, key=f"do-{action}", shortcut=key, disabled=action not in allowed):
            do(action)
    if "answer" in allowed:
        with st.form(f"answer-{number}"):
            words = st.text_area(t("Answer to the citizen"), seen["answer"] or "", max_chars=4000)
            if st.form_submit_button(t("Send the answer"), type="primary") and words.strip():
                do("answer", answer=words.strip())
    with st.expander(t("More: note, link to an incident, reopen")):
        with st.form(f"note-{number}", border=False, clear_on_submit=True):
            words = st.text_area(t("Note for colleagues; the citizen does not see it"), max_chars=4000)
            say, again = st.columns(2)
            if say.form_submit_button(t("Note")) and words.strip():
                do("note", note=words.strip())
            if "reopen" in allowed and again.form_submit_button(t("Reopen")) and words.strip():
                do("reopen", note=words.strip())
        with st.form(f"link-{number}", border=False):
            to = st.number_input(t("Number of the incident"), min_value=1, step=1, value=seen["incident"])
            if st.form_submit_button(t("Link")) and to:
                do("link", incident=int(to))


def contact(seen: ReportDetail) -> None:
    """Who the citizen is, for a reason that is recorded. Shown once; the next run of the page has forgotten it."""
    if not seen["has_contact"]:
        st.caption(t("The citizen did not say how to reach them."))
        return
    with st.expander(t("Who the citizen is")), st.form(f"contact-{seen['number']}", border=False, clear_on_submit=True):
        reason = st.text_input(t("Reason, at least 10 letters; it is recorded"), max_chars=500)
        if st.form_submit_button(t("Show")):
            try:
                told = api.report_contact(seen["number"], reason.strip())
                st.text(" · ".join(str(value) for value in told.values() if value))  # a citizen's words are no Markdown
            except ApiError as refused:
                st.error(plain(refused), icon=":material/lock:")


def cameras_near(seen: ReportDetail) -> None:
    if not seen["near"]:
        st.caption(t("No camera that you may see stands near."))
    for one in seen["near"]:
        name = session.names(api).get(one["camera"], one["camera"])
        told = t("{n} events around the time, {recorded} recorded", n=len(one["stored"]), recorded=one["recorded"])
        with st.expander(f"{name} · {one['metres']:.0f} m · {told}"):
            st.html(feed.listed(one["stored"], session.names(api), zone))


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
cases.follow_address(CHOSEN)
left, right = st.columns([6, 5], gap="medium")
with left:
    listing()
with right:
    if (number := st.session_state.get(CHOSEN)) is not None:
        detail(number)
