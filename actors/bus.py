"""The event stream: Redis Streams, one consumer group, and what could not be stored."""

import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from hoaban.events import Event
from hoaban.lasting import KINDS, MOST_ONCE, ONCE, ONCE_S, change

STREAM = "hoaban:events"
DEAD_LETTERS = "hoaban:events:dead"
GROUP = "store"
SENT_BY = "hoaban:events:by"
"""with a sender's name: written with all that it sends"""
SENT_BY_S = 24 * 3600
PAGE = 1000
"""entries of a stream that are read at once"""
_ENTRY = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")
BEGINNING = "0"
"""before the first entry"""
OPEN = "hoaban:open"
"""with a camera's id: the newest event of each happening there that is not over"""
TOLD_ONCE = "hoaban:told"
"""with a camera's id: the newest events there of what is told once of whoever stays (hoaban/lasting.py), each by when
it was sent, and gone ONCE_S later"""
_LASTING = tuple(f'"type":"{kind}"'.encode() for kind in KINDS + ONCE)


def connect(redis_url: str, timeout_s: float = 2.0, retries: int = 1) -> redis.Redis:
    """A client whose every call ends within a bounded time. Text that is no UTF-8 is read with its faults replaced."""
    return redis.Redis.from_url(
        redis_url,
        socket_connect_timeout=1.0,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), retries),
        health_check_interval=30,
        decode_responses=True,
        encoding_errors="replace",
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry of the stream: its id there, and the event's text."""

    entry: str
    body: str


class AnotherRunError(redis.RedisError):
    """The server is not the one that took what came before: it may have forgotten the last of that."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What could not be stored, and why. entry: its name among those put aside."""

    entry: str
    body: str
    why: str


