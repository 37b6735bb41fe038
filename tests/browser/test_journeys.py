"""The main journeys in real Chromium: the map, a zone drawn, a model taken back, a face seen for a reason."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from actors.models import find_model
from actors.processes import free_port
from actors.promotions import PromotionRegistry
from actors.store import AuditStore, PeopleStore
from actors.store.incident_keeping import Ground, follow
from cli.main import main
from hoaban.access import Role
from hoaban.evaluation.report import ModelIdentity
from hoaban.events import Finding
from hoaban.models.promotion import Step
from serve.tiles import Picture
from tests.blocks import write_block_model, write_suite
from tests.browser.pages import drag, opened, screenshot
from tests.browser.serving import serving
from tests.dashboard_system import DashboardSystem
from tests.integration.test_shape_preview import Kept

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]
OLD, NEW = (ModelIdentity(name="yolox-nano", version=v, sha256=v * 64, card=v * 64) for v in ("1", "2"))

# How often a sound was made, and what was told on the desktop.
HEARD = """
window.beeps = 0;
window.notices = [];
window.contexts = [];
window.AudioContext = class extends AudioContext {
  constructor() { super(); window.beeps += 1; window.contexts.push(this); }
};
window.Notification = class extends Notification {
  constructor(title, more) { super(title, more); window.notices.push([title, more.body]); }
};
new MutationObserver(() => {
  const note = document.getElementById("hoaban-silent");
  if (note) console.log(note.textContent);
}).observe(document, { childList: true, subtree: true });
"""
# Where the corners of what is chosen in the editor stand, as fractions of the picture; it is drawn in a shadow tree.
CORNERS = """
() => {
  const within = root => [...root.querySelectorAll("*")].flatMap(one =>
    [...(one.matches("circle.corner") ? [one] : []), ...(one.shadowRoot ? within(one.shadowRoot) : [])]);
  return within(document).map(corner => {
    const [, , wide, high] = corner.ownerSVGElement.getAttribute("viewBox").split(" ").map(Number);
    return [corner.getAttribute("cx") / wide, corner.getAttribute("cy") / high];
  });
}
"""
GROUND = "() => getComputedStyle(document.querySelector('.stApp')).backgroundColor"


class Unblurred:
    """The clip's pictures as they are; who asked for them."""

    def __init__(self, system: DashboardSystem) -> None:
        self._system, self.reasons = system, list[str]()

    async def unblurred(self, camera: str, who: str, reason: str) -> Picture | None:
        self.reasons.append(reason)
        return await self._system.pictures.tile(camera)


def ground(page: "Page") -> str:
    """The colour behind everything."""
    return str(page.evaluate(GROUND))


def local(page: "Page") -> bool:
    return all(url.startswith(("data:", "blob:", "about:")) for url in page.outside)  # type: ignore[attr-defined]


