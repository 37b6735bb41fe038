"""The demo's open door: never into a store that has people of its own, and shut with all that came through it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.store import AuditStore, EventStore, PeopleStore
from cli.demo.person import NAME, demo_person, end_demo
from cli.trouble import TroubleError
from hoaban.access import Role

PASSWORD = "four random words here"


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[PeopleStore, AuditStore]]:
    events = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    yield PeopleStore(events.engine), AuditStore(events.engine)
    events.close()


@pytest.mark.parametrize("name", [NAME, "Lan"])
def test_a_store_with_people_of_its_own_has_no_demo(stores: tuple[PeopleStore, AuditStore], name: str) -> None:
    people, audit = stores
    people.add(name, Role.AUDITOR, password=PASSWORD, by="anna")
    people.set_disabled(name, True)
    with pytest.raises(TroubleError, match=f"{name}.*; name another folder with --data"):
        demo_person(people, audit)
    assert people.account(name).disabled
    people.set_disabled(name, False)
    assert people.check_password(name, PASSWORD) is not None
    assert len(people.accounts()) == 1


def test_what_the_demos_admin_made_ends_with_it(stores: tuple[PeopleStore, AuditStore]) -> None:
    people, audit = stores
    demo_person(people, audit)
    people.add("made", Role.OPERATOR, password=PASSWORD, by=NAME)
    people.add("made by the made", Role.OPERATOR, password=PASSWORD, by="made")
    people.add("Lan", Role.VIEWER, password=PASSWORD, by="anna")
    people.grant("Lan", Role.OPERATOR, NAME)
    _, theirs = people.create_token("left", Role.OPERATOR, by="made")
    _, ours = people.create_token("own", Role.OPERATOR, by="anna")
    end_demo(people, audit)
    assert [(account.name, account.disabled) for account in people.accounts()] == [
        ("Lan", False),
        (NAME, True),
        ("made", True),
        ("made by the made", True),
    ]
    assert [given.grant.role for given in people.account("Lan").grants] == [Role.VIEWER]
    assert people.verify(theirs) is None
    assert people.verify(ours) is not None
    before = audit.head()
    end_demo(people, audit)
    assert audit.head() == before


def test_the_demo_begins_again_beside_what_it_made(stores: tuple[PeopleStore, AuditStore]) -> None:
    people, audit = stores
    demo_person(people, audit)
    people.add("made", Role.OPERATOR, password=PASSWORD, by=NAME)
    name, _, password = demo_person(people, audit).partition(":")
    assert people.check_password(name, password) is not None
