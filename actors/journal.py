"""Lines on disk, first in first out: what a process must not lose before somebody else has it.

A journal is a folder of segments that one process writes; the lock in it tells whether that process lives. Whoever
finds a journal whose lock is free may take it over. A line goes in three steps: appended, sent, and settled, when its
segment may be deleted. `rewind` sends again what was sent and not settled.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 256 * 1024
LOCK, SUFFIX, UNBORN = "lock", ".jsonl", ".new-"
OLD_SPOOL = "events.jsonl"
"""the one file of a spool as earlier versions wrote it"""


@dataclass(slots=True)
class _Segment:
    """A file of whole lines. Offsets count from its beginning."""

    path: Path
    size: int
    read: int = 0
    lines: int = 0
    """those behind `read`"""
    synced: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines in order, without their ends, and how far they reach."""

    lines: list[bytes]
    segment: _Segment | None = None
    end: int = 0


Position = tuple[Path | None, int]
"""a segment and an offset in it"""


class Journal:
    """One journal, locked by us: for one thread that appends and one that does the rest. Methods raise OSError.

    Any thread may close it, whatever the others do just then. A closed one may have been taken over already: it gives
    nothing to send, settles nothing and touches no file.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self._lock = folder, lock
        self._closed = False
        self._guard = threading.Lock()
        self._segments: list[_Segment] = []
        self._file: int | None = None
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if (segment := _opened(path)) is not None:
                self._segments.append(segment)
        self._next = 1 + max((int(s.path.stem) for s in self._segments), default=0)
        self._settled: Position = (None, 0)

    @classmethod
    def create(cls, parent: Path) -> "Journal":
        """A new journal in a folder of journals, behind those that are there, whatever the clock says."""
        newest = max((int(name) for name in journals(parent)), default=0)
        name = f"{max(time.time_ns(), newest + 1):020d}"
        unborn = parent / f"{UNBORN}{name}-{os.getpid()}"
        unborn.mkdir(parents=True)
        lock = _lock(unborn)
        if lock is None:
            raise OSError(f"{unborn}: locked by another process")
        unborn.rename(parent / name)  # only with its lock taken does it appear to those who look for dead ones
        return cls(parent / name, lock)

    @classmethod
    def take_over(cls, folder: Path) -> "Journal | None":
        """The journal of a process that is dead; None for one that lives, or where there is none."""
        lock = _lock(folder)
        if lock is None:
            return None
        try:
            return cls(folder, lock)
        except OSError:
            _unlock(lock)
            raise

    @property
    def unsent(self) -> int:
        with self._guard:
            return sum(segment.lines for segment in self._segments)

    @property
    def empty(self) -> bool:
        """Nothing is in it that is not settled."""
        return not self._segments

    def append(self, lines: Sequence[bytes]) -> None:
        """Keep lines: all of them, or none and OSError. They survive this process at once, a power cut after `sync`."""
        if not lines:
            return
        data = b"".join(line + b"\n" for line in lines)
        with self._guard:
            if self._closed:
                raise OSError(f"{self.folder}: closed")
            if self._file is None or self._segments[-1].size >= SEGMENT_BYTES:
                self._begin_segment()
            segment, written = self._segments[-1], 0
            try:
                while written < len(data):
                    written += os.write(self._file, data[written:])  # type: ignore[arg-type]
            except OSError:
                self._take_back(segment)
                raise
            segment.size += len(data)
            segment.lines += len(lines)

    def _begin_segment(self) -> None:
        path = self.folder / f"{self._next:020d}{SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._end_segment()
        self._file = file
        self._next += 1
        self._segments.append(_Segment(path, 0))

    def _end_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take_back(self, segment: _Segment) -> None:
        """Cut half a line off; where even that fails, nothing more is written behind it."""
        try:
            os.ftruncate(self._file, segment.size)  # type: ignore[arg-type]
        except OSError:
            self._end_segment()

    def read(self, most_lines: int, most_bytes: int) -> Batch:
        """The next lines to send, of one segment; at least one where there is any, however long."""
        with self._guard:
            segment = None if self._closed else next((one for one in self._segments if one.lines), None)
            size = segment.size if segment else 0
        if segment is None:
            return Batch([])
        lines, end = [], segment.read
        try:
            with segment.path.open("rb") as file:
                file.seek(end)
                while end < size and len(lines) < most_lines:
                    line = file.readline(size - end)
                    if not line or (lines and end + len(line) - segment.read > most_bytes):
                        break
                    end += len(line)
                    lines.append(line.rstrip(b"\n"))
        except FileNotFoundError:
            lines = []
        if not lines:
            self._give_up(segment)
        return Batch(lines, segment, end)

    def _give_up(self, segment: _Segment) -> None:
        """Somebody deleted or cut a segment: what it held is lost, what comes goes elsewhere."""
        log.error("spool damaged by another program: events lost", path=str(segment.path), events=segment.lines)
        with self._guard:
            if segment is self._segments[-1]:
                self._end_segment()
            self._segments.remove(segment)

    def sent(self, batch: Batch) -> None:
        """A batch that was read is with the other side now."""
        if batch.segment is not None:
            with self._guard:
                batch.segment.read = batch.end
                batch.segment.lines -= len(batch.lines)

    def position(self) -> Position:
        """How far lines were sent: for `settle`."""
        reached: Position = (None, 0)
        for segment in list(self._segments):
            if segment.read:
                reached = segment.path, segment.read
        return reached

    def settle(self, position: Position) -> None:
        """What was sent up to a position is safe with the other side: forget it here."""
        path, offset = position
        with self._guard:
            if self._closed:
                return
            self._settled = position
            while path is not None and self._segments:
                first = self._segments[0]
                if first.path > path or (first.path == path and (first.lines or offset < first.size)):
                    break
                if len(self._segments) == 1:
                    self._end_segment()
                first.path.unlink(missing_ok=True)
                del self._segments[0]

    def rewind(self) -> None:
        """Send again all that is not settled."""
        path, offset = self._settled
        for segment in list(self._segments):
            start = offset if segment.path == path else 0
            try:
                again = _count(segment.path, start, segment.read)
            except FileNotFoundError:
                self._give_up(segment)
                continue
            with self._guard:
                segment.read, segment.lines = start, segment.lines + again

    def sync(self) -> None:
        """Let what was appended survive a power cut too."""
        for segment in list(self._segments):
            size = segment.size
            if segment.synced < size and segment.path.exists():
                with segment.path.open("rb") as file:
                    os.fsync(file.fileno())
                segment.synced = size

    def close(self) -> None:
        """Let go of it, and of its folder where all is settled. A second time does nothing."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._end_segment()
            if not self._segments:
                with contextlib.suppress(OSError):  # what somebody else put there stays
                    (self.folder / LOCK).unlink()
                    self.folder.rmdir()
            _unlock(self._lock)


