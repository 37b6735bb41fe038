"""Opening the database: which kinds are known, how each is set up, and in plain words why one cannot be used."""

import re
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import URL, Connection, Engine

from actors.store.tables import metadata

DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
CONNECT_LIMIT_S = 5
MIGRATION_LOCK = 0x486F6142616E00  # "HoaBan": advisory locks are numbers that all programs of a database share
CURES = {
    "unable to open database file": "make its folder, with the right to write there",
    "file is not a database": "it is damaged or no database: restore a backup, or move it away for an empty one",
    "malformed": "it is damaged: restore a backup, or save what `sqlite3 FILE .recover` still reads",
    "readonly database": "give this user the right to write it",
    "disk is full": "free space on its disk",
    "password authentication failed": "correct user and password",
    "no password supplied": "put the password into it: postgresql://USER:PASSWORD@HOST/DATABASE",
    "does not exist": "create the role and the database",
    "permission denied": "give the role the right to create tables: GRANT CREATE ON SCHEMA public TO …",
}
"""what a driver says -> what to do"""
START_IT = "start the server, or correct the address"


class StoreError(RuntimeError):
    """The database cannot be used. The message is one line: which, why and what to do; no password is in it."""


def open_engine(text: str) -> Engine:
    """Connect to the database that HOABAN_STORE_URL names, its tables brought up to date. Raises StoreError."""
    url = _known(text)
    sqlite = url.drivername == "sqlite"
    arguments = {} if sqlite else {"connect_timeout": CONNECT_LIMIT_S, "application_name": "hoaban"}
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise _refused(url, f"the driver {error.name} is not installed", "pip install 'hoaban[postgresql]'") from None
    if sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
    try:
        with engine.begin() as connection:
            _check(connection, url)
            _migrate(connection)
    except (sa.exc.SQLAlchemyError, sqlite3.Error, CommandError) as error:
        engine.dispose()
        words = _first_line(error)
        raise _refused(url, words, next((cure for sign, cure in CURES.items() if sign in words), START_IT)) from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def _known(text: str) -> URL:
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError(
            "HOABAN_STORE_URL is no database address; write sqlite:////DIR/hoaban.db or "
            "postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    kind = url.drivername.split("+")[0]
    if kind not in DRIVERS:
        raise _refused(url, f"databases of the kind {kind!r} are not supported", "use sqlite:// or postgresql://")
    return url.set(drivername=DRIVERS[kind])


def _check(connection: Connection, url: URL) -> None:
    """Lock the tables against others who open them now; refuse a database that is not ours or not usable."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise _refused(url, f"it keeps text as {encoding}", "create it with ENCODING 'UTF8'")
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in tables and (others := sorted(tables & set(metadata.tables))):
        raise _refused(url, f"another program keeps its {', '.join(others)} there", "name a database of Hoa Ban's own")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        if revision := re.search(r"revision identified by '([^']*)'", str(error)):
            raise _refused(
                connection.engine.url,
                f"its tables are of revision {revision[1]!r}, which this version does not know",
                "install the version of Hoa Ban that made them, or name another database",
            ) from None
        raise


def _refused(url: URL, why: str, cure: str) -> StoreError:
    return StoreError(f"database {url.render_as_string(hide_password=True)}: {why}; {cure}")


def _first_line(error: Exception) -> str:
    """What the driver said, without SQLAlchemy's frame around it."""
    words = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return words.split("\n")[0].removesuffix(".")


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    cursor = connection.cursor()
    # FULL: an acknowledged event must survive a power cut, not only a crash; the writer commits in batches, so the
    # cost is one sync a batch.
    # recursive_triggers: what INSERT OR REPLACE takes away is a deletion for the triggers too.
    for pragma in (
        "busy_timeout=30000",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "recursive_triggers=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
