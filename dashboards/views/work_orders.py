"""Work orders for the maintenance of cameras, and how long repairs take in each district."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import streamlit as st

from dashboards import cases, markup, reasons, session
from dashboards.case_calls import WorkOrder, WorkOrderDetail
from dashboards.safe import plain
from dashboards.words import seconds, t, term

OPEN = ["open", "in_progress", "to_check"]
DONE = ["done", "cancelled"]
CHOSEN = "order"
DAYS = 30


def row(one: WorkOrder) -> dict[str, object]:
    return {
        "#": one["number"],
        t("State"): term(f"order_{one['state']}"),
        t("Severity"): cases.severity(one["severity"]),
        t("Camera"): session.names(api).get(one["camera"], one["camera"]),
        t("Fault"): term(one["fault"]),
        t("District"): session.districts(api).get(one["district"] or "", one["district"] or "–"),
        t("Due"): ("▲ " if one["overdue"] else "") + cases.at(one["due_s"], zone),
        t("Assigned to"): one["assignee"] or "",
    }


@st.fragment(run_every=10)
def listing() -> None:
    which, where = st.columns(2)
    said = {"open": t("Open"), "done": t("Done")}
    wanted = which.segmented_control(
        t("State"), list(said), format_func=said.__getitem__, default="open", key="orders-of"
    )
    known = session.districts(api)
    district = where.selectbox(
        t("District"), [None, *known], format_func=lambda one: known[one] if one else t("All districts")
    )
    of = DONE if wanted == "done" else OPEN
    found, error = session.latest(f"orders-{of}-{district}", lambda: api.work_orders(of, district))
    cases.missing(error)
    if found is None:
        return
    found = sorted(found, key=lambda one: one["due_s"]) if of is OPEN else found
    rows = [row(one) for one in found]
    cases.choose(CHOSEN, [one["number"] for one in found], rows, f"orders-{wanted}", t("No camera waits for repair."))


def detail(number: int) -> None:
    seen, error = session.latest(f"order-{number}", lambda: api.work_order(number))
    if seen is None:
        cases.missing(error)
        return
    camera = session.names(api).get(seen["camera"], seen["camera"])
    st.subheader(f"#{number} {plain(camera)}: {term(seen['fault'])}", anchor=False)
    if seen["overdue"]:
        st.error(t("It should have been repaired by now."), icon=":material/alarm:")
    if seen["state"] == "to_check":
        st.info(t("The camera says that the fault is over. Look whether it is, then finish the order."), icon="👁")
    rows = [
        (t("State"), term(f"order_{seen['state']}")),
        (t("What the camera said"), reasons.said(seen["reason"]) or "–"),
        (t("Since"), cases.at(seen["began_s"], zone)),
        (t("Over"), cases.at(seen["ended_s"], zone)),
        (t("Due"), cases.at(seen["due_s"], zone)),
        (t("Assigned to"), seen["assignee"] or "–"),
    ]
    st.html(markup.facts(rows))
    actions(seen)
    st.html(cases.log_list(seen["log"], zone))


def actions(seen: WorkOrderDetail) -> None:
    number, version, allowed = seen["number"], seen["version"], seen["allowed"]

    def do(action: str, **more: object) -> None:
        cases.act(api, lambda: api.act_on_order(number, action, version, **more), term(f"did_{action}"))

    for column, (label, action, key) in zip(
        st.columns(2), [(t("Start"), "start", "s"), (t("Works again"), "done", "d")], strict=True
    ):
        if column.button(label, key=f"do-{action}", shortcut=key, disabled=action not in allowed):
            do(action)
    with st.expander(t("More: assign, note, cancel")):
        if "assign" in allowed and (who := cases.choose_assignee(api, "work-orders", number, seen["assignee"])):
            do("assign", assignee=who)
        with st.form(f"note-{number}", border=False, clear_on_submit=True):
            words = st.text_area(t("Note"), max_chars=4000)
            say, end = st.columns(2)
            if say.form_submit_button(t("Note")) and words.strip():
                do("note", note=words.strip())
            if "cancel" in allowed and end.form_submit_button(t("Cancel the order")) and words.strip():
                do("cancel", note=words.strip())


def repair_times() -> None:
    """Mean time to repair of each district, over the last days."""
    since = (datetime.now(UTC) - timedelta(days=DAYS)).replace(minute=0, second=0, microsecond=0).isoformat()
    found, _ = session.latest("repair-times", lambda: api.repair_times(since))
    st.html(markup.head(t("Mean time to repair, last {n} days", n=DAYS)))
    if not found:
        st.caption(t("No fault has ended in this time."))
        return
    st.dataframe(
        pd.DataFrame(
            [
                {
                    t("District"): session.districts(api).get(one["district"] or "", one["district"] or "–"),
                    t("Orders"): one["orders"],
                    t("Mean time"): seconds(one["mean_s"]),
                }
                for one in found
            ]
        ),
        hide_index=True,
    )


api = session.client()
zone = session.zone(session.fleet(api))
cases.flash()
cases.follow_address(CHOSEN)
left, right = st.columns([6, 5], gap="medium")
with left:
    listing()
    repair_times()
with right:
    if (number := st.session_state.get(CHOSEN)) is not None:
        detail(number)
