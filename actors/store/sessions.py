"""Sessions in SQL: a short-lived secret to ask with, and one to renew it with, each of which works once."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from actors.store.grants import Claims, aware, claims_as_kept, digest_of
from actors.store.tables import people
from actors.store.tables import sessions as table

ACCESS_LIVES_S = 900
SESSION_LIVES_S = 12 * 3600
"""a shift: after that the password is asked for again"""


class StolenError(Exception):
    """A renewal that was spent before came again: two have it, so the session was ended for both."""

    def __init__(self, person: str) -> None:
        super().__init__("this renewal was used before; the session is ended, sign in again")
        self.person = person


@dataclass(frozen=True, slots=True)
class Session:
    """The secrets of a session, as handed out once."""

    id: str
    person: str
    access: str
    access_lives_s: int
    refresh: str


KNOWN_DAYS = 30
"""from where a person signed in is known for so long"""


class SessionStore:
    """Sessions. PeopleStore.verify knows who an access secret is."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known_at(self, name: str, address: str) -> bool:
        """Whether a person of this name has signed in from an address within KNOWN_DAYS."""
        query = sa.select(table.c.id).join(people, people.c.id == table.c.person).limit(1)
        with self._engine.connect() as connection:
            found = connection.execute(query.where(people.c.name == name, table.c.address == address[:64]))
            return found.first() is not None

    def begin(self, person: str, address: str | None = None, claims: Claims | None = None) -> Session:
        """A new session of a person, by id, who asks from an address; those of long ago are forgotten.

        claims: of the provider at which they signed in: these say what they may do in it, and nothing else.
        """
        now = datetime.now(UTC)
        session, row = _fresh(secrets.token_hex(8), person, now + timedelta(seconds=SESSION_LIVES_S))
        row |= {"id": session.id, "person": person, "created": now, "ended": False, "address": address and address[:64]}
        row |= {"claims": claims and claims_as_kept(claims)}
        with self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.until < now - timedelta(days=KNOWN_DAYS)))
            connection.execute(sa.insert(table).values(row))
        return session

    def renew(self, refresh: str) -> Session | None:
        """New secrets for the same session; None when it is over or was never one. Raises StolenError."""
        digest, now = digest_of(refresh), datetime.now(UTC)
        stolen_from: str | None = None
        with self._engine.begin() as connection:
            live = (
                sa.select(table).join(people, people.c.id == table.c.person).where(~table.c.ended, ~people.c.disabled)
            )
            row = connection.execute(live.where(table.c.refresh == digest)).one_or_none()
            if row is not None and aware(row.until) > now:
                session, changed = _fresh(row.id, row.person, aware(row.until))
                same = (table.c.id == row.id) & (table.c.refresh == digest)
                if connection.execute(
                    sa.update(table).where(same).values(changed | {"spent_refresh": digest})
                ).rowcount:
                    return session
            spent = connection.execute(live.where(table.c.spent_refresh == digest)).one_or_none()
            if spent is not None:
                connection.execute(sa.update(table).where(table.c.id == spent.id).values(ended=True))
                stolen_from = spent.person
        if stolen_from is not None:
            raise StolenError(stolen_from)
        return None

    def end(self, session: str) -> None:
        """End a session by its id."""
        with self._engine.begin() as connection:
            connection.execute(sa.update(table).where(table.c.id == session).values(ended=True))


def _fresh(session: str, person: str, until: datetime) -> tuple[Session, dict[str, Any]]:
    access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    access_until = min(until, datetime.now(UTC) + timedelta(seconds=ACCESS_LIVES_S))
    row = {"access": digest_of(access), "access_until": access_until, "refresh": digest_of(refresh), "until": until}
    return Session(session, person, access, ACCESS_LIVES_S, refresh), row
