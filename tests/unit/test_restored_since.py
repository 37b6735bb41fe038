"""What became of things since a backup: a restore takes no file of erasures that ends too early, brings back no session
and no active watchlist entry, and erases nothing by its term before holds are as they were."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from actors.audit_anchor import Anchor, begin
from actors.backup import Place, Restored, back_up, restore
from actors.erasure_log import save
from actors.proof.files import PackageFiles
from actors.proof.keys import Keys
from actors.purge import Purger
from actors.retention import RESTORED, Eraser
from actors.store import AuditStore, EventStore, EvidenceRecords, PeopleStore, RetentionStore
from actors.store.sessions import SessionStore
from actors.watchlist.key import WatchlistKey
from actors.watchlist.store import NewPlate, PlateStore
from cli.main import app
from hoaban.access import Person
from hoaban.events import Event
from hoaban.evidence.retention import DAY_S
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


def test_what_may_have_been_withdrawn_since_is_not_active(system: System) -> None:
    engine = system.store.engine
    plates = PlateStore(engine, lambda: WatchlistKey.load_or_make(system.place.data))
    until = datetime.now(UTC) + timedelta(days=9)
    basis = {"law": "l", "authority": "a", "document": "d", "basis_until": until, "expires_at": until}
    entry = plates.add(NewPlate(watchlist="stolen", subject="s", plate="29B-333.44", **basis), Person("a", "An"))
    plates.approve(entry.id, Person("b", "Binh"))
    people = PeopleStore(engine)
    access = SessionStore(engine).begin(people.add("an", password="a long password, of an", by="root").id).access
    for name in ("bridge", "old"):
        people.create_token(name)
    assert people.revoke_token(next(one.id for one in people.tokens() if one.name == "old"))
    assert people.verify(access) is not None
    system.back_up()
    found, place = system.restore(None)
    assert (found.wrong, found.sessions_ended, found.watchlist_waits, found.tokens) == ([], 1, 1, ["bridge"])
    restored = EventStore.open(place.store_url)
    assert PeopleStore(restored.engine).verify(access) is None
    stored = PlateStore(restored.engine, lambda: WatchlistKey.load_or_make(place.data))
    assert stored.info(entry.id).state(datetime.now(UTC)) == "waiting for approval"
    stored.approve(entry.id, Person("b", "Binh"))
    restored.close()


def test_no_term_erases_before_somebody_says_that_holds_are_as_they_were(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOABAN_STORE_URL", raising=False)
    event = red_light(track=5)
    event.data.pop("evidence")
    system.store.write([event])
    system.back_up()
    _, place = system.restore(None)
    restored = EventStore.open(place.store_url)
    retention, records = RetentionStore(restored.engine), EvidenceRecords(restored.engine)
    eraser = Eraser(retention, records, PackageFiles(place.evidence_url), Keys(place.data))
    board = SimpleNamespace(get_json=lambda _: {"cameras": [], "retention": {"events_days": 1}})
    purger = Purger(board, eraser, restored=place.data / RESTORED)  # type: ignore[arg-type]
    late_s = event.time.timestamp() + 2 * DAY_S
    assert purger.step(late_s) == 0
    assert "since the restore" in purger.stuck

    def run(reason: str) -> int:
        return (
            CliRunner()
            .invoke(app, ["evidence", "confirm-restore", "--reason", reason, "--data", str(place.data)])
            .exit_code
        )

    assert run(" ") == 2
    assert run("the court's list was gone through") == 0
    assert run("the court's list was gone through") == 2
    assert (purger.stuck, purger.step(late_s)) == ("", 1)
    told = [(one.action, one.outcome) for one in AuditStore(restored.engine).records()]
    assert told[-2:] == [("backup.confirm_restore", "begun"), ("backup.confirm_restore", "done")]
    restored.close()