class EventBus:
    """The event stream and its consumer group. Raises redis.RedisError when the server is away."""

    def __init__(self, redis_url: str, timeout_s: float = 2.0) -> None:
        self._redis = connect(redis_url, timeout_s, retries=0)

    def publish(self, events: Sequence[Event]) -> None:
        self.send([event.to_json().encode("utf-8", "replace") for event in events])

    def send(self, bodies: Sequence[bytes], run: str | None = None, sender: str = "") -> None:
        """Add events' texts to the stream, in order: all of them or none, if the server tells which.

        run: to this run of the server (`run_id`) alone; None: to any. Raises AnotherRunError.

        sender: whose events they are. What its earlier call sent and nobody answered may still be on its way to a
        server that stands still or cannot be reached. From this call on it comes to nothing when it arrives: else it
        would note as open again what is over.
        """
        open_ = [_happening(body) for body in bodies]
        sent_by = f"{SENT_BY}:{sender}"
        with self._redis.pipeline() as pipeline:
            # Watching binds what follows to one connection: with a server that restarts after it was asked who it is,
            # the connection breaks, and nothing is sent over a new one before the events that the restart cost.
            pipeline.watch(sent_by)
            if run is not None and _run_id(pipeline) != run:
                raise AnotherRunError("the server was restarted")
            pipeline.multi()
            pipeline.set(sent_by, len(bodies), ex=SENT_BY_S)
            # What is open (hoaban/lasting.py) is noted in one step with the event that says so.
            now_s = time.time()
            for number, (body, happening) in enumerate(zip(bodies, open_, strict=True)):
                pipeline.xadd(STREAM, {"body": body})
                if happening is not None:
                    camera, key, is_open = happening
                    if key is None:
                        told = f"{TOLD_ONCE}:{camera}"
                        pipeline.zadd(told, {body: now_s + number / 1e6})
                        pipeline.zremrangebyscore(told, "-inf", now_s - ONCE_S)
                        pipeline.zremrangebyrank(told, 0, -MOST_ONCE - 1)
                        pipeline.expire(told, ONCE_S)
                    elif is_open:
                        pipeline.hset(f"{OPEN}:{camera}", key, body)
                    else:
                        pipeline.hdel(f"{OPEN}:{camera}", key)
            pipeline.execute()

    def run_id(self) -> str:
        """Names the server's process: another one may have forgotten the last seconds. "" where it does not tell."""
        return _run_id(self._redis)

    def join(self) -> None:
        """Make the consumer group; one that is there stays as it is."""
        try:
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def wait(self, after: str, block_ms: int) -> str | None:
        """Wait up to block_ms for an entry behind another; its id, None when none came. It is given to nobody yet."""
        found = _deliveries(self._redis.xread({STREAM: after}, count=1, block=block_ms))
        return found[0].entry if found else None

    def take(self, consumer: str, count: int, new: bool = True) -> tuple[list[Delivery], list[Delivery]]:
        """What this consumer was given and did not acknowledge, and unless new is False what nobody was given yet.

        At most `count` of each, in the stream's order. Both in one step of the server: a request of ours that it
        carries out late, after it stood still, gives us entries that nobody here hears of; they are among the first
        then, and never missing between the two.
        """
        with self._redis.pipeline() as pipeline:
            for start in (BEGINNING, ">") if new else (BEGINNING,):
                pipeline.xreadgroup(GROUP, consumer, {STREAM: start}, count=count)
            held, *rest = [_deliveries(answer) for answer in pipeline.execute()]
        return held, rest[0] if rest else []

    def claim(self, consumer: str, idle_ms: int, count: int) -> int:
        """Have given to this consumer what another holds so long that it must have died; how many entries."""
        return len(self._redis.xautoclaim(STREAM, GROUP, consumer, idle_ms, count=count, justid=True))

    def acknowledge(self, entries: Sequence[str]) -> None:
        """The entries are stored: acknowledge and delete them, so that the stream holds only what is not."""
        if entries:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.xack(STREAM, GROUP, *entries)
            pipeline.xdel(STREAM, *entries)
            pipeline.execute()

    def bury(self, delivery: Delivery, why: str) -> None:
        """Put what cannot be stored aside, with the reason, until a person says what becomes of it.

        In one step: it is in one place or the other.
        """
        with self._redis.pipeline() as pipeline:
            pipeline.xadd(DEAD_LETTERS, {"body": delivery.body, "why": why})
            pipeline.xack(STREAM, GROUP, delivery.entry)
            pipeline.xdel(STREAM, delivery.entry)
            pipeline.execute()

    def dead(self) -> list[DeadLetter]:
        """What was put aside, the oldest first."""
        return list(self.letters())

    def letters(self) -> Iterator[DeadLetter]:
        """As `dead`, read as far as somebody takes them."""
        return map(_letter, self._entries(DEAD_LETTERS))

    def letter(self, entry: str) -> DeadLetter | None:
        """The one of a name, or None."""
        if not _ENTRY.fullmatch(entry):
            return None
        return next(map(_letter, self._redis.xrange(DEAD_LETTERS, entry, entry)), None)

    def deliveries(self) -> Iterator[Delivery]:
        """All that is not stored yet, whoever was given it."""
        return (Delivery(str(entry), fields.get("body", "")) for entry, fields in self._entries(STREAM))

    def _entries(self, stream: str) -> Iterator[tuple[str, dict[str, str]]]:
        after = "-"
        while entries := self._redis.xrange(stream, after, count=PAGE):
            yield from entries
            after = f"({entries[-1][0]}"

    def revive(self, letter: DeadLetter) -> None:
        """Hand what was put aside to the store again, in one step: it is in one place or the other."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xadd(STREAM, {"body": letter.body})
        pipeline.xdel(DEAD_LETTERS, letter.entry)
        pipeline.execute()

    def drop(self, letter: DeadLetter) -> bool:
        """Lose it for good; False when it was not there."""
        return bool(self._redis.xdel(DEAD_LETTERS, letter.entry))

    def forget(self, ids: Collection[str]) -> None:
        """Take erased events out of what is kept for whoever goes on with a camera."""
        for key in self._redis.scan_iter(f"{TOLD_ONCE}:*", count=PAGE):
            if gone := [body for body in self._redis.zrange(key, 0, -1) if _id(body) in ids]:
                self._redis.zrem(key, *gone)
        for key in self._redis.scan_iter(f"{OPEN}:*", count=PAGE):
            self._redis.transaction(partial(_forget_open, key, ids), key)

    def waiting(self) -> int:
        """Entries not stored yet."""
        return int(self._redis.xlen(STREAM))


def _run_id(client: redis.Redis) -> str:
    try:
        return str(client.info("server").get("run_id", ""))
    except redis.exceptions.NoPermissionError:
        return ""


def _happening(body: bytes) -> tuple[str, str | None, bool] | None:
    """Camera, key and whether it is open now, where an event tells of something that lasts; key None: told once."""
    if not any(kind in body for kind in _LASTING):
        return None
    try:
        event = Event.from_json(body.decode())
    except ValueError:  # what the journal holds of a torn line is the store's to judge
        return None
    if event.type in ONCE:
        return event.camera, None, True
    changed = change(event)
    return None if changed is None else (event.camera, *changed)


def _forget_open(key: str, ids: Collection[str], pipeline: Pipeline) -> None:
    """What the camera has told of the same happening since is another event, and stays."""
    gone = [name for name, body in pipeline.hgetall(key).items() if _id(body) in ids]
    pipeline.multi()
    if gone:
        pipeline.hdel(key, *gone)


def _id(body: str) -> str | None:
    try:
        return Event.from_json(body).id
    except ValueError:
        return None


def _letter(entry: tuple[str, dict[str, str]]) -> DeadLetter:
    name, fields = entry
    return DeadLetter(str(name), fields.get("body", ""), fields.get("why", ""))


def _deliveries(answer: object) -> list[Delivery]:
    if not answer:
        return []
    if isinstance(answer, dict):  # RESP3
        entries = [entry for groups in answer.values() for group in groups for entry in group]
    else:
        entries = [entry for _, group in answer for entry in group]  # type: ignore[attr-defined]
    return [Delivery(entry, (fields or {}).get("body", "")) for entry, fields in entries]
