"""The dashboard in real Chromium over the real API: the wall lives through reruns and tells the truth."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.processes import free_port
from hoaban.events import Finding
from hoaban.status import SourceState
from serve.auth import Tickets
from tests.browser.pages import screenshot
from tests.browser.serving import serving
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]
# How many decoded pictures are held beside those that are shown; runs in the wall's frame too.
COUNT_BITMAPS = """
window.held = 0;
const decode = createImageBitmap, close = ImageBitmap.prototype.close;
window.createImageBitmap = async blob => { const made = await decode(blob); window.held += 1; return made; };
ImageBitmap.prototype.close = function () { window.held -= 1; close.call(this); };
"""


@pytest.fixture
def dashboard(tmp_path: Path, clip: Callable[[str], Path], browser: "Browser") -> Iterator[tuple[DashboardSystem, str]]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), origins=(address,)) as system,
        serving(port, HOABAN_API_URL=system.url, HOABAN_API_TOKEN=system.token, HOABAN_LANG="en"),
    ):
        yield system, address


def tile(wall: "FrameLocator", camera: str):  # type: ignore[no-untyped-def]  # a Locator; Playwright may be absent
    return wall.locator(f"figure[data-camera={camera}]")


def held(page: "Page") -> int:
    return sum(frame.evaluate("() => window.held") for frame in page.frames)


def test_the_wall_from_start_up_to_trouble_and_back(dashboard: tuple[DashboardSystem, str], browser: "Browser") -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.add_init_script(COUNT_BITMAPS)
    page.goto(address)
    expect(page.get_by_text("waiting for the fleet")).to_be_visible(timeout=30_000)

    # The system comes up while the page is open.
    system.pictures.dark.update(NAMES)
    system.show_fleet()
    system.report("gate", SourceState.CONNECTING, last_frame_s=None)
    wall = page.frame_locator("iframe")
    expect(page.get_by_text("1 of 6 cameras have reported")).to_be_visible(timeout=20_000)
    expect(tile(wall, "gate").get_by_text("connecting")).to_be_visible(timeout=20_000)
    screenshot(page, "starting")
    page.locator("iframe").evaluate("frame => { frame.marked = true; }")

    system.pictures.dark.clear()
    for camera in NAMES:
        system.report(camera)
    for camera in NAMES:
        expect(tile(wall, camera)).to_have_class("", timeout=20_000)
        expect(tile(wall, camera).locator(".age")).to_contain_text("s")
        assert tile(wall, camera).locator("canvas").evaluate("canvas => canvas.width") == 768
    expect(page.get_by_text("6 live")).to_be_visible(timeout=20_000)

    # News arrives by itself.
    system.happen("market", Finding("intrusion", "r", 1, "person", zone="door"))
    system.happen("gate", Finding("line_count", "r", 2, "car", line="in", direction="forward"))
    expect(page.get_by_text("Person entered door")).to_be_visible(timeout=20_000)
    expect(page.locator(".hb-counts").get_by_text("Cửa ngõ phía Nam")).to_be_visible(timeout=20_000)
    screenshot(page, "situation")

    # Trouble is seen on the tile, on that one alone.
    system.pictures.frozen.add("square")
    system.pictures.dark.add("school")
    system.report("school", SourceState.FAILED, error="wrong password; correct it", last_frame_s=None)
    expect(tile(wall, "square")).to_have_class("stale", timeout=30_000)
    expect(tile(wall, "square").get_by_text("OLD PICTURE")).to_be_visible()
    expect(tile(wall, "school")).to_have_class("stale", timeout=30_000)
    expect(tile(wall, "school").get_by_text("wrong password; correct it")).to_be_visible(timeout=20_000)
    expect(tile(wall, "gate")).to_have_class("")
    screenshot(page, "trouble")
    system.pictures.frozen.clear()
    expect(tile(wall, "square")).to_have_class("", timeout=20_000)

    # The API was started anew with another secret: every ticket is void, new ones are fetched without a hand.
    system.app.state.tickets = Tickets("another secret")
    asked = system.pictures.asked["gate"]  # counts only those let in
    for _ in range(300):
        if system.pictures.asked["gate"] > asked + 5:
            break
        page.wait_for_timeout(100)
    else:
        pytest.fail("no picture was let in with a new ticket")

    # Through all of this the wall was never made anew, and no picture is kept beside those that are shown.
    assert page.locator("iframe").evaluate("frame => frame.marked")
    assert held(page) <= len(NAMES)

    # A hidden tab asks for nothing.
    frame = page.frames[-1]
    frame.evaluate("() => Object.defineProperty(document, 'hidden', {get: () => true, configurable: true})")
    page.wait_for_timeout(3000)  # what was under way comes in
    before = dict(system.pictures.asked)
    page.wait_for_timeout(3000)
    assert system.pictures.asked == before
    frame.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(tile(wall, "gate")).to_have_class("", timeout=20_000)
    assert page.get_by_text("Traceback").count() == 0
    page.close()


def test_both_pages_in_dark_and_in_vietnamese(dashboard: tuple[DashboardSystem, str], browser: "Browser") -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    system.show_fleet()
    for camera in NAMES:
        system.report(camera)
    page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme="dark")
    page.goto(f"{address}/?lang=vi")
    wall = page.frame_locator("iframe")
    expect(page.get_by_text("6 đang chạy")).to_be_visible(timeout=30_000)
    expect(tile(wall, "gate")).to_have_class("", timeout=20_000)
    scheme = "() => getComputedStyle(document.documentElement).colorScheme"
    assert page.frames[-1].evaluate(scheme) == "dark"  # another scheme than its page's would paint the frame white
    screenshot(page, "situation-dark")
    page.get_by_role("link", name="Camera").click()
    expect(page.get_by_text("Khung hình hỏng")).to_be_visible(timeout=20_000)
    expect(tile(wall, "gate")).to_have_class("", timeout=20_000)
    assert page.locator("iframe").count() == 1  # the other page's wall went with it
    screenshot(page, "cameras-dark")
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("button", name="English").or_(page.get_by_role("radio", name="English")).click()
    expect(page.get_by_text("Damaged frames")).to_be_visible(timeout=20_000)
    page.close()
