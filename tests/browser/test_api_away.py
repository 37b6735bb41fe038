"""The API ends while a page is open, and comes back: in real Chromium, with nobody who reloads the page."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from actors.processes import free_port
from tests.browser.pages import opened, screenshot
from tests.browser.serving import serving
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]


@contextmanager
def answering(system: DashboardSystem, port: int) -> Iterator[None]:
    """The system's API at one more port, for so long."""
    server = uvicorn.Server(uvicorn.Config(system.app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(20)


def test_a_page_says_that_the_api_is_away_keeps_what_it_knew_and_goes_on_when_it_is_back(
    tmp_path: Path, clip: Callable[[str], Path], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    api, shown = free_port(), free_port()
    address = f"http://127.0.0.1:{shown}"
    with (
        dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), origins=(address,)) as system,
        serving(shown, HOABAN_API_URL=f"http://127.0.0.1:{api}/api/v1", HOABAN_API_TOKEN=system.token),
    ):
        system.show_fleet()
        for camera in NAMES:
            system.report(camera)
        with answering(system, api):
            page = opened(browser, f"{address}/?lang=vi")
            wall = page.frame_locator("iframe")
            tiles = [wall.locator(f"figure[data-camera={camera}]") for camera in NAMES]
            for tile in tiles:
                expect(tile).to_have_class("")
            page.locator("iframe").evaluate("frame => { frame.marked = true; }")
        away = page.get_by_text("API không trả lời")
        expect(away).to_be_visible()
        for tile in tiles:
            expect(tile).to_have_class("stale")
        expect(wall.get_by_text("HÌNH CŨ").first).to_be_visible()
        expect(page.get_by_text("6 đang chạy")).to_be_visible()  # what was known last, below the words that it is old
        screenshot(page, "away")
        with answering(system, api):
            for camera in NAMES:
                system.report(camera)
            expect(away).to_have_count(0)
            for tile in tiles:
                expect(tile).to_have_class("")
        assert page.locator("iframe").evaluate("frame => frame.marked")  # the wall was never made anew
        assert page.get_by_text("Traceback").count() == 0
        page.close()
