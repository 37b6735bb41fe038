"""Any moment of a camera: its events along a time line, the rule that fired, why, and where in the picture."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import streamlit as st

from dashboards import address, feed, markup, reasons, session
from dashboards.client import ApiClient, ApiError, Camera
from dashboards.drawn import drawing
from dashboards.safe import plain
from dashboards.terms import TERMS
from dashboards.words import number, seconds, t, term

MOST = 300
SAME_TRACK_S = 120.0
"""an event further away with the same track number may be about another: numbers begin anew when a camera does"""
STYLE = """
* { fill: none; stroke-width: .4% } .other { stroke: #7d8894; stroke-width: .25%; stroke-dasharray: 1% }
.hit { stroke: #c98500 } .box { stroke: #d93025; stroke-width: .5% }
.seen { stroke: #d93025; stroke-width: .2%; opacity: .6 } .way { stroke: #3b82d6 }
"""
"""legible on a light and on a dark ground"""
HOURS = (1, 4, 24, 168)
AROUND = (timedelta(minutes=30), timedelta(seconds=30))
"""of a moment that an address leads to: what is shown before and after it; the second where the first has too much"""
WHY = (
    "count",
    "at_least",
    "level",
    "was",
    "speed",
    "cover",
    "density",
    "inside_s",
    "seconds_into_red",
    "similarity",
    "fault",
    "reason",
    "lane",
    "from",
    "to",
)
"""of what an event holds: what tells why it was told"""
SECONDS = ("seconds_into_red",)
"""besides names that end with _s"""


def moments(api: ApiClient, camera: str) -> None:
    """A time span, a slider over its events, and the chosen one in full. The address leads to it."""
    zone = session.zone(session.fleet(api))
    here = next((one for one in session.cameras(api)[0] if one["id"] == camera), None)
    if here is None:
        return
    hours = st.segmented_control(
        t("How far back"),
        HOURS,
        format_func=lambda n: t("{n} h", n=n) if n < 48 else t("{n} days", n=n // 24),
        default=address.chosen("hours", HOURS, 4),
        key="moment_hours",
        on_change=lambda: [address.keep(name, None) for name in ("moment", "at")],
    )
    address.keep("hours", hours)
    since = (datetime.now(zone) - timedelta(hours=hours or 4)).replace(second=0, microsecond=0)
    events = _between(api, camera, since, None)
    wanted, at = st.query_params.get("moment"), _time(st.query_params.get("at"))
    if wanted is not None and wanted not in events and at is not None:
        for span in AROUND:
            around = _between(api, camera, at - span, at + span)
            if wanted in around:
                events = around
                st.caption(t("Around {time}, which lies further back.", time=f"{at.astimezone(zone):%d/%m/%Y %H:%M}"))
                break
    if wanted is not None and wanted not in events:
        st.warning(
            t("The moment that the address names is not kept, or lies further back."), icon=":material/link_off:"
        )
    if not events:
        st.info(t("Nothing happened there in this time."), icon=":material/history:")
        return
    ids = list(events)
    said = {id: f"{datetime.fromisoformat(one['time']).astimezone(zone):%d/%m %H:%M:%S}" for id, one in events.items()}
    id = ids[0]
    if len(ids) > 1:
        key = f"moment-{camera}-{hours}-{ids[0]}"
        id = st.select_slider(
            t("Moment"), ids, address.chosen("moment", ids, ids[-1]), format_func=said.__getitem__, key=key
        )
    event = events[id]
    for name, value in link(camera, id, event["time"]).items():
        address.keep(name, value)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.html(sketch(here, event, way(event, list(events.values()))))
        st.caption(t("Drawn after the event: its zone or line, what it is about, and where its track was seen before."))
    with right:
        st.html(markup.head(feed.told(event)))
        _clip(api, event)
        st.html(why(here, event, zone))


def link(camera: str, id: str, time: str) -> dict[str, str]:
    """What the address of a camera's moment holds; the time finds it also when it lies far back."""
    return {"camera": camera, "part": "moments", "moment": id, "at": time}


def _between(api: ApiClient, camera: str, since: datetime, until: datetime | None) -> dict[str, dict[str, Any]]:
    """id -> event, in time; the newest MOST."""
    begin, end = since.isoformat(), None if until is None else until.isoformat()
    rows, error = session.latest(
        f"moments-{camera}-{begin}-{end}", lambda: api.events(MOST, camera=camera, since=begin, until=end)
    )
    session.trouble(error)
    found = sorted((row["event"] for row in rows or []), key=lambda one: datetime.fromisoformat(one["time"]))
    return {one["id"]: one for one in found}


def _time(text: str | None) -> datetime | None:
    """A time of the address; None for what is none, or has no zone."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None and 1970 < found.year < 9000 else None


def why(camera: Camera, event: dict[str, Any], zone: Any) -> str:
    """The rule that fired, with what it was set to and what it saw, as HTML."""
    data, kind = event["data"], event["type"].removeprefix("hoaban.")
    place = data.get("zone") or data.get("line")
    rule = next(
        (one for one in camera["rules"] if one["type"] == kind and place in (one.get("zone"), one.get("line"), None)),
        {},
    )
    settings = _listed("set", {key: value for key, value in rule.items() if key != "type"})
    seen = _listed("saw", {key: data.get(key) for key in WHY})
    model = data.get("model") or {}
    rows = [
        (t("Captured"), datetime.fromisoformat(event["time"]).astimezone(zone).strftime("%d/%m/%Y %H:%M:%S.%f")[:-3]),
        (t("Rule"), f"{feed.kind_said(kind)} ({data.get('rule') or kind})"),
        (t("Set to, now"), settings or "–"),
        (t("Saw"), seen or term(data.get("class")) or "–"),
        (t("Track"), str(data.get("track") if data.get("track") is not None else "–")),
        (t("Certainty"), "–" if data.get("score") is None else number(data["score"], 2)),
        (t("Model"), f"{model.get('name')} {model.get('version')}" if model else "–"),
        (t("Frame"), str((data.get("frame") or {}).get("seq", "–"))),
        (t("Event id"), event["id"]),
    ]
    return markup.facts(rows)


def _listed(kind: str, values: Mapping[str, Any]) -> str:
    """Settings of a rule ("set") or what it saw ("saw"), in words; a name that has no word is shown as it is."""
    found = []
    for name, value in values.items():
        if value is None or value in ("", [], {}):
            continue
        word = f"{kind}_{name}"
        found.append(f"{term(word) if word in TERMS else name} {_value(name, value)}")
    return "; ".join(found)


def _value(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(name, one) for one in value)
    if isinstance(value, bool):
        return t("yes") if value else t("no")
    if isinstance(value, float | int):
        return seconds(value) if name.endswith("_s") or name in SECONDS else number(value, 0 if value % 1 == 0 else 2)
    return reasons.said(value) if name == "reason" else term(str(value))


def way(event: dict[str, Any], events: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Boxes (xyxy, pixels of the event's picture) in which the event's track was seen, in time: in the frames that the
    event names, and in its other events."""
    data = event["data"]
    if data.get("track") is None:
        return []
    at = datetime.fromisoformat(event["time"])
    seen = {at: data["bbox"]} if data.get("bbox") else {}
    for one in events:
        time, other = datetime.fromisoformat(one["time"]), one["data"]
        near = abs((time - at).total_seconds()) <= SAME_TRACK_S and _size(other) == _size(data)
        if near and other.get("track") == data["track"] and other.get("bbox"):
            seen.setdefault(time, other["bbox"])
    for moment in (data.get("frames") or {}).values():
        if moment.get("bbox") and moment.get("time"):
            seen.setdefault(datetime.fromisoformat(moment["time"]), moment["bbox"])
    return [seen[time] for time in sorted(seen)]


def sketch(camera: Camera, event: dict[str, Any], boxes: Sequence[Sequence[float]] = ()) -> str:
    """The event's zone or line, box and track in an empty picture, as HTML. No picture of then is kept but as evidence.

    boxes: of its track, in time (see way).
    """
    data = event["data"]
    width, height = _size(data)
    shapes = ""
    for zone in camera["zones"]:
        points = " ".join(f"{x * width:.0f},{y * height:.0f}" for x, y in zone["polygon"])
        strong = zone["id"] == data.get("zone")
        shapes += f'<polygon points="{points}" class="{"hit" if strong else "other"}"/>'
    for line in camera["lines"]:
        (x1, y1), (x2, y2) = line["from"], line["to"]
        strong = line["id"] == data.get("line")
        ends = f'x1="{x1 * width:.0f}" y1="{y1 * height:.0f}" x2="{x2 * width:.0f}" y2="{y2 * height:.0f}"'
        shapes += f'<line {ends} class="{"hit" if strong else "other"}"/>'
    if len(boxes) > 1:
        feet = " ".join(f"{(x1 + x2) / 2:.0f},{y2:.0f}" for x1, _, x2, y2 in boxes)
        shapes += "".join(_box(box, "seen") for box in boxes) + f'<polyline points="{feet}" class="way"/>'
    if box := data.get("bbox"):
        shapes += _box(box, "box")
    return drawing(shapes, width, height, feed.told(event), STYLE)


def _size(data: dict[str, Any]) -> tuple[int, int]:
    """Width and height of an event's picture."""
    frame = data.get("frame") or {}
    return frame.get("width") or 1600, frame.get("height") or 900


def _box(box: Sequence[float], style: str) -> str:
    x1, y1, x2, y2 = box
    return f'<rect x="{x1:.0f}" y="{y1:.0f}" width="{x2 - x1:.0f}" height="{y2 - y1:.0f}" class="{style}"/>'


def _clip(api: ApiClient, event: dict[str, Any]) -> None:
    """The clip of an event that is evidence, for who may see it."""
    case = event["data"].get("evidence")
    if not isinstance(case, str):
        return
    if st.button(t("Show the clip"), icon=":material/movie:", key=f"clip-{event['id']}"):
        try:
            st.video(api.evidence_picture(case, "clip.mp4"))
        except ApiError as error:
            st.info(plain(error), icon=":material/movie_off:")
