"""`hoaban people` and `hoaban tokens`: what they change, what they refuse, and that each change is recorded."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.store import AuditStore, EventStore, PeopleStore
from actors.store.sessions import SessionStore, StolenError
from cli.main import app
from hoaban.access import Grant, Role, Scope
from hoaban.audit import broken

PASSWORD = "four random words here"


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = EventStore.open(f"sqlite:///{folder / 'hoaban.db'}")
        self.people = PeopleStore(self.events.engine)

    def run(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Any:
        done = CliRunner().invoke(app, [*arguments, "--data", str(self.folder)], input=stdin)
        assert done.exit_code == code, (done.output, done.exception)
        assert code == 0 or "Traceback" not in done.output
        return done

    def actions(self) -> list[tuple[str, str]]:
        records = list(AuditStore(self.events.engine).records())
        assert broken(records) == []
        return [(record.action, record.outcome) for record in records]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_person_is_added_granted_signs_in_and_is_shut_out(desk: Desk) -> None:
    desk.run("people", "add", "Lan", "--neighbourhood", "north", stdin=f"{PASSWORD}\n")
    desk.run("people", "grant", "Lan", "--role", "operator", "--district", "north", "--district", "south")
    account = desk.people.check_password("Lan", PASSWORD)
    assert account is not None
    assert account.neighbourhood == "north"
    expected = Grant(Role.OPERATOR, Scope(districts=frozenset({"north", "south"})))
    assert [given.grant for given in account.grants] == [expected]
    assert desk.people.check_password("Lan", PASSWORD + "x") is None
    listed = json.loads(desk.run("people", "list", "--json").stdout)
    assert listed[0]["grants"][0]["grant"] == "operator (districts north, south)"

    sessions = SessionStore(desk.events.engine)
    session = sessions.begin(account.id)
    holder = desk.people.verify(session.access)
    assert holder is not None
    assert holder.person.grants == (expected,)
    desk.run("people", "revoke", "Lan", account.grants[0].id)
    assert desk.people.verify(session.access).person.grants == ()  # type: ignore[union-attr]
    desk.run("people", "disable", "Lan")
    assert desk.people.verify(session.access) is None
    assert desk.people.check_password("Lan", PASSWORD) is None
    desk.run("people", "disable", "Lan", "--back")
    desk.run("people", "password", "Lan", stdin="another four words\n")
    assert desk.people.check_password("Lan", "another four words") is not None
    expected_actions = ["add", "grant", "revoke", "disable", "enable", "password"]
    assert desk.actions() == [(f"account.{name}", how) for name in expected_actions for how in ("begun", "done")]


def test_a_refresh_token_works_once_and_a_second_time_ends_the_session(desk: Desk) -> None:
    account, sessions = desk.people.add("Lan", by="test"), SessionStore(desk.events.engine)
    first = sessions.begin(account.id)
    second = sessions.renew(first.refresh)
    assert second is not None
    assert desk.people.verify(first.access) is None
    assert desk.people.verify(second.access) is not None
    with pytest.raises(StolenError):
        sessions.renew(first.refresh)
    assert desk.people.verify(second.access) is None
    assert sessions.renew(second.refresh) is None


def test_a_tokens_secret_is_printed_once_and_nowhere_kept(desk: Desk) -> None:
    made = desk.run("tokens", "add", "kerb-7", "--role", "admin", "--camera", "gate", "--days", "30")
    secret = made.stdout.strip()
    holder = desk.people.verify(secret)
    assert holder is not None
    assert holder.person.grants == (Grant(Role.ADMIN, Scope(cameras=frozenset({"gate"}))),)
    assert secret not in desk.run("tokens", "list", "--json").stdout
    desk.events.close()
    assert secret.encode() not in b"".join(p.read_bytes() for p in desk.folder.iterdir() if p.is_file())
    desk.run("tokens", "revoke", holder.person.id)
    assert desk.people.verify(secret) is None


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (["people", "add", "Lan"], "short\n", "12 to 200"),
        (["people", "add", " "], f"{PASSWORD}\n", "1 to 128"),
        (["people", "add", "An"], f"{PASSWORD}\n", "there is a person 'An' already"),
        (["people", "grant", "Nobody", "--role", "viewer"], None, "no 'Nobody'"),
        (["people", "revoke", "An", "nothing"], None, "no 'nothing'"),
        (["tokens", "revoke", "nothing"], None, "no 'nothing'"),
        (["people", "grant", "An", "--role", "emperor"], None, "emperor"),
        (["people", "confirm", "An", "nothing", "--reason", "x"], None, "no 'nothing'"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_recorded(
    desk: Desk, arguments: list[str], stdin: str | None, told: str
) -> None:
    desk.people.add("An", by="test")
    assert told in desk.run(*arguments, stdin=stdin, code=2).output
    if "emperor" not in arguments:
        assert [outcome for _, outcome in desk.actions()] == ["begun", "failed"]


def test_without_a_store_the_command_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["people", "list", "--data", str(tmp_path)])
    assert (done.exit_code, "no store is in it" in done.output) == (2, True)
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_is_no_officer_and_no_admin_of_everything(desk: Desk) -> None:
    for role in ("officer", "watchlist_approver", "auditor", "admin"):
        assert "a machine cannot be" in desk.run("tokens", "add", "x", "--role", role, code=2).output
    assert desk.people.tokens() == []


def test_the_first_admin_counts_at_once_and_whoever_comes_after_waits_for_them(desk: Desk) -> None:
    def add(name: str, role: str) -> str:
        desk.run("people", "add", name, "--role", role, stdin=f"{PASSWORD}\n")
        return desk.people.account(name).grants[0].id

    def waits(name: str) -> bool:
        return desk.people.account(name).grants[0].waits

    officer, first = add("Officer", "officer"), add("First", "admin")
    assert (waits("Officer"), waits("First")) == (True, False)
    add("Second", "admin")
    assert waits("Second")
    said = desk.run("people", "confirm", "Officer", officer, "--reason", "nobody else is here", code=2).output
    assert "ask another admin" in said  # given at this keyboard, so not confirmed at it
    admin = desk.people.account("First")
    desk.people.confirm("Officer", officer, admin.name, admin.id)
    assert not waits("Officer")
    third = desk.people.grant("Second", Role.AUDITOR, admin.name, admin.id, two=True).grants[-1].id
    desk.run("people", "confirm", "Second", third, "--reason", "there is one admin yet")
    assert not desk.people.account("Second").grants[-1].waits
    desk.run("people", "password", "First", stdin="another four words\n")
    assert not waits("First")  # nobody could confirm it
    assert first != officer
    desk.run("people", "password", "Officer", stdin="another four words\n")
    assert waits("Officer")
    desk.run("people", "disable", "First")
    assert not desk.people.has_admin()
