"""The queue of incidents in real Chromium: walked and handled by keys alone; a citizen's page beside it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.processes import free_port
from actors.store import IncidentStore, PeopleStore
from actors.store.incident_keeping import Ground, follow
from hoaban.access import Role
from hoaban.events import Finding
from tests.browser.pages import screenshot
from tests.browser.serving import serving
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def dashboard(tmp_path: Path, clip: Callable[[str], Path], browser: "Browser") -> Iterator[tuple[DashboardSystem, str]]:
    """The dashboard of an operator over two incidents: 1, loitering, and 2, an intrusion."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), origins=(address,)) as system:
        system.show_fleet()
        for camera in NAMES:
            system.report(camera)
        system.happen("market", Finding("loitering", "r", 1, "person", zone="door"))
        system.happen("gate", Finding("intrusion", "r", 2, "person", zone="door"))
        follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
        people = PeopleStore(system.store.engine)
        with serving(
            port,
            HOABAN_API_URL=system.url,
            HOABAN_API_TOKEN=people.create_token("An", Role.OPERATOR)[1],
            HOABAN_INTAKE_TOKEN=people.create_token("intake", Role.INTAKE)[1],
            HOABAN_LANG="en",
        ):
            yield system, address


def press(page: "Page", key: str, seen: "Locator") -> None:
    """Press a key until what it does is seen: one that is pressed while the page is being drawn does nothing, and one
    that has done its work is for a button that is grey by then."""
    for _ in range(12):
        page.keyboard.press(key)
        with contextlib.suppress(Exception):
            seen.wait_for(timeout=5000)
            return
    raise AssertionError(f"the key {key} does nothing")


def test_an_operator_works_through_the_queue_without_a_mouse(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    store = IncidentStore(system.store.engine)
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(f"{address}/incidents")
    head = page.get_by_role("heading", name="#")
    expect(head).to_have_text("#2 Intrusion", timeout=60_000)
    press(page, "j", head.filter(has_text="#1 Loitering"))
    press(page, "k", head.filter(has_text="#2 Intrusion"))
    press(page, "a", page.get_by_text("Acknowledged.").first)
    assert [store.get(2).state, store.get(1).state] == ["acknowledged", "new"]
    screenshot(page, "incidents")

    page.goto(f"{address}/citizen")
    page.get_by_label("What happened?").fill("Xe máy đổ giữa đường", timeout=60_000)
    page.get_by_label("Where? A street, a bridge, a shop …").fill("Cầu Mường Thanh")
    screenshot(page, "citizen")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Your report has arrived.")).to_be_visible(timeout=60_000)
    page.goto(f"{address}/field_reports")
    expect(page.get_by_text("Report #1")).to_be_visible(timeout=60_000)
    screenshot(page, "field-reports")
    page.close()
