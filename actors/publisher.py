"""Events on their way to the stream: a journal on disk first, then Redis, in order, until they are safe there."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import redis
import structlog
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from actors.bus import EventBus
from actors.journal import OLD_SPOOL, Journal, Position, abandoned, journals
from hoaban.events import Event

log = structlog.get_logger(__name__)

CHUNK, CHUNK_BYTES = 500, 2**20
"""how much is sent at once"""
KEEP_S = 5.0
"""a server with an append-only file has on disk what it took so long ago, or has ended"""
LONGEST_PAUSE_S = 3.0
LOOK_S = 1.0
"""how often a journal here that another process holds is tried again"""
MOST_EVENT_BYTES = 2**20
IDLE_S = 60.0
MOST_IN_MEMORY, MOST_MEMORY_BYTES = 10_000, 2**24


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
        self._others = False
        self._work, self._stopping = threading.Event(), threading.Event()
        try:
            self._take_over()
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
            self._save_memory()
            if self._memory:
                log.error(
                    "EVENTS LOST: the disk took none to the end", folder=str(self._folder), lost=len(self._memory)
                )
            held, self._journals, self._own = self._journals, [], None
            for journal in held:
                journal.close()

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
        due_s = [] if self._mark is None else [max(0.01, self._mark[0] + KEEP_S - time.monotonic())]
        return min(due_s + [LOOK_S] * self._others, default=None)

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
        self._take_over()
        more, calm = True, False
        while (more or not calm) and not self._stopping.is_set():
            with self._lock:
                self._save_memory()
            more = self._send_chunk()
            calm = self._settle()

    def _take_over(self) -> None:
        """Make ours what dead processes left here. One that has just been killed may seem to live for a moment."""
        with self._lock:
            if self._stopping.is_set():
                return
            held = {journal.folder.name for journal in self._journals}
            if self._others or not held.issuperset(journals(self._folder)):
                self._journals += abandoned(self._folder)
                self._journals.sort(key=lambda journal: journal.folder.name)
                held = {journal.folder.name for journal in self._journals}
                self._others = not held.issuperset(journals(self._folder))

    def _send_chunk(self) -> bool:
        """Send the oldest lines; False when there are none."""
        for journal in list(self._journals):
            if (batch := journal.read(CHUNK, CHUNK_BYTES)).segment is not None:
                if self._same_run():
                    self._bus.send(batch.lines, self._run, self._folder.name)
                    journal.sent(batch)
                    self._took()
                return True
        with self._lock:
            lines = list(itertools.islice(self._memory, CHUNK))
        if lines and self._same_run():
            self._bus.send(lines, self._run, self._folder.name)
            with self._lock:
                for line in lines:
                    if self._memory and self._memory[0] is line:  # else `close` saved it
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
                with self._lock:
                    if journal.empty and journal is not self._own and journal in self._journals:
                        self._journals.remove(journal)
                        journal.close()
            self._mark = None
        if self._mark is None:
            sent = [(journal, journal.position()) for journal in list(self._journals)]
            if any(path is not None for _, (path, _) in sent):
                self._mark = (time.monotonic(), sent)
        return True


@dataclass(frozen=True, slots=True)
class Swept:
    """events: those left because Redis is away. journals: all that are not known to be empty, whoever has them."""

    events: int
    journals: int


def sweep(spools: Path, bus: EventBus, idle_s: float = IDLE_S) -> Swept:
    """Send what dead processes left in the spools of a data folder: of cameras that were removed, renamed or moved.

    A journal younger than idle_s is left to its camera, which may be about to start again.
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
                bus.send(batch.lines, run, journal.folder.parent.name)
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
        journal.close()
    return Swept(left, _not_empty(spools, {journal.folder for journal in found if journal.empty}))


def _not_empty(spools: Path, empty: Container[Path]) -> int:
    """Journals of which nobody knows that nothing is in them: that another process holds, or that cannot be read."""
    try:
        folders = [folder for folder in spools.iterdir() if folder.is_dir()] if spools.is_dir() else []
        return sum(
            sum(folder / name not in empty for name in journals(folder)) + (folder / OLD_SPOOL).exists()
            for folder in folders
        )
    except OSError:
        return 1


def _idle(folder: Path, idle_s: float) -> bool:
    try:
        return all(time.time() - path.stat().st_mtime >= idle_s for path in folder.glob("*/*.jsonl"))
    except FileNotFoundError:  # settled just now, by a process that lives
        return False