def journals(parent: Path) -> list[str]:
    """The names of the journals in a folder, the oldest first."""
    return sorted(path.name for path in (parent.iterdir() if parent.is_dir() else ()) if path.name.isdecimal())


def abandoned(parent: Path) -> Iterator[Journal]:
    """The journals in a folder whose processes are dead, the oldest first; each is ours when it is given.

    One that cannot be read holds up no other.
    """
    _convert(parent)
    for name in journals(parent):
        try:
            journal = Journal.take_over(parent / name)
        except OSError as error:
            log.error("spool cannot be read; it stays", path=str(parent / name), error=str(error))
        else:
            if journal is not None:
                yield journal


def _convert(parent: Path) -> None:
    """A spool as earlier versions wrote it, one file, becomes a journal."""
    old = parent / OLD_SPOOL
    if old.exists():
        journal = Journal.create(parent)
        old.rename(journal.folder / f"{1:020d}{SUFFIX}")
        journal.close()


def _lock(folder: Path) -> int | None:
    """The lock of a journal, or None when another has it, or had it and deleted it just now."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == (folder / LOCK).stat().st_ino:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _unlock(lock: int) -> None:
    """Give a lock back by name: closed alone, it stays with each child that was forked and has not begun yet."""
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _opened(path: Path) -> _Segment | None:
    """A segment that another process wrote; what a crash left of a line at its end was promised to nobody."""
    size = path.stat().st_size
    whole = _last_end(path, size)
    if whole < size:
        log.warning("torn line left out", path=str(path), bytes=size - whole)
    if whole == 0:
        path.unlink()
        return None
    return _Segment(path, whole, lines=_count(path, 0, whole))


def _last_end(path: Path, size: int) -> int:
    """The offset behind the last whole line."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0


def _count(path: Path, start: int, end: int) -> int:
    """Lines between two offsets."""
    found = 0
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (block := file.read(min(2**20, end - start))):
            found += block.count(b"\n")
            start += len(block)
    return found
