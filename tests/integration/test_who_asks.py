"""Whose address counts: of citizens who send a header of their own, and of people whom another would shut out."""

from pathlib import Path
from typing import Any

import pytest

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

    citizens._limiter.cache_clear()
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
