"""Events survive the death of the writer and of Redis: none lost, none twice."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.bus import DEAD_LETTERS, STREAM, EventBus, SpoolingPublisher, connect
from actors.embedded_redis import EmbeddedRedis
from actors.store import EventStore
from actors.writer import StoreWriter
from tests.unit.test_actors import some_events

pytestmark = pytest.mark.integration

WRITER = """
import os, signal, sys
from actors.bus import EventBus
from actors.store import EventStore
from actors.writer import StoreWriter
bus = EventBus(sys.argv[1])
bus.acknowledge = lambda entries: os.kill(os.getpid(), signal.SIGKILL)  # dies after the commit, before the word
StoreWriter(bus, EventStore.open(sys.argv[2]), consumer="doomed").run_once(1000)
"""


@pytest.fixture
def valkey(tmp_path: Path):
    server = EmbeddedRedis(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def drain(writer: StoreWriter) -> None:
    while writer.run_once(50):
        pass


def test_a_writer_killed_between_commit_and_word_doubles_nothing(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    EventBus(valkey.url).publish(some_events(700))
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", WRITER, valkey.url, url], check=False)
        assert killed.returncode == -signal.SIGKILL
    store = EventStore.open(url)
    assert store.total() == 500
    drain(StoreWriter(EventBus(valkey.url), store, consumer="doomed"))
    assert store.total() == 700
    assert EventBus(valkey.url).waiting() == 0


def test_events_published_while_redis_is_killed_all_arrive_once(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    publisher = SpoolingPublisher(EventBus(valkey.url), tmp_path / "spool")
    store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    writer = StoreWriter(EventBus(valkey.url), store)
    events = some_events(400)
    publisher.publish(events[:100])
    drain(writer)
    valkey.kill()
    for event in events[100:300]:
        publisher.publish([event])
    assert publisher.spooled == 200
    valkey.start(valkey.port)
    publisher.publish(events[300:])
    assert publisher.drain() == 300
    drain(StoreWriter(EventBus(valkey.url), store))
    assert store.total() == 400


def test_what_can_never_be_stored_is_put_aside_and_holds_nothing_up(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    client = connect(valkey.url)
    bus = EventBus(valkey.url)
    bus.publish(some_events(2))
    client.xadd(STREAM, {"id": "x", "body": "not an event"})
    client.xadd(STREAM, {"id": "y"})
    bus.publish(some_events(4)[2:])
    store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    drain(StoreWriter(bus, store))
    assert (store.total(), bus.waiting(), client.xlen(DEAD_LETTERS)) == (4, 0, 2)


def test_what_a_dead_writer_held_is_stored_under_load_too(
    valkey: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.writer.CLAIM_IDLE_MS", 200)
    monkeypatch.setattr("actors.writer.CLAIM_EVERY_S", 0.1)
    bus, events = EventBus(valkey.url), some_events(60)
    bus.join()
    bus.publish(events[:5])
    assert len(bus.read("dead", 5, 100)) == 5  # taken and never acknowledged
    store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    writer = StoreWriter(EventBus(valkey.url), store, consumer="alive")
    for event in events[5:]:  # there is always something new to read
        bus.publish([event])
        writer.run_once(50)
        time.sleep(0.02)
        if bus.waiting() == 0:
            break
    assert store.write(events[:5]) == 0  # all five were there already


def test_entries_that_are_no_event_at_all_hold_nothing_up(valkey: EmbeddedRedis, tmp_path: Path) -> None:
    good = some_events(2)
    bus, client = EventBus(valkey.url), connect(valkey.url)
    bus.publish(good[:1])
    for body in (
        '{"id":"x","source":"/cameras/c","type":"t","time":"2026-01-01T00:00:00Z","data":5}',
        '{"id":"y","source":"/cameras/c","type":"t","time":"2026-01-01T00:00:00Z","data":{"model":"text"}}',
        "[" * 100_000,
    ):
        client.xadd(STREAM, {"id": "x", "body": body})
    bus.publish(good[1:])
    store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    drain(StoreWriter(bus, store))
    assert (store.total(), bus.waiting(), client.xlen(DEAD_LETTERS)) == (2, 0, 3)


def test_a_child_server_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from actors.embedded_redis import EmbeddedRedis;"
        "s = EmbeddedRedis(Path(sys.argv[1])); s.start(); print(s.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]
    assert os.getpid() != pid
