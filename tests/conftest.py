"""Fixtures that every kind of test may use."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx
import pytest
from argon2 import PasswordHasher
from hypothesis import settings

from actors.models import ModelError, find_clip, find_model
from actors.store import EventStore, people
from hoaban.fleet import Camera
from tests.postgres import Postgres, find_binaries

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("hoaban", deadline=None)  # no test asserts how long something took
settings.load_profile("hoaban")

# httpx reads the authorities of the whole web for each request that is made without a client: 40 ms of a processor, and
# tests ask several times a second until something has come about.
httpx._transports.default.create_ssl_context = cache(httpx._transports.default.create_ssl_context)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]

LONGEST_FIRST = (
    "test_system.py",
    "test_process_faults.py",
    "test_cluster.py",
    "test_moves.py",
    "test_up_stops.py",
    "test_gate_on_clips.py",
    "test_journeys.py",
    "test_publishing.py",
    "test_models_tutorial.py",
    "test_sources.py",
    "test_killed_proof.py",
    "test_pool.py",
    "test_model_turns.py",
    "test_rights.py",
    "test_counts_of_clips.py",
    "test_models_add.py",
    "test_deliveries.py",
    "test_case_pages.py",
    "test_incident_keeping.py",
    "test_face_watchlist.py",
    "test_simulation.py",
    "test_odd_requests.py",
)


def absent(what: str) -> NoReturn:
    """Skip the test for want of data; fail it where the data must be (HOABAN_REQUIRE_DATA)."""
    (pytest.fail if os.environ.get("HOABAN_REQUIRE_DATA") else pytest.skip)(what)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no worker is left with one at the end; the others as they were."""
    place = {name: i for i, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session", autouse=True)
def real_hasher() -> Iterator[PasswordHasher]:
    """Passwords are hashed cheaply here: hundreds are, and each takes 64 MiB otherwise. The value: the real hasher."""
    cheap, real = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1), people._hasher
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "_hasher", cheap)
        patch.setattr(people, "_NOBODYS", people._nobodys(cheap))
        yield real


@pytest.fixture
def make_camera() -> Callable[..., Camera]:
    """A camera with sensible fields; any may be given."""

    def make(source: str = "rtsp://127.0.0.1/none", **fields: object) -> Camera:
        base = {"id": "cam", "name": "Cam", "role": "shared", "district": "d", "owner": "o", "model": "yolox-nano"}
        return Camera.model_validate(base | {"source": source} | fields)

    return make


@pytest.fixture(scope="session")
def clip() -> Callable[[str], Path]:
    """A recorded clip; the test is skipped, and says so, where the clips are not."""

    def find(name: str) -> Path:
        try:
            return find_clip(name)
        except ModelError as missing:
            absent(str(missing))

    return find


@pytest.fixture(scope="session")
def yolox() -> str:
    """The pinned detector's name; skipped where its file is not."""
    try:
        find_model("yolox-nano")
    except ModelError as missing:
        absent(str(missing))
    return "yolox-nano"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL of this run's own."""
    if (binaries := find_binaries()) is None:
        assert not os.environ.get("HOABAN_REQUIRE_POSTGRESQL"), "PostgreSQL is not installed"
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = Postgres(binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str, Path], str]:
    """Makes a store of a kind that is empty and migrated: a copy of one, since hundreds of tests begin with one."""

    @cache
    def first(kind: str) -> str:
        whole = tmp_path_factory.mktemp("store") / "store.db"
        url = f"sqlite:///{whole}" if kind == "sqlite" else request.getfixturevalue("postgres").create()
        EventStore.open(url).close()
        return url

    def made(kind: str, folder: Path) -> str:
        url = first(kind)
        if kind == "sqlite":
            return f"sqlite:///{shutil.copy(url.removeprefix('sqlite:///'), folder / 'store.db')}"
        return request.getfixturevalue("postgres").copy(url)

    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with nothing in it, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return request.getfixturevalue("postgres").create()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, new_store: Callable[[str, Path], str]) -> str:
    """The address of an empty store, of each kind in turn."""
    return new_store(request.param, tmp_path)


@pytest.fixture(scope="module")  # while Playwright runs, its thread has an event loop that other tests cannot share
def browser() -> "Iterator[Browser]":
    chromium = shutil.which("chromium")
    if chromium is None:
        assert not os.environ.get("HOABAN_REQUIRE_BROWSER"), "Chromium is not installed"
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield running
        running.close()
