"""`hoaban people` and `hoaban tokens`: who may sign in, what they may do, and what machines hold."""

import getpass
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from actors.audit_anchor import Anchor, begin
from actors.store import AuditStore, PeopleStore
from actors.store.grants import GivenGrant
from actors.store.people import Account, PeopleError
from cli import recording
from cli.common import data_folder, print_json, refuse, store_or_refuse
from cli.recording import who
from hoaban.access import TWO_PEOPLE, Grant, Role, Scope
from hoaban.fleet_text import redact

people = typer.Typer(no_args_is_help=True, help="People: who may sign in, and what they may do.")
tokens = typer.Typer(no_args_is_help=True, help="Tokens of machines: made, listed, revoked.")

Data = Annotated[Path | None, typer.Option(help="folder of `hoaban up`; HOABAN_STORE_URL names another store")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Name = Annotated[str, typer.Argument(metavar="PERSON", help="name or id")]
AsRole = Annotated[Role, typer.Option("--role", help="what they may do; where it counts say the options below")]
Districts = Annotated[list[str] | None, typer.Option("--district", help="only there; may be given several times")]
Agencies = Annotated[list[str] | None, typer.Option("--agency-of", help="only cameras this agency owns; several times")]
Cameras = Annotated[list[str] | None, typer.Option("--camera", help="only this camera; several times")]


class _Desk:
    """The stores, and who sits at the keyboard: every change goes into the audit chain, before it is made and after."""

    def __init__(self, people: PeopleStore, audit: AuditStore) -> None:
        self.people, self._audit = people, audit
        self.who = who()

    def two(self, role: Role | None) -> bool:
        """Whether a grant must wait for an admin: all but the first admin's, whom nobody could confirm."""
        return role is not Role.ADMIN or self.people.has_admin()

    def record(self, action: str, subject: str, outcome: str = "done", **detail: Any) -> None:
        recording.record(self._audit, action, subject, outcome=outcome, **detail)


@contextmanager
def _desk(data: Path | None, action: str | None = None, subject: str = "", **detail: Any) -> Iterator[_Desk]:
    """Raises typer.Exit with code 2 and the reason for what cannot be."""
    folder = data_folder(data)
    events = store_or_refuse(folder)
    with suppress(OSError):  # then `hoaban audit verify` says that there is no anchor
        begin(AuditStore(events.engine), Anchor(folder))
    desk = _Desk(PeopleStore(events.engine), AuditStore(events.engine))
    try:
        if action is not None:
            desk.record(action, subject, "begun", **detail)
        yield desk
        if action is not None:
            desk.record(action, subject, **detail)
    except (PeopleError, KeyError) as error:
        if action is not None:
            desk.record(action, subject, "failed", **detail)
        unknown = f"there is no {error.args[0]!r}; see `hoaban people list` and `hoaban tokens list`"
        refuse(unknown if isinstance(error, KeyError) else str(error))
    except sa.exc.SQLAlchemyError as error:
        refuse(f"the store does not take it: {redact(str(error).splitlines()[0])}")
    finally:
        events.close()


@people.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="to sign in with")],
    role: Annotated[
        Role | None, typer.Option(help="grant it at once, everywhere; others: `hoaban people grant`")
    ] = None,
    agency: Annotated[str | None, typer.Option(help="they work for")] = None,
    neighbourhood: Annotated[str | None, typer.Option(help="district they live in: looks there are watched")] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="they cannot sign in before one is set")] = False,
    data: Data = None,
) -> None:
    """Add a person. The password is asked for, or read from standard input; they change it at their first sign-in."""
    password = None if no_password else _password()
    given = [] if role is None else [role]
    with _desk(data, "account.add", name, roles=[r.value for r in given]) as desk:
        account = desk.people.add(
            name,
            *given,
            password=password,
            agency=agency,
            neighbourhood=neighbourhood,
            by=desk.who,
            two=desk.two(role),
            password_given=True,
        )
    print(f"{account.id}  {account.name}")
    _tell_waiting(account)


@people.command("list")
def list_people(data: Data = None, as_json: AsJson = False) -> None:
    """Everyone, and what they may do."""
    with _desk(data) as desk:
        accounts = desk.people.accounts()
    if as_json:
        print_json([_account(account) for account in accounts])
        return
    for account in accounts:
        off = "  DISABLED" if account.disabled else ""
        print(f"{account.id}  {account.name}  {account.agency or '-'}  signs in: {account.signs_in}{off}")
        for given in account.grants:
            print(f"    {given.id}  {_words(given)}")


@people.command()
def grant(
    person: Name,
    role: AsRole,
    district: Districts = None,
    agency_of: Agencies = None,
    camera: Cameras = None,
    data: Data = None,
) -> None:
    """Grant a role, everywhere or in a part of the province. What is given must all fit."""
    wanted = _grant(role, district, agency_of, camera)
    with _desk(data, "account.grant", person, grants=[_words(wanted)]) as desk:
        account = desk.people.grant(person, wanted, desk.who, two=desk.two(role))
    print(f"{account.grants[-1].id}  {_words(account.grants[-1])}")
    _tell_waiting(account)


