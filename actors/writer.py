"""From the stream into SQL: stored first, acknowledged after, so that a crash between the two only repeats."""

import os
import socket
import threading
import time

import ray
import redis
import sqlalchemy.exc
import structlog

from actors.board import Board
from actors.bus import BEGINNING, Delivery, EventBus
from actors.purge import purge_timer
from actors.store import EventStore
from actors.traces import tracer
from hoaban.events import Event

log = structlog.get_logger(__name__)

NAME = "writer"
"""as a consumer too: whoever follows a writer that died has at once what that one held, before all that is new"""
BATCH = 500
CLAIM_IDLE_MS, CLAIM_EVERY_S = 30_000, 10.0
FAULTS_OF_EVENTS = (ValueError, TypeError, RecursionError, sqlalchemy.exc.DataError, sqlalchemy.exc.IntegrityError)
"""whatever else goes wrong is the database's fault: its events wait"""


class StoreWriter:
    """Carries events from the bus into the store. A second one takes over what a dead one left."""

    def __init__(self, bus: EventBus, store: EventStore, consumer: str | None = None) -> None:
        self._bus, self._store = bus, store
        self._consumer = consumer or f"{socket.gethostname()}-{os.getpid()}"
        self._joined = self._behind = False
        self._seen = BEGINNING
        self._claimed_s = float("-inf")

    def run_once(self, block_ms: int = 500) -> int:
        """Store what waits, at most one batch; how many entries were dealt with.

        Raises redis.RedisError or SQLAlchemyError when a server is away: nothing is lost, call again.
        """
        try:
            return self._run_once(block_ms)
        except Exception:
            # What was taken and not stored is ours still: no more is taken beside it. A server that lost its data knows
            # the group no more.
            self._joined, self._behind, self._seen = False, True, BEGINNING
            raise

    def _run_once(self, block_ms: int) -> int:
        if not self._joined:
            self._bus.join()
            self._joined = True
        if time.monotonic() - self._claimed_s >= CLAIM_EVERY_S:
            # By the clock and not in idle moments: a busy stream has none, and what a dead writer held must not wait.
            if self._bus.claim(self._consumer, CLAIM_IDLE_MS, BATCH):
                self._seen = BEGINNING
            else:
                self._claimed_s = time.monotonic()
        self._seen = self._bus.wait(self._seen, block_ms) or self._seen
        deliveries = self._take()
        if not deliveries:
            return 0
        self._store_all(deliveries)
        self._bus.acknowledge([delivery.entry for delivery in deliveries])
        self._seen = deliveries[-1].entry
        return len(deliveries)

    def _take(self) -> list[Delivery]:
        """What comes next, in the stream's order."""
        held, new = self._bus.take(self._consumer, BATCH, new=not self._behind)
        if self._behind and not held:
            held, new = self._bus.take(self._consumer, BATCH)
        self._behind = len(held) == BATCH
        return held if self._behind else held + new

    def _store_all(self, deliveries: list[Delivery]) -> None:
        batch: list[tuple[Delivery, Event]] = []
        for delivery in deliveries:
            try:
                batch.append((delivery, Event.from_json(delivery.body)))
            except ValueError as error:
                self._bury(delivery, error)
        began_s = time.time()
        try:
            self._store.write([event for _, event in batch])
        except FAULTS_OF_EVENTS:
            self._store_singly(batch)
        if (traces := tracer()) is not None:
            traces.stored([event for _, event in batch], began_s, time.time())

    def _store_singly(self, batch: list[tuple[Delivery, Event]]) -> None:
        """One of the batch cannot be stored: store the others, put that one aside."""
        for delivery, event in batch:
            try:
                self._store.write([event])
            except FAULTS_OF_EVENTS as error:
                self._bury(delivery, error)

    def _bury(self, delivery: Delivery, why: Exception) -> None:
        log.error("event cannot be stored; put aside", entry=delivery.entry, why=str(why))
        self._bus.bury(delivery, str(why))


@ray.remote
class WriterActor:
    """The store writer in the cluster, named `writer`."""

    def __init__(self, redis_url: str, store_url: str, evidence_url: str, data_dir: str) -> None:
        self._store = EventStore.open(store_url)
        bus = EventBus(redis_url)
        self._purge = purge_timer(Board(redis_url), bus, self._store.engine, evidence_url, data_dir)
        self._writer = StoreWriter(bus, self._store, NAME)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._writer.run_once()
                self._purge.tick()
            except (redis.RedisError, sqlalchemy.exc.SQLAlchemyError) as error:
                log.warning("store or stream is away; trying again", error=str(error).splitlines()[0])
                self._stopping.wait(1.0)
            except Exception:
                log.exception("write failed; trying again")
                self._stopping.wait(1.0)

    def ready(self) -> bool:
        return True

    def stop(self) -> None:
        """Store what waits and end."""
        self._stopping.set()
        self._thread.join(timeout=10)
