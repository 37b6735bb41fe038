"""Who there is, in SQL: people, machines with tokens, their grants, and whose secret a request shows."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from actors.store.tables import api_tokens, grants, people, sessions
from hoaban.access import Grant, Person, Role, Scope
from hoaban.schedule import Hours


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a credential speaks for. credential: its name ("token:ID", "session:ID"), by which it can be asked for
    again, as a ticket or a stream does, without its secret."""

    person: Person
    credential: str


class PeopleStore:
    """Accounts and tokens. Secrets are not kept, only their sha256: they have 256 random bits, so a plain digest is as
    good as a slow one. Passwords are people's own, so those are kept by argon2id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def verify(self, secret: str) -> Holder | None:
        """Whose token, or session, this secret is; None for an unknown, revoked, expired or disabled one."""
        digest = _digest(secret)
        with self._engine.connect() as connection:
            return self._token(connection, api_tokens.c.sha256 == digest) or self._session(
                connection, sessions.c.access == digest
            )

    def holder(self, credential: str) -> Holder | None:
        """The holder of a credential by its name, as `verify`: None once it is revoked or over."""
        kind, _, name = credential.partition(":")
        with self._engine.connect() as connection:
            if kind == "token":
                return self._token(connection, api_tokens.c.id == name)
            if kind == "session":
                return self._session(connection, sessions.c.id == name)
        return None

    def create_token(
        self,
        name: str,
        *given: Role | Grant,
        expires: datetime | None = None,
        agency: str | None = None,
        by: str = "the system",
    ) -> tuple[str, str]:
        """A new token for a machine: (id, secret). A role alone counts everywhere."""
        token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {
            "id": token_id,
            "name": name,
            "sha256": _digest(secret),
            "agency": agency,
            "created": datetime.now(UTC),
            "created_by": by,
            "expires": expires,
            "revoked": False,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(api_tokens).values(row))
            _grant(connection, token_id, given, by)
        return token_id, secret

    def revoke_token(self, token_id: str) -> bool:
        """Whether there was such a token."""
        with self._engine.begin() as connection:
            changed = connection.execute(sa.update(api_tokens).where(api_tokens.c.id == token_id).values(revoked=True))
            return changed.rowcount > 0

    def _token(self, connection: Connection, which: sa.ColumnElement[bool]) -> Holder | None:
        row = connection.execute(sa.select(api_tokens).where(which, ~api_tokens.c.revoked)).one_or_none()
        if row is None or (row.expires is not None and _over(row.expires)):
            return None
        return Holder(Person(row.id, row.name, row.agency, _grants(connection, row.id)), f"token:{row.id}")

    def _session(self, connection: Connection, which: sa.ColumnElement[bool]) -> Holder | None:
        query = sa.select(people, sessions.c.id.label("session"), sessions.c.access_until).join(
            sessions, sessions.c.person == people.c.id
        )
        row = connection.execute(query.where(which, ~sessions.c.ended, ~people.c.disabled)).one_or_none()
        if row is None or _over(row.access_until):
            return None
        person = Person(row.id, row.name, row.agency, _grants(connection, row.id), row.neighbourhood)
        return Holder(person, f"session:{row.session}")


def _grant(connection: Connection, holder: str, given: Iterable[Role | Grant], by: str) -> None:
    now = datetime.now(UTC)
    for item in given:
        grant = item if isinstance(item, Grant) else Grant(item)
        scope = grant.scope
        row: dict[str, Any] = {
            "id": secrets.token_hex(8),
            "holder": holder,
            "role": grant.role.value,
            "districts": _listed(scope.districts),
            "agencies": _listed(scope.agencies),
            "cameras": _listed(scope.cameras),
            "hours": [hours.model_dump(mode="json", by_alias=True) for hours in scope.hours] or None,
            "granted": now,
            "granted_by": by,
        }
        connection.execute(sa.insert(grants).values(row))


def _grants(connection: Connection, holder: str) -> tuple[Grant, ...]:
    rows = connection.execute(
        sa.select(grants).where(grants.c.holder == holder).order_by(grants.c.granted, grants.c.id)
    )
    return tuple(
        Grant(
            Role(row.role),
            Scope(
                _names(row.districts),
                _names(row.agencies),
                _names(row.cameras),
                tuple(Hours.model_validate(hours) for hours in row.hours or ()),
            ),
        )
        for row in rows
    )


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _names(listed: list[str] | None) -> frozenset[str] | None:
    return None if listed is None else frozenset(listed)


def _over(at: datetime) -> bool:
    """SQLite gives times back without their zone, which is UTC."""
    return at.replace(tzinfo=at.tzinfo or UTC) <= datetime.now(UTC)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
