"""Takes the pictures of docs/dashboard/: `python -m docs.make_dashboard_pictures [NAME …]`, from the project's folder.

Every page in Chromium over the cameras of docs/dashboard_sample.py and the shift of docs/dashboard_shift.py: light and
dark, Vietnamese and English.
"""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import yaml
from PIL import Image

from actors.models import find_clip
from actors.processes import free_port
from actors.store import PeopleStore
from dashboards.client import ApiClient
from docs.dashboard_sample import Filmed, Kept, sample_fleet
from docs.dashboard_shift import ENFORCED, fill, people
from hoaban.access import Grant, Role
from serve.tiles import TileCache
from tests.browser.pages import drag
from tests.browser.serving import serving
from tests.dashboard_system import DashboardSystem, dashboard_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OUT = Path(__file__).parent / "dashboard"
NAME, SECOND, PASSWORD = "Lò Văn Mai", "Quàng Thị Ín", "correct horse battery"
ROLES = (Role.OPERATOR, Role.OFFICER, Role.DATA_SCIENTIST, Role.ADMIN, Role.AUDITOR)
WIDTH, HEIGHT = 1600, 1000
COLOURS, QUALITY = 256, 84
DRAWN = "() => [...document.querySelectorAll('.vega-embed')].every(chart => chart.querySelector('canvas, svg.marks'))"
EARLY_H = 5
"""of the province's day: before it little has happened "today", and the pictures are by another clock"""


def plates(page: "Page") -> None:
    page.get_by_role("tab", name="Biển số").click()
    page.wait_for_timeout(1500)


def film(page: "Page") -> None:
    page.get_by_role("button", name="Xem đoạn phim").click()
    video = page.locator("video")
    video.wait_for()
    video.evaluate("film => { film.currentTime = film.duration / 2 }")
    page.wait_for_timeout(2500)


def tried(page: "Page") -> None:
    """A line put elsewhere, and tried on what the camera keeps of its stream."""
    page.get_by_role("button", name="╱ path").click()
    drag(page, 0, 0.62, 0.2)
    drag(page, 1, 0.48, 0.9)
    page.get_by_role("button", name="Thử trước").click()
    page.locator(".st-key-hb-preview").wait_for(timeout=90_000)
    page.wait_for_function("() => [...document.images].every(image => image.complete && image.naturalWidth > 0)")


def found(page: "Page") -> None:
    """What is held of a person by place and time."""
    page.get_by_label("Số của yêu cầu").fill("YC-2026-017")
    page.get_by_role("combobox", name="Camera").click()
    page.get_by_role("option", name="Nút giao mẫu 01").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Tra cứu").click()
    page.get_by_text(re.compile("^Chứng cứ: ")).wait_for()


def plan(page: "Page") -> None:
    page.get_by_role("tab", name="Capacity plan").click()
    page.get_by_label("What if …").fill("+20 face_crowd; analysis_fps=10 overview")
    page.get_by_role("button", name="Plan").click()
    page.get_by_text("By costs measured on").wait_for()


class Shot(NamedTuple):
    """A picture of a page, and how it is kept. act: what is done on it first. anyone: of who has not signed in. top:
    where it begins."""

    path: str
    language: str
    colours: str
    act: Callable[["Page"], None] | None = None
    height: int = HEIGHT
    anyone: bool = False
    kind: str = "png"
    top: int = 0


SHOTS = {
    "situation": Shot("/", "vi", "dark", kind="jpg"),
    "../dashboard": Shot("/", "en", "light"),  # of the README
    "sign-in": Shot("/", "vi", "light", anyone=True),
    "incidents": Shot("/incidents", "vi", "light", height=1300, kind="jpg"),
    "cameras": Shot("/cameras?camera=demo-mast", "vi", "dark", kind="jpg"),
    "wall": Shot("/cameras?view=wall", "en", "dark", kind="jpg"),
    "zones": Shot("/cameras?camera=demo-square&part=zones", "vi", "light", tried, 2650, kind="jpg", top=960),
    "moment": Shot(
        f"/cameras?camera={ENFORCED}&part=moments&moment={{case}}", "vi", "light", film, 1800, kind="jpg", top=960
    ),
    "traffic": Shot("/traffic?span=four_hours", "vi", "light"),
    "crowds": Shot("/crowd?camera=demo-square", "vi", "dark", kind="jpg"),
    "violations": Shot("/violations?case={case}", "vi", "light", height=1250, kind="jpg"),
    "watchlists": Shot("/watchlist", "vi", "light", plates),
    "field-reports": Shot("/field_reports", "vi", "light", height=1300, kind="jpg"),
    "maintenance": Shot("/work_orders", "vi", "light"),
    "requests": Shot("/subjects", "vi", "light", found, 1100),
    "citizen": Shot("/citizen", "vi", "light", anyone=True),
    "models": Shot("/models", "vi", "light"),
    "cluster": Shot("/cluster", "en", "dark", height=1250),
    "plan": Shot("/cluster", "en", "light", plan),
    "audit": Shot("/audit", "vi", "light"),
    "settings": Shot("/settings", "vi", "dark"),
}


