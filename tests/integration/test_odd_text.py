"""Characters and lengths that one database takes and another does not are refused before either, in the same words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from actors.store import EventStore, PeopleStore
from actors.store.columns import UnfitTextError
from hoaban.access import Role
from tests.api_system import PASSWORD, Api, running_api
from tests.integration.test_evidence_api import REASON

pytestmark = pytest.mark.integration


@pytest.fixture
def api(tmp_path: Path, store_url: str) -> Iterator[Api]:
    with running_api(tmp_path, store_url=store_url, data_dir=str(tmp_path)) as running:
        yield running


def test_control_characters_are_422_wherever_they_stand(api: Api) -> None:
    admin, officer, operator = (api.token(role) for role in (Role.ADMIN, Role.OFFICER, Role.OPERATOR))
    intake, auditor = api.token(Role.INTAKE), api.token(Role.AUDITOR)
    words = "words with \u0000 in them"
    asked: list[tuple[str, str, str | None, Any]] = [
        ("POST", "/people", admin, {"name": "x\0y"}),
        ("POST", "/people/%00/disable", admin, None),
        ("POST", "/session", None, {"name": "x\x1by", "password": PASSWORD}),
        ("POST", "/holds", officer, {"kind": "evidence", "subject": "a\0b", "reason": REASON}),
        ("POST", "/subjects/search", officer, {"reference": words, "plate": "30A-12345"}),
        ("POST", "/subjects/erase", officer, {"reference": "r", "basis": words, "evidence": ["x"]}),
        ("POST", "/public/reports", intake, {"text": words, "landmark": "abc"}),
        ("POST", "/handovers", operator, {"to": "x\0", "note": "hello"}),
        ("GET", "/evidence/%00", officer, None),
        ("GET", "/cameras/%00/snapshot.jpg", officer, None),
        ("GET", "/events?camera=%00", officer, None),
        ("GET", "/audit?who=%7f", auditor, None),
        ("GET", "/public/reports/%1B", intake, None),
    ]
    for method, path, token, body in asked:
        more = {} if body is None else {"json": body}
        answer = api.ask(method, path, token, **more)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), path
        assert "control character" in answer.json()["detail"], path
    assert [account.name for account in api.people.accounts()] == []


def test_an_escape_split_between_two_pieces_is_found_and_a_backslash_is_text(api: Api) -> None:
    body = b'{"name": "a\\u0000b"}'
    admin = {"Authorization": f"Bearer {api.token(Role.ADMIN)}", "Content-Type": "application/json"}

    def sent(*pieces: bytes) -> int:
        return int(api.client.post("/api/v1/people", content=iter(pieces), headers=admin).status_code)

    assert [sent(body[:at], body[at:]) for at in range(9, 18)] == [422] * 9
    assert sent(b'{"name": "a\\\\u0000b"}') == 201  # the letters \, u, 0, 0, 0, 0
    assert [account.name for account in api.people.accounts()] == ["a\\u0000b"]
    assert sent(b'{"name": "line\\nand\\ttab"}') == 201


def test_what_is_too_long_is_refused_by_every_store(store_url: str) -> None:
    events = EventStore.open(store_url)
    people = PeopleStore(events.engine)
    for agency in ("a" * 65, "a\0"):
        with pytest.raises(sa.exc.StatementError) as refused:
            people.add("x", by="test", agency=agency)
        assert isinstance(refused.value.orig, UnfitTextError)
    assert people.accounts() == []
    events.close()


def test_what_is_too_long_is_422(api: Api) -> None:
    answer = api.ask("POST", f"/people/{'x' * 200}/disable", api.token(Role.ADMIN))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_body_that_is_not_utf8_hides_no_control_character(api: Api, encoding: str) -> None:
    admin = {"Authorization": f"Bearer {api.token(Role.ADMIN)}", "Content-Type": "application/json"}
    text = '{"name": "x\\u0007\u00e9"}' if encoding != "latin-1" else '{"name": "x\u00e9"}'
    answer = api.client.post("/api/v1/people", content=text.encode(encoding), headers=admin)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert api.people.accounts() == []
    two = [("Authorization", admin["Authorization"]), ("Content-Type", "application/json"), ("Content-Type", "x/y")]
    assert api.client.post("/api/v1/people", content=b'{"name": "x\\u0007"}', headers=two).status_code == 422
    pieces = iter([b'{"name": "L', "ê".encode()[:1], "ê".encode()[1:], b'"}'])
    assert api.client.post("/api/v1/people", content=pieces, headers=admin).status_code == 201
