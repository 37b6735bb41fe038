"""Events as lines that an operator reads in a glance."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from dashboards import markup
from dashboards.client import StoredEvent
from dashboards.words import TERMS, t, term

# sign of Streamlit's own icon font, and how much it asks for attention
KINDS = {
    "line_count": ("swap_vert", "plain"),
    "turning_count": ("turn_right", "plain"),
    "intrusion": ("directions_walk", "alert"),
    "loitering": ("hourglass_top", "alert"),
    "crowd": ("groups", "alert"),
    "line_crossing": ("directions_walk", "alert"),
    "abandoned_object": ("luggage", "alert"),
    "removed_object": ("remove_shopping_cart", "alert"),
    "congestion": ("traffic", "warn"),
    "red_light": ("traffic", "alert"),
    "stop_line": ("front_hand", "alert"),
    "wrong_way": ("u_turn_left", "alert"),
    "illegal_turn": ("turn_left", "alert"),
    "illegal_parking": ("local_parking", "alert"),
    "face_watchlist": ("face", "alert"),
    "plate_watchlist": ("directions_car", "alert"),
    "camera_health": ("videocam_off", "warn"),
}
COUNTS = "line_count"
_follow = st.components.v2.component("hoaban_follow", js=Path(__file__).with_name("follow.js").read_text())


def listed(events: Sequence[StoredEvent], names: Mapping[str, str], zone: tzinfo) -> str:
    """The feed as HTML, the newest first. names: camera id -> name. Text from outside is escaped."""
    if not events:
        return markup.nothing(t("No events yet."))
    return f'<ol class="hb-feed">{"".join(_line(row["event"], names, zone) for row in events)}</ol>'


def follow() -> dict[str, str] | None:
    """The line of events that was followed since the last run: camera, moment and at, as the address has them."""
    return _follow(key="follow", data={"followed": None}, on_followed_change=lambda: None, height="content").followed


def kind_said(kind: str) -> str:
    """A kind of event as a heading: TERMS has it within a sentence where it has no word of its own."""
    said = term(f"kind_{kind}") if f"kind_{kind}" in TERMS else term(kind)
    return said[:1].upper() + said[1:]


def told(event: Mapping[str, Any]) -> str:
    """What happened, in words."""
    data = event["data"]
    kind = event["type"].removeprefix("hoaban.")
    phase = f"{kind}_{data.get('phase')}"
    verb = term(phase if phase in TERMS else kind)
    parts = [term(data.get("class")), verb, data.get("line") or data.get("zone")]
    if data.get("direction"):
        parts.append(f"({term(data['direction'])})")
    if kind == "crowd" and data.get("count") is not None:
        parts.append(f"({data['count']})")
    if kind == "congestion":
        parts.append(f"({term(data.get('level'))})")
    if kind == "camera_health":
        parts.append(term(data.get("fault")))
    text = " ".join(part for part in parts if part)
    return text[:1].upper() + text[1:]


def _line(event: Mapping[str, Any], names: Mapping[str, str], zone: tzinfo) -> str:
    data = event["data"]
    kind = event["type"].removeprefix("hoaban.")
    icon, weight = KINDS.get(kind, ("info", "alert"))
    if kind == "camera_health" and data.get("phase") == "end":
        icon, weight = "videocam", "plain"
    elif data.get("phase") == "end":
        weight = "plain"
    time = datetime.fromisoformat(event["time"]).astimezone(zone)
    camera = names.get(data["camera"], data["camera"])
    simulated = f'<b class="hb-simulated">{escape(t("SIMULATED"))}</b>' if data.get("simulated") else ""
    moment = (
        f'data-camera="{escape(data["camera"])}" data-moment="{escape(event["id"])}" data-at="{escape(event["time"])}"'
    )
    return (
        f'<li class="hb-{weight}" {moment}><span class="hb-icon" aria-hidden="true">{icon}</span>'
        f'<div role="link" tabindex="0" title="{escape(t("See the moment"))}">'
        f"<b>{escape(told(event))}</b>{simulated}<span>{escape(camera)}</span></div>"
        f'<time datetime="{escape(event["time"])}" title="{time:%d/%m/%Y %H:%M:%S %Z}">{time:%H:%M:%S}</time></li>'
    )
