"""What people and machines are granted, in rows of SQL; and what an identity provider's claims give."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.store.tables import grants
from hoaban.access import TWO_PEOPLE, Grant, Role, Scope
from hoaban.schedule import Hours


@dataclass(frozen=True, slots=True)
class Claims:
    """What an identity provider says of a person."""

    issuer: str
    agency: str | None
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class GivenGrant:
    """A grant and its number, for taking it away, and who gave it when.

    waits: for another admin's confirmation (roles of TWO_PEOPLE); until then it gives nothing.
    provided: by an identity provider's claims; it counts where these say so.
    """

    id: str
    grant: Grant
    by: str
    at: datetime
    waits: bool = False
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    provided: bool = False


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def aware(at: datetime) -> datetime:
    """SQLite gives times back without their zone, which is UTC."""
    return at.replace(tzinfo=at.tzinfo or UTC)


def give(
    connection: Connection,
    holder: str,
    given: Iterable[Role | Grant],
    by: str,
    by_id: str = "",
    two: bool = False,
) -> None:
    for item in given:
        grant = item if isinstance(item, Grant) else Grant(item)
        row = grant_row(holder, grant, by) | {"granted_by_id": by_id, "waits": two and grant.role in TWO_PEOPLE}
        connection.execute(sa.insert(grants).values(row))


def grant_row(holder: str, grant: Grant, by: str) -> dict[str, Any]:
    return grant_columns(grant) | {
        "id": secrets.token_hex(8),
        "holder": holder,
        "granted": datetime.now(UTC),
        "granted_by": by,
    }


def grant_columns(grant: Grant) -> dict[str, Any]:
    scope = grant.scope
    return {
        "role": grant.role.value,
        "districts": _listed(scope.districts),
        "agencies": _listed(scope.agencies),
        "cameras": _listed(scope.cameras),
        "hours": [hours.model_dump(mode="json", by_alias=True) for hours in scope.hours] or None,
    }


def grant_of(columns: Mapping[str, Any]) -> Grant:
    hours = tuple(Hours.model_validate(item) for item in columns["hours"] or ())
    places = (_names(columns[name]) for name in ("districts", "agencies", "cameras"))
    return Grant(Role(columns["role"]), Scope(*places, hours))


def provided_id(person: str, grant: Grant) -> str:
    """The number of a provider's grant of a person: the same each time its claims say the same."""
    return digest_of(person + json.dumps(grant_columns(grant), sort_keys=True))[:16]


def claims_as_kept(claims: Claims) -> dict[str, Any]:
    """Claims as a session keeps them."""
    return {"issuer": claims.issuer, "agency": claims.agency, "grants": [grant_columns(g) for g in claims.grants]}


def claims_from(kept: Mapping[str, Any]) -> Claims:
    return Claims(kept["issuer"], kept["agency"], tuple(grant_of(columns) for columns in kept["grants"]))


def given_to(connection: Connection, holder: str) -> tuple[GivenGrant, ...]:
    query = sa.select(grants).where(grants.c.holder == holder).order_by(grants.c.granted, grants.c.id)
    return tuple(
        GivenGrant(
            row.id,
            grant_of(row._mapping),
            row.granted_by,
            aware(row.granted),
            row.waits,
            row.confirmed_by,
            aware(row.confirmed) if row.confirmed else None,
            row.provided,
        )
        for row in connection.execute(query)
    )


def held_by(connection: Connection, holder: str) -> tuple[Grant, ...]:
    return tuple(given.grant for given in given_to(connection, holder) if not (given.waits or given.provided))


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _names(listed: list[str] | None) -> frozenset[str] | None:
    return None if listed is None else frozenset(listed)
