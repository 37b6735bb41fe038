"""The event store, on SQLite and on PostgreSQL alike."""

import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from actors.store import EventStore, PeopleStore, StoreError, TooManyRowsError
from actors.store import store as store_module
from actors.store.tables import events as table
from actors.store.tables import metadata
from hoaban.access import Role
from hoaban.events import Event
from tests.events import some_events
from tests.postgres import Postgres


@pytest.fixture
def store(store_url: str):
    opened = EventStore.open(store_url)
    yield opened
    opened.close()


def test_the_store_takes_each_event_once_in_order_and_counts_it(store: EventStore) -> None:
    events = some_events(2001)
    assert store.write(events[:2000] + events[:3]) == 2000
    assert store.write(events[:10] + events[-1:]) == 1
    assert sum(row.n for row in store.counts()) == sum(row.n for row in store.counts(bucket_s=900)) == 2001
    found, last = [], 0
    while page := store.tail(last, 300):
        found += [stored.event.id for stored in page]
        last = page[-1].seq
    assert found == [event.id for event in events]
    newest = store.page(limit=2)
    assert [s.event.id for s in newest.events] == [e.id for e in events[:-3:-1]]
    assert store.page(limit=1, cursor=newest.next_cursor).events[0].event == events[-3]
    assert store.last_seq() == last


def test_tokens_are_known_until_revoked_or_expired(store: EventStore) -> None:
    people = PeopleStore(store.engine)
    token, secret = people.create_token("me", Role.VIEWER)
    assert people.verify(secret).person.name == "me"
    assert people.revoke_token(token)
    assert people.verify(secret) is None
    past, future = datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
    assert people.verify(people.create_token("me", Role.VIEWER, expires=past)[1]) is None
    assert people.verify(people.create_token("me", Role.VIEWER, expires=future)[1]).person.roles == {Role.VIEWER}


def test_the_migrations_make_the_tables_that_the_code_uses(store: EventStore) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_who_opens_an_empty_database_together_takes_turns(empty_url: str) -> None:
    gate, opened = threading.Barrier(4), []

    def open_it() -> None:
        gate.wait()
        opened.append(EventStore.open(empty_url))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for one in opened:
        one.close()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)
DATA = st.dictionaries(
    st.sampled_from(["rule", "class", "line", "track", "score", "model", "retention_days", "note"]), VALUES
)


@pytest.fixture(scope="module")
def both(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory):
    stores = [EventStore.open(f"sqlite:///{tmp_path_factory.mktemp('s') / 'a.db'}"), EventStore.open(postgres.create())]
    yield stores
    for one in stores:
        one.close()


@example(("a", "t", "c", {"note": [float("nan")]}), datetime(2026, 1, 1, tzinfo=UTC))
@example(("b", "t", "c", {"note": "\0\ud800", "rule": "\0\ud800", "track": 2**63}), datetime(2026, 1, 1, tzinfo=UTC))
@example(("c", "t" * 500, "c" * 500, {"rule": "r" * 500}), datetime(2026, 1, 1, tzinfo=UTC))
@given(
    st.tuples(st.text(min_size=1), st.text(), st.text(), DATA),
    st.datetimes(timezones=st.just(UTC), min_value=datetime(1971, 1, 1)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_whatever_an_event_holds_both_databases_take_it_alike(
    both: list[EventStore], texts: tuple[str, str, str, dict[str, Any]], time_: datetime
) -> None:
    id_, type_, camera, data = texts
    event = Event(id_, type_, camera, time_, data)
    rows = []
    for one in both:
        try:
            one.write([event])
        except ValueError as error:
            rows.append(str(error))
            continue
        with one.engine.connect() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == id_)).mappings().one()
            rows.append({name: value for name, value in row.items() if name != "seq"})
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    "line",
    [
        '{"id":"x","source":"/cameras/c","type":"t","time":"2026-01-01T00:00:00Z","data":5}',
        '{"id":"x","source":"/cameras/c","type":"t","time":"2026-01-01T00:00:00Z","data":{"score":NaN}}',
        '{"id":"x","source":"/cameras/c","type":"t","time":"0001-01-01T00:00:00+23:00","data":{}}',
        "[" * 100_000,
        "5",
    ],
)
def test_what_is_no_event_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        Event.from_json(line)


