"""The wall of live pictures.

A component that lives through reruns: it holds one frame, and each rerun only tells that frame what is to be seen
(wall.html draws it). Leaving the page ends the frame and with it every timer and picture in it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import streamlit as st

from dashboards.client import Camera
from dashboards.words import language, t

HERE = Path(__file__).parent
MOST = 16
"""tiles: more than a person watches, and pictures come once a second then"""

MOUNT = r"""
const PAGE = __PAGE__, NAMES = ["--st-text-color", "--st-font", "--st-primary-color"];
export default function ({ parentElement, data, setTriggerValue }) {
  let frame = parentElement.querySelector("iframe");
  if (!frame) {
    frame = document.createElement("iframe");
    frame.allow = "fullscreen";
    frame.style.cssText = "display:block;width:100%;border:0;height:240px";
    frame.srcdoc = PAGE;
    frame.onload = () => {
      frame.ready = true;
      // A frame has no fonts of its own; a fallback's would set Vietnamese another way than the page does.
      const fonts = frame.contentDocument.createElement("style");
      const whole = rule => rule.cssText.replace("src:", "font-display: swap; src:").replace(/url\("([^"]+)"\)/g,
        (_, path) => `url("${new URL(path, rule.parentStyleSheet.href || document.baseURI)}")`);
      fonts.textContent = [...document.styleSheets].filter(sheet => !sheet.href || sheet.href.startsWith(location.origin))
        .flatMap(sheet => [...sheet.cssRules])
        .filter(rule => rule instanceof CSSFontFaceRule && rule.cssText.includes("Source Sans")).map(whole).join("");
      frame.contentDocument.head.append(fonts);
      frame.tell();
      const wall = frame.contentDocument.getElementById("wall");
      new frame.contentWindow.ResizeObserver(() => { frame.style.height = wall.offsetHeight + "px"; }).observe(wall);
    };
    parentElement.append(frame);
  }
  let asked = 0;
  frame.tell = () => {
    const own = getComputedStyle(frame), root = frame.contentDocument.documentElement;
    // A frame whose colour scheme is not its page's gets an opaque ground.
    root.style.colorScheme = own.colorScheme;
    for (const name of NAMES) root.style.setProperty(name, own.getPropertyValue(name));
    frame.contentWindow.onrefused = () => {
      if (Date.now() - asked > 10000) { asked = Date.now(); setTriggerValue("refused", asked); }
    };
    frame.contentWindow.onchosen = id => setTriggerValue("chosen", id);
    frame.contentWindow.show(data);
  };
  frame.title = data.words.title;
  if (frame.ready) frame.tell();
}
"""


class Tile(TypedDict):
    """One camera's place on the wall. address: of its picture, None without a ticket. sign, state, note: how it is."""

    id: str
    name: str
    address: str | None
    state: str
    sign: str
    said: str
    note: str
    simulated: bool


_component = st.components.v2.component(
    "hoaban_wall", js=MOUNT.replace("__PAGE__", json.dumps((HERE / "wall.html").read_text()))
)


@dataclass(frozen=True, slots=True)
class Told:
    """What the wall told since the last run. refused: the API refused a ticket. chosen: the camera that was clicked."""

    refused: bool
    chosen: str | None


def wall(tiles: list[Tile], key: str) -> Told:
    """Show the wall, of at most MOST tiles."""
    words = {
        "title": t("Live pictures"),
        "old": t("OLD PICTURE"),
        "none": t("no picture"),
        "fetching": t("fetching the picture …"),
        "simulated": t("SIMULATED"),
        "large": t("Full screen"),
        "comma": "," if language() == "vi" else ".",
        "minutes": t("{n} min"),
        "language": language(),
    }
    clicked = f"{key}-clicked"

    def on_chosen() -> None:
        # Kept until it is read: what is triggered is gone when its run is put aside for the next before it comes here.
        st.session_state[clicked] = st.session_state[key]["chosen"]

    result = _component(
        key=key,
        data={"tiles": tiles[:MOST], "words": words},
        on_refused_change=lambda: None,
        on_chosen_change=on_chosen,
    )
    return Told(result.refused is not None, st.session_state.pop(clicked, None))


def page_of(cameras: list[Camera], key: str) -> list[Camera]:
    """MOST of the cameras at a time; which ones is asked only where there are more."""
    if len(cameras) <= MOST:
        return cameras
    pages = range(1, -(-len(cameras) // MOST) + 1)
    page = st.pills(t("Page"), pages, default=1, key=key) or 1
    return cameras[(page - 1) * MOST : page * MOST]
