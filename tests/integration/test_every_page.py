"""Whatever happens to the API, and whoever looks: no page ends in a traceback, and each says what is the matter."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from actors.processes import free_port
from actors.store import PeopleStore
from hoaban.access import Role
from tests.dashboard_system import DashboardSystem, dashboard_system
from tests.integration.test_dashboard_pages import APP, said, sound

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PAGES = sorted(file.stem for file in (APP / "views").glob("[!_]*.py"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, clip: Callable[[str], Path]) -> Iterator[DashboardSystem]:
    folder = tmp_path_factory.mktemp("system")
    with dashboard_system(folder, clip("pets-s2l1-v1.mp4"), data_dir=str(folder)) as running:
        running.show_fleet()
        yield running


def page(name: str) -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=60)
    app.run()
    app.switch_page(str(APP / "views" / f"{name}.py"))
    return sound(app.run())


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ("citizen", "subjects")])
def test_while_the_api_is_away_the_page_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_API_URL", f"http://127.0.0.1:{free_port()}/api/v1")
    monkeypatch.setenv("HOABAN_API_TOKEN", "whatever")
    monkeypatch.setenv("HOABAN_LANG", "en")
    assert "The API does not answer" in said(page(name))


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR, Role.WATCHLIST_APPROVER])
def test_every_page_stands_whoever_looks(system: DashboardSystem, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_API_URL", system.url)
    monkeypatch.setenv("HOABAN_API_TOKEN", PeopleStore(system.store.engine).create_token(f"{role}", role)[1])
    monkeypatch.setenv("HOABAN_LANG", "vi")
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=60)
    sound(app.run())
    for name in PAGES:
        app.switch_page(str(APP / "views" / f"{name}.py"))
        sound(app.run())
