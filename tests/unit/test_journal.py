"""The journal on disk: first in, first out, whatever dies in between; lines are split at their ends alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import journal
from actors.bus import EventBus
from actors.journal import SUFFIX, Journal, abandoned
from actors.publisher import SpoolingPublisher
from tests.events import some_events

NOWHERE = "redis://127.0.0.1:1/0"
LINES = st.lists(
    st.text(st.characters(exclude_characters="\n"), max_size=20).map(lambda t: t.encode("utf-8", "replace"))
)
STEPS = st.one_of(
    LINES.map(lambda lines: ("append", lines)),
    st.sampled_from([("send", None), ("settle", None), ("rewind", None), ("die", None)]),
)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 40)


def died(one: Journal) -> None:
    """What a kill leaves: the files as they are, and no lock."""
    os.close(one._lock)


@given(st.lists(STEPS, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
def test_every_line_comes_out_in_order_whatever_dies_in_between(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[bytes] | None]]
) -> None:
    parent = tmp_path_factory.mktemp("journals")
    one = Journal.create(parent)
    put: list[bytes] = []
    first, settled, got = 0, 0, 0  # where the journal begins, what is settled, what was sent
    for step, lines in steps:
        match step:
            case "append":
                one.append(lines or [])
                put += lines or []
            case "send":
                batch = one.read(3, 30)
                assert batch.lines == put[got : got + len(batch.lines)]
                assert bool(batch.lines) == (got < len(put))
                one.sent(batch)
                got += len(batch.lines)
            case "settle":
                one.settle(one.position())
                settled = got
            case "rewind":
                one.rewind()
                got = settled
            case "die":
                died(one)
                (one,) = abandoned(parent)
                # What is not settled is all there; of what is, the rest of its segment may come again.
                first = len(put) - one.unsent
                assert first <= settled
                settled = got = first
        assert one.unsent == len(put) - got
    while (batch := one.read(3, 30)).lines:
        assert batch.lines == put[got : got + len(batch.lines)]
        one.sent(batch)
        got += len(batch.lines)
    assert got == len(put)
    one.settle(one.position())
    assert one.empty
    one.close()
    assert list(parent.iterdir()) == []


def test_who_lives_is_left_alone_and_who_died_is_taken_over_once(tmp_path: Path) -> None:
    one = Journal.create(tmp_path)
    one.append([b"a"])
    assert list(abandoned(tmp_path)) == []
    died(one)
    (two,) = abandoned(tmp_path)
    assert list(abandoned(tmp_path)) == []
    two.close()


def test_a_line_torn_by_a_crash_tears_no_other(tmp_path: Path) -> None:
    one = Journal.create(tmp_path)
    one.append([b"whole"])
    (segment,) = one.folder.glob(f"*{SUFFIX}")
    died(one)
    with segment.open("ab") as file:
        file.write(b"to")
    (two,) = abandoned(tmp_path)
    two.append([b"next"])
    assert [two.read(9, 99).lines, two.unsent] == [[b"whole"], 2]
    two.close()


def test_the_spool_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"one\ntwo\n")
    (found,) = abandoned(tmp_path)
    assert found.read(9, 99).lines == [b"one", b"two"]
    found.close()


def test_a_spool_deleted_under_it_costs_what_it_held_and_no_more(tmp_path: Path) -> None:
    one = Journal.create(tmp_path)
    one.append([b"a"])
    for path in one.folder.glob(f"*{SUFFIX}"):
        path.unlink()
    one.sync()
    assert one.read(9, 99).lines == []
    one.append([b"b"])
    batch = one.read(9, 99)
    assert (batch.lines, one.unsent) == ([b"b"], 1)
    one.sent(batch)
    for path in one.folder.glob(f"*{SUFFIX}"):
        path.unlink()
    one.rewind()
    assert (one.unsent, one.empty) == (0, True)
    one.close()


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[SpoolingPublisher]:
    made = SpoolingPublisher(EventBus(NOWHERE), tmp_path)
    yield made
    made.close(0)


def test_events_wait_on_disk_and_a_successor_finds_them(publisher: SpoolingPublisher, tmp_path: Path) -> None:
    publisher.publish(some_events(3))
    assert publisher.spooled == 3
    publisher.close(0)
    successor = SpoolingPublisher(EventBus(NOWHERE), tmp_path)
    assert successor.spooled == 3
    successor.publish(some_events(5)[3:])
    assert not successor.flush(0)
    successor.close(0)
    last = SpoolingPublisher(EventBus(NOWHERE), tmp_path)
    assert last.spooled == 5
    last.close(0)


def test_what_is_no_event_is_refused_alone_and_told(publisher: SpoolingPublisher) -> None:
    first, second, third = some_events(3)
    dict.__setitem__(first.data, "score", float("nan"))
    dict.__setitem__(second.data, "note", "x" * 2**20)
    publisher.publish([first, second, third])
    assert publisher.spooled == 1
    assert publisher.error.startswith("2 events refused")


def test_restarts_while_redis_is_away_do_not_pile_up_journals(tmp_path: Path) -> None:
    for event in some_events(5):
        one = SpoolingPublisher(EventBus(NOWHERE), tmp_path)
        one.publish([event])
        one.close(0)
    assert len([path for path in tmp_path.iterdir() if path.name.isdecimal()]) == 1


FULL = """
import resource, sys
from pathlib import Path
from actors import publisher as publishing
from actors.bus import EventBus
from tests.events import some_events
publishing.MOST_IN_MEMORY = 30
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
publisher = publishing.SpoolingPublisher(EventBus("redis://127.0.0.1:1/0"), Path(sys.argv[1]))
events = some_events(60)
for event in events[:50]:
    publisher.publish([event])
print(publisher.spooled, publisher.error, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while publisher._memory:
    pass
publisher.publish(events[50:])
print(publisher.spooled, publisher.error, flush=True)
"""


def test_a_full_disk_keeps_events_in_memory_says_so_and_writes_them_when_there_is_room(tmp_path: Path) -> None:
    """The system refuses what makes a file longer than 4,000 bytes, in the middle of a line, as a full disk does."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    full, after = done.stdout.splitlines()
    kept, words = full.split(" ", 1)
    on_disk = int(kept) - 30
    assert 1 <= on_disk <= 19
    assert words.startswith(f"{50 - int(kept)} events LOST, disk and memory being full; 30 events wait in memory only")
    assert after.split(" ", 1)[0] == str(int(kept) + 10)
    (left,) = abandoned(tmp_path)
    found = []
    while (batch := left.read(100, 10**6)).lines:
        left.sent(batch)
        found += batch.lines
    expected = [event.to_json().encode() for event in some_events(60)]
    assert found == expected[: on_disk + 30] + expected[50:]
    left.close()
