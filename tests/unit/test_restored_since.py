"""What became of things since a backup: a restore takes no file of erasures that ends too early."""

from pathlib import Path

import pytest

from actors.audit_anchor import Anchor, begin
from actors.backup import Place, Restored, back_up, restore
from actors.erasure_log import save
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.retention import Eraser
from actors.store import AuditStore, EventStore, EvidenceRecords, RetentionStore
from hoaban.events import Event
from tests.evidence import red_light

BASIS = ("request", "7/2026: the person asked", "Officer", 2000.0)


class System:
    """Of which a backup is made and restored. erase: one event, at a person's request."""

    def __init__(self, folder: Path) -> None:
        self.folder, data = folder, folder / "data"
        data.mkdir()
        self.place = Place(data, f"sqlite:///{data / 'hoaban.db'}", str(data / "evidence"))
        self.store = EventStore.open(self.place.store_url)
        begin(AuditStore(self.store.engine), Anchor(data))
        self.retention = RetentionStore(self.store.engine)
        records, files = EvidenceRecords(self.store.engine), PackageFiles(self.place.evidence_url)
        self.eraser = Eraser(self.retention, records, files, Keys(data))

    def erase(self, track: int) -> Event:
        event = red_light(track=track)
        event.data.pop("evidence", None)
        self.store.write([event])
        assert self.eraser.erase([], [event.id], *BASIS).erasure is not None
        return event

    def back_up(self) -> None:
        back_up(self.place, [], self.folder / "out", self.folder / "keys")

    def restore(self, erasures: Path | None) -> tuple[Restored, Place]:
        new = self.folder / f"new{len(list(self.folder.glob('new*')))}"
        place = Place(new, f"sqlite:///{new / 'hoaban.db'}", str(new / "evidence"))
        why = None if erasures else "none were saved"
        return restore(self.folder / "out", place, self.folder / "keys", erasures, "An", why), place


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_a_file_of_erasures_that_ends_before_the_backup_is_told(system: System, tmp_path: Path) -> None:
    stale, newest = tmp_path / "stale.jsonl", tmp_path / "newest.jsonl"
    system.erase(1)
    save(system.retention.records(), stale)
    system.erase(2)
    system.back_up()
    system.erase(3)
    save(system.retention.records(), newest)
    (tmp_path / "empty.jsonl").touch()
    for name, last in (("stale", 1), ("empty", 0)):
        found, _ = system.restore(tmp_path / f"{name}.jsonl")
        assert f"end at {last}, and the database has 2" in found.wrong[0]
        assert (found.erased_again, found.newest_erasure) == (0, None)
    found, _ = system.restore(newest)
    assert (found.wrong, found.erased_again, found.newest_erasure) == ([], 1, 3)
    assert (found.newest_erased_at or "").startswith("20")
    assert system.restore(None)[0].wrong == []


def test_without_any_erasure_a_file_without_any_is_whole(system: System, tmp_path: Path) -> None:
    system.back_up()
    (tmp_path / "empty.jsonl").touch()
    assert system.restore(tmp_path / "empty.jsonl")[0].wrong == []
