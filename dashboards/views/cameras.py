"""Each camera's state, rates and troubles; the chosen one in full."""

from collections import Counter
from collections.abc import Mapping
from html import escape

import pandas as pd
import streamlit as st

from dashboards import address, cases, editor, feed, markup, moments, person, reasons, session, states
from dashboards.client import Camera
from dashboards.safe import plain
from dashboards.wall import page_of, wall
from dashboards.words import number, seconds, t, term


def row(camera: Camera, districts: Mapping[str, str]) -> dict[str, object]:
    """A camera's line of the table."""
    how, status = states.condition(camera), camera["status"]
    return {
        t("State"): f"{how.sign} {how.said}",
        t("Camera"): camera["name"],
        t("Role"): term(camera["role"]),
        t("District"): districts.get(camera["district"], camera["district"]),
        t("Newest picture"): states.said_age(status),
        t("Source fps"): status["decoded_fps"] if status else None,
        t("Analysed fps"): status["analysed_fps"] if status else None,
        t("Wanted fps"): camera["analysis_fps"],
        t("Tracked now"): status["tracks"] if status else None,
        t("Trouble"): how.note,
    }


@st.fragment(run_every=2)
def table() -> None:
    cameras, error = session.cameras(api)
    session.trouble(error)
    if not cameras:
        if error is None:
            st.info(t("The system is starting: waiting for the fleet …"), icon=":material/hourglass_top:")
        return
    districts = {district["id"]: district["name"] for district in session.fleet(api)["districts"]}
    how = {camera["id"]: states.condition(camera).state for camera in cameras}
    found = Counter(how.values())
    options = [state for state in states.ORDER if found[state]]
    views = {"list": t("List"), "wall": t("Live pictures")}
    left, right = st.columns([4, 1], vertical_alignment="center")
    choice = left.pills(
        t("State"),
        options,
        default=address.chosen("state", options, None),
        format_func=lambda state: f"{states.SIGNS[state]} {term(state)} {found[state]}",
        key="state_filter",
        label_visibility="collapsed",
    )
    address.keep("state", choice)
    shown = [camera for camera in cameras if choice in (None, how[camera["id"]])]
    with right.container(horizontal=True, horizontal_alignment="right"):
        view = st.segmented_control(
            t("Show"),
            list(views),
            format_func=views.__getitem__,
            default=address.chosen("view", list(views), "list"),
            key="cameras_view",
            required=True,
            label_visibility="collapsed",
        )
    address.keep("view", None if view == "list" else view)
    if (view == "wall") != st.session_state.get("cameras_walled", False):
        st.session_state["cameras_walled"] = view == "wall"
        st.rerun()  # what belongs to one camera, below, is drawn outside of this part that renews itself
    if view == "wall":
        pictures([camera for camera in shown if camera["enabled"]])
    else:
        listed(cameras, shown, districts, choice)


def pictures(cameras: list[Camera]) -> None:
    """The wall; a click on a tile leads to its camera."""
    cameras = page_of(cameras, "cameras_page")
    if not cameras:
        st.info(t("No camera is so now."), icon=":material/videocam_off:")
        return
    addresses = session.picture_addresses(api, [camera["id"] for camera in cameras])
    told = wall([states.tile(camera, addresses.get(camera["id"])) for camera in cameras], key="cameras_wall")
    if told.refused:
        session.forget_tickets()
    if told.chosen:
        st.session_state.pop("cameras_view")
        st.query_params.pop("view", None)
        _turn_to(told.chosen)
        st.rerun()


def _turn_to(camera: str) -> None:
    """Have the address lead to a camera; a moment in it is of the camera before."""
    if st.query_params.get("camera") != camera:
        for name in ("moment", "at"):
            address.keep(name, None)
    st.query_params["camera"] = camera


