"""What is wrong with the servers and folders that a command stands on, in words and with the cure."""

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import alembic.util
import redis
import sqlalchemy as sa
import sqlalchemy.exc

from actors.bus import connect
from actors.store import EventStore
from actors.store.engine import StoreError
from hoaban.source_address import redact

STORE_FORM = "write HOABAN_STORE_URL like sqlite:////path/hoaban.db or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
REDIS_FORM = "write HOABAN_REDIS_URL like redis://:PASSWORD@HOST:6379/0"


class TroubleError(Exception):
    """The message says what is wrong, and after a semicolon what to do; secrets removed."""


def open_store(url: str) -> EventStore:
    """The event store, its tables brought up to date. Raises TroubleError."""
    try:
        return EventStore.open(url)
    except StoreError as error:
        raise TroubleError(redact(str(error))) from error


@contextlib.contextmanager
def store_troubles(url: str) -> Iterator[None]:
    """What goes wrong with the store inside becomes a TroubleError."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, alembic.util.CommandError, ImportError, OSError, ValueError) as error:
        raise TroubleError(f"store {shown_store(url)}: {_store_words(error)}") from error


def shown_store(url: str) -> str:
    """A store's address without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return "HOABAN_STORE_URL"


def _store_words(error: Exception) -> str:
    if isinstance(error, sqlalchemy.exc.NoSuchModuleError | ImportError):
        return f"no driver for it is installed ({_first(error)}); install one, or {STORE_FORM}"
    if isinstance(error, sqlalchemy.exc.ArgumentError | ValueError):
        return f"is no address of a database; {STORE_FORM}"
    if isinstance(error, alembic.util.CommandError):
        return (
            f"its tables were made by another version of hoaban ({_first(error)}); "
            "run that version or a newer one, or name another store"
        )
    words = _first(getattr(error, "orig", None) or error)
    for sign, cure in (
        ("not a database", "it is damaged or no database: put a backup in its place, or move the file away"),
        ("malformed", "it is damaged: put a backup in its place, or move the file away"),
        ("locked", "another process holds it: stop that one"),
        ("unable to open", "check that its folder is there and may be written"),
        ("readonly", "give this user the right to write it"),
        ("full", "make room on its disk"),
        ("disk I/O", "check that its disk works and has room"),
        ("already exists", "its tables are not all this version's: put a backup in its place, or name another store"),
        ("no such", "its tables are not all this version's: put a backup in its place, or name another store"),
    ):
        if sign in words:
            return f"{words}; {cure}"
    return f"{words}; check HOABAN_STORE_URL and that the server runs"


def check_redis(url: str) -> redis.Redis:
    """A client of the live store, once it answers. Raises TroubleError."""
    shown = f"live store {_shown_redis(url)}"
    try:
        client = connect(url)
        client.ping()
    except redis.AuthenticationError:
        raise TroubleError(f"{shown}: it refused the user or password; correct them in HOABAN_REDIS_URL") from None
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        raise TroubleError(
            f"{shown}: no answer ({_first(error)}); start the server, or correct HOABAN_REDIS_URL"
        ) from None
    except redis.RedisError as error:
        raise TroubleError(f"{shown}: {_first(error)}; let HOABAN_REDIS_URL name a Redis or Valkey server") from None
    except ValueError as error:
        raise TroubleError(f"{shown}: is no address ({_first(error)}); {REDIS_FORM}") from None
    return client


def _shown_redis(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or 'HOABAN_REDIS_URL'}:{parts.port or 6379}"
    except ValueError:
        return "HOABAN_REDIS_URL"


def _first(error: object) -> str:
    lines = str(error).strip().splitlines()
    return redact(lines[0]) if lines else type(error).__name__
