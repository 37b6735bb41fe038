"""What happens now: live pictures, the newest events, today's counts."""

from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboards import session, wall
from dashboards.words import t

ICONS = {
    "line_count": ":material/swap_vert:",
    "intrusion": ":material/warning:",
    "loitering": ":material/hourglass_top:",
    "crowd": ":material/groups:",
    "camera_health": ":material/videocam_off:",
}


def summary(cameras: list[dict[str, Any]]) -> None:
    statuses = [camera["status"] for camera in cameras if camera["status"]]
    states = Counter(status["state"] for status in statuses)
    others = ", ".join(f"{n} {t(state)}" for state, n in sorted(states.items()) if state != "live")
    latencies = sorted(status["latency_p95_s"] for status in statuses if status["latency_p95_s"] is not None)
    columns = st.columns(4)
    columns[0].metric(t("cameras"), f"{states['live']} / {len(cameras)} {t('live')}", others or None, delta_color="off")
    columns[1].metric(t("in_view"), sum(status["tracks"] for status in statuses))
    columns[2].metric(t("analysed"), f"{sum(status['analysed_fps'] for status in statuses):.0f}")
    columns[3].metric(t("latency"), f"{latencies[-1] * 1000:.0f} ms" if latencies else "–")


def told(event: dict[str, Any], names: dict[str, str], zone: ZoneInfo) -> str:
    """One line of the feed."""
    data = event["data"]
    kind = event["type"].removeprefix("hoaban.")
    time = datetime.fromisoformat(event["time"]).astimezone(zone)
    verb = t("crowd_end") if kind == "crowd" and data.get("phase") == "end" else t(kind)
    what = [t(data["class"]) if data["class"] else "", verb, data["line"] or data["zone"] or ""]
    if kind == "line_count":
        what.append(f"({t(data['direction'])})")
    elif kind == "camera_health":
        what.append(t(data.get("state", "")))
    elif kind == "crowd":
        what.append(f"({data.get('count')})")
    text = " ".join(part for part in what if part)
    icon = ICONS.get(kind, ":material/info:")
    return f"{icon} `{time:%H:%M:%S}` **{text}** · {names.get(data['camera'], data['camera'])}"


def count_table(rows: list[dict[str, Any]], names: dict[str, str]) -> None:
    if not rows:
        st.caption(t("no_counts"))
        return
    frame = pd.DataFrame(
        {
            t("camera"): [names.get(row["camera"], row["camera"]) for row in rows],
            t("line"): [row["line"] for row in rows],
            t("direction"): [t(row["direction"]) for row in rows],
            t("class"): [t(row["label"]) for row in rows],
            t("number"): [row["n"] for row in rows],
        }
    )
    st.dataframe(frame.sort_values(t("number"), ascending=False), hide_index=True, height=300)


@st.fragment(run_every=2)
def live_part() -> None:
    cameras = session.asked(api.cameras)
    if cameras is None:
        return
    fleet = session.asked(api.fleet) or {}
    zone = ZoneInfo((fleet.get("province") or {}).get("timezone", "Asia/Ho_Chi_Minh"))
    names = {camera["id"]: camera["name"] for camera in cameras}
    if fleet.get("errors"):
        listed = "\n".join(f"- `{error}`" for error in fleet["errors"])
        st.warning(f"**{t('fleet_errors')}**\n\n{listed}", icon=":material/edit_off:")
    summary(cameras)
    if sorted(names) != st.session_state.get("wall_cameras"):
        st.session_state["wall_cameras"] = sorted(names)
        st.rerun(scope="app")
    left, right = st.columns([3, 2])
    with left:
        st.subheader(t("events"))
        with st.container(height=300, border=True):
            events = session.asked(lambda: api.events(limit=30))
            lines = [told(row["event"], names, zone) for row in events or []]
            st.markdown("\n\n".join(lines) or t("no_events"))
    with right:
        st.subheader(t("counts"))
        midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        count_table(session.asked(lambda: api.counts(since=midnight.isoformat())) or [], names)


def picture_wall() -> None:
    """Outside the refreshing part: it must not be made anew every two seconds."""
    cameras = session.asked(api.cameras)
    if cameras is None:
        return
    shown = [camera for camera in cameras if camera["enabled"]][:16]
    if not shown:
        st.info(t("starting"), icon=":material/hourglass_top:")
        return
    addresses = session.asked(lambda: session.picture_addresses(api, [camera["id"] for camera in shown]))
    if addresses is None:
        return
    tiles = [{"id": c["id"], "name": c["name"], "address": addresses[c["id"]]} for c in shown]
    words = {"none": t("no_picture"), "old": t("old_picture")}
    st.iframe(wall.page(tiles, words), height=wall.height(len(tiles)))


api = session.client()
picture_wall()
live_part()
