"""The editor of a camera's zones and lines: drawn on its newest picture, saved through the API into the fleet file."""

import base64
from pathlib import Path
from typing import Any

import streamlit as st

from dashboards import cases, session, shape_preview
from dashboards.client import ApiClient, ApiError, Camera
from dashboards.safe import plain
from dashboards.words import t, term

_component = st.components.v2.component("hoaban_editor", js=Path(__file__).with_name("editor.js").read_text())
SPOTS = 200
BLACK = "data:image/svg+xml;base64," + base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg"/>').decode()


def edit(api: ApiClient, camera: str) -> None:
    """Show it. What is drawn counts once it is saved; another's change meanwhile is never written over."""
    kept: tuple[str, dict[str, Any], str] | None = st.session_state.get("editing")
    if kept is None or kept[0] != camera:
        try:
            kept = st.session_state["editing"] = (camera, api.shapes(camera), _picture(api, camera))
        except ApiError as error:
            st.info(plain(error), icon=":material/edit_off:")
            return
    _, seen, picture = kept
    here = next((one for one in session.cameras(api)[0] if one["id"] == camera), None)
    status = here["status"] if here else None
    drawn = _component(
        key=f"editor-{camera}-{seen['revision']}",
        data={
            "revision": seen["revision"],
            "zones": seen["zones"],
            "lines": seen["lines"],
            "picture": picture or BLACK,
            "width": (status and status["width"]) or 16,
            "height": (status and status["height"]) or 9,
            "spots": _spots(api, camera, status or {}),
            "words": _words(),
        },
        default={"drawn": None},
        on_drawn_change=lambda: None,
    ).drawn
    if here is not None:
        _used(here, drawn or seen)
    save, attempt, again, told = st.columns([1, 1, 1, 5], vertical_alignment="center")
    if save.button(t("Save"), type="primary", icon=":material/save:", disabled=drawn is None, key="save-shapes"):
        _save(api, camera, drawn, seen["revision"])
    if attempt.button(t("Try it"), icon=":material/replay:", disabled=drawn is None, key="try-shapes"):
        shape_preview.try_out(api, camera, drawn)
    if again.button(t("Start again"), icon=":material/restart_alt:", key="forget-shapes"):
        _forget(camera)
        st.rerun()
    told.caption(t("Saved into the fleet file; the camera takes it up within seconds and begins to track anew."))
    shape_preview.show(api, camera, drawn)


def _save(api: ApiClient, camera: str, drawn: dict[str, Any], revision: str) -> None:
    try:
        api.set_shapes(camera, {"zones": drawn["zones"], "lines": drawn["lines"]}, revision)
    except ApiError as error:
        if error.status != 412:
            st.error(f"{t('Not saved.')} {plain(error)}", icon=":material/error:")
            return
        _forget(camera)
        cases.told("warning", t("Somebody changed them meanwhile. This is how they stand now: draw yours again."))
    else:
        _forget(camera)
        cases.told("success", t("Saved."))
    st.rerun()


def _forget(camera: str) -> None:
    kept = st.session_state.pop("editing", None)
    if kept is not None:
        st.session_state.pop(f"editor-{camera}-{kept[1]['revision']}", None)


def _picture(api: ApiClient, camera: str) -> str:
    """The newest picture, which stays while it is drawn on; empty when there is none."""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(api.snapshot(camera)).decode()
    except ApiError:
        return ""


def _spots(api: ApiClient, camera: str, status: Any) -> list[tuple[float, float]]:
    """Where the feet of what the camera's last events are about stood, as fractions of the picture."""
    rows, _ = session.latest(f"spots-{camera}", lambda: api.events(SPOTS, camera=camera))
    found = []
    for row in rows or []:
        data = row["event"]["data"]
        frame, box = data.get("frame") or {}, data.get("bbox")
        if box and frame.get("width") and frame.get("height"):
            found.append(((box[0] + box[2]) / 2 / frame["width"], box[3] / frame["height"]))
    return found


def _used(camera: Camera, shapes: dict[str, Any]) -> None:
    """Which rules look at which shape, and those that would look at one that is gone."""
    names = {one["id"] for key in ("zones", "lines") for one in shapes[key]}
    looked_at: set[str] = set()
    for rule in camera["rules"]:
        wanted = [rule.get("zone"), rule.get("line"), *(rule.get("lines") or []), *(rule.get("lanes") or [])]
        looked_at |= {
            word
            for value in rule.values()
            for word in (value if isinstance(value, list) else [value])
            if isinstance(word, str)
        }
        missing = [one for one in wanted if isinstance(one, str) and one not in names]
        if missing:
            st.warning(
                t(
                    "The rule {rule} looks at {names}, which is not drawn.",
                    rule=term(rule["type"]),
                    names=", ".join(missing),
                ),
                icon=":material/link_off:",
            )
    if idle := sorted(names - looked_at):
        st.caption(t("No rule looks at {names} yet: rules stand in the fleet file.", names=plain(", ".join(idle))))


def _words() -> dict[str, Any]:
    return {
        "zone": t("Zone"),
        "line": t("Line"),
        "name": t("Name"),
        "turn": t("Turn round"),
        "remove": t("Remove"),
        "close": t("Done"),
        "cancel": t("Cancel"),
        "forward": term("forward"),
        "hint": t(
            "Drag a corner; double click an edge for a new one, right click one to remove it. Dots: last events."
        ),
        "drawing": {"zone": t("Click the corners in order, then Done."), "line": t("Click both ends.")},
    }