def take(browser: "Browser", address: str, shot: Shot) -> bytes:
    """The picture, as PNG."""
    size = {"width": WIDTH, "height": shot.height}
    page = browser.new_page(viewport=size, color_scheme=shot.colours)  # type: ignore[arg-type]
    try:
        page.goto(address + shot.path + ("&" if "?" in shot.path else "?") + f"lang={shot.language}")
        page.locator(".stApp").wait_for()
        page.wait_for_function("() => document.querySelectorAll('[data-testid=stElementContainer]').length > 2")
        page.wait_for_timeout(6000)
        page.wait_for_function(DRAWN)
        if shot.act is not None:
            shot.act(page)
            page.wait_for_timeout(1500)
        below = {"x": 0, "y": shot.top, "width": WIDTH, "height": shot.height - shot.top}
        return page.screenshot(clip=below)  # type: ignore[arg-type]
    finally:
        page.close()


def keep(png: bytes, name: str, kind: str) -> None:
    """A page of text and drawings in COLOURS colours; one with photographs as JPEG, for those need more."""
    with Image.open(io.BytesIO(png)) as picture:
        whole = picture.convert("RGB")
        file = OUT / f"{name}.{kind}"
        if kind == "jpg":
            whole.save(file, quality=QUALITY, subsampling=0, optimize=True, progressive=True)
        elif name.startswith(".."):
            whole.save(file, optimize=True)
        else:
            whole.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, optimize=True)


class Province(NamedTuple):
    """The system, a token of who has all roles that have pages, one that may file reports, and the newest case."""

    system: DashboardSystem
    token: str
    intake: str
    case: str


@contextmanager
def province(*origins: str) -> Iterator[Province]:
    """It all, without a dashboard. origins: addresses of dashboards, whose pages may fetch pictures."""
    fleet = sample_fleet()
    tiles = Filmed(fleet)
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        file = folder / "fleet.yaml"
        document = fleet.model_dump(mode="json", by_alias=True)
        listed = [{key: camera[key] for key in ("id", "zones", "lines")} for camera in document["cameras"]]
        file.write_text(yaml.safe_dump({"cameras": listed}, allow_unicode=True))
        settings = {"origins": origins, "data_dir": named, "fleet_files": (str(file),)}
        with dashboard_system(folder, find_clip("pets-s2l1-v1.mp4"), **settings) as system:  # type: ignore[arg-type]
            system.fleet = fleet
            system.app.state.tiles = TileCache(tiles)
            system.app.state.recent = Kept(fleet)
            system.show_fleet()
            case = fill(system, folder)
            store = PeopleStore(system.store.engine)
            store.add(NAME, *map(Grant, ROLES), password=PASSWORD, by="docs")
            store.add(SECOND, Grant(Role.WATCHLIST_APPROVER), password=PASSWORD, by="docs")
            token, second = signed_in(system, NAME), signed_in(system, SECOND)
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=system.url, headers=headers, timeout=60) as http:
                if datetime.now(ZoneInfo(fleet.province.timezone)).hour < EARLY_H:
                    http.put("/session/preferences", json={"timezone": "UTC"}).raise_for_status()
                people(http, ApiClient(system.url, token), ApiClient(system.url, second))
            yield Province(system, token, store.create_token("intake", Role.INTAKE)[1], case)


def signed_in(system: DashboardSystem, name: str) -> str:
    session = httpx.post(f"{system.url}/session", json={"name": name, "password": PASSWORD})
    return str(session.json()["access_token"])


def main(only: list[str]) -> None:
    from playwright.sync_api import sync_playwright

    OUT.mkdir(exist_ok=True)
    own, open_to_all = free_port(), free_port()
    addresses = [f"http://127.0.0.1:{port}" for port in (own, open_to_all)]
    with (
        province(*addresses) as (system, token, intake, case),
        serving(own, HOABAN_API_URL=system.url, HOABAN_API_TOKEN=token),
        serving(open_to_all, HOABAN_API_URL=system.url, HOABAN_INTAKE_TOKEN=intake),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, shot in SHOTS.items():
            if not only or name in only:
                shown = take(browser, addresses[shot.anyone], shot._replace(path=shot.path.format(case=case)))
                keep(shown, name, shot.kind)
                print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
