"""The watchlist at rest: sealed, by two people, erased when over, and opened with its own key alone."""

import base64
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from actors.store import EventStore
from actors.store.tables import watchlist_entries
from actors.watchlist.key import KeyMissingError, WatchlistKey
from actors.watchlist.store import NewEntry, WatchlistError, WatchlistStore
from hoaban.access import Person
from hoaban.events import ModelRef

AN, BINH = Person("t1", "An"), Person("t2", "Bình")
MODEL = ModelRef("maker", "1", "a" * 64)
TEMPLATE = np.random.default_rng(0).normal(size=128).astype(np.float32)


def new(**fields: object) -> NewEntry:
    base = {
        "watchlist": "wanted", "subject": "case 7", "template": TEMPLATE, "model": MODEL, "law": "l",
        "authority": "a", "document": "d", "basis_until": datetime.now(UTC) + timedelta(days=2),
        "expires_at": datetime.now(UTC) + timedelta(days=1),
    }  # fmt: skip
    return NewEntry(**(base | fields))  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, store_url: str) -> Iterator[WatchlistStore]:
    events = EventStore.open(store_url)
    yield WatchlistStore(events.engine, lambda: WatchlistKey.load_or_make(tmp_path))
    events.close()


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = WatchlistKey.load_or_make(tmp_path)
    path = tmp_path / "watchlist.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["watchlist.key"]
    assert WatchlistKey.load(tmp_path).open(key.seal(b"x", "p"), "p") == b"x"
    path.chmod(0o644)
    with pytest.raises(KeyMissingError, match="chmod 600"):
        WatchlistKey.load(tmp_path)


def test_a_key_of_the_environment_goes_first_and_a_wrong_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOABAN_WATCHLIST_KEY", base64.b64encode(bytes(range(32))).decode())
    sealed = WatchlistKey.load(None).seal(b"x", "p")
    assert WatchlistKey.load_or_make(tmp_path).open(sealed, "p") == b"x"
    assert os.listdir(tmp_path) == []
    monkeypatch.setenv("HOABAN_WATCHLIST_KEY", "short")
    with pytest.raises(KeyMissingError, match="openssl rand"):
        WatchlistKey.load(None)
    monkeypatch.delenv("HOABAN_WATCHLIST_KEY")
    with pytest.raises(KeyMissingError, match="HOABAN_WATCHLIST_KEY"):
        WatchlistKey.load(tmp_path)


@pytest.mark.parametrize("change", ["purpose", "bytes", "key", "empty"])
def test_sealed_bytes_open_only_as_they_were_sealed(tmp_path: Path, change: str) -> None:
    key = WatchlistKey(bytes(32))
    sealed = key.seal(b"secret", "p")
    assert b"secret" not in sealed
    assert key.seal(b"secret", "p") != sealed
    other = WatchlistKey(bytes(range(32))) if change == "key" else key
    tampered = {"bytes": sealed[:-1] + bytes([sealed[-1] ^ 1]), "empty": b""}.get(change, sealed)
    with pytest.raises(KeyMissingError, match="not sealed with this key"):
        other.open(tampered, "q" if change == "purpose" else "p")


def test_an_entry_is_searched_only_once_another_person_approved_it(store: WatchlistStore) -> None:
    info = store.add(new(), AN)
    assert info.state(datetime.now(UTC)) == "waiting for approval"
    assert store.active() == []
    for same in (AN, Person("t3", "An"), Person("t1", "Other name")):
        with pytest.raises(WatchlistError, match="another person must"):
            store.approve(info.id, same)
    assert store.active() == []
    assert store.approve(info.id, BINH).approved_by == "Bình"
    (entry,) = store.active()
    assert np.array_equal(entry.template, TEMPLATE)
    assert (entry.watchlist, entry.subject, entry.model_digest) == ("wanted", "case 7", MODEL.digest)
    with pytest.raises(WatchlistError, match="already"):
        store.approve(info.id, BINH)


def test_the_database_itself_refuses_one_person_for_two(store: WatchlistStore) -> None:
    info = store.add(new(), AN)
    changed = {"approved_by_id": AN.id, "approved_by": AN.name, "approved_at": datetime.now(UTC)}
    with pytest.raises(sa.exc.IntegrityError), store._engine.begin() as connection:
        connection.execute(sa.update(watchlist_entries).where(watchlist_entries.c.id == info.id).values(changed))


def test_what_is_over_is_not_searched_and_is_erased(store: WatchlistStore) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    for over in ({"expires_at": datetime.now(UTC)}, {"basis_until": datetime.now(UTC) - timedelta(days=1)}):
        with pytest.raises(WatchlistError, match="future"):
            store.add(new(**over), AN)
    kept = store.approve(store.add(new(), AN).id, BINH)
    for column in ("expires_at", "basis_until"):
        info = store.approve(store.add(new(basis_until=soon), AN).id, BINH)
        with store._engine.begin() as connection:
            where = watchlist_entries.c.id == info.id
            past = {column: datetime.now(UTC) - timedelta(seconds=1)}
            connection.execute(sa.update(watchlist_entries).where(where).values(past))
    assert [entry.id for entry in store.active()] == [kept.id]
    assert store.erase_expired() == 2
    assert [info.id for info in store.entries()] == [kept.id]


def test_an_entry_ends_with_its_basis(store: WatchlistStore) -> None:
    basis = datetime.now(UTC) + timedelta(hours=1)
    store.approve(store.add(new(basis_until=basis), AN).id, BINH)
    assert store.active()[0].expires_s == pytest.approx(basis.timestamp(), abs=1e-3)


def test_erasing_erases(store: WatchlistStore) -> None:
    info = store.add(new(), AN)
    store.remove(info.id, BINH)
    assert store.entries() == []
    for act in (lambda: store.remove(info.id, AN), lambda: store.approve(info.id, BINH)):
        with pytest.raises(KeyError):
            act()


def test_a_template_that_was_moved_to_another_entry_does_not_open(store: WatchlistStore) -> None:
    first, second = (store.approve(store.add(new(), AN).id, BINH) for _ in range(2))
    column = watchlist_entries.c
    with store._engine.begin() as connection:
        stolen = connection.execute(sa.select(column.template).where(column.id == first.id)).scalar_one()
        connection.execute(sa.update(watchlist_entries).where(column.id == second.id).values(template=stolen))
    with pytest.raises(KeyMissingError, match="altered"):
        store.active()
