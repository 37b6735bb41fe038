"""The beginning of the audit chain, taken out when its term is over: that much and no more, and the rest verifies."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from actors.audit_anchor import Anchor, advance
from actors.store import AuditStore, EventStore
from actors.store.audit_pruning import prune
from actors.store.tables import audit as table
from cli.main import app
from hoaban.audit import PRUNED, broken
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

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.now_s += 1.0
            self.store.append("a", "An", "picture.look", "/cameras/gate")

    def prune(self, before_s: float, most: int = 1000) -> int:
        """How many went. The time goes on by a second."""
        self.now_s += 1.0
        with self.events.engine.begin() as connection:
            cut = prune(connection, before_s, most, self.now_s, "the system", "kept long enough")
        return 0 if cut is None else int(cut["count"])

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
    assert broken(chain.store.records()) == []


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
    assert broken(records) == []
    without_last = [record for record in records if record.seq < told[-1].seq]
    assert "missing" in broken(without_last)[0]
    assert "missing" in broken(records[1:])[0]
