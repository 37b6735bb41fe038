"""The main journeys in real Chromium: the map, a zone drawn, a model taken back, a face seen for a reason."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from actors.processes import free_port
from actors.promotions import PromotionRegistry
from actors.store import AuditStore, PeopleStore
from actors.store.incident_keeping import Ground, follow
from cli.main import main
from hoaban.access import Grant, Role
from hoaban.evaluation.report import ModelIdentity
from hoaban.events import Finding
from hoaban.fleet import Fleet
from hoaban.models.promotion import Step
from serve.tiles import Picture
from tests.blocks import write_block_model, write_suite
from tests.browser.serving import serving
from tests.browser.test_dashboard_smoke import screenshot
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.timeout(180)]
PLACES = {
    "gate": (21.402, 103.005),
    "square": (21.388, 103.019),
    "bridge": (21.383, 103.021),
    "market": (21.32, 103.009),
    "school": (21.73, 103.11),
    "junction": (21.58, 103.42),
}
OLD, NEW = (ModelIdentity(name="yolox-nano", version=v, sha256=v * 64, card=v * 64) for v in ("1", "2"))

# How often a sound was made, and what was told on the desktop.
HEARD = """
window.beeps = 0;
window.notices = [];
window.AudioContext = class extends AudioContext {
  constructor() { super(); window.beeps += 1; }
};
window.Notification = class extends Notification {
  constructor(title, more) { super(title, more); window.notices.push([title, more.body]); }
};
"""
GROUND = "() => getComputedStyle(document.querySelector('.stApp')).backgroundColor"


class Unblurred:
    """The clip's pictures as they are; who asked for them."""

    def __init__(self, system: DashboardSystem) -> None:
        self._system, self.reasons = system, list[str]()

    async def unblurred(self, camera: str, who: str, reason: str) -> Picture | None:
        self.reasons.append(reason)
        return await self._system.pictures.tile(camera)


@pytest.fixture
def dashboard(tmp_path: Path, clip: Callable[[str], Path], browser: "Browser") -> Iterator[tuple[DashboardSystem, str]]:
    """The dashboard of one person with many roles; the province's cameras have places and a file to be edited in."""
    port, file = free_port(), tmp_path / "fleet.yaml"
    address = f"http://127.0.0.1:{port}"
    settings = {"origins": (address,), "data_dir": str(tmp_path), "fleet_files": (str(file),)}
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4"), **settings) as system:  # type: ignore[arg-type]
        document = system.fleet.model_dump(mode="json", by_alias=True)
        for camera in document["cameras"]:
            camera["source"] = f"rtsp://127.0.0.1:8554/{camera['id']}"
            camera["location"] = dict(zip(("lat", "lon"), PLACES[camera["id"]], strict=True))
        system.fleet = Fleet.model_validate(document)
        system.show_fleet()
        listed = [{key: camera[key] for key in ("id", "zones", "lines")} for camera in document["cameras"]]
        file.write_text(
            "".join(["cameras:\n", *(f"- {yaml.safe_dump(one, default_flow_style=True)}" for one in listed)])
        )
        for camera in NAMES:
            system.report(camera)
        system.happen("market", Finding("loitering", "r", 1, "person", zone="door"))
        system.happen("gate", Finding("intrusion", "r", 2, "person", zone="door", bbox=(300.0, 200.0, 360.0, 420.0)))
        system.happen("square", Finding("face_watchlist", "r", 3, "person", zone="door"))
        follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
        roles = [Role.OPERATOR, Role.OFFICER, Role.DATA_SCIENTIST, Role.ADMIN, Role.AUDITOR]
        PeopleStore(system.store.engine).add(
            "Lò Văn Mai", *map(Grant, roles), password="correct horse battery", by="test"
        )
        session = httpx.post(f"{system.url}/session", json={"name": "Lò Văn Mai", "password": "correct horse battery"})
        with serving(
            port, HOABAN_API_URL=system.url, HOABAN_API_TOKEN=session.json()["access_token"], HOABAN_LANG="vi"
        ):
            yield system, address


def opened(browser: "Browser", address: str, script: str = "") -> "Page":
    """A page that tells of every request that leaves this machine. script: runs before the page's own."""
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(60_000)
    page.add_init_script(script)
    page.outside = []  # type: ignore[attr-defined]
    page.on("request", lambda asked: page.outside.append(asked.url) if "//127.0.0.1" not in asked.url else None)  # type: ignore[attr-defined]
    page.goto(address)
    return page


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


def test_colours_sound_and_notice_are_as_a_person_chose(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    page = opened(browser, f"{address}/settings", HEARD)
    page.context.grant_permissions(["notifications"], origin=address)
    expect(page.get_by_label("Màu giao diện")).to_be_visible()
    assert ground(page) == "rgb(255, 255, 255)"
    for label, choice in (("Màu giao diện", "tối"), ("Âm báo", "cao"), ("Thông báo trên", "thấp")):
        page.get_by_label(label).click()
        page.get_by_role("option", name=re.compile(f"{choice}$")).click()
    page.get_by_role("button", name="Lưu").click()
    page.wait_for_function(f"() => document.querySelector('.stApp') && ({GROUND})() === 'rgb(14, 19, 26)'")
    page.goto(address)  # another page, loaded anew
    page.wait_for_function(f"() => document.querySelector('.stApp') && ({GROUND})() === 'rgb(14, 19, 26)'")
    expect(page.locator(".mark").first).to_be_visible()
    page.wait_for_function("() => Number(sessionStorage.getItem('hoaban-incident-heard')) > 0")
    assert page.evaluate("() => [beeps, notices]") == [0, []]  # what was open already is on the page
    system.happen("bridge", Finding("loitering", "r", 7, "person", zone="door"))
    follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
    page.wait_for_function("() => notices.length === 1")
    assert page.evaluate("() => beeps") == 0
    system.happen("school", Finding("intrusion", "r", 8, "person", zone="door"))
    follow(system.store.engine, Ground.of_fleet(system.board.get_json("fleet") or {}), time.time())
    page.wait_for_function("() => notices.length === 2 && beeps === 1")
    assert page.evaluate("() => notices")[1][1] == "school"
    screenshot(page, "dark")
    page.close()


def test_a_face_is_seen_only_for_a_reason_which_is_recorded(
    dashboard: tuple[DashboardSystem, str], browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    system, address = dashboard
    source = system.app.state.unmasked = Unblurred(system)
    page = opened(browser, f"{address}/watchlist")
    page.get_by_role("tab", name="Kết quả trùng").click()
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
