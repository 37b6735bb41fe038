"""Events survive the death of the writer and of the database: none lost, none twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
import sqlalchemy.exc

from actors.bus import DEAD_LETTERS, STREAM, EventBus, connect
from actors.embedded_redis import EmbeddedRedis
from actors.publisher import SpoolingPublisher
from actors.store import EventStore
from actors.writer import StoreWriter
from tests.events import some_events
from tests.postgres import Postgres
from tests.seeds import SEEDS

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


def test_a_writer_killed_between_commit_and_word_doubles_nothing(valkey: EmbeddedRedis, store_url: str) -> None:
    url = store_url
    EventBus(valkey.url).publish(some_events(700))
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", WRITER, valkey.url, url], check=False)
        assert killed.returncode == -signal.SIGKILL
    store = EventStore.open(url)
    assert store.total() == 500
    drain(StoreWriter(EventBus(valkey.url), store, consumer="doomed"))
    assert store.total() == 700
    assert EventBus(valkey.url).waiting() == 0


HELD = """
import sys
from actors import writer as module
from actors.bus import EventBus
from actors.store import EventStore
module.BATCH = 40
writer = module.StoreWriter(EventBus(sys.argv[1]), EventStore.open(sys.argv[2]), consumer="doomed")
print("ready", flush=True)
while True:
    writer.run_once(50)
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_writers_and_databases_killed_under_load_lose_and_double_nothing(
    valkey: EmbeddedRedis, tmp_path: Path, postgres: Postgres, store_url: str, seed: int
) -> None:
    """Writers are processes of their own, killed at any moment; so is PostgreSQL's postmaster."""
    rng, events = random.Random(seed), {camera: some_events(600, camera) for camera in ("a", "b")}
    url, redis_url = store_url, valkey.url

    def publish(camera: str) -> None:
        publisher = SpoolingPublisher(EventBus(redis_url), tmp_path / "spool" / camera)
        for start in range(0, 600, 4):
            publisher.publish(events[camera][start : start + 4])
            time.sleep(0.02)
        publisher.close(30)

    threads = [threading.Thread(target=publish, args=(camera,), daemon=True) for camera in events]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        writer = subprocess.Popen([sys.executable, "-c", HELD, redis_url, url], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.05, 0.5))
        if "postgresql" in url and rng.random() < 0.7:
            postgres.kill()
            time.sleep(rng.uniform(0, 0.2))  # the writer finds it gone, and ends of itself or is killed
        writer.kill()
        writer.wait()
        postgres.start()
    store = EventStore.open(url)
    drain(StoreWriter(EventBus(redis_url), store, consumer="doomed"))
    stored = [found.event for found in store.tail(0, 10_000)]
    for camera, expected in events.items():
        assert [event.id for event in stored if event.camera == camera] == [event.id for event in expected]
    assert EventBus(redis_url).waiting() == 0
    store.close()


def test_a_writer_outlives_the_database_it_writes_to(valkey: EmbeddedRedis, postgres: Postgres) -> None:
    bus, events = EventBus(valkey.url), some_events(60)
    store = EventStore.open(postgres.create())
    writer = StoreWriter(bus, store)
    bus.publish(events[:30])
    assert writer.run_once() == 30
    postgres.kill()
    bus.publish(events[30:])
    with pytest.raises(sqlalchemy.exc.OperationalError):
        writer.run_once()
    postgres.start()
    drain(writer)
    assert [found.event.id for found in store.tail(0)] == [event.id for event in events]


def test_what_a_damaged_database_does_not_take_waits_and_is_not_put_aside(
    valkey: EmbeddedRedis, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    store = EventStore.open(f"sqlite:///{path}")
    store.write(some_events(500))
    store.close()
    store = EventStore.open(f"sqlite:///{path}")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    bus = EventBus(valkey.url)
    bus.publish(some_events(510)[500:])
    with pytest.raises(sqlalchemy.exc.DatabaseError, match="malformed"):
        StoreWriter(bus, store).run_once()
    assert (bus.waiting(), connect(valkey.url).xlen(DEAD_LETTERS)) == (10, 0)


def test_a_writer_goes_on_with_a_server_that_forgot_everything(valkey: EmbeddedRedis, store_url: str) -> None:
    bus, store = EventBus(valkey.url), EventStore.open(store_url)
    writer = StoreWriter(bus, store)
    bus.publish(some_events(3))
    drain(writer)
    connect(valkey.url).flushall()
    with pytest.raises(redis.ResponseError, match="NOGROUP"):
        writer.run_once(50)
    bus.publish(some_events(5))
    drain(writer)
    assert store.total() == 5


def test_a_body_that_is_no_text_is_put_aside(valkey: EmbeddedRedis, store_url: str) -> None:
    connect(valkey.url).xadd(STREAM, {"body": b"\xff\xfe"})
    bus, store = EventBus(valkey.url), EventStore.open(store_url)
    bus.publish(some_events(1))
    drain(StoreWriter(bus, store))
    assert (store.total(), bus.waiting(), connect(valkey.url).xlen(DEAD_LETTERS)) == (1, 0, 1)


def test_what_can_never_be_stored_is_put_aside_and_holds_nothing_up(valkey: EmbeddedRedis, store_url: str) -> None:
    client = connect(valkey.url)
    bus = EventBus(valkey.url)
    bus.publish(some_events(2))
    client.xadd(STREAM, {"id": "x", "body": "not an event"})
    client.xadd(STREAM, {"id": "y"})
    bus.publish(some_events(4)[2:])
    store = EventStore.open(store_url)
    drain(StoreWriter(bus, store))
    assert (store.total(), bus.waiting(), client.xlen(DEAD_LETTERS)) == (4, 0, 2)


def test_what_a_dead_writer_held_is_stored_under_load_too(
    valkey: EmbeddedRedis, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.writer.CLAIM_IDLE_MS", 200)
    monkeypatch.setattr("actors.writer.CLAIM_EVERY_S", 0.1)
    bus, events = EventBus(valkey.url), some_events(60)
    bus.join()
    bus.publish(events[:5])
    assert len(bus.take("dead", 5)[1]) == 5  # taken and never acknowledged
    store = EventStore.open(store_url)
    writer = StoreWriter(EventBus(valkey.url), store, consumer="alive")
    for event in events[5:]:  # there is always something new to read
        bus.publish([event])
        writer.run_once(50)
        time.sleep(0.02)
        if bus.waiting() == 0:
            break
    assert store.write(events[:5]) == 0  # all five were there already


def test_entries_that_are_no_event_at_all_hold_nothing_up(valkey: EmbeddedRedis, store_url: str) -> None:
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
    store = EventStore.open(store_url)
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
