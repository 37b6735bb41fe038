"""Who there is, in SQL: people and machines, what they are granted, and their passwords and tokens."""

import secrets
import threading
from base64 import b64encode
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION
from sqlalchemy.engine import Connection, Row

from actors.store.grants import (
    Claims,
    GivenGrant,
    aware,
    claims_from,
    digest_of,
    give,
    given_to,
    grant_row,
    held_by,
    provided_id,
)
from actors.store.tables import api_tokens, grants, people, sessions
from actors.store.tokens import TokenStore
from hoaban.access import TWO_PEOPLE, Grant, Person, Role

LEAST_PASSWORD = 12
MOST_PASSWORD = 200
_hasher = PasswordHasher()
_checking = threading.Semaphore(2)
"""each check takes 64 MiB: a flood of them must not take all memory"""


def _nobodys(hasher: PasswordHasher) -> str:
    """A hash of no known password, not computed: to compute one takes every process that imports this 64 MiB."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).rstrip(b"=").decode() for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"


_NOBODYS = _nobodys(_hasher)
"""checked for a name that is not there, so that the time to refuse does not tell which names are"""


class PeopleError(Exception):
    """What was asked cannot be; the message says why and what to do."""


class NobodyConfirmsError(PeopleError):
    """It would leave an admin's grant waiting that no other admin is there to confirm."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a credential speaks for. credential: its name ("token:ID", "session:ID"), by which it can be asked for
    again, as a ticket or a stream does, without its secret.

    must_change: they signed in with a password that another set and knows.
    """

    person: Person
    credential: str
    must_change: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """A person as an admin sees them. signs_in: with a password here, or at an identity provider (its address).

    password_given: by another, and not changed yet.
    """

    id: str
    name: str
    agency: str | None
    neighbourhood: str | None
    disabled: bool
    signs_in: str
    created: datetime
    created_by: str
    grants: tuple[GivenGrant, ...]
    password_given: bool


class PeopleStore(TokenStore):
    """Accounts, grants and tokens. `by` is the name of who makes a change, `by_id` their id (of a command: none).

    two: roles of TWO_PEOPLE wait until another than who gave them confirms.

    Secrets are not kept, only their sha256: they have 256 random bits, so a plain digest is as good as a slow one.
    Passwords are people's own, so those are kept by argon2id.
    """

    # --- people

    def add(
        self,
        name: str,
        *given: Role | Grant,
        password: str | None = None,
        issuer: tuple[str, str] | None = None,
        agency: str | None = None,
        neighbourhood: str | None = None,
        by: str,
        by_id: str = "",
        two: bool = False,
        password_given: bool = False,
    ) -> Account:
        """A new person, who signs in with a password or as (issuer, subject). Raises PeopleError.

        password_given: by another, so they change it before they may do anything.
        """
        name = name.strip()
        if not name or len(name) > 128:
            raise PeopleError("a name has 1 to 128 letters")
        row = {
            "id": secrets.token_hex(8),
            "name": name,
            "password": None if password is None else hash_password(password),
            "password_given": password_given and password is not None,
            "issuer": issuer and issuer[0],
            "issuer_subject": issuer and issuer[1],
            "agency": agency,
            "neighbourhood": neighbourhood,
            "disabled": False,
            "created": datetime.now(UTC),
            "created_by": by,
        }
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(people).values(row))
                give(connection, str(row["id"]), given, by, by_id, two)
        except sa.exc.IntegrityError:
            raise PeopleError(f"there is a person {name!r} already; choose another name") from None
        return self.account(str(row["id"]))

    def account(self, which: str) -> Account:
        """The person with this id or name. Raises KeyError."""
        with self._engine.connect() as connection:
            row = self._find(connection, which)
            return _account(row, given_to(connection, row.id))

    def accounts(self) -> list[Account]:
        """Everyone, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(people).order_by(people.c.name)).all()
            return [_account(row, given_to(connection, row.id)) for row in rows]

    def holding(self, roles: Collection[Role]) -> list[Person]:
        """People who may sign in and hold one of these roles somewhere, with all their grants that count.

        Not those whom an identity provider alone sends: what they may do it says, and no grant here.
        """
        held = sa.select(grants.c.holder).where(
            grants.c.role.in_([role.value for role in roles]), ~grants.c.waits, ~grants.c.provided
        )
        with self._engine.connect() as connection:
            here = people.c.issuer.is_(None) | people.c.password.is_not(None)
            rows = connection.execute(sa.select(people).where(people.c.id.in_(held), here, ~people.c.disabled)).all()
            return [_person(row, held_by(connection, row.id)) for row in rows]

    def signed_in_at_provider(self) -> list[Person]:
        """Whom an identity provider sent, while a session of theirs lasts, with what it said when that began; once for
        each session."""
        now = datetime.now(UTC)
        lasting = (~sessions.c.ended, sessions.c.until > now, sessions.c.claims.is_not(None), ~people.c.disabled)
        query = sa.select(people, sessions.c.claims).join(sessions, sessions.c.person == people.c.id).where(*lasting)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        told = [(row, claims_from(row.claims)) for row in rows]
        return [replace(_person(row, self.provide(row.id, claims)), agency=claims.agency) for row, claims in told]

    def from_issuer(self, issuer: str, subject: str) -> Account | None:
        """The person an identity provider knows by this subject."""
        query = sa.select(people).where(people.c.issuer == issuer, people.c.issuer_subject == subject)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else _account(row, given_to(connection, row.id))

    def set_password(
        self, which: str, password: str, *, by: str = "", by_id: str = "", two: bool = False, given: bool = False
    ) -> None:
        """Raises KeyError, PeopleError for one that is too short, NobodyConfirmsError. Their sessions end.

        given: by another, who knows it now: they change it before they may do anything.
        two: that other could sign in as them, so their grants of TWO_PEOPLE wait to be confirmed anew. One that waits
        already stays proposed by who proposed it, who else could confirm it.
        """
        hashed = hash_password(password)
        if two and by_id and not self.has_admin(by_id, which) and self.has_admin(by_id):
            raise NobodyConfirmsError(
                f"{which} is the only other admin, and nobody could confirm them anew; add a third admin first, or set "
                f"it at the machine (hoaban people password) and confirm it here"
            )
        with self._engine.begin() as connection:
            person = self._find(connection, which).id
            changed = {"password": hashed, "password_given": given}
            connection.execute(sa.update(people).where(people.c.id == person).values(changed))
            if two:
                takes_two = grants.c.role.in_([role.value for role in TWO_PEOPLE])
                # A password gives none of what a provider provides.
                held = (grants.c.holder == person) & takes_two & ~grants.c.waits & ~grants.c.provided
                anew = {
                    "waits": True,
                    "confirmed": None,
                    "confirmed_by": None,
                    "granted_by": by,
                    "granted_by_id": by_id,
                }
                connection.execute(sa.update(grants).where(held).values(anew))
            connection.execute(sa.update(sessions).where(sessions.c.person == person).values(ended=True))

    def set_disabled(self, which: str, disabled: bool) -> None:
        """Whether the person may sign in; their sessions end. Raises KeyError."""
        with self._engine.begin() as connection:
            person = self._find(connection, which).id
            connection.execute(sa.update(people).where(people.c.id == person).values(disabled=disabled))
            connection.execute(sa.update(sessions).where(sessions.c.person == person).values(ended=True))

    def check_password(self, name: str, password: str) -> Account | None:
        """The person, when the password is theirs and they are not disabled. Costs the same time for any name."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(people).where(people.c.name == name.strip())).one_or_none()
            given = () if row is None else given_to(connection, row.id)
        known = row is not None and row.password is not None and not row.disabled
        try:
            with _checking:
                _hasher.verify(row.password if row is not None and known else _NOBODYS, password)
        except (VerificationError, InvalidHashError):
            return None
        if row is None or not known:
            return None
        if _hasher.check_needs_rehash(row.password):
            with self._engine.begin() as connection:
                again = sa.update(people).where(people.c.id == row.id).values(password=_hasher.hash(password))
                connection.execute(again)
        return _account(row, given)

    # --- grants

    def provide(self, person: str, claims: Claims) -> tuple[Grant, ...]:
        """What a provider's claims give a person (by id) now. One of TWO_PEOPLE waits until an admin here confirmed it,
        once: whoever changes the groups at the provider is not enough."""
        wanted = {provided_id(person, grant): grant for grant in claims.grants if grant.role in TWO_PEOPLE}
        with self._engine.connect() as connection:
            query = sa.select(grants.c.id, grants.c.waits).where(grants.c.id.in_(wanted), grants.c.holder == person)
            waits = {row.id: row.waits for row in connection.execute(query)}
        for name in wanted.keys() - waits.keys():
            # Another request of the same person may write it at this moment.
            with suppress(sa.exc.IntegrityError), self._engine.begin() as connection:
                row = grant_row(person, wanted[name], claims.issuer[:128])
                connection.execute(sa.insert(grants).values(row | {"id": name, "waits": True, "provided": True}))
        confirmed = {name for name, waiting in waits.items() if not waiting}
        return tuple(g for g in claims.grants if g.role not in TWO_PEOPLE or provided_id(person, g) in confirmed)

    def grant(self, which: str, grant: Role | Grant, by: str, by_id: str = "", *, two: bool = False) -> Account:
        """Raises KeyError."""
        with self._engine.begin() as connection:
            person = self._find(connection, which).id
            give(connection, person, [grant], by, by_id, two)
        return self.account(person)

    def confirm(self, which: str, grant: str, by: str, by_id: str = "") -> Account:
        """Let a grant that waits count. Raises KeyError for one that is not there or waits not, PeopleError for who
        gave it or would hold it."""
        with self._engine.begin() as connection:
            person = self._find(connection, which).id
            waiting = (grants.c.id == grant) & (grants.c.holder == person) & grants.c.waits
            row = connection.execute(sa.select(grants).where(waiting)).one_or_none()
            if row is None:
                raise KeyError(grant)
            if by_id == person or (by_id, by if not by_id else "") == (
                row.granted_by_id,
                row.granted_by if not row.granted_by_id else "",
            ):
                raise PeopleError("who gave a grant, or would hold it, does not confirm it; ask another admin")
            seen = waiting & (grants.c.granted_by_id == row.granted_by_id) & (grants.c.granted_by == row.granted_by)
            now = {"waits": False, "confirmed": datetime.now(UTC), "confirmed_by": by}
            if connection.execute(sa.update(grants).where(seen).values(now)).rowcount == 0:
                raise PeopleError("it was given anew at this moment; look again")
        return self.account(person)

    def has_admin(self, *but: str) -> bool:
        """Whether a person who may sign in, other than `but` (ids or names), is an admin of everything now, by what was
        granted here: a provider may be away for ever."""
        return any(
            given.grant.role is Role.ADMIN and given.grant.scope.everywhere and not (given.waits or given.provided)
            for account in self.accounts()
            if not account.disabled and not {account.id, account.name} & set(but)
            for given in account.grants
        )

    def revoke(self, which: str, grant: str) -> Account:
        """Take a grant away, by its id. Raises KeyError for a person or a grant that is not there."""
        with self._engine.begin() as connection:
            person = self._find(connection, which).id
            gone = sa.delete(grants).where(grants.c.id == grant, grants.c.holder == person)
            if connection.execute(gone).rowcount == 0:
                raise KeyError(grant)
        return self.account(person)

    # --- whose secret it is

    def verify(self, secret: str) -> Holder | None:
        """Whose token, or session, this secret is; None for an unknown, revoked, expired or disabled one."""
        digest = digest_of(secret)
        with self._engine.connect() as connection:
            token = self._token(connection, api_tokens.c.sha256 == digest)
            found = None if token else self._session(connection, sessions.c.access == digest)
        return token or self._with_claims(found)

    def holder(self, credential: str) -> Holder | None:
        """The holder of a credential by its name, as `verify`: None once it is revoked or over."""
        kind, _, name = credential.partition(":")
        with self._engine.connect() as connection:
            if kind == "token":
                return self._token(connection, api_tokens.c.id == name)
            found = self._session(connection, sessions.c.id == name) if kind == "session" else None
        return self._with_claims(found)

    def _token(self, connection: Connection, which: sa.ColumnElement[bool]) -> Holder | None:
        row = connection.execute(sa.select(api_tokens).where(which, ~api_tokens.c.revoked)).one_or_none()
        if row is None or (row.expires is not None and aware(row.expires) <= datetime.now(UTC)):
            return None
        return Holder(Person(row.id, row.name, row.agency, held_by(connection, row.id)), f"token:{row.id}")

    def _session(
        self, connection: Connection, which: sa.ColumnElement[bool]
    ) -> tuple[Holder, dict[str, Any] | None] | None:
        """The holder by what is granted here, and what the provider said at which the session began."""
        query = sa.select(people, sessions.c.id.label("session"), sessions.c.access_until, sessions.c.claims).join(
            sessions, sessions.c.person == people.c.id
        )
        row = connection.execute(query.where(which, ~sessions.c.ended, ~people.c.disabled)).one_or_none()
        if row is None or aware(row.access_until) <= datetime.now(UTC):
            return None
        person = _person(row, held_by(connection, row.id))
        return Holder(person, f"session:{row.session}", row.password_given and row.claims is None), row.claims

    def _with_claims(self, found: tuple[Holder, dict[str, Any] | None] | None) -> Holder | None:
        if found is None or found[1] is None:
            return found and found[0]
        holder, claims = found[0], claims_from(found[1])
        given = self.provide(holder.person.id, claims)
        return replace(holder, person=replace(holder.person, agency=claims.agency, grants=given))

    def _find(self, connection: Connection, which: str) -> Row[Any]:
        # An id first: a person could be named like another's id.
        for column in (people.c.id, people.c.name):
            row = connection.execute(sa.select(people).where(column == which)).one_or_none()
            if row is not None:
                return row
        raise KeyError(which)


def hash_password(password: str) -> str:
    """Raises PeopleError for one that is too short or too long to be checked in bounded time."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise PeopleError(f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD} letters; a few random words make one")
    return _hasher.hash(password)


def _person(row: Row[Any], held: tuple[Grant, ...]) -> Person:
    return Person(row.id, row.name, row.agency, held, row.neighbourhood)


def _account(row: Row[Any], given: tuple[GivenGrant, ...]) -> Account:
    signs_in = row.issuer or ("password" if row.password else "not yet: no password")
    return Account(
        row.id, row.name, row.agency, row.neighbourhood, row.disabled, signs_in, aware(row.created), row.created_by,
        given, row.password_given,
    )  # fmt: skip
