"""Takes the pictures of docs/dashboard/ from a running system: `python docs/make_dashboard_pictures.py`, some minutes.

It starts `hoaban up` on the clips of the demo and two simulated cameras, in a folder of its own, lets it run, does what
people do (a report, an entry of a watchlist, an incident acknowledged), and opens every page in Chromium: light and
dark, Vietnamese and English.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from actors.models import find_clip
from actors.processes import end, free_port, start
from actors.store import EventStore, PeopleStore
from dashboards.client import ApiClient
from hoaban.access import Grant, Role

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).parent
ROOT = HERE.parent
OUT = HERE / "dashboard"
RUNS_S = float(os.environ.get("HOABAN_PICTURES_AFTER_S", "75"))
CLIPS = {"road.mp4": "road-a.mp4", "square.mp4": "pets-s2l1-v1.mp4"}
SIMULATED = {"traffic-enforcement.yaml": "enf-001", "traffic-counting.yaml": "gate-canh-quang-1"}
NAME, PASSWORD = "Lò Văn Mai", "correct horse battery"
ROLES = (Role.OPERATOR, Role.OFFICER, Role.DATA_SCIENTIST, Role.ADMIN, Role.AUDITOR)

# name of the picture -> path, language, colours
SHOTS = {
    "situation": ("/", "vi", "dark"),
    "situation-light": ("/", "en", "light"),
    "incidents": ("/incidents", "vi", "light"),
    "cameras": ("/cameras?camera=demo-mast", "vi", "dark"),
    "wall": ("/cameras?view=wall", "en", "dark"),
    "zones": ("/cameras?camera=demo-shared&part=zones", "vi", "light"),
    "moment": ("/cameras?camera={case_camera}&part=moments&moment={case}", "vi", "light"),
    "traffic": ("/traffic", "vi", "light"),
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


def fleet() -> dict[str, Any]:
    """The demo's cameras, straight from their clips, and two simulated ones."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "cli" / "demo" / "fleet.yaml").read_text())
    document["models"] = {"detect": "yolox-nano"}
    for camera in document["cameras"]:
        name = camera["source"].rpartition("/")[2]
        camera["source"] = str(find_clip(CLIPS.get(name, name)))
        camera |= {"pre_roll_s": 20, "analysis_fps": min(camera["analysis_fps"], 4)}
    for file, id in SIMULATED.items():
        listed = yaml.safe_load((ROOT / "examples" / "dien-bien" / file).read_text())["cameras"]
        camera = next(one for one in listed if one["id"] == id)
        camera |= {"district": "dbp", "owner": "police", "analysis_fps": 6, "guaranteed_fps": 0}
        document["cameras"].append(camera)
    next(one for one in document["cameras"] if one["id"] == "demo-square")["heat_map"] = {}
    return document


def do(http: httpx.Client, api: ApiClient) -> dict[str, str]:
    """What people do in a shift; where the newest case is."""
    told = {"text": "Cây đổ chắn một làn đường gần chợ", "landmark": "Chợ trung tâm", "lat": 21.386, "lon": 103.016}
    http.post("/reports", json=told).raise_for_status()
    api.propose(
        "/plates",
        {
            "watchlist": "wanted",
            "subject": "VA-2026-118",
            "plate": "27B-123.45",
            "law": "Bộ luật Tố tụng hình sự, Điều 192",
            "authority": "Cơ quan Cảnh sát điều tra",
            "document": "QĐ-118/2026",
            "basis_until": "2027-02-01T00:00:00+07:00",
            "expires_at": "2027-01-31T00:00:00+07:00",
        },
    )
    for incident in api.incidents(["new"], None, None)[:1]:
        api.act_on_incident(incident["number"], "acknowledge", incident["version"])
    cases = api.evidence()["cases"]
    newest = cases[0] if cases else {"id": "", "camera": "enf-001"}
    return {"case": newest["id"], "case_camera": newest["camera"]}


def shoot(page: "Page", address: str, name: str, path: str, language: str) -> None:
    page.goto(address + path + ("&" if "?" in path else "?") + f"lang={language}")
    page.locator(".stApp").wait_for()
    page.wait_for_timeout(9000)
    if name == "moment" and (clip := page.get_by_role("button", name="Xem đoạn")).count():
        clip.click()
        page.wait_for_timeout(3000)
    if name == "zones":
        page.locator("circle.corner").first.focus()
        for _ in range(60):
            page.keyboard.press("ArrowRight")
        page.get_by_role("button", name="Thử trước").click()
        page.locator(".st-key-hb-preview").wait_for(timeout=60_000)
        page.wait_for_timeout(1500)
    page.screenshot(path=OUT / f"{name}.png", full_page=name in ("zones", "moment"))
    print(name, flush=True)


def main(only: list[str]) -> None:
    from playwright.sync_api import sync_playwright

    from tests.browser.serving import serving

    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data, file, api_port, port = Path(folder) / "data", Path(folder) / "fleet.yaml", free_port(), free_port()
        file.write_text(yaml.safe_dump(fleet(), allow_unicode=True))
        hoaban = str(Path(sys.executable).with_name("hoaban"))
        command = [hoaban, "up", str(file), "--data", str(data), "--no-dashboard", "--api-port", str(api_port)]
        system = start(command, Path(folder) / "log")
        url = f"http://127.0.0.1:{api_port}/api/v1"
        try:
            while not _answers(f"{url}/readyz"):
                time.sleep(1)
            store = EventStore.open(f"sqlite:///{data / 'hoaban.db'}")
            PeopleStore(store.engine).add(NAME, *map(Grant, ROLES), password=PASSWORD, by="docs")
            time.sleep(RUNS_S)
            token = httpx.post(f"{url}/session", json={"name": NAME, "password": PASSWORD}).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, timeout=20) as http:
                found = do(http, ApiClient(url, token))
            with serving(port, HOABAN_API_URL=url, HOABAN_API_TOKEN=token), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                for name, (path, language, colours) in SHOTS.items():
                    if only and name not in only:
                        continue
                    page = browser.new_page(viewport={"width": 1600, "height": 1000}, color_scheme=colours)  # type: ignore[arg-type]
                    shoot(page, f"http://127.0.0.1:{port}", name, path.format(**found), language)
                    page.close()
        finally:
            end(system, 20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
