"""The dashboard of a province for the browser tests; files with needs of their own have another `dashboard`."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from actors.processes import free_port
from actors.store import PeopleStore
from actors.store.incident_keeping import Ground, follow
from hoaban.access import Grant, Role
from hoaban.events import Finding
from hoaban.fleet import Fleet
from tests.browser.serving import serving
from tests.dashboard_system import NAMES, DashboardSystem, dashboard_system

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLACES = {
    "gate": (21.402, 103.005),
    "square": (21.388, 103.019),
    "bridge": (21.383, 103.021),
    "market": (21.32, 103.009),
    "school": (21.73, 103.11),
    "junction": (21.58, 103.42),
}


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
