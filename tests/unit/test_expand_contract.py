"""A rolling upgrade brings the tables up to date while the old code still runs: each revision only adds to them.

What a version no longer needs is taken away by a later one, in whose time no code that used it runs any more.
"""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import actors.store
from actors.store import AuditStore, EventStore
from actors.store.engine import _prepare_sqlite
from tests.events import some_events

SCRIPTS = str(Path(actors.store.__file__).parent / "migrations")
REVISIONS = [s.revision for s in ScriptDirectory(SCRIPTS).walk_revisions()][::-1]
CONTRACTS: dict[str, set[str]] = {"0004_accounts": {"api_tokens.role"}}  # from before there were rolling upgrades
"""revision -> "table" or "table.column" that it takes away, which the version before it no longer used"""

Columns = dict[str, dict[str, tuple[bool, bool]]]


def columns(engine: sa.Engine) -> Columns:
    """table -> column -> whether it may be null, and whether it fills itself in."""
    look = sa.inspect(engine)
    return {
        table: {
            c["name"]: (bool(c["nullable"]), c["default"] is not None or bool(c.get("autoincrement") is True))
            for c in look.get_columns(table)
        }
        for table in look.get_table_names()
    }


def what_old_code_misses(before: Columns, after: Columns, allowed: set[str]) -> list[str]:
    """What would break code that knows the tables as they were before."""
    wrong = [f"{table} is gone" for table in before if table not in after and table not in allowed]
    for table in before.keys() & after.keys():
        for name, (nullable, _) in before[table].items():
            if name not in after[table]:
                if f"{table}.{name}" not in allowed:
                    wrong.append(f"{table}.{name} is gone")
            elif nullable and not after[table][name][0]:
                wrong.append(f"{table}.{name} must be filled in now")
        for name in after[table].keys() - before[table].keys():
            nullable, filled = after[table][name]
            if not (nullable or filled):
                wrong.append(f"{table}.{name} is new, and old code does not fill it in")
    return wrong


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    made = sa.create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    sa.event.listen(made, "connect", _prepare_sqlite)
    return made


def move(engine: sa.Engine, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def test_no_revision_takes_away_what_the_version_before_it_uses(engine: sa.Engine) -> None:
    before = columns(engine)
    for revision in REVISIONS:
        move(engine, revision)
        after = columns(engine)
        assert what_old_code_misses(before, after, CONTRACTS.get(revision, set())) == [], revision
        before = after


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE preferences", "preferences is gone"),
        ("ALTER TABLE sessions DROP COLUMN claims", "sessions.claims is gone"),
        ("ALTER TABLE sessions RENAME COLUMN claims TO said", "sessions.claims is gone"),
        ("ALTER TABLE sessions ADD COLUMN x TEXT NOT NULL DEFAULT ''", ""),
    ],
)
def test_what_would_break_old_code_is_seen(engine: sa.Engine, statement: str, words: str) -> None:
    move(engine, "head")
    before = columns(engine)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    assert what_old_code_misses(before, columns(engine), set()) == ([words] if words else [])


def test_code_that_runs_goes_on_when_the_tables_are_extended_under_it(engine: sa.Engine, tmp_path: Path) -> None:
    old = EventStore.open(f"sqlite:///{tmp_path / 'store.db'}")
    try:
        first, second = some_events(6)[:3], some_events(6)[3:]
        assert old.write(first) == 3
        with engine.begin() as newer:  # as the new code's revision does
            newer.execute(sa.text("ALTER TABLE events ADD COLUMN weather TEXT"))
            newer.execute(sa.text("CREATE TABLE weather (station TEXT PRIMARY KEY)"))
            newer.execute(sa.text("UPDATE alembic_version SET version_num = '9999_weather'"))
        assert old.write(second) == 3
        assert len(old.tail(0, 10)) == 6
        AuditStore(old.engine).append("", "a", "b", "c", camera=None, reason=None, outcome="done", detail={})
    finally:
        old.close()
    with pytest.raises(Exception, match="9999_weather"):  # what begins anew with the old code is refused
        EventStore.open(f"sqlite:///{tmp_path / 'store.db'}")