def test_no_number_is_seen_before_a_smaller_one(postgres: Postgres) -> None:
    """Two transactions at once: the first has its numbers and does not commit; the second must wait behind it."""
    url = postgres.create()
    slow, quick, reader = EventStore.open(url), EventStore.open(url), EventStore.open(url)
    hold, numbered = threading.Event(), threading.Event()

    def pause(_: object) -> None:
        numbered.set()
        assert hold.wait(60)

    sa.event.listen(slow.engine, "commit", pause)
    events = some_events(4)
    first = threading.Thread(target=slow.write, args=(events[:2],))
    second = threading.Thread(target=quick.write, args=(events[2:],))
    first.start()
    assert numbered.wait(60)
    second.start()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    with reader.engine.connect() as connection:
        while connection.exec_driver_sql(waiting).scalar_one() == 0 and second.is_alive():
            connection.rollback()
            time.sleep(0.01)
    seen = [stored.event.id for stored in reader.tail(0)]
    last = reader.last_seq()
    hold.set()
    first.join()
    second.join()
    seen += [stored.event.id for stored in reader.tail(last)]
    assert seen == [event.id for event in events]
    for one in (slow, quick, reader):
        one.close()


def test_a_follower_misses_nothing_of_writers_that_write_at_once(store_url: str) -> None:
    stores = [EventStore.open(store_url) for _ in range(3)]
    batches = [some_events(150, camera) for camera in ("a", "b", "c")]

    def write(one: EventStore, events: list[Event]) -> None:
        for start in range(0, len(events), 5):
            one.write(events[start : start + 5])

    threads = [threading.Thread(target=write, args=pair) for pair in zip(stores, batches, strict=True)]
    for thread in threads:
        thread.start()
    reader, last, seen = EventStore.open(store_url), 0, []
    while True:
        running = any(thread.is_alive() for thread in threads)
        found = reader.tail(last, 50)
        seen += [(stored.event.camera, stored.event.id) for stored in found]
        last = found[-1].seq if found else last
        if not running and not found:
            break
    for camera, events in zip("abc", batches, strict=True):
        assert [id_ for name, id_ in seen if name == camera] == [event.id for event in events]
    for one in [*stores, reader]:
        one.close()


def test_the_highest_number_given_outlives_its_event(store: EventStore) -> None:
    assert (store.last_seq(), store.highest_given()) == (0, 0)
    store.write(some_events(3))
    assert store.last_seq() == store.highest_given() == 3
    with store.engine.begin() as connection:  # as the purge does once their time is over
        connection.execute(sa.delete(table))
    assert (store.last_seq(), store.highest_given()) == (0, 3)
    store.write(some_events(1))
    assert store.last_seq() > 3


def test_counts_are_bounded(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(some_events(12))
    monkeypatch.setattr(store_module, "MOST_ROWS", 10)
    assert sum(row.n for row in store.counts()) == 12
    with pytest.raises(TooManyRowsError, match="longer intervals"):
        store.counts(bucket_s=1)


# --- databases that cannot be used


def refused(url: str) -> str:
    with pytest.raises(StoreError) as refusal:
        EventStore.open(url)
    words = str(refusal.value)
    assert "\n" not in words
    assert "Traceback" not in words
    return words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "no database address"),
        ("oracle://u:geheim@h/d", "'oracle' are not supported; use sqlite:// or postgresql://"),
        ("postgresql://u:geheim@127.0.0.1:1/d", "start the server"),
        ("postgresql://u:geheim@no-such-host.invalid/d", "correct the address"),
        ("sqlite:////no/such/folder/a.db", "make its folder"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_with_a_cure(url: str, words: str) -> None:
    found = refused(url)
    assert words in found
    assert "geheim" not in found


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    assert "pip install 'hoaban[postgresql]'" in refused("postgresql://u:p@h/d")


def test_postgresqls_refusals_are_passed_on_without_the_password(postgres: Postgres) -> None:
    url = postgres.create()
    wrong = refused(postgres.url(url.rsplit("/", 1)[1].split("?")[0], password="geheim"))
    assert "password authentication failed" in wrong
    assert "correct user and password" in wrong
    assert "geheim" not in wrong
    assert "create the role and the database" in refused(postgres.url("nosuch"))
    latin = postgres.create("ENCODING 'LATIN1' LOCALE 'C'")
    assert "ENCODING 'UTF8'" in refused(latin)


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"this is no database at all " * 400)
    assert "restore a backup" in refused(f"sqlite:///{path}")
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE events (name TEXT)")
    other.close()
    words = refused(f"sqlite:///{path}")
    assert str(path) in words
    assert "another program keeps its events there" in words


def test_tables_of_a_newer_version_are_left_alone(store: EventStore, store_url: str) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999_future'")
    assert "'9999_future'" in refused(store_url)
    assert "install the version" in refused(store_url)
