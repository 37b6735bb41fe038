"""Whose address counts: of citizens who send a header of their own, and of people whom another would shut out."""

import hmac
from pathlib import Path
from typing import Any

import pytest

from dashboards import viewer
from hoaban.access import Role
from hoaban.access.settings import AccessSettings
from tests.api_system import PASSWORD, Api, running_api

pytestmark = pytest.mark.integration


def ask_as_citizen(api: Api, forwarded: str | None) -> int:
    headers = {"X-Access-Code": "x"} | ({"X-Forwarded-For": forwarded} if forwarded else {})
    path = f"/public/reports/{ask_as_citizen.asked}"  # type: ignore[attr-defined]
    ask_as_citizen.asked += 1  # type: ignore[attr-defined]
    return int(api.ask("GET", path, api.token(Role.INTAKE), headers=headers).status_code)


ask_as_citizen.asked = 0  # type: ignore[attr-defined]


def refused_after(api: Api, forwarded: Any, tries: int = 70) -> bool:
    return 429 in {ask_as_citizen(api, forwarded(n)) for n in range(tries)}


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    from serve import citizens

    monkeypatch.setattr(citizens, "TRIES_PER_HOUR", 5)


@pytest.mark.usefixtures("limits")
def test_by_default_a_header_of_the_citizens_own_changes_nothing(tmp_path: Path) -> None:
    with running_api(tmp_path) as api:
        assert refused_after(api, lambda n: f"10.0.{n}.1", 8)


@pytest.mark.usefixtures("limits")
def test_behind_machines_that_are_trusted_their_word_counts_and_what_stands_before_it_does_not(tmp_path: Path) -> None:
    with running_api(tmp_path, access=AccessSettings(citizen_proxies=2)) as api:
        assert refused_after(api, lambda n: f"10.0.{n}.1, 192.0.2.7, 10.9.9.9", 8)
        assert not refused_after(api, lambda n: f"192.0.2.{n + 10}, 10.9.9.9", 8)
        assert not refused_after(api, lambda n: "10.9.9.9" if n < 5 else "192.0.2.99, 10.9.9.9", 6)
        assert refused_after(api, lambda n: f"no address {n}, 10.9.9.9", 8)  # who asks, then


def sign_in(api: Api, address: str, password: str, name: str = "Lan") -> int:
    body = {"name": name, "password": password}
    return int(api.ask("POST", "/session", None, json=body, headers={"X-Forwarded-For": address}).status_code)


LIMITS = {
    "wrong_passwords_per_name": "3/hour",
    "wrong_passwords_per_name_everywhere": "8/hour",
    "wrong_passwords_per_address": "20/hour",
}


def test_who_guesses_shuts_nobody_out_where_they_are_known(tmp_path: Path) -> None:
    access = AccessSettings.model_validate({"limits": LIMITS, "trusted_proxies": ["testclient"]})
    with running_api(tmp_path, access=access) as api:
        api.people.add("Lan", password=PASSWORD, by="test")
        assert sign_in(api, "192.0.2.1", PASSWORD) == 201
        assert [sign_in(api, "198.51.100.1", "wrong") for _ in range(4)] == [401, 401, 401, 429]
        assert sign_in(api, "192.0.2.1", PASSWORD) == 201
        assert sign_in(api, "192.0.2.2", PASSWORD) == 201  # a new place, while not too much is guessed
        guesses = [sign_in(api, f"198.51.100.{n}", "wrong") for n in range(2, 12)]
        assert guesses[-1] == 429
        assert sign_in(api, "192.0.2.3", PASSWORD) == 429  # a new place, in the midst of it
        assert (sign_in(api, "192.0.2.1", PASSWORD), sign_in(api, "192.0.2.2", PASSWORD)) == (201, 201)
        assert [sign_in(api, "192.0.2.1", "wrong") for _ in range(4)] == [
            401,
            401,
            401,
            429,
        ]  # there too none guesses on


def signed(address: str, secret: str = "a secret of this start") -> dict[str, str]:
    return {"X-Hoaban-Viewer": f"{address} {hmac.digest(secret.encode(), address.encode(), 'sha256').hex()}"}


def test_only_who_has_the_secret_says_whose_browser_it_is(tmp_path: Path) -> None:
    access = AccessSettings.model_validate({"limits": LIMITS | {"wrong_passwords_per_address": "2/hour"}})
    with running_api(tmp_path, access=access, viewer_secret="a secret of this start") as api:
        asked: list[int] = []

        def ask(headers: dict[str, str]) -> int:
            asked.append(1)
            body = {"name": f"n{len(asked)}", "password": "wrong"}
            return int(api.ask("POST", "/session", None, json=body, headers=headers).status_code)

        assert [ask(signed(f"192.0.2.{n}")) for n in range(5)] == [401] * 5
        assert [ask(signed("192.0.2.9")) for _ in range(3)] == [401, 401, 429]
        record = list(api.app.state.audit.records())[-1]
        assert record.detail["address"] == "192.0.2.9"
        feigned = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(3)]
        assert [ask(headers) for headers in feigned] == [401, 401, 429]
        for wrong in (signed("192.0.2.50", "another"), signed("no address"), {"X-Hoaban-Viewer": "192.0.2.51"}):
            assert ask(wrong) == 429


def test_the_dashboard_signs_what_the_api_believes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(viewer.SECRET, raising=False)
    assert viewer.told("192.0.2.1") == {}
    monkeypatch.setenv(viewer.SECRET, "a secret of this start")
    assert viewer.told("192.0.2.1") == signed("192.0.2.1")


@pytest.mark.parametrize(
    ("lines", "proxies", "found"),
    [
        (["10.0.0.1, 192.0.2.7, 10.9.9.9"], 2, "192.0.2.7"),
        (["10.0.0.1", "192.0.2.7"], 1, "192.0.2.7"),
        (["192.0.2.7"], 0, None),
        (["192.0.2.7"], 2, None),
        (["no address"], 1, None),
        ([], 1, None),
    ],
)
def test_behind_proxies_the_dashboard_takes_what_the_outermost_wrote(
    lines: list[str], proxies: int, found: str | None
) -> None:
    assert viewer._behind(lines, proxies) == found
