"""The beginning of the audit chain, taken out when its term is over: that much and no more, and the rest verifies."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from actors.audit_anchor import Anchor, AnchorError, advance, vouched_cuts
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.retention import Eraser
from actors.store import AuditStore, EventStore, EvidenceRecords, RetentionStore
from actors.store.audit_pruning import prune
from actors.store.erasures import erasures
from actors.store.tables import audit as table
from cli.main import app
from hoaban.audit import PRUNED, AuditRecord, broken
from hoaban.evidence import manifest as m
from hoaban.evidence.signing import Signer
from tests.unit.test_audit_chain import refused


@dataclass
class Chain:
    """An audit chain with one record a second, and the folder of its anchor."""

    events: EventStore
    url: str
    folder: Path
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.store = AuditStore(self.events.engine, clock=lambda: self.now_s)
        self.anchor = Anchor(self.folder)
        engine, self.keys = self.events.engine, Keys(self.folder)
        self.retention = RetentionStore(engine)
        files = PackageFiles(str(self.folder / "evidence"))
        self.eraser = Eraser(self.retention, EvidenceRecords(engine), files, self.keys)

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.now_s += 1.0
            self.store.append("a", "An", "picture.look", "/cameras/gate")

    def prune(self, before_s: float, most: int = 1000) -> int:
        """How many went. The time goes on by a second."""
        self.now_s += 1.0
        about = ("audit_days", "kept long enough", "the system", "worker", self.now_s)
        begun = self.retention.take_audit(before_s, most, *about, self.eraser._record)
        return 0 if begun is None else int(begun.plan[0]["count"])

    def forge(self, through: int) -> None:
        """What one who can write the database alone makes of its beginning: the record that tells of it, and more."""
        records = list(self.store.records())
        told = {"through": through, "digest": records[through - 1].digest, "count": through}
        one = AuditRecord(0, self.now_s, "", "the system", PRUNED, "records", None, "kept", "done", told)
        one = replace(one, seq=records[-1].seq + 1).sealed(records[-1].digest)
        begun = {"id": "f", "rule": "audit_days", "basis": "b", "by_name": "n", "begun_s": self.now_s}
        begun |= {"plan": [{"what": "audit", "first_s": 1.0, "last_s": 1.0, **told}]}
        with self.events.engine.begin() as connection:
            connection.execute(sa.insert(table).values(asdict(one)))
            connection.execute(sa.delete(table).where(table.c.seq <= through))
            connection.execute(sa.insert(erasures).values(begun))

    def broken(self, records: list[AuditRecord]) -> list[str]:
        return broken(records, vouched=vouched_cuts(self.store, self.folder))

    def left(self) -> list[int]:
        return [record.seq for record in self.store.records()]

    def verify(self, anchor: Path | None = None) -> tuple[int, list[str]]:
        """What `hoaban audit verify` says."""
        more = [] if anchor is None else ["--anchor", str(anchor)]
        command = ["audit", "verify", "--data", str(self.folder), "--json", *more]
        done = CliRunner().invoke(app, command, env={"HOABAN_STORE_URL": self.url})
        return done.exit_code, json.loads(done.stdout)["wrong"]


@pytest.fixture
def chain(tmp_path: Path, store_url: str) -> Iterator[Chain]:
    events = EventStore.open(store_url)
    yield Chain(events, store_url, tmp_path)
    events.close()


def test_a_deletion_passes_only_up_to_what_the_newest_record_tells(chain: Chain) -> None:
    chain.grow(10)
    engine = chain.events.engine
    assert refused(engine, "DELETE FROM audit WHERE seq = 1")
    assert chain.prune(before_s=5.5) == 5
    assert chain.left() == [6, 7, 8, 9, 10, 11]
    for later in ("seq = 6", "seq = 11", "seq >= 6", "seq IN (1, 2, 6)", "1 = 1"):
        assert refused(engine, f"DELETE FROM audit WHERE {later}"), later
    chain.grow(1)
    for later in ("seq = 6", "seq = 12", "1 = 1"):
        assert refused(engine, f"DELETE FROM audit WHERE {later}"), later
    assert refused(engine, "UPDATE audit SET detail = '{\"through\": 99}' WHERE seq = 11")
    assert chain.left() == [6, 7, 8, 9, 10, 11, 12]


def test_a_row_that_a_cut_told_of_and_that_came_back_is_kept_once_another_record_is_the_newest(chain: Chain) -> None:
    chain.grow(4)
    first = chain.store.record(1)
    assert first is not None
    assert chain.prune(before_s=2.5) == 2
    with chain.events.engine.begin() as connection:
        connection.execute(sa.insert(table).values(asdict(first)))
    chain.grow(1)
    assert refused(chain.events.engine, "DELETE FROM audit WHERE seq = 1")
    assert chain.verify()[0] == 1


def test_a_pruning_that_is_undone_leaves_all_as_it_was(chain: Chain) -> None:
    chain.grow(6)
    before = list(chain.store.records())
    with chain.events.engine.connect() as connection:
        assert prune(connection, 3.5, 1000, 7.0, "the system", "kept long enough")
        connection.rollback()
    assert list(chain.store.records()) == before
    assert refused(chain.events.engine, "DELETE FROM audit WHERE seq = 1")


def test_the_newest_record_stays_however_old_it_is(chain: Chain) -> None:
    chain.grow(3)
    assert chain.prune(before_s=1e9) == 2
    assert chain.left() == [3, 4]
    assert chain.prune(before_s=1e9) == 1
    assert chain.prune(before_s=1e9) == 1  # the record of the cut before, which the new one covers
    assert chain.broken(list(chain.store.records())) == []


def test_the_command_finds_a_chain_sound_before_and_after_each_pruning_with_older_anchors(chain: Chain) -> None:
    chain.grow(10)
    chain.anchor.write(*chain.store.head())
    at_ten = chain.folder / "elsewhere-10.json"
    at_ten.write_text(chain.anchor.path.read_text())
    assert chain.verify() == (0, [])
    assert chain.prune(before_s=5.5) == 5
    assert chain.verify() == chain.verify(at_ten) == (0, [])
    advance(chain.store, chain.anchor)  # the anchor is not behind the cut: it moves on by itself
    chain.grow(5)
    for before_s, most, gone in ((10.5, 3, 3), (10.5, 1000, 2)):
        assert chain.prune(before_s, most) == gone
        assert chain.verify() == chain.verify(at_ten) == (0, [])  # 10 is the last that went: the first left names it
    advance(chain.store, chain.anchor)
    assert chain.anchor.read() == chain.store.head()
    # Whoever owns the database could tell of a cut that never was: an anchor from behind it vouches for nothing.
    assert chain.prune(before_s=12.5) == 2
    assert chain.verify() == (0, [])
    code, wrong = chain.verify(at_ten)
    assert (code, len(wrong)) == (1, 1)
    assert wrong[0].endswith(
        "records up to 12 were taken out since, so this anchor says nothing of the rest; use a newer one"
    )


def test_of_a_chain_pruned_twice_the_record_of_the_last_cut_vouches_and_must_be_there(chain: Chain) -> None:
    chain.grow(10)
    assert chain.prune(before_s=3.5) == 3
    chain.grow(2)
    assert chain.prune(before_s=6.5) == 3
    records = list(chain.store.records())
    told = [record for record in records if record.action == PRUNED]
    assert [record.detail["through"] for record in told] == [3, 6]
    assert chain.broken(records) == []
    without_last = [record for record in records if record.seq < told[-1].seq]
    assert "missing" in chain.broken(without_last)[0]
    assert "missing" in chain.broken(records[1:])[0]


def test_a_cut_that_no_signed_record_vouches_for_is_found_and_the_anchor_stays(chain: Chain) -> None:
    chain.grow(10)
    chain.anchor.write(*chain.store.head())
    chain.forge(through=8)
    assert chain.left() == [9, 10, 11]
    code, wrong = chain.verify()
    assert (code, wrong) == (1, ["records up to 8 are missing, and no signed record of an erasure vouches for it"])
    with pytest.raises(AnchorError, match="vouches"):
        advance(chain.store, chain.anchor)
    assert chain.anchor.read()[0] == 10
    # The system would finish an erasure that was begun: not one of these, which are signed when they are made.
    assert chain.eraser.finish() == 0
    assert "not signed" in chain.eraser.stuck
    assert chain.verify()[0] == 1
    # Nor does a record that another key signed help.
    other = Signer.make()
    about = {"key": other.id, "at": "2026-01-01T00:00:00Z", "rule": "audit_days", "by": "n", "basis": "b"}
    (begun,) = chain.retention.unfinished()
    manifest = m.canonical(m.of_erasure("f", **about, previous=None, erased=begun.plan))
    with chain.events.engine.begin() as connection:
        signed = {"manifest": manifest, "signature": other.sign(manifest), "number": 9}
        connection.execute(sa.update(erasures).where(erasures.c.id == "f").values(signed))
    assert chain.verify()[0] == 1


def test_a_record_cannot_be_replaced_by_another_either(chain: Chain) -> None:
    if chain.events.engine.dialect.name != "sqlite":
        pytest.skip("only SQLite knows INSERT OR REPLACE")
    chain.grow(2)
    columns = ", ".join(column.name for column in table.c)
    other = columns.replace("subject", "'another'")
    assert refused(chain.events.engine, f"INSERT OR REPLACE INTO audit ({columns}) SELECT {other} FROM audit")
