"""Crowds and overview cameras: how full each zone is, where people were lately, gatherings, congestion."""

from datetime import datetime
from html import escape
from typing import Any

import streamlit as st

from dashboards import address, feed, markup, session, states
from dashboards.client import Camera
from dashboards.wall import wall
from dashboards.words import number, t

WATCHING = ("crowd", "congestion")
FEED = 30


def measured(cameras: list[Camera]) -> list[tuple[Camera, dict[str, Any]]]:
    """(camera, what a rule measures there), gatherings first, then the fullest."""
    found = [
        (camera, measure)
        for camera in cameras
        for measure in ((camera["status"] or {}).get("measures") or {}).values()
        if "phase" in measure
    ]
    return sorted(found, key=lambda one: (one[1]["phase"] != "crowd", -(one[1].get("count") or 0)))


@st.fragment(run_every=3)
def zones() -> None:
    cameras, error = session.cameras(api)
    session.trouble(error)
    st.html(markup.head(t("Density by zone")))
    rows = [row(camera, measure) for camera, measure in measured(cameras)]
    if rows:
        st.html(markup.table([t("Zone"), t("State"), t("Persons"), t("Persons/m²")], rows))
    else:
        st.html(markup.nothing(t("No rule measures a crowd now.")))
    flow = [
        (camera, measure)
        for camera in cameras
        for measure in ((camera["status"] or {}).get("measures") or {}).values()
        if "level" in measure
    ]
    if flow:
        st.html(markup.head(t("Congestion")))
        lines = "".join(
            f"<li>{states.level(one['level'])}<div>{escape(camera['name'])}"
            f"<span>{escape(str(one.get('zone') or ''))}</span></div>"
            f"<time>{escape(t('{n} vehicles', n=one.get('count', 0)))}</time></li>"
            for camera, one in flow
        )
        st.html(f'<ol class="hb-feed">{lines}</ol>')


def row(camera: Camera, measure: dict[str, Any]) -> tuple[str, ...]:
    """Cells of the table, as HTML."""
    crowded = measure["phase"] == "crowd"
    said = f'<b class="hb-failed">▲ {escape(t("gathering"))}</b>' if crowded else f"● {escape(t('clear'))}"
    density = measure.get("density") if measure.get("density_per") == "m2" else None
    return (
        f"{escape(camera['name'])}<span>{escape(str(measure.get('zone') or ''))}</span>",
        said,
        number(measure.get("count") or 0),
        "–" if density is None else number(density, 2),
    )


def chosen(cameras: list[Camera]) -> Camera | None:
    """The camera whose picture is shown; those that keep a heat map first."""
    wanted = [camera for camera in cameras if camera.get("heat_map")]
    wanted += [c for c in cameras if c not in wanted and any(rule["type"] in WATCHING for rule in c["rules"])]
    if not wanted:
        return None
    by_id = {camera["id"]: camera for camera in wanted}
    ids = list(by_id)
    id = st.selectbox(
        t("Camera"),
        ids,
        index=ids.index(address.chosen("camera", ids, ids[0])),
        format_func=lambda one: by_id[one]["name"] + (" ▦" if by_id[one].get("heat_map") else ""),
        help=t("▦ keeps a heat map: where people and things have been lately."),
        key="crowd_camera",
    )
    address.keep("camera", id)
    return by_id[id]


@st.fragment(run_every=3)
def picture(camera: str) -> None:
    cameras, _ = session.cameras(api)
    here = next((one for one in cameras if one["id"] == camera), None)
    if here is None:
        return
    warm = bool(here.get("heat_map"))
    addresses = session.picture_addresses(api, [camera], "heatmap.jpg" if warm else "snapshot.jpg")
    if wall([states.tile(here, addresses.get(camera))], key=f"crowd-{camera}").refused:
        session.forget_tickets()
    if warm:
        st.caption(t("Warm: where people and things stood lately. It fades by half every few minutes."))


@st.fragment(run_every=5)
def gatherings() -> None:
    st.html(markup.head(t("Gatherings and congestion")))
    rows, _ = session.latest("events-crowd", newest)
    with st.container(height=430, border=True):
        st.html(feed.listed(rows or [], session.names(api), zone))


def newest() -> list[Any]:
    rows = [row for kind in WATCHING for row in api.events(FEED, f"hoaban.{kind}")]
    return sorted(rows, key=lambda one: datetime.fromisoformat(one["event"]["time"]), reverse=True)[:FEED]


api = session.client()
zone = session.zone(session.fleet(api))
left, middle, right = st.columns([5, 6, 4], gap="medium")
with left:
    zones()
with middle:
    known, _ = session.cameras(api)
    if (looked := chosen(known)) is not None:
        picture(looked["id"])
    elif known:
        st.info(t("No camera has a rule for crowds or congestion."), icon=":material/groups:")
with right:
    gatherings()