def listed(cameras: list[Camera], shown: list[Camera], districts: Mapping[str, str], choice: str | None) -> None:
    """The table of the cameras with the chosen state; below it one in full."""
    frame = pd.DataFrame([row(camera, districts) for camera in shown])
    rates = [t("Source fps"), t("Analysed fps"), t("Wanted fps")]
    picked = st.dataframe(
        # Its numbers are sorted as numbers, and shown as the language has them.
        frame.style.format(lambda value: "" if pd.isna(value) else number(value, 1), subset=rates),
        hide_index=True,
        height=min(420, 38 + 35 * max(1, len(shown))),
        on_select="rerun",
        selection_mode="single-row",
        key=f"table-{choice}",
        column_config={t("Trouble"): st.column_config.TextColumn(width="large")},
    )
    rows = [index for index in picked["selection"]["rows"] if index < len(shown)]
    named = [camera for camera in cameras if camera["id"] == st.query_params.get("camera")]
    marked = shown[rows[0]] if rows else None
    if marked is not None and marked["id"] != st.session_state.get("camera-marked"):
        _turn_to(marked["id"])  # a new mark; an old one gives way to an address that was followed
        named = [marked]
    st.session_state["camera-marked"] = marked["id"] if marked else None
    looked = named[0] if named else shown[0]
    detail(looked, districts)
    if looked["id"] != st.session_state.get("camera_looked"):
        st.session_state["camera_looked"] = looked["id"]
        st.rerun()  # what belongs to the camera, below, is drawn outside of this part that renews itself


def detail(camera: Camera, districts: Mapping[str, str]) -> None:
    """The picture of one camera and all that is known of it."""
    how = states.condition(camera)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        addresses = session.picture_addresses(api, [camera["id"]])
        if wall([states.tile(camera, addresses.get(camera["id"]))], key="one").refused:
            session.forget_tickets()
    with right:
        st.subheader(plain(camera["name"]), anchor=False)
        st.html(f'<b class="hb-{how.state}">{how.sign} {escape(how.said)}</b>')
        if how.note:
            st.warning(plain(how.note), icon=":material/build:")
        st.html(facts(camera, districts))


def named(model: Mapping[str, str]) -> str:
    """A model's name, version and the beginning of its digest; one that is code has no file, and no digest."""
    digest = f" ({model['digest'][:12]})" if model["digest"] else ""
    return f"{model['name']} {model['version']}{digest}"


def facts(camera: Camera, districts: Mapping[str, str]) -> str:
    """What is known of a camera, as HTML."""
    status = camera["status"]
    rows: list[tuple[str, str]] = [
        (t("Camera id"), camera["id"]),
        (t("Role"), term(camera["role"])),
        (t("District"), districts.get(camera["district"], camera["district"])),
        (t("Source"), camera["source"]),
        (t("Rules"), ", ".join(sorted({feed.kind_said(rule["type"]) for rule in camera["rules"]})) or "–"),
    ]
    if status:
        latency, analysed = status["latency_p95_s"], status.get("analysis_age_s")
        model = status["model"]
        picture = f"{status['width']} × {status['height']} {status.get('codec') or ''}" if status["width"] else "–"
        rows += [
            (t("Picture"), picture),
            (t("Newest picture"), states.said_age(status)),
            (t("Newest analysed picture"), "–" if analysed is None else seconds(analysed)),
            (
                t("Source / analysed / wanted fps"),
                " / ".join(
                    number(value, 1)
                    for value in (status["decoded_fps"], status["analysed_fps"], camera["analysis_fps"])
                ),
            ),
            (t("From picture to event, p95"), f"{number(latency * 1000)} ms" if latency is not None else "–"),
            (t("Model"), named(model) if model else "–"),
            (t("Damaged frames, reconnects"), f"{status.get('decode_errors', 0)}, {status.get('reconnects', 0)}"),
        ]
        if waiting := status.get("events_spooled"):
            rows.append((t("Events waiting on disk"), number(waiting)))
        if short := status.get("pre_roll_short"):
            rows.append((t("Pre-roll for evidence"), reasons.said(short)))
        for zone, inside in (status.get("zones") or {}).items():
            people = ", ".join(f"{term(label)} {n}" for label, n in inside.items() if n) or "–"
            rows.append((f"{t('Now in zone')} {zone}", people))
    return markup.facts(rows)


api = session.client()
cases.flash()
table()
if (id := st.session_state.get("camera_looked")) is not None and not st.session_state.get("cameras_walled"):
    parts = {"moments": t("Go to a moment")}
    if person.may(api, "fleet.change"):
        parts["zones"] = t("Zones and lines")
    part = st.segmented_control(
        t("Part"),
        list(parts),
        format_func=parts.__getitem__,
        default=address.chosen("part", list(parts), None),
        key="camera_part",
        label_visibility="collapsed",
    )
    address.keep("part", part)
    if part == "zones":
        editor.edit(api, id)
    elif part == "moments":
        moments.moments(api, id)
