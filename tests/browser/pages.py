"""Pages of the dashboard in a browser, and pictures of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def opened(browser: "Browser", address: str, script: str = "", scheme: str = "light") -> "Page":
    """A page that tells of every request that leaves this machine. script: runs before the page's own. scheme: light or
    dark."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(60_000)
    page.add_init_script(script)
    page.outside = []  # type: ignore[attr-defined]
    page.on("request", lambda asked: page.outside.append(asked.url) if "//127.0.0.1" not in asked.url else None)  # type: ignore[attr-defined]
    page.goto(address)
    return page


def screenshot(page: "Page", name: str) -> None:
    """Keep a picture for people to look at, when a folder for it is named."""
    if folder := os.environ.get("HOABAN_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def drag(page: "Page", corner: int, x: float, y: float) -> None:
    """Drag a corner of what is chosen in the editor to a place, as fractions of the picture.

    With the mouse alone: the corner is drawn anew while it moves, and a locator would look for the one that went.
    """
    drawing, knob = page.locator(".editor svg"), page.locator("circle.corner").nth(corner)
    drawing.scroll_into_view_if_needed()
    box, from_ = drawing.bounding_box(), knob.bounding_box()
    assert box is not None
    assert from_ is not None
    page.mouse.move(from_["x"] + from_["width"] / 2, from_["y"] + from_["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
    page.mouse.up()
