"""Requests that a server carries out late, after their sender gave them up and asked again over a new connection.

A server that stood still, or that could not be reached, finds them in the old connection and knows nothing of that.
Here the old connections are ours: what they ask is asked in the middle of what the new ones do.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from actors.board import Board
from actors.bus import GROUP, SENT_BY, STREAM, EventBus, connect
from actors.embedded_redis import EmbeddedRedis
from actors.store import EventStore
from actors.writer import StoreWriter
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from tests.events import some_events

pytestmark = pytest.mark.integration


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "valkey")
    server.start()
    yield server
    server.kill()


class Interrupted(EventBus):
    """A bus between whose requests of a writer others are carried out: by name, what comes just before each."""

    def __init__(self, url: str, before: str) -> None:
        super().__init__(url)
        self._old, self._before = connect(url), before

    def _late(self, request: str) -> None:
        if request == self._before:
            self._old.xreadgroup(GROUP, "writer", {STREAM: ">"}, count=3)

    def wait(self, after: str, block_ms: int) -> str | None:
        self._late("wait")
        return super().wait(after, block_ms)

    def take(self, *asked: object, **more: object) -> tuple:
        self._late("take")
        return super().take(*asked, **more)  # type: ignore[arg-type]

    def acknowledge(self, *asked: object) -> None:
        self._late("acknowledge")
        super().acknowledge(*asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("moment", ["wait", "take", "acknowledge"])
def test_what_an_old_request_took_is_stored_before_what_is_new(
    valkey: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr("actors.writer.BATCH", 5)
    bus, events = Interrupted(valkey.url, moment), some_events(40)
    store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    writer = StoreWriter(bus, store, "writer")
    for start in range(0, 40, 10):
        bus.publish(events[start : start + 10])
        writer.run_once(20)
    while writer.run_once(20):
        pass
    assert [found.event.id for found in store.tail(0)] == [event.id for event in events]
    assert bus.waiting() == 0
    store.close()


def test_whoever_follows_a_dead_writer_of_the_same_name_begins_with_what_that_one_held(
    valkey: EmbeddedRedis, tmp_path: Path
) -> None:
    bus, events = EventBus(valkey.url), some_events(20)
    store = EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    bus.join()
    bus.publish(events[:10])
    assert len(bus.take("writer", 10)[1]) == 10  # and dies
    bus.publish(events[10:])
    while StoreWriter(bus, store, "writer").run_once(20):
        pass
    assert [found.event.id for found in store.tail(0)] == [event.id for event in events]
    store.close()


def test_while_the_store_is_away_no_more_is_taken_than_one_batch(
    valkey: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.writer.BATCH", 5)
    bus, store = EventBus(valkey.url), EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    writer = StoreWriter(bus, store, "writer")
    bus.publish(some_events(100))
    monkeypatch.setattr(store, "write", lambda batch: 1 / 0)
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            writer.run_once(20)
    assert connect(valkey.url).xpending(STREAM, GROUP)["pending"] == 5
    monkeypatch.undo()
    while writer.run_once(20):
        pass
    assert [found.event.id for found in store.tail(0)] == [event.id for event in some_events(100)]
    store.close()


def crowd(phase: str) -> Event:
    finding = Finding("crowd", "crowd:z", zone="z", extra={"phase": phase, "count": 12}, part=phase)
    frame = FrameMeta("cam", 1, 1_800_000_000.0, 640, 360)
    return bind(finding, frame, "shared", Provenance(ModelRef("m", "1", "d"), "c", "v"))


def test_a_beginning_that_was_sent_in_vain_does_not_come_after_the_end(
    valkey: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, board, beginning, end = EventBus(valkey.url), Board(valkey.url), crowd("start"), crowd("end")
    bodies = [[event.to_json().encode()] for event in (beginning, end)]
    execute = redis.client.Pipeline.execute

    def late(pipeline: redis.client.Pipeline, *asked: object) -> object:
        monkeypatch.undo()
        for body in bodies:  # the same events over another connection, both of them, before this one gets through
            EventBus(valkey.url).send(body, sender="cam")
        return execute(pipeline, *asked)

    monkeypatch.setattr(redis.client.Pipeline, "execute", late)
    with pytest.raises(redis.WatchError):
        bus.send(bodies[0], sender="cam")
    assert board.open_happenings("cam")[0] == []
    assert bus.waiting() == 2
    assert connect(valkey.url).ttl(f"{SENT_BY}:cam") > 0


def test_what_cannot_be_stored_is_put_aside_once_though_the_writer_dies_then(
    valkey: EmbeddedRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, store = EventBus(valkey.url), EventStore.open(f"sqlite:///{tmp_path / 'a.db'}")
    bus.send([b"no event"])
    with monkeypatch.context() as broken:
        broken.setattr(bus, "acknowledge", lambda entries: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            StoreWriter(bus, store, "writer").run_once(20)
    while StoreWriter(bus, store, "writer").run_once(20):
        pass
    assert [letter.body for letter in bus.dead()] == ["no event"]
    assert bus.waiting() == 0
    store.close()
