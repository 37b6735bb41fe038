"""Text and states in real Chromium, dark and light: contrast by WCAG 2.2 (1.4.3), and no state told by colour alone."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from dashboards.states import SIGNS
from hoaban.events import Finding
from hoaban.status import SourceState
from tests.browser.pages import opened, screenshot
from tests.dashboard_system import NAMES, DashboardSystem

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]
PAGES = ("", "incidents", "cameras", "traffic", "models", "audit", "settings")

# Every text that is shown, in shadow trees too (the map), and its contrast to what is behind it. As in WCAG 2.2:
# relative luminance of sRGB, (lighter + 0.05) / (darker + 0.05); large text is 24 px, or 18.66 px in bold;
# what an icon shows needs as much as large text (1.4.11).
CONTRASTS = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const parent = node => node.parentElement || node.getRootNode().host;
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = parent(at)) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), rgba("Canvas"));
  };
  const found = [];
  const walk = root => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) walk(element.shadowRoot);
      const own = [...element.childNodes].filter(node => node.nodeType === 3);
      const said = own.map(node => node.textContent.trim()).join(" ").trim();
      if (!said || ["STYLE", "SCRIPT", "TITLE"].includes(element.tagName)) continue;
      const style = getComputedStyle(element), box = element.getBoundingClientRect();
      const off = element.closest("[disabled], [aria-disabled=true]") || style.visibility === "hidden";
      if (off || !box.width || !box.height || !element.checkVisibility({ opacityProperty: true })) continue;
      const svg = element instanceof SVGElement;
      const ground = behind(element);
      const text = rgba(svg ? style.fill : style.color);
      for (let at = element; at; at = parent(at)) text[3] *= Number(getComputedStyle(at).opacity);
      const [a, b] = [luminance(over(text, ground)), luminance(ground)];
      const size = parseFloat(style.fontSize), icon = style.fontFamily.includes("Material Symbols");
      const large = icon || size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      // What stands on a drawn shape has an edge of its own colour around it, or a test of its own.
      if (svg && element.classList.contains("sign")) continue;
      if (svg && element.closest(".alarm")) continue;
      const what = `${element.tagName}.${element.className.baseVal ?? element.className}`;
      found.push([said.slice(0, 60), Math.round(contrast * 100) / 100, large ? 3 : 4.5, what.slice(0, 80)]);
    }
  };
  walk(document);
  return found;
}
"""

# Elements that carry a state by their class: what they say.
STATES = """
names => names.flatMap(name =>
  [...document.querySelectorAll(`.hb-${name}`)].map(element => [name, element.innerText.trim()]))
"""
MARKS = """
() => {
  const found = [];
  const walk = root => {
    for (const element of root.querySelectorAll("*")) {
      if (element.shadowRoot) walk(element.shadowRoot);
      if (element.classList?.contains("mark")) found.push(element.getAttribute("aria-label"));
    }
  };
  walk(document);
  return found;
}
"""


@pytest.fixture(params=["light", "dark"])
def page(
    request: pytest.FixtureRequest, dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> "Iterator[Page]":
    """The first page, with a camera in each of many states."""
    system, address = dashboard
    for camera, state in zip(NAMES, ("LIVE", "CONNECTING", "STALLED", "FAILED", "ENDED", "PAUSED"), strict=True):
        system.report(
            camera, SourceState[state], error="no data for 10 s; check the network" if state == "FAILED" else None
        )
    shown = opened(browser, address, scheme=request.param)
    shown.locator(".mark").first.wait_for()
    yield shown
    shown.close()


def read(page: "Page") -> list[tuple[str, float, float, str]]:
    """What is written on a page, once the page has come to rest: what still comes or goes is half transparent."""
    before: set[tuple[str, float]] = set()
    for _ in range(30):
        page.wait_for_function("() => !document.querySelector('[data-stale=true]')")
        page.wait_for_timeout(1500)
        found: list[tuple[str, float, float, str]] = page.evaluate(CONTRASTS)
        now = {(what, contrast) for _, contrast, _, what in found}
        if len(found) > 5 and now == before:
            break
        before = now
    return found


def test_all_text_can_be_read(page: "Page", dashboard: tuple[DashboardSystem, str]) -> None:
    _, address = dashboard
    poor = {}
    for name in PAGES:
        page.goto(f"{address}/{name}")
        page.locator(".stApp").wait_for()
        found = read(page)
        assert len(found) > 5
        for said, contrast, least, what in found:
            if contrast < least:
                poor[name, what] = (said, contrast)
    assert not poor, "\n".join(f"{where}: {what}" for where, what in poor.items())


def test_a_state_is_told_by_a_sign_and_a_word(page: "Page") -> None:
    told = page.evaluate(STATES, list(SIGNS))
    assert {name for name, _ in told} >= {"live", "connecting", "stalled", "failed", "ended", "paused"}
    for name, said in told:
        assert any(letter.isalpha() for letter in said), name
        assert SIGNS[name] in said
    marks = page.evaluate(MARKS)
    assert marks
    assert all(marks)
    screenshot(page, "states")
    assert len(set(SIGNS.values())) == len(SIGNS)


def test_the_chart_of_crossings_is_drawn(page: "Page", dashboard: tuple[DashboardSystem, str]) -> None:
    """Last in this file: the texts of the chart are drawn by Vega, in Streamlit's colours."""
    system, address = dashboard
    system.happen("gate", Finding("line_count", "r", 9, "car", line="in", direction="forward"))
    errors: list[str] = []
    page.on("console", lambda told: errors.append(told.text) if "TypeError" in told.text else None)
    page.goto(f"{address}/traffic")
    page.locator(".vega-embed").first.wait_for()
    page.wait_for_timeout(1500)
    # Streamlit asks its own makers where to count; a chart that cannot be drawn says so here alone.
    assert [error for error in errors if "metrics" not in error] == []
