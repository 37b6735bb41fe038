"""Events on their way: a journal on disk first, then Redis Streams."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
import structlog
from redis.backoff import NoBackoff
from redis.retry import Retry
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from actors.journal import Journal, Position, abandoned
from hoaban.events import Event
from hoaban.lasting import KINDS, MOST_ONCE, ONCE, ONCE_S, change

log = structlog.get_logger(__name__)

STREAM = "hoaban:events"
DEAD_LETTERS = "hoaban:events:dead"
GROUP = "store"
NEVER_WRITTEN = "hoaban:events:run"
OPEN = "hoaban:open"
"""with a camera's id: the newest event of each happening there that is not over"""
TOLD_ONCE = "hoaban:once"
"""with a camera's id: the newest events there of what is told once of whoever stays (hoaban/lasting.py)"""
_LASTING = tuple(f'"type":"{kind}"'.encode() for kind in KINDS + ONCE)
CHUNK, CHUNK_BYTES = 500, 2**20
"""how much is sent at once"""
KEEP_S = 5.0
"""a server with an append-only file has on disk what it took so long ago, or has ended"""
LONGEST_PAUSE_S = 3.0
MOST_EVENT_BYTES = 2**20
IDLE_S = 60.0
MOST_IN_MEMORY, MOST_MEMORY_BYTES = 10_000, 2**24


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

    def send(self, bodies: Sequence[bytes], run: str | None = None) -> None:
        """Add events' texts to the stream, in order: all of them or none, if the server tells which.

        run: to this run of the server (`run_id`) alone; None: to any. Raises AnotherRunError.
        """
        open_ = [_happening(body) for body in bodies]
        with self._redis.pipeline() as pipeline:
            # Watching binds what follows to one connection: with a server that restarts after it was asked who it is,
            # the connection breaks, and nothing is sent over a new one before the events that the restart cost.
            pipeline.watch(NEVER_WRITTEN)
            if run is not None and _run_id(pipeline) != run:
                raise AnotherRunError("the server was restarted")
            pipeline.multi()
            # What is open (hoaban/lasting.py) is noted in one step with the event that says so.
            for body, happening in zip(bodies, open_, strict=True):
                pipeline.xadd(STREAM, {"body": body})
                if happening is not None:
                    camera, key, is_open = happening
                    if key is None:
                        pipeline.lpush(f"{TOLD_ONCE}:{camera}", body)
                        pipeline.ltrim(f"{TOLD_ONCE}:{camera}", 0, MOST_ONCE - 1)
                        pipeline.expire(f"{TOLD_ONCE}:{camera}", ONCE_S)
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
        """Put what cannot be stored aside, with the reason, until a person says what becomes of it."""
        self._redis.xadd(DEAD_LETTERS, {"body": delivery.body, "why": why})

    def dead(self) -> list[DeadLetter]:
        """What was put aside, the oldest first."""
        entries = self._redis.xrange(DEAD_LETTERS)
        return [DeadLetter(str(entry), fields.get("body", ""), fields.get("why", "")) for entry, fields in entries]

    def revive(self, letter: DeadLetter) -> None:
        """Hand what was put aside to the store again, in one step: it is in one place or the other."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xadd(STREAM, {"body": letter.body})
        pipeline.xdel(DEAD_LETTERS, letter.entry)
        pipeline.execute()

    def drop(self, letter: DeadLetter) -> None:
        """Lose it for good."""
        self._redis.xdel(DEAD_LETTERS, letter.entry)

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


def _deliveries(answer: object) -> list[Delivery]:
    if not answer:
        return []
    if isinstance(answer, dict):  # RESP3
        entries = [entry for groups in answer.values() for group in groups for entry in group]
    else:
        entries = [entry for _, group in answer for entry in group]  # type: ignore[attr-defined]
    return [Delivery(entry, (fields or {}).get("body", "")) for entry, fields in entries]


class SpoolingPublisher:
    """Publishes a camera's events in order and loses none, whatever becomes of Redis and of this process.

    `publish` writes to a journal on disk and returns: it never waits for the network and never raises. A thread of its
    own sends what the journal holds, in chunks, and while Redis is away tries again after growing pauses. An event
    leaves the journal only when the server that took it has lived KEEP_S longer, by when it has the event on disk; one
    that ended sooner gets it again. What is sent twice carries the same id and is stored once.

    What waits is synced to disk at each attempt that fails, so a power cut while Redis is away costs at most the
    events of the last seconds; the death of this process costs none. With the disk full, events wait in memory, at
    most MOST_IN_MEMORY of them, and `error` says so.
    """

    def __init__(self, bus: EventBus, folder: Path) -> None:
        self._bus, self._folder = bus, folder
        self._lock = threading.Lock()
        self._journals: list[Journal] = []
        self._own: Journal | None = None
        self._memory: deque[bytes] = deque()
        self._memory_bytes = self._lost = self._refused = 0
        self._disk_fault: str | None = None
        self._away = False
        self._run: str | None = None
        self._mark: tuple[float, list[tuple[Journal, Position]]] | None = None
        self._work, self._stopping = threading.Event(), threading.Event()
        try:
            self._journals = list(abandoned(folder))
            self._own = self._journals[-1] if self._journals else None
        except OSError as error:
            self._tell_disk(error)
        self._thread = threading.Thread(target=self._send_forever, name="publish", daemon=True)
        self._thread.start()

    @property
    def spooled(self) -> int:
        """Events that Redis has not taken yet."""
        return sum(journal.unsent for journal in list(self._journals)) + len(self._memory)

    @property
    def error(self) -> str | None:
        """What is wrong with events or the place where they wait, in words, with the cure."""
        said = []
        if self._lost:
            said.append(f"{self._lost} events LOST, disk and memory being full")
        if self._refused:
            said.append(f"{self._refused} events refused: too long, or no JSON; see the log")
        if self._disk_fault is not None:
            said.append(f"{len(self._memory)} events wait in memory only: {self._disk_fault}; free space on the disk")
        return "; ".join(said) or None

    def publish(self, events: Sequence[Event]) -> None:
        lines = [line for event in events if (line := self._encode(event)) is not None]
        if not lines:
            return
        with self._lock:
            if self._memory or not self._append(lines):
                self._remember(lines)
        self._work.set()

    def flush(self, limit_s: float) -> bool:
        """Wait until Redis has taken everything; False when the limit came first."""
        deadline = time.monotonic() + limit_s
        while self.spooled and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.spooled == 0

    def close(self, limit_s: float = 1.0) -> None:
        """Let Redis take what waits, if it does so at once, and end; what is left is on disk for who comes after."""
        if not self._away:
            self.flush(limit_s)
        self._stopping.set()
        self._work.set()
        self._thread.join(timeout=2 * limit_s)
        with self._lock:
            journals, self._journals, self._own = self._journals, [], None
        for journal in journals:
            journal.close(remove=journal.empty)

    def _encode(self, event: Event) -> bytes | None:
        try:
            line = event.to_json().encode("utf-8", "replace")
            if len(line) <= MOST_EVENT_BYTES:
                return line
            why = f"{len(line)} bytes; {MOST_EVENT_BYTES} are the most"
        except ValueError as error:  # a number that JSON does not have
            why = str(error)
        self._refused += 1
        log.error("event refused", id=event.id, type=event.type, why=why)
        return None

    def _append(self, lines: list[bytes]) -> bool:
        try:
            if self._own is None:
                self._own = Journal.create(self._folder)
                self._journals.append(self._own)
            self._own.append(lines)
        except OSError as error:
            self._tell_disk(error)
            return False
        if self._disk_fault is not None:
            log.info("events are kept on disk again", folder=str(self._folder))
            self._disk_fault = None
        return True

    def _tell_disk(self, error: OSError) -> None:
        if self._disk_fault is None:
            log.error("the disk takes no events: they wait in memory", folder=str(self._folder), error=str(error))
        self._disk_fault = str(error)

    def _remember(self, lines: list[bytes]) -> None:
        for line in lines:
            if len(self._memory) >= MOST_IN_MEMORY or self._memory_bytes + len(line) > MOST_MEMORY_BYTES:
                if self._lost % 1000 == 0:
                    log.error("EVENTS LOST: disk and memory are full", folder=str(self._folder), lost=self._lost + 1)
                self._lost += 1
                continue
            self._memory.append(line)
            self._memory_bytes += len(line)

    # --- the sending thread

    def _send_forever(self) -> None:
        attempts = Retrying(
            retry=retry_if_exception_type(redis.RedisError),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE_S),
            sleep=sleep_using_event(self._stopping),
            stop=stop_when_event_set(self._stopping),
            before_sleep=lambda state: self._tell_away(state.outcome.exception() if state.outcome else None),
        )
        while not self._stopping.is_set():
            self._work.clear()
            try:
                attempts(self._send)
            except RetryError:
                return
            except Exception:
                log.exception("events not sent; trying again", folder=str(self._folder))
                self._stopping.wait(1.0)
                continue
            self._work.wait(self._pause_s())

    def _pause_s(self) -> float | None:
        """How long nothing needs to be done, if nothing is published."""
        if self._memory:
            return 1.0
        return None if self._mark is None else max(0.01, self._mark[0] + KEEP_S - time.monotonic())

    def _tell_away(self, error: BaseException | None) -> None:
        if not self._away:
            log.warning("Redis takes no events: they wait on disk", folder=str(self._folder), error=str(error))
        self._away = True
        with self._lock:
            self._save_memory()
        for journal in list(self._journals):
            journal.sync()

    def _send(self) -> None:
        """Send all that waits. Raises redis.RedisError."""
        more, calm = True, False
        while (more or not calm) and not self._stopping.is_set():
            with self._lock:
                self._save_memory()
            more = self._send_chunk()
            calm = self._settle()

    def _send_chunk(self) -> bool:
        """Send the oldest lines; False when there are none."""
        for journal in list(self._journals):
            if (batch := journal.read(CHUNK, CHUNK_BYTES)).segment is not None:
                if self._same_run():
                    self._bus.send(batch.lines, self._run)
                    journal.sent(batch)
                    self._took()
                return True
        with self._lock:
            lines = list(itertools.islice(self._memory, CHUNK))
        if lines and self._same_run():
            self._bus.send(lines, self._run)
            with self._lock:
                for line in lines:
                    self._memory.popleft()
                    self._memory_bytes -= len(line)
            self._took()
        return bool(lines)

    def _took(self) -> None:
        if self._away:
            log.info("Redis takes events again", folder=str(self._folder), waiting=self.spooled)
            self._away = False

    def _save_memory(self) -> None:
        if self._memory and self._append(list(self._memory)):
            self._memory.clear()
            self._memory_bytes = 0

    def _same_run(self) -> bool:
        """Whether the server is the one that took what is not settled; if it is not, all of that is sent again."""
        before, now = self._run, self._bus.run_id()
        if before in (None, now):
            self._run = now
            return True
        log.warning("Redis was restarted: events of the last seconds are sent again", folder=str(self._folder))
        self._mark = None
        for journal in list(self._journals):
            journal.rewind()
        self._run = now
        return False

    def _settle(self) -> bool:
        """Forget what the server has had for long enough; False when instead all that has to be sent again."""
        if self._mark is not None and time.monotonic() - self._mark[0] >= KEEP_S:
            if not self._same_run():
                return False
            for journal, position in self._mark[1]:
                journal.settle(position)
                if journal.empty and journal is not self._own:
                    self._journals.remove(journal)
                    journal.close(remove=True)
            self._mark = None
        if self._mark is None:
            sent = [(journal, journal.position()) for journal in list(self._journals)]
            if any(path is not None for _, (path, _) in sent):
                self._mark = (time.monotonic(), sent)
        return True


def sweep(spools: Path, bus: EventBus, idle_s: float = IDLE_S) -> int:
    """Send what dead processes left in the spools of a data folder: of cameras that were removed, renamed or moved.

    A journal younger than idle_s is left to its camera, which may be about to start again. How many events are left
    because Redis is away.
    """
    found: list[Journal] = []
    settled = False
    try:
        for folder in sorted(spools.iterdir() if spools.is_dir() else ()):
            if folder.is_dir() and _idle(folder, idle_s):
                found += abandoned(folder)
        run = bus.run_id() if found else ""
        for journal in found:
            while (batch := journal.read(CHUNK, CHUNK_BYTES)).segment is not None:
                bus.send(batch.lines, run)
                journal.sent(batch)
        if found:
            time.sleep(KEEP_S)
            settled = bus.run_id() == run
    except (redis.RedisError, OSError) as error:
        log.warning("spools not swept", error=str(error))
    left = 0
    for journal in found:
        if settled:
            journal.settle(journal.position())
            log.info("spool of a process that is gone sent", folder=str(journal.folder))
        else:
            journal.rewind()
        left += journal.unsent
        journal.close(remove=journal.empty)
    return left


def _idle(folder: Path, idle_s: float) -> bool:
    try:
        return all(time.time() - path.stat().st_mtime >= idle_s for path in folder.glob("*/*.jsonl"))
    except FileNotFoundError:  # settled just now, by a process that lives
        return False
