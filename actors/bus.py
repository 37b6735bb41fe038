"""Events on their way: Redis Streams, and a spool on disk for the time when Redis is away."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry

from hoaban.events import Event

log = structlog.get_logger(__name__)

STREAM = "hoaban:events"
DEAD_LETTERS = "hoaban:events:dead"
GROUP = "store"
DRAIN_BATCH = 500


def connect(redis_url: str, timeout_s: float = 2.0) -> redis.Redis:
    """A client whose every call ends within a bounded time, so that a dead server cannot hang a camera."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=1.0,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
        decode_responses=True,
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry of the stream: its id there, and the event's text."""

    entry: str
    body: str


class EventBus:
    """The event stream and its consumer group. Raises redis.RedisError when the server is away."""

    def __init__(self, redis_url: str, timeout_s: float = 2.0) -> None:
        self._redis = connect(redis_url, timeout_s)

    def publish(self, events: Sequence[Event]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(STREAM, {"id": event.id, "body": event.to_json()})
        pipeline.execute()

    def join(self) -> None:
        """Make the consumer group; one that is there stays as it is."""
        try:
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def pending(self, consumer: str, count: int) -> list[Delivery]:
        """What this consumer was given and did not acknowledge."""
        return _deliveries(self._redis.xreadgroup(GROUP, consumer, {STREAM: "0"}, count=count))

    def read(self, consumer: str, count: int, block_ms: int) -> list[Delivery]:
        """New entries, waiting up to block_ms for the first."""
        return _deliveries(self._redis.xreadgroup(GROUP, consumer, {STREAM: ">"}, count=count, block=block_ms))

    def claim(self, consumer: str, idle_ms: int, count: int) -> list[Delivery]:
        """Entries that another consumer was given so long ago that it must have died."""
        _, entries, *_ = self._redis.xautoclaim(STREAM, GROUP, consumer, idle_ms, count=count)
        return [Delivery(entry, fields.get("body", "")) for entry, fields in entries if fields]

    def acknowledge(self, entries: Sequence[str]) -> None:
        """The entries are stored: acknowledge and delete them, so that the stream holds only what is not."""
        if entries:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(STREAM, GROUP, *entries)
            pipeline.xdel(STREAM, *entries)
            pipeline.execute()

    def bury(self, delivery: Delivery, why: str) -> None:
        """Put what can never be stored aside, with the reason, for a person to look at."""
        self._redis.xadd(DEAD_LETTERS, {"body": delivery.body, "why": why}, maxlen=10_000, approximate=True)

    def waiting(self) -> int:
        """Entries not stored yet."""
        return int(self._redis.xlen(STREAM))


def _deliveries(answer: object) -> list[Delivery]:
    if not answer:
        return []
    if isinstance(answer, dict):  # RESP3
        entries = [entry for groups in answer.values() for group in groups for entry in group]
    else:
        entries = [entry for _, group in answer for entry in group]  # type: ignore[attr-defined]
    return [Delivery(entry, (fields or {}).get("body", "")) for entry, fields in entries]


class SpoolingPublisher:
    """Publishes events and never loses one: what Redis does not take goes to a file, and from there in order later.

    `publish` does not raise for a missing server. A full disk does raise OSError: there is no place left to keep the
    event, and the camera's log says so.
    """

    def __init__(self, bus: EventBus, folder: Path) -> None:
        self._bus = bus
        self._path = folder / "events.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._spooled = len(self._kept())

    @property
    def spooled(self) -> int:
        """Events waiting on disk."""
        return self._spooled

    def publish(self, events: Sequence[Event]) -> None:
        if not events:
            return
        with self._lock:
            if self._spooled == 0:
                try:
                    self._bus.publish(events)
                    return
                except redis.RedisError as error:
                    log.warning("events spooled: Redis did not take them", count=len(events), error=str(error))
            self._append(events)

    def drain(self) -> int:
        """Send what waits on disk, if the server is back; how many were sent. Called once a second by the camera."""
        with self._lock:
            if self._spooled == 0:
                return 0
            events = self._kept()
            try:
                for start in range(0, len(events), DRAIN_BATCH):
                    self._bus.publish(events[start : start + DRAIN_BATCH])
            except redis.RedisError:
                return 0  # some may have been taken: they come again under the same id, and are stored once
            self._path.unlink(missing_ok=True)
            self._spooled = 0
            log.info("spooled events sent", count=len(events))
            return len(events)

    def _append(self, events: Sequence[Event]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            if file.tell() and not self._ends_whole():
                file.write("\n")  # a crash tore the last line; it must not tear this one too
            file.writelines(event.to_json() + "\n" for event in events)
            file.flush()
            os.fsync(file.fileno())
        self._spooled += len(events)

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _kept(self) -> list[Event]:
        """The events of the spool's whole lines; a torn one was never acknowledged to anyone and is left out."""
        if not self._path.exists():
            return []
        whole = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                whole.append(Event.from_json(line))
            except ValueError:
                log.warning("torn line in the spool left out", path=str(self._path))
        return whole
