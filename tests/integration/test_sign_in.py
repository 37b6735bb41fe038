"""Each viewer of the dashboard signs in for themselves; the demo's door is the demo's; foreign text is no markup."""

import ast
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

import dashboards
from actors.store import AuditStore, EventStore, PeopleStore
from cli.demo.person import NAME, demo_person, end_demo
from dashboards.client import ApiClient, ApiError
from dashboards.safe import plain
from hoaban.access import Role
from tests.api_system import PASSWORD
from tests.dashboard_system import DashboardSystem, dashboard_system

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
APP = Path(str(dashboards.__file__)).parent


@pytest.fixture
def system(tmp_path: Path, clip: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[DashboardSystem]:
    with dashboard_system(tmp_path, clip("pets-s2l1-v1.mp4")) as running:
        monkeypatch.setenv("HOABAN_API_URL", running.url)
        monkeypatch.setenv("HOABAN_LANG", "en")
        for name in ("HOABAN_API_TOKEN", "HOABAN_DEMO_SIGN_IN", "HOABAN_PUBLIC_API_URL"):
            monkeypatch.delenv(name, raising=False)
        running.show_fleet()
        running.report("gate")
        yield running


@pytest.fixture
def lan(system: DashboardSystem) -> None:
    PeopleStore(system.store.engine).add("Lan", Role.VIEWER, password=PASSWORD, by="test")


def opened() -> AppTest:
    app = AppTest.from_file(str(APP / "app.py"), default_timeout=30)
    return sound(app.run())


def sound(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def press(app: AppTest, label: str, form: int = 0) -> AppTest:
    return sound([button for button in app.button if button.label == label][form].click().run())


def fill(app: AppTest, **values: str) -> None:
    for field in app.text_input:
        if field.label in values:
            field.set_value(values[field.label])


def labels(app: AppTest) -> list[str]:
    return [field.label for field in app.text_input]


def live(app: AppTest) -> bool:
    return any("1 live" in element.proto.body for element in app.get("html"))


def audited(system: DashboardSystem) -> list[tuple[str, str, str]]:
    return [(r.who_name, r.action, r.outcome) for r in AuditStore(system.store.engine).records()]


def test_whose_password_another_set_chooses_their_own_first(system: DashboardSystem) -> None:
    people = PeopleStore(system.store.engine)
    people.add("New", Role.VIEWER, password=PASSWORD, password_given=True, by="test")
    app = opened()
    fill(app, Name="New", Password=PASSWORD)
    press(app, "Sign in")
    assert labels(app) == ["Password until now", "New password", "New password again"]
    assert not live(app)
    own = {"Password until now": PASSWORD, "New password": "my own four words"}
    fill(app, **own | {"New password again": "something else here"})
    press(app, "Change the password")
    assert "differ" in app.error[0].value
    fill(app, **own | {"Password until now": "wrong", "New password again": "my own four words"})
    press(app, "Change the password")
    assert "old password is wrong" in app.error[0].value
    fill(app, **own | {"New password again": "my own four words"})
    press(app, "Change the password")
    assert live(app)
    assert people.check_password("New", "my own four words") is not None


@pytest.mark.usefixtures("lan")
def test_who_signs_in_sees_what_they_may_and_signs_out(system: DashboardSystem) -> None:
    app = opened()
    assert labels(app) == ["Name", "Password", "API token"]
    assert not live(app)
    fill(app, Name="Lan", Password="wrong")
    press(app, "Sign in")
    assert "name or the password is wrong" in app.error[0].value
    fill(app, Name="Lan", Password=PASSWORD)
    press(app, "Sign in")
    assert live(app)
    assert ("Lan", "session.begin", "done") in audited(system)
    press(app, "Sign out")
    assert labels(app) == ["Name", "Password", "API token"]
    assert "signed_in" not in app.session_state
    assert ("Lan", "session.end", "done") in audited(system)


@pytest.mark.usefixtures("lan")
def test_one_viewers_session_is_no_other_viewers(system: DashboardSystem) -> None:
    app = opened()
    fill(app, Name="Lan", Password=PASSWORD)
    assert live(press(app, "Sign in"))
    assert not live(opened())


def test_a_token_serves_too_and_a_wrong_one_does_not(system: DashboardSystem) -> None:
    app = opened()
    fill(app, **{"API token": "wrong"})
    press(app, "Sign in", form=1)
    assert "You are signed out" in app.error[0].value
    fill(app, **{"API token": system.token})
    assert live(press(app, "Sign in", form=1))


def test_the_demos_door_is_there_when_up_opened_it_and_says_what_it_is(
    system: DashboardSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [button.label for button in opened().button if "demo" in button.label] == []
    people, audit = PeopleStore(system.store.engine), AuditStore(system.store.engine)
    monkeypatch.setenv("HOABAN_DEMO_SIGN_IN", demo_person(people, audit))
    app = opened()
    assert "Demo" in app.warning[0].value
    assert live(press(app, "Enter the demo"))
    assert demo_person(people, audit) != demo_person(people, audit)  # the password of each start
    assert people.account(NAME).disabled is False
    end_demo(people, audit)
    assert people.account(NAME).disabled


@pytest.mark.usefixtures("lan")
def test_a_session_is_renewed_while_it_lasts_and_over_when_it_is_over(system: DashboardSystem) -> None:
    client = ApiClient.signing_in(system.url, "Lan", PASSWORD)
    auth: Any = client._http.auth
    first = auth._access
    auth._renew_s = time.monotonic() - 1
    assert [camera["id"] for camera in client.cameras()]
    assert auth._access != first
    assert httpx.get(f"{system.url}/session", headers={"Authorization": f"Bearer {first}"}).status_code == 401
    client.sign_out()
    auth._renew_s = time.monotonic() - 1
    with pytest.raises(ApiError) as refused:
        client.cameras()
    assert refused.value.status == 401


def test_a_person_named_demo_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    events = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    people = PeopleStore(events.engine)
    people.add(NAME, Role.VIEWER, by="an admin")
    end_demo(people, AuditStore(events.engine))
    assert not people.account(NAME).disabled
    events.close()


@pytest.mark.parametrize(
    "text", ["[x](http://a)", "![x](http://a)", ":red[x]", "$x$", "<b>x", "`x`", "# x", "a\n\nb", "https://a.b"]
)
def test_foreign_text_is_shown_as_it_is(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())
    assert re.search(r"(?<!\\)[\[\]`$<:#*]", shown) is None


SHOWING = {"error", "warning", "info", "success", "markdown", "caption", "subheader", "title", "header", "toast"}
FOREIGN = {"error", "refused", "why", "note", "doubt", "camera"}
"""what pages call text that comes from outside"""


def bare(node: ast.AST) -> bool:
    """Whether foreign text is in an expression without `plain` around it."""
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("plain", "term", "kind_said", "len"):
            return False
        return any(bare(part) for part in [*node.args, *(keyword.value for keyword in node.keywords)])
    if isinstance(node, ast.Subscript | ast.Attribute) or (isinstance(node, ast.Name) and node.id in FOREIGN):
        return True
    return any(bare(part) for part in ast.iter_child_nodes(node))


def test_no_page_shows_text_from_outside_as_markup() -> None:
    wrong = [
        f"{file.name}:{node.lineno}: {ast.unparse(node)[:90]}"
        for file in APP.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SHOWING
        if any(bare(argument) for argument in node.args)
    ]
    assert wrong == []
