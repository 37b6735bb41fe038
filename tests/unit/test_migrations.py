"""Every revision of the tables goes up and down again, on SQLite and PostgreSQL, also with rows in them."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import actors.store
from actors.store import AuditStore, EventStore, PeopleStore
from actors.store.engine import _known, _prepare_sqlite
from actors.store.tables import metadata
from hoaban.access import Grant, Role, Scope
from tests.events import some_events

SCRIPTS = str(Path(actors.store.__file__).parent / "migrations")
REVISIONS = [s.revision for s in ScriptDirectory(SCRIPTS).walk_revisions()][::-1]


def move(engine: sa.Engine, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if to.startswith("-") or to == "base" else command.upgrade)(config, to)


@pytest.fixture
def engine(empty_url: str):
    made = sa.create_engine(url := _known(empty_url))
    if url.drivername == "sqlite":
        sa.event.listen(made, "connect", _prepare_sqlite)
    yield made
    made.dispose()


def test_each_revision_goes_up_down_and_up_again(engine: sa.Engine) -> None:
    for revision in REVISIONS:
        before = set(sa.inspect(engine).get_table_names())
        move(engine, revision)
        made = {name: columns(engine, name) for name in sa.inspect(engine).get_table_names()}
        move(engine, "-1")
        assert set(sa.inspect(engine).get_table_names()) - {"alembic_version"} == before - {"alembic_version"}, revision
        move(engine, revision)
        assert {name: columns(engine, name) for name in sa.inspect(engine).get_table_names()} == made, revision
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def columns(engine: sa.Engine, table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(engine).get_columns(table)}


def test_a_store_in_use_goes_all_the_way_down_and_up(engine: sa.Engine, empty_url: str) -> None:
    events = EventStore.open(empty_url)
    events.write(some_events(3))
    people = PeopleStore(events.engine)
    people.create_token("machine", Role.OPERATOR)
    people.add("Lan", Role.OFFICER, by="test")
    AuditStore(events.engine).append("a", "An", "x", "y")
    events.close()
    for _ in REVISIONS:
        move(engine, "-1")
    move(engine, "head")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_token_keeps_a_role_over_the_way_down_and_up(engine: sa.Engine, empty_url: str) -> None:
    events = EventStore.open(empty_url)
    people = PeopleStore(events.engine)
    _, secret = people.create_token("machine", Role.OPERATOR)
    _, narrow = people.create_token("of one gate", Grant(Role.ADMIN, Scope(cameras=frozenset({"gate"}))))
    events.close()
    for _ in range(len(REVISIONS) - REVISIONS.index("0004_accounts")):
        move(engine, "-1")
    events = EventStore.open(empty_url)
    people = PeopleStore(events.engine)
    assert people.verify(narrow) is None  # in a role alone it would be an admin of everything
    holder = people.verify(secret)
    assert holder is not None
    assert holder.person.roles == {Role.OPERATOR}
    events.close()
