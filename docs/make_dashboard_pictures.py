"""Takes the pictures of docs/dashboard/: `python -m docs.make_dashboard_pictures [NAME …]`, from the project's folder.

Every page in Chromium over the province of docs/dashboard_sample.py: light and dark, Vietnamese and English.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from actors.models import find_clip
from actors.processes import free_port
from actors.store import PeopleStore
from dashboards.client import ApiClient
from docs.dashboard_sample import Filmed, Kept, fill, people, sample_fleet
from hoaban.access import Grant, Role
from serve.tiles import TileCache

if TYPE_CHECKING:
    from playwright.sync_api import Page

OUT = Path(__file__).parent / "dashboard"
NAME, PASSWORD = "Lò Văn Mai", "correct horse battery"
ROLES = (Role.OPERATOR, Role.OFFICER, Role.DATA_SCIENTIST, Role.ADMIN, Role.AUDITOR)
SHOTS = {
    "situation": ("/", "vi", "dark"),
    "../dashboard": ("/", "en", "light"),  # of the README
    "incidents": ("/incidents", "vi", "light"),
    "cameras": ("/cameras?camera=demo-mast", "vi", "dark"),
    "wall": ("/cameras?view=wall", "en", "dark"),
    "zones": ("/cameras?camera=demo-shared&part=zones", "vi", "light"),
    "moment": ("/cameras?camera=enf-001&part=moments&moment={case}", "vi", "light"),
    "traffic": ("/traffic?span=four_hours", "vi", "light"),
    "crowds": ("/crowd?camera=demo-square", "vi", "dark"),
    "violations": ("/violations", "vi", "light"),
    "watchlists": ("/watchlist", "vi", "light"),
    "field-reports": ("/field_reports", "vi", "light"),
    "maintenance": ("/work_orders", "vi", "light"),
    "requests": ("/subjects", "vi", "light"),
    "citizen": ("/citizen", "vi", "light"),
    "models": ("/models", "vi", "light"),
    "cluster": ("/cluster", "en", "dark"),
    "audit": ("/audit", "vi", "light"),
    "settings": ("/settings", "vi", "dark"),
}
"""name -> path, language, colours"""


def shoot(page: "Page", address: str, name: str, path: str, language: str) -> None:
    from tests.browser.pages import drag

    page.goto(address + path + ("&" if "?" in path else "?") + f"lang={language}")
    page.locator(".stApp").wait_for()
    page.wait_for_function("() => document.querySelectorAll('[data-testid=stElementContainer]').length > 2")
    page.wait_for_timeout(6000)
    if name == "watchlists":
        page.get_by_role("tab", name="Biển số").click()
        page.wait_for_timeout(1500)
    whole = name in ("zones", "moment")
    if name == "moment":
        page.get_by_role("button", name="Xem đoạn phim").click()
        page.wait_for_timeout(4000)
    if name == "zones":
        page.get_by_role("button", name="╱ walk").click()
        drag(page, 0, 0.55, 0.3)
        drag(page, 1, 0.45, 0.8)
        page.get_by_role("button", name="Thử trước").click()
        page.locator(".st-key-hb-preview").wait_for(timeout=60_000)
        page.wait_for_timeout(1500)
    if whole:
        page.set_viewport_size({"width": 1600, "height": 1500})
        page.wait_for_timeout(1500)
    page.screenshot(path=OUT / f"{name}.png")
    print(name, flush=True)


def main(only: list[str]) -> None:
    from playwright.sync_api import sync_playwright

    from tests.browser.serving import serving
    from tests.dashboard_system import dashboard_system

    OUT.mkdir(exist_ok=True)
    fleet, port = sample_fleet(), free_port()
    tiles, address = Filmed(fleet), f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        file = folder / "fleet.yaml"
        document = fleet.model_dump(mode="json", by_alias=True)
        listed = [{key: camera[key] for key in ("id", "zones", "lines")} for camera in document["cameras"]]
        file.write_text(yaml.safe_dump({"cameras": listed}, allow_unicode=True))
        settings = {"origins": (address,), "data_dir": named, "fleet_files": (str(file),)}
        with dashboard_system(folder, find_clip("pets-s2l1-v1.mp4"), **settings) as system:  # type: ignore[arg-type]
            system.fleet = fleet
            system.app.state.tiles = TileCache(tiles)
            system.app.state.recent = Kept(fleet)
            system.show_fleet()
            case = fill(system, folder)
            PeopleStore(system.store.engine).add(NAME, *map(Grant, ROLES), password=PASSWORD, by="docs")
            session = httpx.post(f"{system.url}/session", json={"name": NAME, "password": PASSWORD})
            token = session.json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=system.url, headers=headers, timeout=60) as http:
                people(http, ApiClient(system.url, token))
            with serving(port, HOABAN_API_URL=system.url, HOABAN_API_TOKEN=token), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                for name, (path, language, colours) in SHOTS.items():
                    if only and name not in only:
                        continue
                    page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme=colours)  # type: ignore[arg-type]
                    try:
                        shoot(page, address, name, path.format(case=case), language)
                    finally:
                        page.close()


if __name__ == "__main__":
    main(sys.argv[1:])
