"""What drawn zones and lines would have told of the camera's last minutes, beside what the present ones told."""

import base64
from collections.abc import Mapping
from datetime import datetime, tzinfo
from html import escape
from typing import Any

import streamlit as st

from dashboards import feed, markup, session
from dashboards.client import ApiClient, ApiError
from dashboards.safe import plain
from dashboards.words import number, seconds, t, term

MOST_LINES = 30


def try_out(api: ApiClient, camera: str, drawn: Mapping[str, Any]) -> None:
    """Ask for it; `show` shows what came of it."""
    with st.spinner(t("Trying it on the camera's last minutes …")):
        try:
            told = api.preview_shapes(camera, {"zones": drawn["zones"], "lines": drawn["lines"]})
        except ApiError as error:
            st.session_state["shape-preview"] = (camera, drawn, None, str(error))
        else:
            st.session_state["shape-preview"] = (camera, drawn, told, "")


def show(api: ApiClient, camera: str, drawn: Mapping[str, Any] | None) -> None:
    """The last one, as long as what is drawn is what was tried."""
    kept = st.session_state.get("shape-preview")
    if kept is None or kept[0] != camera or kept[1] != drawn:
        return
    _, _, told, error = kept
    if told is None:
        st.warning(f"{t('It could not be tried.')} {plain(error)}", icon=":material/history_toggle_off:")
        return
    zone = session.zone(session.fleet(api))
    with st.container(border=True, key="hb-preview"):
        st.html(markup.head(t("What it would have told")) + _table(told))
        st.caption(_of_what(told))
        if told["pictures"]:
            lost = {event["id"] for event in told["lost"]}
            said = {event["id"]: event for event in (*told["gained"], *told["lost"])}
            for column, picture in zip(st.columns(3) * 2, told["pictures"], strict=False):
                events = [said[id] for id in picture["events"] if id in said]
                lines = " · ".join(f"{'−' if event['id'] in lost else '+'} {feed.told(event)}" for event in events)
                column.image(
                    base64.b64decode(picture["jpeg"]), caption=f"{_clock(picture['at'], zone)}  {plain(lines)}"
                )
        st.html(_differences(told, zone))


def _table(told: dict[str, Any]) -> str:
    """Numbers of events by type, and of crossings by line and direction: now, and with what is drawn."""
    now, then = told["present"], told["tried"]
    rows = [
        (feed.kind_said(kind.removeprefix("hoaban.")), now["events"].get(kind, 0), then["events"].get(kind, 0))
        for kind in sorted(now["events"] | then["events"])
    ]
    for line in sorted(now["counts"] | then["counts"]):
        before, after = now["counts"].get(line, {}), then["counts"].get(line, {})
        rows += [
            (f"{line} ({term(way)})", sum(before.get(way, {}).values()), sum(after.get(way, {}).values()))
            for way in sorted(before | after)
        ]
    if not rows:
        return markup.nothing(t("Neither the present ones nor these would have told anything."))
    return markup.table(
        ["", t("Now"), t("As drawn"), t("Difference")],
        [
            (
                escape(name),
                number(before),
                number(after),
                f"{after - before:+d}".replace("-", "−") if after != before else "=",
            )
            for name, before, after in rows
        ],
    )


def _of_what(told: dict[str, Any]) -> str:
    of = {"ring": t("what the camera keeps of its stream"), "file": t("the recording that the camera plays")}[
        told["of"]
    ]
    said = t(
        "Tried on {media} of {of}: {frames} pictures, model {model}. Faces are hidden; the look is recorded.",
        media=seconds(told["media_s"]),
        of=of,
        frames=number(told["frames"]),
        model=plain(told["model"]),
    )
    if not told["whole"]:
        said += " " + t("A limit ended it before the recording did.")
    if told["untried"]:
        said += " " + t("Not tried: {rules}.", rules=plain(", ".join(told["untried"])))
    return said


def _differences(told: dict[str, Any], zone: tzinfo) -> str:
    lines = sorted(
        [*((event, "+") for event in told["gained"]), *((event, "−") for event in told["lost"])],
        key=lambda pair: str(pair[0]["time"]),
    )
    if not lines:
        return markup.nothing(t("The same would have been told."))
    words = {"+": t("would be new"), "−": t("would be gone")}
    rows = "".join(
        f"<li><b>{sign}</b><div><b>{escape(feed.told(event))}</b><span>{escape(words[sign])}</span></div>"
        f"<time>{_clock(event['time'], zone)}</time></li>"
        for event, sign in lines[:MOST_LINES]
    )
    more = len(lines) - MOST_LINES
    rows += f"<li><div><span>{escape(t('and {n} more', n=more))}</span></div></li>" if more > 0 else ""
    return f'<ol class="hb-feed">{rows}</ol>'


def _clock(time: str, zone: tzinfo) -> str:
    return datetime.fromisoformat(time).astimezone(zone).strftime("%H:%M:%S")
