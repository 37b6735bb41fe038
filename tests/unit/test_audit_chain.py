"""The audit chain: any change of it is found, also of its end; writers take turns on SQLite and PostgreSQL."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from actors.audit_anchor import Anchor, AnchorError, advance, begin
from actors.store import AuditStore, EventStore, PeopleStore
from actors.store.incident_tables import incident_log, incidents
from actors.store.tables import audit as table
from cli.main import app
from hoaban.access import Role
from hoaban.audit import START, AuditRecord, broken

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FIELDS = st.builds(
    AuditRecord,
    seq=st.just(0),
    at_s=st.floats(0, 4e9),
    who_id=TEXT,
    who_name=TEXT,
    action=TEXT,
    subject=TEXT,
    camera=st.none() | TEXT,
    reason=st.none() | TEXT,
    outcome=st.sampled_from(["done", "refused", "failed"]),
    detail=st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT, max_size=3),
)


def chain(records: list[AuditRecord]) -> list[AuditRecord]:
    made: list[AuditRecord] = []
    for number, record in enumerate(records, 1):
        made.append(replace(record, seq=number).sealed(made[-1].digest if made else START))
    return made


@settings(max_examples=150, deadline=None)
@given(records=st.lists(FIELDS, min_size=1, max_size=8), data=st.data())
def test_any_single_change_is_found(records: list[AuditRecord], data: st.DataObject) -> None:
    whole = chain(records)
    head = (whole[-1].seq, whole[-1].digest)
    assert broken(whole, head) == []
    changed = list(whole)
    at = data.draw(st.integers(0, len(whole) - 1), "at")
    how = data.draw(st.sampled_from(["edit", "edit and seal", "delete", "swap", "repeat", "insert", "cut"]), "how")
    if how in ("edit", "edit and seal"):
        name = data.draw(
            st.sampled_from(["at_s", "who_id", "who_name", "action", "subject", "camera", "reason", "outcome"])
        )
        value = -1.0 if name == "at_s" else f"{getattr(whole[at], name)}x"
        changed[at] = replace(whole[at], **{name: value})
        if how == "edit and seal":  # the forger knows how records are sealed
            changed[at] = changed[at].sealed(changed[at].previous)
    elif how == "delete":
        del changed[at]
    elif how == "swap":
        other = data.draw(st.integers(0, len(whole) - 1))
        changed[at], changed[other] = changed[other], changed[at]
        if at == other:
            return
    elif how == "repeat":
        changed.insert(at, whole[at])
    elif how == "insert":
        forged = replace(whole[at], subject="forged").sealed(whole[at].previous)
        changed.insert(at, forged)
    else:
        changed = whole[:at]
    assert broken(changed, head)


@settings(max_examples=40, deadline=None)
@given(records=st.lists(FIELDS, min_size=2, max_size=6), data=st.data())
def test_a_chain_written_anew_from_some_record_on_is_found_by_the_anchor(
    records: list[AuditRecord], data: st.DataObject
) -> None:
    whole = chain(records)
    at = data.draw(st.integers(0, len(whole) - 1))
    anew = chain([*records[:at], replace(records[at], subject="another"), *records[at + 1 :]])
    if anew == whole:
        return
    assert broken(anew) == []
    assert broken(anew, (whole[-1].seq, whole[-1].digest))


@contextmanager
def forging(events: EventStore) -> Iterator[sa.Connection]:
    """A transaction of one who owns the database: its triggers do not hold them up, and are put back."""
    with events.engine.begin() as connection:
        made = list(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        for name, _ in made:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in made:
            connection.exec_driver_sql(sql)


@pytest.fixture
def url(store_url: str) -> str:
    return store_url.replace("postgresql://", "postgresql+psycopg://")


def test_writers_beside_each_other_make_one_chain(url: str) -> None:
    # Each with connections of its own, as another process has; opened in turn, for migrations know no threads.
    stores = {name: AuditStore(EventStore.open(url).engine) for name in ("w0", "w1", "w2")}

    def write(name: str) -> None:
        store = stores[name]
        for number in range(15):
            store.append(name, name, "picture.look", str(number), detail={"n": number, "share": 0.1})

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, stores))
    store = AuditStore(EventStore.open(url).engine)
    records = list(store.records())
    assert len(records) == 45
    assert broken(records, store.head()) == []
    for n in range(3):  # each writer's own order is kept
        assert [r.subject for r in records if r.who_id == f"w{n}"] == [str(i) for i in range(15)]


@pytest.mark.parametrize("tamper", ["edit", "delete", "cut", "reorder", None])
def test_the_command_finds_what_was_changed_in_the_database(tmp_path: Path, tamper: str | None) -> None:
    url = f"sqlite:///{tmp_path / 'hoaban.db'}"
    events = EventStore.open(url)
    store = AuditStore(events.engine)
    for number in range(5):
        store.append("a", "An", "picture.look", f"/cameras/{number}")
    Anchor(tmp_path).write(*store.head())
    with forging(events) as connection:
        if tamper == "edit":
            connection.execute(sa.update(table).where(table.c.seq == 2).values(who_name="Bình"))
        elif tamper == "delete":
            connection.execute(sa.delete(table).where(table.c.seq == 3))
        elif tamper == "cut":
            connection.execute(sa.delete(table).where(table.c.seq >= 4))
        elif tamper == "reorder":
            for old, new in ((2, 99), (3, 2), (99, 3)):
                connection.execute(sa.update(table).where(table.c.seq == old).values(seq=new))
    events.close()
    done = CliRunner().invoke(app, ["audit", "verify", "--data", str(tmp_path), "--json"])
    assert done.exit_code == (0 if tamper is None else 1), done.stderr
    assert json.loads(done.stdout)["sound"] is (tamper is None)


def test_the_anchor_moves_on_only_over_what_follows_from_it(tmp_path: Path) -> None:
    events = EventStore.open(f"sqlite:///{tmp_path / 'hoaban.db'}")
    store, anchor = AuditStore(events.engine), Anchor(tmp_path)
    begin(store, anchor)
    for number in range(6):
        store.append("a", "An", "picture.look", str(number))
        if number == 3:
            advance(store, anchor)
    advance(store, anchor)
    assert anchor.read() == store.head()
    with forging(events) as connection:
        connection.execute(sa.delete(table).where(table.c.seq >= 5))
    store.append("a", "An", "picture.look", "as if nothing had been")
    store.append("a", "An", "picture.look", "nor here")
    with pytest.raises(AnchorError, match="record 6"):
        advance(store, anchor)
    verify = ["audit", "verify", "--data", str(tmp_path)]
    assert CliRunner().invoke(app, verify).exit_code == 1
    anchor.path.unlink()
    with pytest.raises(AnchorError):
        advance(store, anchor)  # an anchor that was taken away is not made again by itself
    assert CliRunner().invoke(app, verify).exit_code == 1
    with forging(events) as connection:
        connection.execute(sa.delete(table))
    assert CliRunner().invoke(app, verify).exit_code == 1
    (tmp_path / "audit.key").unlink()
    assert CliRunner().invoke(app, verify).exit_code == 1  # all is gone, and what would say that it ever was
    begin(store, anchor)
    assert anchor.begun  # a database with nothing in it at all cannot be told from one that was just made
    anchor.path.unlink()
    for number in range(6):
        store.append("a", "An", "picture.look", str(number))
    anew = ["audit", "anchor", "--data", str(tmp_path), "--reason", "case 9: a disk was restored"]
    assert CliRunner().invoke(app, anew).exit_code == 0
    assert CliRunner().invoke(app, verify).exit_code == 0
    assert store.record(store.head()[0]).reason == "case 9: a disk was restored"
    with forging(events) as connection:
        connection.execute(sa.update(table).where(table.c.seq == 7).values(reason="another"))
    store.append("a", "An", "picture.look", "x")
    anchored = anchor.read()
    with forging(events) as connection:
        connection.execute(sa.update(table).where(table.c.seq == 8).values(subject="y"))
    with pytest.raises(AnchorError, match="record 8 was changed"):
        advance(store, anchor)
    assert anchor.read() == anchored


def test_an_anchor_that_was_changed_is_no_anchor(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path)
    anchor.write(7, "ab" * 32)
    assert anchor.read() == (7, "ab" * 32)
    anchor.path.write_text(anchor.path.read_text().replace('"seq": 7', '"seq": 3'))
    with pytest.raises(AnchorError, match="was not signed"):
        anchor.read()
    assert (tmp_path / "audit.key").stat().st_mode & 0o077 == 0


def test_time_goes_only_forward_in_the_chain(tmp_path: Path) -> None:
    times = iter([2000.0, 1000.0, 3000.0])
    store = AuditStore(EventStore.open(f"sqlite:///{tmp_path / 'a.db'}").engine, lambda: next(times))
    assert [store.append("a", "An", "x", "y").at_s for _ in range(3)] == [2000.0, 2000.0, 3000.0]


def refused(engine: sa.Engine, statement: str) -> bool:
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as error:
        return "only ever added to" in str(error)
    return False


def test_no_statement_changes_or_takes_away_a_record(url: str) -> None:
    store = AuditStore((events := EventStore.open(url)).engine)
    store.append("a", "An", "picture.look", "/cameras/gate")
    statements = ["UPDATE audit SET reason = 'another'", "DELETE FROM audit"]
    if events.engine.dialect.name == "postgresql":
        statements.append("TRUNCATE audit")
    for statement in statements:
        assert refused(events.engine, statement), statement
    assert broken(list(store.records()), store.head()) == []
    events.close()


def test_a_log_goes_with_what_it_is_about_and_not_before(url: str) -> None:
    engine = (events := EventStore.open(url)).engine
    incident = {"kind": "k", "severity": "high", "state": "open", "version": 1, "camera": "gate", "simulated": False}
    incident |= {"first_s": 1.0, "last_s": 1.0, "events": 1, "opened_s": 1.0, "waiting_since_s": 1.0}
    line = {"at_s": 1.0, "who_id": "a", "who_name": "An", "action": "open", "state_to": "open", "detail": {}}
    with engine.begin() as connection:
        (number,) = connection.execute(sa.insert(incidents).values(incident)).inserted_primary_key
        connection.execute(sa.insert(incident_log).values(line | {"about": number}))
    assert refused(engine, "DELETE FROM incident_log")
    with engine.begin() as connection:
        connection.execute(sa.delete(incidents))
        assert connection.execute(sa.select(sa.func.count()).select_from(incident_log)).scalar() == 0
    events.close()


def test_a_wiped_chain_is_not_sound_and_is_not_anchored_anew(tmp_path: Path) -> None:
    """The records, the anchor and its key are gone; people and tokens are as they were."""
    events = EventStore.open(f"sqlite:///{tmp_path / 'hoaban.db'}")
    store, anchor = AuditStore(events.engine), Anchor(tmp_path)
    verify = ["audit", "verify", "--data", str(tmp_path)]
    assert CliRunner().invoke(app, verify).exit_code == 1  # nothing says where an empty chain should end
    begin(store, anchor)
    assert CliRunner().invoke(app, verify).exit_code == 0
    PeopleStore(events.engine).create_token("kept", Role.VIEWER)
    store.append("a", "An", "picture.look", "/cameras/gate")
    advance(store, anchor)
    with forging(events) as connection:
        connection.execute(sa.delete(table))
    for name in ("audit.key", "audit-anchor.json"):
        (tmp_path / name).unlink()
    begin(store, anchor)
    with pytest.raises(AnchorError):
        advance(store, anchor)
    assert not anchor.begun
    assert CliRunner().invoke(app, verify).exit_code == 1
    events.close()
