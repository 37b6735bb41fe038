"""Memory of the dashboard while it is kept open: one browser with Situation and the wall of Cameras, 16 tiles each.

Its process's resident memory, the JavaScript heap of each page after a collection, and what the browser's processes
hold of their own, by kind, taken every half minute while cameras report and events come. The slope is a line through
all but the first quarter, in which caches fill. Pictures are those of a clip; the API runs in the measuring process.
"""

import argparse
import json
import logging
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from actors.models import find_clip
from actors.processes import free_port
from hoaban.events import Finding

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

    from tests.dashboard_system import DashboardSystem

TILES = 16
SAMPLE_EVERY_S = 30.0
KIND = "--type="
"""of a browser's process: renderer, gpu-process, utility; the main one has none"""
MIB = 2**20


def measure(minutes: float = 60.0) -> dict[str, Any]:
    """Keep it open for so long. Memory in MiB, slopes in MiB an hour."""
    from playwright.sync_api import sync_playwright

    from tests.browser.serving import serving
    from tests.conftest import FLAGS
    from tests.dashboard_system import dashboard_system

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory() as folder,
        dashboard_system(Path(folder), find_clip("pets-s2l1-v1.mp4"), origins=(address,)) as system,
        serving(port, HOABAN_API_URL=system.url, HOABAN_API_TOKEN=system.token, HOABAN_LANG="vi") as dashboard,
        sync_playwright() as playwright,
    ):
        cameras = with_cameras(system)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        # Each in a window of its own: a tab behind another one is hidden, and rests.
        pages = {
            path: browser.new_page(viewport={"width": 1920, "height": 1080}) for path in ("/", "/cameras?view=wall")
        }
        heaps: dict[str, CDPSession] = {}
        for path, page in pages.items():
            page.goto(address + path)
            page.frame_locator("iframe").locator("figure:not(.empty)").nth(TILES - 1).wait_for(timeout=120_000)
            heaps[path] = page.context.new_cdp_session(page)
        samples = []
        began_s = told_s = time.monotonic()
        while time.monotonic() - began_s <= 60 * minutes:
            _happen(system, cameras)
            if time.monotonic() >= told_s:
                told_s += SAMPLE_EVERY_S
                samples.append(_sample(began_s, dashboard.pid, heaps))
            next(iter(pages.values())).wait_for_timeout(2000)
        blank = {path: page.frame_locator("iframe").locator("figure.empty").count() for path, page in pages.items()}
        asked = sum(system.pictures.asked.values())
        browser.close()
    return _told(samples) | {"minutes": minutes, "tiles": TILES, "pictures": asked, "blank_tiles": blank}


def with_cameras(system: "DashboardSystem") -> list[str]:
    """Make the fleet's six TILES."""
    from hoaban.fleet import Fleet

    document = system.fleet.model_dump(mode="json", by_alias=True)
    six = document["cameras"]
    document["cameras"] = [
        six[n % len(six)] | {"id": f"camera-{n + 1}", "name": f"{six[n % len(six)]['name']} {n + 1}"}
        for n in range(TILES)
    ]
    system.fleet = Fleet.model_validate(document)
    system.show_fleet()
    cameras = [one.id for one in system.fleet.cameras]
    for camera in cameras:
        system.report(camera)
    return cameras


def _happen(system: "DashboardSystem", cameras: list[str]) -> None:
    """All cameras report; one tells something."""
    for camera in cameras:
        system.report(camera)
    number = int(time.monotonic())
    system.happen(cameras[number % TILES], Finding("line_count", "r", number, "car", line="in", direction="forward"))


def _sample(began_s: float, dashboard: int, heaps: dict[str, "CDPSession"]) -> dict[str, float]:
    own = psutil.Process(dashboard)
    server = sum(process.memory_info().rss for process in (own, *own.children(recursive=True)))
    browser = [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
    found = {"minute": (time.monotonic() - began_s) / 60, "streamlit": server / MIB}
    for path, session in heaps.items():
        session.send("HeapProfiler.collectGarbage")
        found[f"heap {path}"] = session.send("Runtime.getHeapUsage")["usedSize"] / MIB
    for one in browser:
        kind = next((part[len(KIND) :] for part in one.cmdline() if part.startswith(KIND)), "main")
        own = one.memory_full_info().uss / MIB
        for name in ("browser", f"browser's {kind}"):
            found[name] = found.get(name, 0.0) + own
    return found


def _told(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Each figure at a quarter of the time and at its end, and how it grew between."""
    later = samples[len(samples) // 4 :]
    hours = [sample["minute"] / 60 for sample in later]
    told: dict[str, Any] = {}
    for name in samples[0].keys() - {"minute"}:
        values = [sample.get(name, 0.0) for sample in later]
        slope = statistics.linear_regression(hours, values).slope if len(set(hours)) > 1 else 0.0
        told[name] = {
            "at_first": round(samples[0][name], 1),
            "at_a_quarter": round(values[0], 1),
            "at_the_end": round(values[-1], 1),
            "mib_an_hour": round(slope, 1),
        }
    return dict(sorted(told.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    logging.disable(logging.INFO)  # a line for each answer
    print(json.dumps(measure(given.minutes), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
