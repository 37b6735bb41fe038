"""What incidents, reports and work orders have in common in SQL: an edit is allowed by a table, refused when another
was faster, and never without its line in the log."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.store.tables import people
from hoaban.access import Person
from hoaban.incidents.states import after

SYSTEM = Person("", "Hoa Ban")
"""who does what no person does: it joins events and keeps the times, and decides nothing"""
A = TypeVar("A", bound=StrEnum)
S = TypeVar("S", bound=StrEnum)


class StaleError(Exception):
    """Somebody else changed it since it was read: nothing was done."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Who did what when. seq grows in the order of the lines; about: the number of what it was done to."""

    seq: int
    about: int
    at_s: float
    who_id: str
    who_name: str
    action: str
    state_from: str | None
    state_to: str
    note: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cases:
    """One kind of case: its table, its log and its table of transitions."""

    table: sa.Table
    log: sa.Table

    def select(self) -> sa.Select[Any]:
        """The cases with the names of their assignees, whose ids are stored. What was typed in before there were ids,
        or stands in the settings, is nobody's id, and stays as it is."""
        return sa.select(*(_named(column) if column.name == "assignee" else column for column in self.table.c))

    def row(self, connection: Connection, number: int) -> Mapping[str, Any]:
        """Raises KeyError."""
        row = connection.execute(self.select().where(self.table.c.number == number)).mappings().one_or_none()
        if row is None:
            raise KeyError(number)
        return row

    def edit(
        self,
        connection: Connection,
        number: int,
        moves: Mapping[A, Mapping[S, S]],
        action: A,
        by: Person,
        now_s: float,
        *,
        version: int | None = None,
        note: str | None = None,
        detail: Mapping[str, Any] | None = None,
        **changed: Any,
    ) -> None:
        """Do an action: the next state, a version more, the columns changed, a line in the log.

        version: the one that the person saw; None for what does not depend on what they saw.
        Raises KeyError, StaleError, or NotAllowedError (hoaban/incidents/states.py).
        """
        row = self.row(connection, number)
        if version is not None and version != row["version"]:
            raise StaleError(number)
        state = type(next(iter(moves[action])))(row["state"])
        next_state = after(moves, action, state)
        statement = sa.update(self.table).where(self.table.c.number == number, self.table.c.version == row["version"])
        values = changed | {"state": next_state.value, "version": row["version"] + 1}
        if connection.execute(statement.values(values)).rowcount == 0:
            raise StaleError(number)
        self.tell(connection, number, by, now_s, action.value, state.value, next_state.value, note, detail)

    def tell(
        self,
        connection: Connection,
        number: int,
        by: Person,
        now_s: float,
        action: str,
        state_from: str | None,
        state_to: str,
        note: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a line to the log."""
        line = {
            "about": number,
            "at_s": now_s,
            "who_id": by.id,
            "who_name": by.name,
            "action": action,
            "state_from": state_from,
            "state_to": state_to,
            "note": note,
            "detail": dict(detail or {}),
        }
        connection.execute(sa.insert(self.log).values(line))

    def lines(self, connection: Connection, number: int, newest: int = 1000) -> list[LogLine]:
        """The log of one case, the oldest line first; of a very long one the newest lines."""
        query = sa.select(self.log).where(self.log.c.about == number).order_by(self.log.c.seq.desc()).limit(newest)
        return [LogLine(**row) for row in connection.execute(query).mappings()][::-1]


def _named(id: sa.Column[Any]) -> sa.ColumnElement[Any]:
    name = sa.select(people.c.name).where(people.c.id == id).scalar_subquery()
    return sa.func.coalesce(name, id).label(id.name)
