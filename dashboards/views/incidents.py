"""Incidents: the queue, the chosen one in full with what may be done, and the handover of a shift."""

from html import escape

import streamlit as st

from dashboards import address, cases, feed, markup, moments, session, states
from dashboards.case_calls import Incident, IncidentDetail
from dashboards.wall import wall
from dashboards.words import t, term

OPEN = ["new", "acknowledged", "assigned", "in_progress"]
CLOSED = ["resolved", "dismissed"]
CHOSEN = "incident"
DISMISSALS = ("false_alarm", "not_an_incident", "duplicate", "test", "camera_fault", "other")


def queue() -> list[Incident] | None:
    """The list, the worst that waits longest first; None when there is none to be had."""
    which, worst, where = st.columns([2, 2, 2])
    said = {"open": t("Open"), "closed": t("Closed")}
    wanted = which.segmented_control(
        t("State"),
        list(said),
        format_func=said.__getitem__,
        default=address.chosen("state", list(said), "open"),
        key="which",
    )
    grades = [None, *cases.SEVERITIES]
    severity = worst.selectbox(
        t("Severity"),
        grades,
        index=grades.index(address.chosen("severity", grades, None)),
        format_func=lambda one: cases.severity(one) if one else t("All"),
    )
    names = session.districts(api)
    places = [None, *names]
    district = where.selectbox(
        t("District"),
        places,
        index=places.index(address.chosen("district", places, None)),
        format_func=lambda one: names[one] if one else t("All districts"),
    )
    address.keep("state", "closed" if wanted == "closed" else None)
    address.keep("severity", severity)
    address.keep("district", district)
    of = CLOSED if wanted == "closed" else OPEN
    found, error = session.latest(
        f"incidents-{of}-{severity}-{district}", lambda: api.incidents(of, severity, district)
    )
    cases.missing(error)
    if found is None:
        return None
    order = {code: place for place, code in enumerate(cases.SEVERITIES)}
    if of is OPEN:
        found = sorted(found, key=lambda one: (one["state"] != "new", order[one["severity"]], one["waiting_since_s"]))
    return found


def row(one: Incident) -> dict[str, object]:
    marks = [t("ESCALATED")] if one["escalated_s"] and one["state"] == "new" else []
    marks += [t("quiet: resolve?")] if one["proposed_s"] else []
    marks += [t("SIMULATED")] if one["simulated"] else []
    return {
        "#": one["number"],
        t("Severity"): cases.severity(one["severity"]),
        t("What"): feed.kind_said(one["kind"]),
        t("Camera"): session.names(api).get(one["camera"], one["camera"]),
        t("State"): term(one["state"]),
        t("Waits"): cases.age(one["waiting_since_s"]) if one["state"] == "new" else "",
        t("Note"): ", ".join(marks),  # before what a narrow list may cut off
        t("Assigned to"): one["assignee"] or "",
        t("Events"): one["events"],
    }


def detail(number: int) -> None:
    """One incident, and what may be done with it."""
    seen, error = session.latest(f"incident-{number}", lambda: api.incident(number))
    if seen is None:
        cases.missing(error)
        return
    st.subheader(f"#{number} {feed.kind_said(seen['kind'])}", anchor=False)
    if seen["escalated_s"] and seen["state"] == "new":
        st.error(t("Nobody has acknowledged it in time."), icon=":material/alarm:")
    if seen["proposed_s"] and seen["state"] in OPEN:
        st.info(t("Nothing more was seen for a while. Resolve it if it is over."), icon=":material/bedtime:")
    actions(seen)
    cameras, _ = session.cameras(api)
    here = [camera for camera in cameras if camera["id"] == seen["camera"]]
    if here:
        addresses = session.picture_addresses(api, [seen["camera"]])
        told = wall([states.tile(here[0], addresses.get(seen["camera"]))], key=f"incident-wall-{seen['camera']}")
        if told.refused:
            session.forget_tickets()
        if told.chosen:
            st.switch_page("views/cameras.py", query_params={"camera": told.chosen})
    st.html(facts(seen))
    if seen["stored"]:
        event = seen["stored"][0]["event"]
        st.page_link(
            "views/cameras.py",
            label=t("See the moment: track, rule and why"),
            icon=":material/history:",
            query_params=moments.link(event["data"]["camera"], event["id"], event["time"]),
        )
    events, log = st.tabs([t("Events"), t("Log")])
    with events:
        st.html(feed.listed(seen["stored"], session.names(api), zone))  # type: ignore[arg-type]
    with log:
        st.html(cases.log_list(seen["log"], zone))


