"""Fifty people at the API at once: each follows the events, looks at one camera's moving picture and asks what a page
asks. What is told: how long answers take, how old events are when they arrive, how many pictures come.

The cameras' processes are not run: pictures are those of a clip, and reports are written as actors write them. It is
the cost of viewers alone, on the API's own process, without Ray Serve's proxy in front of it.
"""

import argparse
import json
import logging
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from actors.models import find_clip
from hoaban.events import Finding

ASKED = ("/cameras", "/events?limit=40", "/fleet", "/counts?since={today}")
PAGE_EVERY_S = 2.0
TIMEOUT = httpx.Timeout(30.0)


class Viewer(threading.Thread):
    """One person: a poll of ASKED every PAGE_EVERY_S, an event stream and an MJPEG stream beside it."""

    def __init__(self, url: str, token: str, camera: str, until_s: float) -> None:
        super().__init__(daemon=True)
        self.answers: dict[str, list[float]] = {}
        self.event_ages: list[float] = []
        self.pictures = self.failures = 0
        self._url, self._camera, self._until_s = url, camera, until_s
        self._http = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT, trust_env=False)

    def run(self) -> None:
        streams = [
            threading.Thread(target=self._guarded, args=(call,), daemon=True) for call in (self._follow, self._look)
        ]
        for stream in streams:
            stream.start()
        today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
        while time.monotonic() < self._until_s:
            began_s = time.monotonic()
            for path in ASKED:
                self._guarded(lambda path=path: self._ask(path, today))  # type: ignore[misc]
            time.sleep(max(0.0, PAGE_EVERY_S - (time.monotonic() - began_s)))
        for stream in streams:
            stream.join(timeout=5)

    def _guarded(self, call: Any) -> None:
        try:
            call()
        except httpx.HTTPError:
            self.failures += 1

    def _ask(self, path: str, today: str) -> None:
        began_s = time.perf_counter()
        answer = self._http.get(self._url + path.format(today=today))
        self.answers.setdefault(path.partition("?")[0], []).append(time.perf_counter() - began_s)
        self.failures += not answer.is_success

    def _follow(self) -> None:
        with self._http.stream("GET", f"{self._url}/events/stream") as answer:
            for line in answer.iter_lines():
                if line.startswith("data:") and (told := json.loads(line[5:]) or {}).get("data", {}).get("sent_s"):
                    self.event_ages.append(time.time() - told["data"]["sent_s"])
                if time.monotonic() > self._until_s:
                    return

    def _look(self) -> None:
        with self._http.stream("GET", f"{self._url}/cameras/{self._camera}/live.mjpg") as answer:
            for chunk in answer.iter_bytes():
                self.pictures += chunk.count(b"Content-Type: image/jpeg")
                if time.monotonic() > self._until_s:
                    return


def measure(viewers: int, for_s: float) -> dict[str, Any]:
    """Run them all and sum up; times in milliseconds."""
    import psutil

    from tests.dashboard_system import NAMES, dashboard_system

    with (
        tempfile.TemporaryDirectory() as folder,
        dashboard_system(Path(folder), find_clip("pets-s2l1-v1.mp4")) as system,
    ):
        system.show_fleet()
        cameras = list(NAMES)
        for camera in cameras:
            system.report(camera)
        crowd = [
            Viewer(system.url, system.token, cameras[n % len(cameras)], time.monotonic() + for_s)
            for n in range(viewers)
        ]
        process = psutil.Process()
        process.cpu_percent()
        for viewer in crowd:
            viewer.start()
        number = 0
        while any(viewer.is_alive() for viewer in crowd):
            number += 1
            sent = Finding("intrusion", "r", number, "person", zone="door", extra={"sent_s": time.time()})
            system.happen("gate", sent)
            time.sleep(0.5)
        busy = process.cpu_percent()
    by_path = {
        path: _told([s for viewer in crowd for s in viewer.answers.get(path, [])])
        for path in (one.partition("?")[0] for one in ASKED)
    }
    return {
        "viewers": viewers,
        "seconds": for_s,
        "answers_ms": by_path,
        "all_ms": _told([s for viewer in crowd for found in viewer.answers.values() for s in found]),
        "event_age_ms": _told([s for viewer in crowd for s in viewer.event_ages]),
        "pictures_per_viewer_s": round(sum(viewer.pictures for viewer in crowd) / viewers / for_s, 2),
        "failures": sum(viewer.failures for viewer in crowd),
        "cpu_percent": busy,
    }


def memory(reruns: int) -> dict[str, Any]:
    """Memory of the dashboard's code while one viewer keeps the first page open.

    The page is run `reruns` times in this process, each time as a whole and with all answers asked anew; open it renews
    its parts every 2 to 5 seconds, so an hour is 1800 runs at most. Told every tenth of the way, in MiB.
    """
    import os

    import psutil
    from streamlit.testing.v1 import AppTest

    from tests.dashboard_system import NAMES, dashboard_system

    with (
        tempfile.TemporaryDirectory() as folder,
        dashboard_system(Path(folder), find_clip("pets-s2l1-v1.mp4")) as system,
    ):
        system.show_fleet()
        os.environ |= {"HOABAN_API_URL": system.url, "HOABAN_API_TOKEN": system.token}
        app = AppTest.from_file(str(Path(__file__).parents[1] / "dashboards" / "app.py"), default_timeout=60)
        process, told = psutil.Process(), []
        for number in range(reruns):
            if number % 20 == 0:
                for camera in NAMES:
                    system.report(camera)
                system.happen("gate", Finding("intrusion", "r", number, "person", zone="door"))
            for kept in app.session_state["answers"].values() if number else ():
                kept.asked_s -= 60
            app.run()
            if number % max(1, reruns // 10) == 0:
                told.append(round(process.memory_info().rss / 2**20, 1))
        told.append(round(process.memory_info().rss / 2**20, 1))
    return {"reruns": reruns, "rss_mib": told, "includes": "the API, its database's client and the test harness"}


def _told(seconds: list[float]) -> dict[str, float] | None:
    if len(seconds) < 2:
        return None
    cuts = statistics.quantiles(seconds, n=100)
    return {"n": len(seconds), "p50": round(1000 * cuts[49], 1), "p95": round(1000 * cuts[94], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--memory", type=int, metavar="RERUNS", help="measure the dashboard's memory instead")
    given = parser.parse_args()
    logging.disable(logging.INFO)  # a line for each answer
    found = memory(given.memory) if given.memory else measure(given.viewers, given.seconds)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
