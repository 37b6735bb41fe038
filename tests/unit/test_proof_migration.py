"""What earlier versions stored, after the migration: records in a row, plates that are found, erasures that go on."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from actors.proof.files import PackageFiles
from actors.retention import Eraser
from actors.store import EventStore, EvidenceRecords, RetentionStore
from actors.store import engine as engine_module
from actors.store.erasures import erasures
from actors.store.evidence import evidence
from actors.store.tables import events
from hoaban.evidence import manifest as m
from hoaban.evidence.erasures import Record, broken
from hoaban.evidence.review import State
from tests.events import some_events
from tests.unit.test_retention import KEYS, SIGNER, TRUSTED

OLD = {
    "events": {"plate"},
    "erasures": {"number", "done_s", "worker", "leased_until_s"},
}


def old(table: sa.Table, row: dict) -> sa.Insert:
    """Into a table as it was."""
    columns = [sa.Column(c.name, c.type) for c in table.columns if c.name not in OLD.get(table.name, set())]
    return sa.insert(sa.Table(table.name, sa.MetaData(), *columns)).values(row)


def signed(id: str, previous: bytes | None) -> bytes:
    about = {"key": SIGNER.id, "at": "2026-01-01T00:00:00Z", "rule": "r", "by": "n", "basis": "b"}
    named = m.digest(previous) if previous else None
    return m.canonical(m.of_erasure(id, **about, previous=named, erased=[{"what": "event", "id": "i"}]))


def test_old_rows_get_their_plates_and_places_and_what_had_begun_goes_on(empty_url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(engine_module._known(empty_url))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(engine_module.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0008_access")
        for number, event in enumerate(some_events(3)):
            body = event.to_cloudevent()
            if number:
                body = body | {"data": body["data"] | {"plate": {"text": f"30A-123.4{number}"}}}
            row = {"id": f"e{number}", "type": "hoaban.plate_watchlist", "camera": "cam", "time_s": 1.0}
            connection.execute(
                old(events, row | {"simulated": False, "evidential": False, "body": body | {"id": f"e{number}"}})
            )
        case = {"id": "case", "type": "t", "camera": "cam", "captured_s": 1.0, "evidential": True, "doubts": []}
        case |= {"missing": {}, "files": {}, "simulated": False, "sealed_s": 1.0, "state": "rejected", "version": 1}
        connection.execute(old(evidence, case))
        about = {"rule": "r", "basis": "b", "by_name": "n", "begun_s": 5.0}
        connection.execute(
            old(evidence, case | {"id": "long", "state": "confirmed", "files": {m.CLIP: {"sha256": "0"}}})
        )
        first, going = signed("newer", None), [{"what": "evidence", "id": "case"}]
        going += [{"what": "event", "id": "e0"}, {"what": "file", "id": "long", "name": m.CLIP}]
        for id, plan, manifest in (
            ("cut off", [], signed("cut off", first)),
            ("open", going, None),
            ("newer", [], first),
            ("newest", [], signed("newest", first)),
        ):
            row = about | {"id": id, "plan": plan, "manifest": manifest}
            connection.execute(old(erasures, row | {"signature": SIGNER.sign(manifest) if manifest else None}))
    engine.dispose()
    store = EventStore.open(empty_url)
    retention = RetentionStore(store.engine)
    records = retention.records()
    assert [(one.id, one.number) for one in records] == [("newer", 1), ("cut off", 2), ("newest", 3)]
    chain = [Record(one.number, one.id, one.manifest, one.signature) for one in records]
    assert broken(chain, TRUSTED, m.digest(chain[-1].manifest)) == []
    assert [one.id for one in retention.unfinished()] == ["open"]
    assert EvidenceRecords(store.engine).get("case").state is State.ERASING
    assert [one["id"] for one in retention.events_by_plate("30a 123 41", [], None, None, 9)] == ["e1"]
    with store.engine.connect() as connection:
        plates = connection.execute(sa.select(events.c.id, events.c.plate).order_by(events.c.seq)).all()
    assert [tuple(row) for row in plates] == [("e0", None), ("e1", "30A12341"), ("e2", "30A12342")]
    if store.engine.dialect.name == "sqlite":
        query = (
            sa.select(events.c.id)
            .where(events.c.plate == "x")
            .compile(store.engine, compile_kwargs={"literal_binds": True})
        )
        with store.engine.connect() as connection:
            assert "events_plate" in str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
    store.close()
    files = PackageFiles(str(tmp_path / "evidence"))
    files.write("long", {m.CLIP: b"x", m.MANIFEST: b"{}"}, last=m.MANIFEST)
    eraser = Eraser(retention, EvidenceRecords(store.engine), files, KEYS)
    assert eraser.finish() == 0  # an earlier version did not sign what it began
    assert "not signed" in eraser.stuck
    eraser.vouch("open", retention.erasure("open").sha256)
    assert Eraser(retention, EvidenceRecords(store.engine), files, KEYS).finish() == 1
    assert EvidenceRecords(store.engine).get("case").state is State.ERASED
    assert store.find("e0") is None
    assert store.find("e1") is not None
    long = EvidenceRecords(store.engine).get("long")
    assert (long.files, list(long.missing)) == ({}, [m.CLIP])
