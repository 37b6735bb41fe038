"""A publisher that ends while its thread is in the middle of something: whoever takes over loses nothing to it."""

import errno
import os
import threading
from pathlib import Path

import pytest

from actors import journal as journals
from actors.bus import EventBus
from actors.journal import LOCK, Journal, abandoned
from actors.publisher import SpoolingPublisher
from tests.events import some_events

NOWHERE = "redis://127.0.0.1:1/0"


def filled(parent: Path, *lines: bytes) -> Journal:
    one = Journal.create(parent)
    one.append(lines)
    return one


def all_of(one: Journal) -> list[bytes]:
    found: list[bytes] = []
    while (batch := one.read(9, 999)).lines:
        found += batch.lines
        one.sent(batch)
    return found


def test_a_journal_is_free_when_it_is_closed_though_a_child_was_just_forked(tmp_path: Path) -> None:
    """Between fork and exec a child holds all our files: the server that another thread starts, for example."""
    one = filled(tmp_path, b"a")
    inherited = os.dup(one._lock)
    one.close()
    (two,) = abandoned(tmp_path)
    assert all_of(two) == [b"a"]
    two.close()
    os.close(inherited)


def test_a_closed_journal_does_nothing_more(tmp_path: Path) -> None:
    one = filled(tmp_path, b"a", b"b")
    batch = one.read(1, 99)
    one.sent(batch)
    whole = one.read(9, 99)
    one.sent(whole)
    reached = one.position()
    one.close()
    (two,) = abandoned(tmp_path)
    one.settle(reached)
    one.rewind()
    assert one.read(9, 99).lines == []
    with pytest.raises(OSError, match="closed"):
        one.append([b"c"])
    one.close()
    assert all_of(two) == [b"a", b"b"]
    two.append([b"c"])
    assert all_of(two) == [b"c"]
    two.settle(two.position())
    two.close()
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_closed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another file's by then."""
    closed, meet = list[int](), threading.Barrier(2)
    close = os.close

    def slowly(file: int) -> None:
        closed.append(file)
        close(file)

    one = filled(tmp_path, b"a")
    one.sent(one.read(9, 99))
    reached = one.position()

    def settle() -> None:
        meet.wait()
        one.settle(reached)
        one.close()

    monkeypatch.setattr(journals.os, "close", slowly)
    other = threading.Thread(target=settle)
    other.start()
    meet.wait()
    one.close()
    other.join()
    monkeypatch.undo()
    assert len(closed) == len(set(closed)) == 2


def test_what_somebody_else_put_into_a_journal_is_not_deleted_with_it(tmp_path: Path) -> None:
    one = Journal.create(tmp_path)
    (one.folder / "note").write_text("mine")
    one.close()
    assert (one.folder / "note").exists()


def test_a_journal_comes_behind_older_ones_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = filled(tmp_path, b"a")
    monkeypatch.setattr(journals.time, "time_ns", lambda: 17)
    two = filled(tmp_path, b"b")
    one.close()
    two.close()
    found = list(abandoned(tmp_path))
    assert [all_of(journal) for journal in found] == [[b"a"], [b"b"]]
    for journal in found:
        journal.close()


def test_a_journal_that_cannot_be_read_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, b"a").close()
    filled(tmp_path, b"b").close()
    first = min(path for path in tmp_path.iterdir())
    count = journals._count

    def unreadable(path: Path, start: int, end: int) -> int:
        if path.parent == first:
            raise OSError(errno.EIO, "Input/output error")
        return count(path, start, end)

    with monkeypatch.context() as broken:
        broken.setattr(journals, "_count", unreadable)
        (second,) = abandoned(tmp_path)
        assert all_of(second) == [b"b"]
    (found,) = abandoned(tmp_path)  # its lock was let go of
    assert all_of(found) == [b"a"]
    second.close()
    found.close()


def test_a_lock_that_was_deleted_meanwhile_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner ends between our opening and our locking, and a third has made the lock anew."""
    one = filled(tmp_path, b"a")
    lock = one.folder / LOCK
    flock = journals.fcntl.flock
    third: list[Journal | None] = []

    def late(file: int, how: int) -> None:
        monkeypatch.undo()
        lock.unlink()
        one.close()
        third.append(Journal.take_over(one.folder))
        flock(file, how)

    monkeypatch.setattr(journals.fcntl, "flock", late)
    assert Journal.take_over(one.folder) is None
    (owner,) = third
    assert owner is not None
    assert all_of(owner) == [b"a"]
    owner.close()


def test_what_waited_in_memory_is_on_disk_when_the_publisher_ends(tmp_path: Path) -> None:
    publisher = SpoolingPublisher(EventBus(NOWHERE), tmp_path)
    (event,) = some_events(1)
    publisher._memory.append(event.to_json().encode())
    publisher.close(0)
    (left,) = abandoned(tmp_path)
    assert all_of(left) == [event.to_json().encode()]
    left.close()
