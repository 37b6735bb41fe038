"""A wall of sixteen tiles in real Chromium: no tile is blank between two pictures, and a tile leads to its camera."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from benchmarks.dashboard import TILES, with_cameras
from tests.browser.pages import opened, screenshot
from tests.dashboard_system import DashboardSystem

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]
PHOTOGRAPHS = 8
LEAST_SPREAD = 12.0
"""of the brightness of a tile that shows a picture; of a blank one it is 0"""

# Looks at each tile in every frame that the browser draws.
WATCH = """
() => {
  window.watched = { drawn: 0, blank: [], changed: {} };
  const small = new OffscreenCanvas(8, 8).getContext("2d", { willReadFrequently: true }), last = {};
  const blank = canvas => {
    if (!canvas || canvas.hidden || canvas.width < 9) return true;
    small.drawImage(canvas, 0, 0, 8, 8);
    const pixels = small.getImageData(0, 0, 8, 8).data;
    return pixels.every((value, index) => index % 4 === 3 || value === pixels[index % 4]);
  };
  const look = () => {
    watched.drawn += 1;
    for (const figure of document.querySelectorAll("figure")) {
      const id = figure.dataset.camera, pictures = figure.dataset.pictures;
      if (figure.className === "empty" || blank(figure.querySelector("canvas"))) watched.blank.push(id);
      if (last[id] && last[id] !== pictures) watched.changed[id] = (watched.changed[id] || 0) + 1;
      last[id] = pictures;
    }
    requestAnimationFrame(look);
  };
  look();
}
"""


def test_no_tile_of_sixteen_is_blank_between_two_pictures(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    cameras = with_cameras(system)
    page = opened(browser, f"{address}/cameras?view=wall")
    wall = page.frame_locator("iframe")
    expect(wall.locator("figure")).to_have_count(TILES)
    expect(wall.locator("figure.empty")).to_have_count(0)
    screenshot(page, "wall")
    frame = page.frames[-1]
    frame.evaluate(WATCH)
    tiles = [wall.locator(f"figure[data-camera={camera}]") for camera in cameras]
    boxes = [box for tile in tiles if (box := tile.bounding_box())]
    assert len(boxes) == TILES
    for _ in range(PHOTOGRAPHS):
        for camera in cameras:
            system.report(camera)
        photograph = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert photograph is not None
        for box in boxes:
            left, top = int(box["x"]), int(box["y"])
            tile = photograph[top : top + int(box["height"]), left : left + int(box["width"])]
            if tile.size:  # the lowest may be below the window
                assert float(tile.std()) > LEAST_SPREAD
        page.wait_for_timeout(700)
    watched = frame.evaluate("() => watched")
    assert watched["drawn"] > PHOTOGRAPHS
    assert watched["blank"] == []
    assert set(watched["changed"]) == set(cameras)  # every one of them was renewed meanwhile

    wall.get_by_role("button", name="Chợ trung tâm 4", exact=True).click()
    expect(page.get_by_role("heading", name="Chợ trung tâm 4")).to_be_visible()
    assert f"camera={cameras[3]}" in page.url
    assert "view=wall" not in page.url
    page.close()
