"""Signing in at an identity provider in real Chromium: its cookie binds the dashboard's session to this browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from actors.processes import free_port
from hoaban.access.settings import AccessSettings
from tests.browser.serving import serving
from tests.dashboard_system import dashboard_system
from tests.provider_system import running_provider

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]
LINK = "Sign in with your organisation's account"


@pytest.fixture
def address(tmp_path: Path, clip: Callable[[str], Path]) -> Iterator[str]:
    """The dashboard's."""
    api_port, port = free_port(), free_port()
    address, callback = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}/api/v1/auth/oidc/callback"
    (tmp_path / "provider").mkdir()
    with running_provider(tmp_path / "provider", callback) as provider:
        oidc = provider.settings(callback=callback, dashboard=f"{address}/")
        access = AccessSettings.model_validate({"oidc": oidc})
        with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), (address,), api_port, access=access) as system:
            system.show_fleet()
            system.report("gate")
            with serving(port, HOABAN_API_URL=system.url, HOABAN_LANG="en"):
                yield address


def begun_elsewhere(start: str) -> str:
    """The end of a sign-in that somebody began with another browser: the address of the dashboard, not opened yet."""
    with httpx.Client(trust_env=False, timeout=20) as client:
        answer = client.get(start)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        while "handover=" not in answer.headers["location"]:
            # A jar of cookies gives back no Secure one over http, as a browser does on this machine.
            mine = {"Cookie": cookie} if "/callback" in answer.headers["location"] else {}
            answer = client.get(str(answer.url.join(answer.headers["location"])), headers=mine)
        return str(answer.headers["location"])


def test_who_comes_back_from_the_provider_is_signed_in_and_nobody_else(address: str, browser: "Browser") -> None:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    page.get_by_text(LINK).click(timeout=60_000)
    expect(page.get_by_text("1 live")).to_be_visible(timeout=60_000)
    assert "handover" not in page.url
    page.reload()  # a new page, a new session: the code is spent and gone
    expect(page.get_by_text(LINK)).to_be_visible(timeout=60_000)
    secret = page.evaluate("document.cookie + JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})")
    assert "hoaban-sign-in" not in secret

    # Whoever gets another to open the end of their own sign-in does not get them into their account.
    start = page.get_by_role("link", name=LINK).get_attribute("href")
    assert start is not None
    trap = begun_elsewhere(start)
    victim = browser.new_context().new_page()
    victim.goto(trap)
    expect(victim.get_by_text("began in another browser")).to_be_visible(timeout=60_000)
    expect(victim.get_by_text(LINK)).to_be_visible()
    victim.goto(f"{address}/?sign_in_failed=away")
    expect(victim.get_by_text("does not answer")).to_be_visible(timeout=60_000)