@people.command()
def confirm(
    person: Name,
    grant: Annotated[str, typer.Argument(metavar="GRANT")],
    reason: Annotated[str, typer.Option(help="why here and not by another admin: it is recorded")],
    data: Data = None,
) -> None:
    """Let a grant count that an admin gave by HTTP, where there is no second admin yet. Not one given here."""
    with _desk(data, "account.confirm", person, grant=grant, reason=reason) as desk:
        desk.people.confirm(person, grant, desk.who)


@people.command()
def revoke(person: Name, grant: Annotated[str, typer.Argument(metavar="GRANT")], data: Data = None) -> None:
    """Take a grant away, by its id (see list). It counts within seconds."""
    with _desk(data, "account.revoke", person, grant=grant) as desk:
        desk.people.revoke(person, grant)


@people.command()
def disable(
    person: Name,
    back: Annotated[bool, typer.Option("--back", help="let them in again instead")] = False,
    data: Data = None,
) -> None:
    """Let a person in no more; their sessions end within seconds."""
    with _desk(data, "account.enable" if back else "account.disable", person) as desk:
        desk.people.set_disabled(person, not back)


@people.command()
def password(person: Name, data: Data = None) -> None:
    """Set a person's password, asked for or read from standard input; they change it when they sign in. Their sessions
    end."""
    secret = _password()
    with _desk(data, "account.password", person) as desk:
        desk.people.set_password(person, secret, by=desk.who, two=desk.people.has_admin(person), given=True)


@tokens.command("add")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the machine")],
    role: AsRole,
    district: Districts = None,
    agency_of: Agencies = None,
    camera: Cameras = None,
    agency: Annotated[str | None, typer.Option(help="it belongs to")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="how long it is valid; none: until revoked")] = None,
    data: Data = None,
) -> None:
    """Make a token and print it: this once, for it is not kept."""
    wanted = _grant(role, district, agency_of, camera)
    if role in TWO_PEOPLE and (role is not Role.ADMIN or wanted.scope.everywhere):
        refuse(f"a machine cannot be {role}, nor an admin without limits: add a person, who answers for it")
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with _desk(data, "token.add", name, grants=[_words(wanted)]) as desk:
        token, secret = desk.people.create_token(name, wanted, expires=expires, agency=agency, by=desk.who)
    print(f"id {token}", file=sys.stderr)
    print(secret)


@tokens.command("list")
def list_tokens(data: Data = None, as_json: AsJson = False) -> None:
    """All tokens ever made."""
    with _desk(data) as desk:
        found = desk.people.tokens()
    if as_json:
        print_json([asdict(token) | _dated(token) for token in found])
        return
    for token in found:
        over = "  REVOKED" if token.revoked else f"  until {token.expires:%Y-%m-%d %H:%M}Z" if token.expires else ""
        print(f"{token.id}  {token.name}  {', '.join(_words(given) for given in token.grants)}{over}")


@tokens.command("revoke")
def revoke_token(token: Annotated[str, typer.Argument(metavar="ID")], data: Data = None) -> None:
    """Revoke a token; its tickets and open streams end within seconds."""
    with _desk(data, "token.revoke", token) as desk:
        if not desk.people.revoke_token(token):
            raise KeyError(token)


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("password: ", stream=sys.stderr)
    if not secrets.compare_digest(first.encode(), getpass.getpass("again: ", stream=sys.stderr).encode()):
        refuse("the two passwords differ; nothing was changed")
    return first


def _grant(role: Role, districts: list[str] | None, agencies: list[str] | None, cameras: list[str] | None) -> Grant:
    def names(listed: list[str] | None) -> frozenset[str] | None:
        return frozenset(listed) if listed else None

    return Grant(role, Scope(names(districts), names(agencies), names(cameras)))


def _words(given: GivenGrant | Grant) -> str:
    grant = given.grant if isinstance(given, GivenGrant) else given
    parts = {"districts": grant.scope.districts, "cameras of": grant.scope.agencies, "cameras": grant.scope.cameras}
    where = "; ".join(f"{name} {', '.join(sorted(found))}" for name, found in parts.items() if found is not None)
    hours = "; at set hours" if grant.scope.hours else ""
    waits = ", WAITS for an admin to confirm it" if isinstance(given, GivenGrant) and given.waits else ""
    return f"{grant.role} ({where or 'everywhere'}{hours}){waits}"


def _tell_waiting(account: Account) -> None:
    if any(given.waits for given in account.grants):
        print("it counts once an admin confirms it: POST /people/…/grants/…/confirm", file=sys.stderr)


def _account(account: Account) -> dict[str, Any]:
    return asdict(account) | {"created": account.created.isoformat(), "grants": _listed(account.grants)}


def _dated(token: Any) -> dict[str, Any]:
    expires = token.expires.isoformat() if token.expires else None
    return {"created": token.created.isoformat(), "expires": expires, "grants": _listed(token.grants)}


def _listed(given: tuple[GivenGrant, ...]) -> list[dict[str, Any]]:
    return [
        {
            "id": item.id,
            "grant": _words(item.grant),
            "by": item.by,
            "at": item.at.isoformat(),
            "waits": item.waits,
            "confirmed_by": item.confirmed_by,
        }
        for item in given
    ]
