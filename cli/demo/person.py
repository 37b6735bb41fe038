"""The demo's person, by whom anyone at its page signs in with one click. A system with a fleet of its own has none."""

import secrets

from actors.store import AuditStore, PeopleStore
from actors.store.people import Account
from cli.trouble import TroubleError
from hoaban.access import Role

NAME = "demo"
DEMO_SIGN_IN = "HOABAN_DEMO_SIGN_IN"
BY = "the demo"


def demo_person(people: PeopleStore, audit: AuditStore) -> str:
    """NAME:PASSWORD of the demo's person, with a password of this start alone.

    Raises TroubleError for a store that has other people: nobody may enter theirs by a click.
    """
    accounts = people.accounts()
    if strangers := sorted({account.name for account in accounts} - _of_the_demo(accounts)):
        raise TroubleError(
            f"the demo lets anyone in, and this store has people of its own ({', '.join(strangers[:5])}); name another "
            "folder with --data, or start the system with its fleet file"
        )
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
    """Let the person of a demo that ran on this store before in no more, nor whomever they made or gave something.

    At each start: what an open door made stays shut also where someone let it in again.
    """
    accounts = people.accounts()
    if not (makers := _of_the_demo(accounts)):
        return
    for account in accounts:
        if account.name in makers and not account.disabled:
            people.set_disabled(account.id, True)
            audit.append("", BY, "account.disable", account.name)
        for given in account.grants:
            if account.name not in makers and makers & {given.by, given.confirmed_by}:
                people.revoke(account.id, given.id)
                audit.append("", BY, "account.revoke", account.name, detail={"grant": given.id})
    for token in people.tokens():
        if token.created_by in makers and not token.revoked:
            people.revoke_token(token.id)
            audit.append("", BY, "token.revoke", token.id)


def _of_the_demo(accounts: list[Account]) -> set[str]:
    """Names of the demo's person and of all who were made by them, or by who was made by them; empty without a demo."""
    makers = {account.name for account in accounts if account.name == NAME and account.created_by == BY}
    while more := {account.name for account in accounts if account.created_by in makers} - makers:
        makers |= more
    return makers
