"""One reader of the store for all who follow new events: everyone gets all of them, once and in order."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from actors.store import EventStore
from serve import feed as feed_module
from serve.feed import EventFeed
from serve.shown import Gate
from serve.streams import event_stream, resume_at
from serve.tiles import MOST_KEPT, Picture, TileCache
from tests.events import some_events
from tests.postgres import Postgres


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "POLL_S", 0.02)


@pytest.fixture
def store(store_url: str):
    opened = EventStore.open(store_url)
    yield opened
    opened.close()


async def take(followed: AsyncIterator[Any], until: int, pause: Callable[[], float] = lambda: 0.0) -> list[int]:
    """Numbers until one is reached; pauses as a slow client does."""
    got = []
    async for told in followed:
        got.append(told.seq)
        if told.seq >= until:
            break
        if pause_s := pause():
            await asyncio.sleep(pause_s)
    return got


async def write_slowly(store: EventStore, events: list) -> None:
    for start in range(0, len(events), 7):
        await asyncio.to_thread(store.write, events[start : start + 7])
        await asyncio.sleep(0.005)


def test_everyone_gets_every_event_once_and_in_order_the_slow_ones_too(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "KEPT", 20)
    monkeypatch.setattr(feed_module, "BATCH", 10)
    store.write(some_events(100))
    rng = random.Random(3)

    async def run() -> None:
        feed = EventFeed(store)
        begins = [rng.randrange(101) for _ in range(12)]
        slow = lambda: 0.02 if rng.random() < 0.2 else 0.0  # noqa: E731
        clients = [
            asyncio.create_task(take(feed.follow(at), 300, slow if n % 3 else lambda: 0)) for n, at in enumerate(begins)
        ]
        await write_slowly(store, some_events(300)[100:])
        for begin, got in zip(begins, await asyncio.gather(*clients), strict=True):
            assert got == list(range(begin + 1, 301))

    asyncio.run(run())


def test_clients_share_the_queries(store: EventStore) -> None:
    """Idle clients cost what one costs: the reader's two queries a poll."""
    asked: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))

    async def run() -> tuple[int, float]:
        feed = EventFeed(store)
        clients = [asyncio.create_task(take(feed.follow(0), 1)) for _ in range(50)]
        await feed._begun.wait()
        begun_s, before = time.monotonic(), len(asked)
        await asyncio.sleep(20 * feed_module.POLL_S)
        count, took_s = len(asked) - before, time.monotonic() - begun_s
        store.write(some_events(1))
        assert await asyncio.gather(*clients) == [[1]] * 50
        assert feed._reader is None  # nobody follows: nobody reads
        return count, took_s

    count, took_s = asyncio.run(run())
    assert count <= 2 * (took_s / feed_module.POLL_S + 2)


def test_only_events_of_cameras_that_may_be_told_are_told_and_no_longer_than_that(store: EventStore) -> None:
    allowed: list[Gate | None] = [Gate(frozenset("a"), lists=False)]

    def gate() -> Gate:
        if allowed[0] is None:
            raise PermissionError
        return allowed[0]

    async def run() -> list[str]:
        got = []
        async for told in EventFeed(store).follow(0, gate):
            got.append(told.camera)
            allowed[0] = None
        return got

    store.write(some_events(1, "b") + some_events(1, "a"))
    assert asyncio.run(run()) == ["a"]


def test_a_number_of_before_a_restore_is_answered_with_reset(store: EventStore) -> None:
    store.write(some_events(5))
    assert resume_at(store, None) == (5, False)
    assert resume_at(store, 3) == (3, False)
    assert resume_at(store, 5) == (5, False)
    assert resume_at(store, 6) == (5, True)

    async def run() -> bytes:
        begin, restored = resume_at(store, 900)
        stream = event_stream(EventFeed(store), begin, restored)
        first = await anext(stream)
        await asyncio.to_thread(store.write, some_events(6)[5:])
        second = await anext(stream)
        await stream.aclose()
        assert second.startswith(b"id: 6\r\n")
        return first

    assert asyncio.run(run()) == b'id: 5\r\nevent: reset\r\ndata: {"newest": 5}\r\n\r\n'


def test_who_follows_while_the_database_is_restored_is_told_and_gets_what_is_new(store: EventStore) -> None:
    store.write(some_events(50))
    sequence = {
        "sqlite": "UPDATE sqlite_sequence SET seq = 20 WHERE name = 'events'",
        "postgresql": "SELECT setval('events_seq_seq', 20)",
    }

    def restore() -> None:
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM events WHERE seq > 20")
            connection.exec_driver_sql(sequence[connection.dialect.name])

    async def run() -> None:
        stream = event_stream(EventFeed(store), 49, False)
        assert (await anext(stream)).startswith(b"id: 50\r\n")
        await asyncio.to_thread(restore)
        assert b"event: reset" in await anext(stream)
        await asyncio.to_thread(store.write, some_events(60)[50:])
        assert (await anext(stream)).startswith(b"id: 21\r\n")
        await stream.aclose()

    asyncio.run(run())


def test_followers_outlive_the_database(postgres: Postgres) -> None:
    store = EventStore.open(postgres.create())
    store.write(some_events(3))

    async def six(feed: EventFeed) -> list[int]:
        got: list[int] = []
        async for told in feed.follow(0):
            got.append(told.seq)
            if len(got) == 6:
                break
        return got

    async def run() -> list[int]:
        feed = EventFeed(store)
        client = asyncio.create_task(six(feed))
        await feed._begun.wait()
        postgres.kill()
        await asyncio.sleep(0.2)
        postgres.start()
        store.write(some_events(6))
        return await client

    got = asyncio.run(run())
    assert got == sorted(set(got))  # with gaps: after a crash PostgreSQL leaves numbers out
    store.close()


class Nothing:
    """No camera has a picture."""

    def __init__(self) -> None:
        self.asked = 0

    async def tile(self, camera: str) -> Picture | None:
        self.asked += 1
        return None


def test_ids_that_nobody_knows_do_not_fill_the_memory() -> None:
    async def run() -> int:
        source = Nothing()
        cache = TileCache(source)
        for number in range(3 * MOST_KEPT):
            await cache.get(f"no-{number}")
        kept = len(cache._kept)
        before = source.asked
        await asyncio.gather(*(cache.get("one") for _ in range(20)))
        assert source.asked == before + 1
        return kept

    assert asyncio.run(run()) == MOST_KEPT
