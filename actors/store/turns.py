"""Transactions that take turns, so that the numbers they give rows become visible in the order of the numbers.

Whoever follows a table by its numbers (a stream, the keeper of incidents) would otherwise pass one that a slower
transaction took earlier and commits later.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine


@contextmanager
def turn(engine: Engine, name: str) -> Iterator[Connection]:
    """A transaction; others of this name, in whatever process, wait for its end. Readers do not wait.

    SQLite has one writer at a time in any case: there all names are one.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            wait_for(connection, name)
        yield connection


def wait_for(connection: Connection, name: str) -> None:
    """Take a further turn in the same transaction. Whoever takes two takes them in the same order."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"hoaban {name}"})