def actions(seen: IncidentDetail) -> None:
    number, version, allowed = seen["number"], seen["version"], seen["allowed"]

    def do(action: str, **more: object) -> None:
        cases.act(api, lambda: api.act_on_incident(number, action, version, **more), term(f"did_{action}"))

    plain = [
        (t("Acknowledge"), "acknowledge", "a", ":material/visibility:"),
        (t("Start"), "start", "s", ":material/play_arrow:"),
        (t("Resolve"), "resolve", "e", ":material/check_circle:"),
    ]
    row = st.container(horizontal=True)
    for label, action, key, icon in plain:
        if row.button(label, icon=icon, key=f"do-{action}", shortcut=key, disabled=action not in allowed):
            do(action)
    with st.expander(t("More: assign, severity, dismiss, comment, reopen")):
        if "assign" in allowed and (who := cases.choose_assignee(api, "incidents", number, seen["assignee"])):
            do("assign", assignee=who)
        if "grade" in allowed:
            with st.form(f"grade-{number}", border=False):
                graded = st.selectbox(
                    t("New severity"),
                    [one for one in cases.SEVERITIES if one != seen["severity"]],
                    format_func=cases.severity,
                )
                words = st.text_input(t("Why its severity changes"), max_chars=1000, key=f"grade-words-{number}")
                if st.form_submit_button(t("Change the severity")) and words.strip():
                    do("grade", severity=graded, note=words.strip())
        if "dismiss" in allowed:
            with st.form(f"dismiss-{number}", border=False):
                reason = st.selectbox(t("Why it is no incident"), DISMISSALS, format_func=term)
                words = st.text_input(t("In words"), max_chars=1000, key=f"dismiss-words-{number}")
                if st.form_submit_button(t("Dismiss")) and words.strip():
                    do("dismiss", reason=reason, note=words.strip())
        with st.form(f"comment-{number}", border=False, clear_on_submit=True):
            words = st.text_area(t("Comment"), max_chars=4000)
            say, again = st.columns(2)
            if say.form_submit_button(t("Comment")) and words.strip():
                do("comment", note=words.strip())
            if "reopen" in allowed and again.form_submit_button(t("Reopen")) and words.strip():
                do("reopen", note=words.strip())


def facts(seen: IncidentDetail) -> str:
    """What is known of an incident, as HTML."""
    names = session.names(api)
    near = ", ".join(f"{names.get(n['camera'], n['camera'])} ({n['metres']:.0f} m)" for n in seen["neighbours"])
    reports, _ = session.latest(f"reports-of-{seen['number']}", lambda: api.reports([], seen["number"]))
    rows = [
        (t("Severity"), cases.severity(seen["severity"])),
        (t("State"), " ".join(filter(None, [term(seen["state"]), term(seen["dismissal"])]))),
        (t("Assigned to"), seen["assignee"] or "–"),
        (t("Camera"), names.get(seen["camera"], seen["camera"])),
        (t("District"), session.districts(api).get(seen["district"] or "", seen["district"] or "–")),
        (t("Seen"), " – ".join(dict.fromkeys(cases.at(seen[when], zone) for when in ("first_s", "last_s")))),
        (t("Cameras near it"), near or "–"),
        (t("Citizens' reports"), ", ".join(f"#{one['number']}" for one in reports or []) or "–"),
    ]
    return markup.facts(rows)


def handover() -> None:
    """Hand the shift over, and take one over."""
    people, error = session.latest("successors", api.successors)
    if people is None:
        cases.missing(error)
    with st.form("handover", clear_on_submit=True):
        to = st.selectbox(
            t("Who takes over"), [one["name"] for one in people or ()], index=None, placeholder=t("Choose a person")
        )
        note = st.text_area(t("What they must know"), max_chars=4000)
        st.caption(t("All open incidents are listed with it, as they stand when you sign."))
        if st.form_submit_button(t("Sign and hand over"), type="primary") and to and note.strip():
            cases.act(api, lambda: api.hand_over(to, note.strip()), t("Handed over."))
    found, error = session.latest("handovers", api.handovers)
    if found is None:
        cases.missing(error)
        return
    if not found:
        st.info(t("No shift has been handed over yet."), icon=":material/handshake:")
    for one in found:
        taken = cases.at(one["accepted_s"], zone) if one["accepted_s"] else t("not accepted yet")
        with st.container(border=True):
            st.html(
                f"<b>{escape(one['from_name'])} → {escape(one['to_name'])}</b> {escape(cases.at(one['at_s'], zone))}"
                f" · {escape(taken)}<br>{escape(one['note'])}<br><small>"
                + escape(", ".join(f"#{i['number']} {term(i['state'])}" for i in one["incidents"]) or "–")
                + "</small>"
            )
            if not one["accepted_s"] and st.button(t("Accept"), key=f"accept-{one['number']}"):
                cases.act(api, lambda number=one["number"]: api.accept_handover(number), t("Taken over."))


@st.fragment(run_every=5)
def listing() -> None:
    """The queue renews itself; what is chosen stays chosen, and is not drawn anew under the hand of who writes."""
    found = queue()
    if found is None:
        return
    rows = [row(one) for one in found]
    cases.choose(
        CHOSEN, [one["number"] for one in found], rows, f"queue-{st.session_state.get('which')}", t("No incident here.")
    )


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
cases.follow_address(CHOSEN)
at_work, shift = st.tabs([t("Incidents"), t("Handover")])
with at_work:
    left, right = st.columns([6, 5], gap="medium")
    with left:
        listing()
    with right:
        if (number := st.session_state.get(CHOSEN)) is not None:
            detail(number)
with shift:
    handover()