def test_the_map_leads_to_a_camera_and_asks_nobody_outside(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    _, address = dashboard
    page = opened(browser, address)
    marks = page.locator(".mark")
    expect(marks.filter(has_text="Điện Biên Phủ").first).to_be_visible()
    page.wait_for_timeout(3000)
    screenshot(page, "situation")
    page.get_by_role("button", name="Điện Biên Phủ:").click()  # the district is opened up
    gate = page.get_by_role("button", name="Cửa ngõ phía Nam:")
    gate.focus()
    gate.press("Enter")
    expect(page.get_by_role("heading", name="Cửa ngõ phía Nam")).to_be_visible()
    assert "camera=gate" in page.url
    assert local(page)
    page.close()


def test_an_event_and_an_incident_lead_to_their_moment(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    _, address = dashboard
    page = opened(browser, address)
    line = page.locator("li[data-moment]").filter(has_text="Cửa ngõ phía Nam")
    moment = line.get_attribute("data-moment")
    assert moment
    line.get_by_role("link").focus()
    page.keyboard.press("Enter")
    shown = page.locator(".hb-facts").get_by_text(moment)
    expect(shown).to_be_visible()
    assert f"moment={moment}" in page.url
    assert "camera=gate" in page.url
    page.reload()  # as whoever is given the address sees it
    expect(shown).to_be_visible()
    page.get_by_role("link", name="Sự việc").click()
    expect(page.get_by_role("heading", name="#")).to_be_visible()  # of the worst incident, whichever that is
    line = page.locator("li[data-moment]").first
    other = line.get_attribute("data-moment")
    assert other
    line.click()
    expect(page.locator(".hb-facts").get_by_text(other)).to_be_visible()
    assert f"moment={other}" in page.url
    page.close()


def test_a_zone_is_drawn_with_the_keys_and_saved(dashboard: tuple[DashboardSystem, str], browser: "Browser") -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    file = Path(system.app.state.settings.fleet_files[0])
    before = yaml.safe_load(file.read_text())["cameras"][0]["zones"][0]["polygon"]
    page = opened(browser, f"{address}/cameras?camera=gate&part=zones")
    corner = page.locator("circle.corner").first
    expect(corner).to_be_visible()
    page.get_by_role("button", name="Lưu").scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    screenshot(page, "zones")
    corner.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    save = page.get_by_role("button", name="Lưu")
    expect(save).to_be_enabled()
    save.click()
    expect(page.get_by_text("Đã lưu.")).to_be_visible()
    after = yaml.safe_load(file.read_text())["cameras"][0]["zones"][0]["polygon"]
    assert after == [[round(before[0][0] + 0.02, 4), before[0][1]], *before[1:]]
    page.close()


def test_a_line_is_tried_on_what_the_camera_recorded_before_it_is_saved(
    dashboard: tuple[DashboardSystem, str], browser: "Browser", clip: Callable[[str], Path], yolox: str
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    system.app.state.recent = Kept(clip("pets-s2l1-v1.mp4"), 8.0)
    system.report("gate", model=find_model(yolox).ref.as_dict())
    file = Path(system.app.state.settings.fleet_files[0])
    before = file.read_text()
    page = opened(browser, f"{address}/cameras?camera=gate&part=zones")
    page.get_by_role("button", name="╱ in").click()
    attempt = page.get_by_role("button", name="Thử trước")
    drag(page, 0, 0.5, 0.3)
    expect(attempt).to_be_enabled()
    drag(page, 1, 0.5, 0.8)
    placed = page.evaluate(CORNERS)
    assert placed == [pytest.approx([0.5, 0.3], abs=0.01), pytest.approx([0.5, 0.8], abs=0.01)]
    attempt.click()
    result = page.locator(".st-key-hb-preview")
    expect(result.get_by_text(re.compile("sẽ báo thêm|sẽ không còn báo")).first).to_be_visible()
    expect(result.get_by_text("Đã thử trên")).to_be_visible()
    expect(result.locator("img").first).to_be_visible()
    page.wait_for_function("() => [...document.images].every(image => image.complete && image.naturalWidth > 0)")
    result.scroll_into_view_if_needed()
    screenshot(page, "preview")
    assert file.read_text() == before
    looks, _ = AuditStore(system.store.engine).page(action="picture.look")
    assert "/cameras/gate/shapes/preview" in {one.subject for one in looks}
    page.locator("circle.corner").first.press("ArrowUp")  # what was tried is not what is drawn any more
    expect(result).to_have_count(0)
    page.close()


def test_a_promoted_model_is_taken_back(
    dashboard: tuple[DashboardSystem, str], browser: "Browser", tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    _, address = dashboard
    step = Step(
        kind="promote", place="yolox-nano", before=OLD, after=NEW, at=datetime.now(UTC), by="Hoa", report="c" * 64
    )
    registry = PromotionRegistry(tmp_path)
    registry.add(lambda _: step)
    page = opened(browser, f"{address}/models")
    expect(page.get_by_text("yolox-nano@2").first).to_be_visible()
    screenshot(page, "models")
    page.get_by_test_id("stPopover").get_by_role("button").click()
    page.get_by_label("Lý do").fill("chậm vào ban đêm")
    page.get_by_label("Lý do").press("Enter")
    page.get_by_test_id("stPopoverBody").get_by_role("button", name="Hoàn lại").click()
    expect(page.get_by_text("Đã hoàn lại")).to_be_visible()
    assert [(one.kind, one.by, one.why) for one in registry.steps()][-1] == (
        "rollback",
        "Lò Văn Mai",
        "chậm vào ban đêm",
    )
    page.close()


def test_a_candidate_that_passed_its_evaluation_is_promoted(
    dashboard: tuple[DashboardSystem, str], browser: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from playwright.sync_api import expect

    _, address = dashboard
    models, report = tmp_path / "models", tmp_path / "report.json"
    write_block_model(models, "blocks")
    write_block_model(models, "equal", version="2")
    monkeypatch.setenv("HOABAN_MODEL_PATH", str(models))  # the API is in this process
    suite, data = write_suite(tmp_path / "suite"), ("--data", str(tmp_path))
    with pytest.raises(SystemExit, match="0"):
        main(
            ["models", "evaluate", "equal@2", "--against", "blocks", "--suite", str(suite), "--out", str(report), *data]
        )
    page = opened(browser, f"{address}/models")
    page.get_by_role("tab", name="Đánh giá").click()
    page.locator("input[type=file]").set_input_files(report)
    page.get_by_role("button", name="equal@2").click()
    expect(page.get_by_text("Đã nâng cấp")).to_be_visible()
    screenshot(page, "promoted")
    (step,) = PromotionRegistry(tmp_path).steps()
    assert (step.kind, step.place, step.after.ref, step.by) == ("promote", "blocks", "equal@2", "Lò Văn Mai")
    page.close()


def happens(system: DashboardSystem, camera: str, kind: str, track: int) -> None:
    """An event, and the incident that is made of it."""
    system.happen(camera, Finding(kind, "r", track, "person", zone="door"))
    follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())


def heard(page: "Page") -> list[object]:
    """Sounds made and notices given, after whatever is listened for has been asked for again."""
    page.wait_for_timeout(11_000)  # twice the time between two questions
    return list(page.evaluate("() => [beeps, notices.map(([title, body]) => body)]"))


def test_colours_sound_and_notice_are_as_a_person_chose(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    page = opened(browser, f"{address}/settings", HEARD)
    page.context.grant_permissions(["notifications"], origin=address)
    expect(page.get_by_label("Màu giao diện")).to_be_visible()
    assert ground(page) == "rgb(255, 255, 255)"
    screenshot(page, "settings")
    for label, choice in (("Màu giao diện", "tối"), ("Âm báo", "cao"), ("Thông báo trên", "thấp")):
        page.get_by_label(label).click()
        page.get_by_role("option", name=re.compile(f"{choice}$")).click()
    page.get_by_role("button", name="Lưu").click()
    page.wait_for_function(f"() => document.querySelector('.stApp') && ({GROUND})() === 'rgb(14, 19, 26)'")
    page.close()
    page = opened(browser, "about:blank", HEARD)  # another browser of the same person, which nobody has touched yet
    page.context.grant_permissions(["notifications"], origin=address)
    # No browser lets a page be heard that nobody touched, and the page says so. It is asked through the console: for a
    # browser, whatever else a test asks of a page is a person's touch.
    with page.expect_console_message(lambda told: "Hãy nhấn chuột một lần" in told.text):
        page.goto(address)
    page.wait_for_function(f"() => document.querySelector('.stApp') && ({GROUND})() === 'rgb(14, 19, 26)'")
    expect(page.locator(".mark").first).to_be_visible()
    page.locator(".hb-head").first.click()
    expect(page.locator("#hoaban-silent")).to_have_count(0)
    page.wait_for_function("() => Number(sessionStorage.getItem('hoaban-incident-heard')) > 0")
    assert heard(page) == [0, []]  # what was open already is on the page
    happens(system, "bridge", "loitering", 7)
    page.wait_for_function("() => notices.length === 1")
    assert heard(page) == [0, ["Cầu Mường Thanh"]]
    happens(system, "school", "intrusion", 8)
    page.wait_for_function("() => notices.length === 2 && beeps === 1")
    assert page.evaluate("() => contexts[0].state") != "suspended"
    assert heard(page) == [1, ["Cầu Mường Thanh", "Cổng trường"]]  # each once, however often it is asked
    screenshot(page, "dark")
    page.close()


def test_who_switched_it_off_hears_nothing_and_others_do(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    system, address = dashboard
    people, port = PeopleStore(system.store.engine), free_port()
    _, token = people.create_token("Trực ban", Role.OPERATOR)
    mine = {"HOABAN_API_URL": system.url, "HOABAN_API_TOKEN": token, "HOABAN_LANG": "vi"}
    headers = {"Authorization": f"Bearer {token}"}
    loud = httpx.put(f"{system.url}/session/preferences", json={"sound": "high", "notice": "high"}, headers=headers)
    assert loud.is_success, loud.text
    with serving(port, **mine):
        pages = [opened(browser, where, HEARD) for where in (f"http://127.0.0.1:{port}", address)]
        for page in pages:
            page.locator(".mark").first.wait_for()
            page.locator(".hb-head").first.click()
        pages[0].wait_for_function("() => Number(sessionStorage.getItem('hoaban-incident-heard')) > 0")
        happens(system, "school", "intrusion", 8)
        assert heard(pages[0])[0] == 1
        assert pages[1].evaluate("() => [beeps, notices]") == [0, []]  # who never asked for it
        httpx.put(f"{system.url}/session/preferences", json={"sound": None, "notice": None}, headers=headers)
        pages[0].reload()
        pages[0].locator(".mark").first.wait_for()
        happens(system, "bridge", "intrusion", 9)
        assert heard(pages[0]) == [0, []]
        for page in pages:
            page.close()


def test_a_face_is_seen_only_for_a_reason_which_is_recorded(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    source = system.app.state.unmasked = Unblurred(system)
    page = opened(browser, f"{address}/watchlist")
    page.get_by_role("tab", name="Kết quả trùng").click()
    expect(page.get_by_text("khuôn mặt cần cán bộ đối chiếu")).to_be_visible()
    assert page.locator("img").count() == 0  # of a hit nothing is shown that a face could be seen in
    show = page.get_by_role("button", name="Xem hình không che")
    show.click()
    expect(page.get_by_text("ít nhất mười ký tự")).to_be_visible()
    assert source.reasons == []
    page.get_by_label("Vì sao cần nhìn rõ người?").fill("hồ sơ 12/2026, so sánh khuôn mặt")
    show.click()
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    screenshot(page, "unmask")
    assert source.reasons == ["hồ sơ 12/2026, so sánh khuôn mặt"]
    found, _ = AuditStore(system.store.engine).page(action="picture.unmask")
    assert [(one.who_name, one.camera, one.reason) for one in found] == [
        ("Lò Văn Mai", "square", "hồ sơ 12/2026, so sánh khuôn mặt")
    ]
    page.close()
