"""The map of cameras and incidents. It loads nothing: the outline is a file beside it, the drawing is map.js.

Streamlit's own map fetches the ground it draws on from a service, also when no style is asked for, needs WebGL, and
does not tell how far it is zoomed in, without which nothing can be joined by district.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from dashboards import feed, states
from dashboards.case_calls import Incident
from dashboards.client import Camera
from dashboards.words import t, term

HERE = Path(__file__).parent
_component = st.components.v2.component("hoaban_map", js=(HERE / "map.js").read_text())


class Clicked(NamedTuple):
    """What was clicked since the last run, if anything: a camera's id or an incident's number."""

    camera: str | None
    incident: int | None


def map_of(
    cameras: Sequence[Camera],
    incidents: Sequence[Incident],
    province: str | None,
    districts: Mapping[str, str],
    key: str,
    height: int = 420,
) -> Clicked:
    """Show it. province: its name, for the outline; without one that is known, the cameras stand on an empty ground."""
    outline = _outlines().get(province or "", [])
    placed = [_place(camera) for camera in cameras if camera.get("location")]
    notes = [t("Outline for orientation, no official border.")] if outline else []
    if missing := len(cameras) - len(placed):
        notes.append(t("{n} cameras have no place in the fleet file.", n=missing))
    words = {
        "title": t("Map of the cameras"),
        "closer": t("Closer"),
        "further": t("Further away"),
        "whole": t("The whole province"),
        "guessed": t("place not surveyed"),
        "incidents": t("Open incidents"),
    }
    data = {
        "outline": outline,
        "cameras": placed,
        "incidents": [_alarm(one) for one in incidents],
        "districts": dict(districts),
        "order": states.ORDER,
        "note": " ".join(notes),
        "words": words,
        "height": height,
    }
    result = _component(key=key, data=data, on_camera_change=lambda: None, on_incident_change=lambda: None)
    return Clicked(result.camera, result.incident)


def _place(camera: Camera) -> dict[str, Any]:
    how, where = states.condition(camera), camera["location"] or {}
    return {
        "id": camera["id"],
        "name": camera["name"],
        "district": camera["district"],
        "lat": where["lat"],
        "lon": where["lon"],
        "surveyed": where.get("surveyed", True),
        "state": how.state,
        "sign": how.sign,
        "said": how.said,
    }


def _alarm(one: Incident) -> dict[str, Any]:
    said = f"{feed.kind_said(one['kind'])}, {term(one['severity'])}"
    return {"number": one["number"], "camera": one["camera"], "said": said, "fresh": one["state"] == "new"}


@cache
def _outlines() -> dict[str, list[list[list[float]]]]:
    """Province -> rings of [longitude, latitude]."""
    found = (json.loads(file.read_text()) for file in sorted((HERE / "maps").glob("*.json")))
    return {one["province"]: one["rings"] for one in found}
