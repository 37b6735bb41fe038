"""Machines' tokens, in SQL."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from actors.store.grants import GivenGrant, aware, digest_of, give, given_to
from actors.store.tables import api_tokens
from hoaban.access import Grant, Role


@dataclass(frozen=True, slots=True)
class Token:
    """A machine's token, without its secret."""

    id: str
    name: str
    agency: str | None
    created: datetime
    created_by: str | None
    expires: datetime | None
    revoked: bool
    grants: tuple[GivenGrant, ...]


class TokenStore:
    """Tokens, of which only the sha256 is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_token(
        self,
        name: str,
        *granted: Role | Grant,
        expires: datetime | None = None,
        agency: str | None = None,
        by: str = "the system",
    ) -> tuple[str, str]:
        """A new token for a machine: (id, secret). A role alone counts everywhere."""
        token_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = {
            "id": token_id,
            "name": name,
            "sha256": digest_of(secret),
            "agency": agency,
            "created": datetime.now(UTC),
            "created_by": by,
            "expires": expires.astimezone(UTC) if expires else None,
            "revoked": False,
        }
        with self._engine.begin() as connection:
            connection.execute(sa.insert(api_tokens).values(row))
            give(connection, token_id, granted, by)
        return token_id, secret

    def revoke_token(self, token_id: str) -> bool:
        """Whether there was such a token."""
        with self._engine.begin() as connection:
            changed = connection.execute(sa.update(api_tokens).where(api_tokens.c.id == token_id).values(revoked=True))
            return changed.rowcount > 0

    def tokens(self) -> list[Token]:
        """All that were ever made, the oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(api_tokens).order_by(api_tokens.c.created, api_tokens.c.id)).all()
            return [
                Token(
                    row.id, row.name, row.agency, aware(row.created), row.created_by,
                    aware(row.expires) if row.expires else None, row.revoked, given_to(connection, row.id),
                )
                for row in rows
            ]  # fmt: skip
