"""Violations review in real Chromium: decided by keyboard, and never by what an officer types into a note."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.processes import free_port
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.proof.redact import Redactor
from actors.proof.sealer import Sealer
from actors.store import EvidenceRecords, PeopleStore
from hoaban.access import Role
from tests.browser.pages import screenshot
from tests.browser.serving import serving
from tests.dashboard_system import dashboard_system
from tests.evidence import film, leave_candidate, red_light

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def office(tmp_path: Path, clip: Callable[[str], Path]) -> Iterator[tuple[EvidenceRecords, list[str], str]]:
    """The records, three cases in the order of the queue, and the page's address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), origins=(address,), data_dir=str(tmp_path)) as system:
        system.show_fleet()
        records, files = EvidenceRecords(system.store.engine), PackageFiles(str(tmp_path / "evidence"))
        sealer = Sealer(files, records, Keys(tmp_path).signer(), redactor=Redactor())
        events = [red_light("junction", time.time() - 600 + i, i) for i in range(3)]
        system.store.write(events)
        cases = [leave_candidate(tmp_path / "evidence", event, clip=film()) for event in events]
        while not sealer.step() and not all(records.get(case).redacted for case in cases):
            pass
        while sealer.behind:
            sealer.step()
        _, token = PeopleStore(system.store.engine).create_token("Officer", Role.OFFICER)
        with serving(port, HOABAN_API_URL=system.url, HOABAN_API_TOKEN=token, HOABAN_LANG="en"):
            queue, _ = records.page()
            yield records, [case.id for case in queue], f"{address}/violations"


def test_cases_are_decided_by_keys_and_typing_a_note_decides_nothing(
    office: tuple[EvidenceRecords, list[str], str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    records, cases, address = office
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address)
    expect(page.get_by_text("Case 1 of 3")).to_be_visible(timeout=60_000)
    expect(page.locator("video")).to_be_visible()
    expect(page.locator("img")).to_have_count(4, timeout=20_000)
    seen = "() => [...document.images].every(image => image.complete && image.naturalWidth > 0)"
    page.wait_for_function(seen)
    screenshot(page, "violations")
    assert page.get_by_text("stands in the address").count() == 0  # what the code says of a constant is not shown
    note = page.get_by_label("Note")
    note.click()
    note.press_sequentially("nxypNXYP")
    page.wait_for_timeout(1500)
    assert all(records.get(case).version == 0 for case in cases)
    expect(page.get_by_text("Case 1 of 3")).to_be_visible()
    note.fill("")
    note.blur()
    page.keyboard.press("n")
    expect(page.get_by_text("Case 2 of 3")).to_be_visible(timeout=20_000)
    page.keyboard.press("p")
    expect(page.get_by_text("Case 1 of 3")).to_be_visible(timeout=20_000)
    page.keyboard.press("x")
    expect(page.get_by_text("rejected: recorded under your name")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Case 1 of 2")).to_be_visible(timeout=20_000)
    page.keyboard.press("y")
    expect(page.get_by_text("confirmed: recorded under your name")).to_be_visible(timeout=20_000)
    verdicts = {case: [d.verdict for d in records.decisions(case)] for case in cases}
    assert verdicts == {cases[0]: ["rejected"], cases[1]: ["confirmed"], cases[2]: []}
    page.goto(f"{address}?state=confirmed&camera=junction")
    expect(page.get_by_text("Case 1 of 1")).to_be_visible(timeout=60_000)
    page.wait_for_url(lambda url: f"case={cases[1]}" in url)
    page.goto(f"{address}?state=all&case={cases[2]}")
    expect(page.get_by_text("Case 3 of 3")).to_be_visible(timeout=60_000)
    page.close()


def test_the_clip_of_a_moment_is_shown_beside_what_the_rule_saw(
    office: tuple[EvidenceRecords, list[str], str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    _, cases, address = office
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(address.replace("/violations", f"/cameras?camera=junction&part=moments&moment={cases[1]}"))
    drawn = page.locator("img.hb-sketch")
    expect(drawn).to_be_visible(timeout=60_000)
    assert drawn.evaluate("image => image.naturalWidth") == 320
    svg = drawn.evaluate("image => atob(image.src.split(',')[1])")
    assert svg.count('class="seen"') == 3  # before, at and past
    expect(page.get_by_text(cases[1])).to_be_visible()
    page.get_by_role("button", name="Show the clip").click()
    expect(page.locator("video")).to_be_visible(timeout=30_000)
    video = page.locator("video")
    video.evaluate("video => { video.muted = true; video.loop = true; return video.play(); }")
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.3")
    assert video.evaluate("video => [video.videoWidth, video.videoHeight, video.error]") == [320, 180, None]
    facts = page.locator(".hb-facts")
    track = re.compile("^[012]$")  # three cases of one second are queued in any order
    rule, seen = "Red light (red_light:stop)", re.compile(r"^into red \d+(\.\d)? s$")
    for name, value in (("Rule", rule), ("Track", track), ("Saw", seen), ("Model", "sim-colours 1")):
        expect(facts.locator(f"dt:text-is('{name}') + dd")).to_have_text(value)
    expect(page.get_by_text("Car may have run the red light at stop")).to_be_visible()
    screenshot(page, "moment")
    page.close()
