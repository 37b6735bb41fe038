"""The demo's person, by whom anyone at its page signs in with one click. A system with a fleet of its own has none."""

import secrets

from actors.store import AuditStore, PeopleStore
from hoaban.access import Role

NAME = "demo"
DEMO_SIGN_IN = "HOABAN_DEMO_SIGN_IN"
BY = "the demo"


def demo_person(people: PeopleStore, audit: AuditStore) -> str:
    """NAME:PASSWORD of the demo's person, with a password of this start alone."""
    password = secrets.token_urlsafe(18)
    audit.append("", BY, "account.password", NAME, outcome="begun")
    try:
        account = people.account(NAME)
    except KeyError:
        # All that needs no second person beside them.
        account = people.add(NAME, Role.ADMIN, Role.OPERATOR, Role.OFFICER, by=BY)
    people.set_disabled(account.id, False)
    people.set_password(account.id, password)
    audit.append("", BY, "account.password", NAME)
    return f"{NAME}:{password}"


def end_demo(people: PeopleStore, audit: AuditStore) -> None:
    """Let the person of a demo that ran on this store before in no more."""
    try:
        account = people.account(NAME)
    except KeyError:
        return
    if account.created_by == BY and not account.disabled:
        people.set_disabled(account.id, True)
        audit.append("", BY, "account.disable", NAME)
