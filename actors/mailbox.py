"""A mailbox of one in memory that two processes of a node share: the newest model input, never a queue.

The camera creates it (a memfd: no file to leave behind) and writes; an inference process that was handed the
descriptor reads. Two slots and a version per slot (a seqlock) let both work without a lock that a killed process
could keep. The writer fills the slot that is not the newest; a reader that was overtaken twice in one copy notices
by the version and reads again.
"""

import mmap
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 64
_LATEST, _VERSION, _SEQ = 0, 1, 3  # uint64 words; version and seq hold one word a slot
_NEVER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Shape:
    """Height and width of a model input, uint8 BGR."""

    height: int
    width: int

    @property
    def nbytes(self) -> int:
        return self.height * self.width * 3


class _Mapping:
    def __init__(self, fd: int, shape: Shape) -> None:
        size = HEADER_BYTES + 2 * shape.nbytes
        if os.fstat(fd).st_size < size:
            raise ValueError(f"mailbox of {os.fstat(fd).st_size} bytes is too small for {shape}")
        self._map = mmap.mmap(fd, size)
        self.header = np.frombuffer(self._map, np.uint64, HEADER_BYTES // 8)
        self.slots = np.frombuffer(self._map, np.uint8, 2 * shape.nbytes, HEADER_BYTES).reshape(
            2, shape.height, shape.width, 3
        )


class MailboxWriter:
    """The camera's end. `begin()` gives the array to fill, `commit(seq)` makes it the newest."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.fd = os.memfd_create("hoaban-mailbox", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, HEADER_BYTES + 2 * shape.nbytes)
        self._mapping = _Mapping(self.fd, shape)
        self._mapping.header[_SEQ : _SEQ + 2] = _NEVER
        self._slot = 0
        self._writing = False

    def begin(self) -> NDArray[np.uint8]:
        """The (height, width, 3) array to fill; what it holds is old. A begin that was not committed is taken back."""
        header = self._mapping.header
        if not self._writing:
            self._slot = 1 - int(header[_LATEST])
            header[_VERSION + self._slot] += np.uint64(1)  # odd: being written
            self._writing = True
        return self._mapping.slots[self._slot]

    def commit(self, seq: int) -> None:
        """Make what was filled the newest, under the frame's number."""
        if not self._writing:
            raise RuntimeError("commit without begin")
        header = self._mapping.header
        header[_SEQ + self._slot] = seq
        header[_VERSION + self._slot] += np.uint64(1)  # even: whole
        header[_LATEST] = self._slot
        self._writing = False

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class MailboxReader:
    """The model's end. It keeps its own mapping: closing or killing the writer does not take it away."""

    def __init__(self, fd: int, shape: Shape) -> None:
        self.shape = shape
        self._mapping = _Mapping(fd, shape)
        os.close(fd)

    def copy_newest(self, into: NDArray[np.uint8]) -> int | None:
        """Copy the newest input into a (height, width, 3) array; its frame number, or None when there is none.

        None as well when the writer died in the middle of its first frame, or overtook four copies in a row.
        """
        header, slots = self._mapping.header, self._mapping.slots
        for _ in range(4):
            slot = int(header[_LATEST])
            version, seq = int(header[_VERSION + slot]), int(header[_SEQ + slot])
            if version % 2 or seq == _NEVER:
                continue
            np.copyto(into, slots[slot])
            if int(header[_VERSION + slot]) == version:
                return seq
        return None
