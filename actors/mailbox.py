"""A mailbox of one in memory that two processes of a node share: the newest model input, never a queue.

The camera creates it (a memfd: no file to leave behind) and writes; an inference process that was handed the
descriptor reads. Two slots let both work without a lock that a killed process could keep: the writer fills the one
that is not the newest. Beside each slot stands a checksum of its pixels under its frame's number, and a reader takes
what it copied only when the checksum of its copy is that one; one that was overtaken reads again.

A seqlock, a version that is odd while the slot is written, would say the same for less on x86, where stores become
visible in the order they were made. On ARM and others they do not: the even version may be seen before the last pixels.
Python has no memory barrier to prevent that. A checksum over what was really read needs none, in whatever order the
parts arrive. It costs less than the copy itself (docs/inference.md).
"""

import mmap
import os
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

HEADER_BYTES = 64
_LATEST, _SEQ, _SUM = 0, 1, 3  # uint64 words; seq and sum hold one word a slot
_NEVER = 2**64 - 1
TRIES = 4


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
        if not self._writing:
            self._slot = 1 - int(self._mapping.header[_LATEST])
            self._writing = True
        return self._mapping.slots[self._slot]

    def commit(self, seq: int) -> None:
        """Make what was filled the newest, under the frame's number."""
        if not self._writing:
            raise RuntimeError("commit without begin")
        header = self._mapping.header
        header[_SEQ + self._slot] = seq
        header[_SUM + self._slot] = _checksum(self._mapping.slots[self._slot], seq)
        header[_LATEST] = self._slot
        self._writing = False

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class MailboxReader:
    """The model's end, which takes the descriptor over.

    It keeps its own mapping: closing or killing the writer does not take it away.
    """

    def __init__(self, fd: int, shape: Shape) -> None:
        self.shape = shape
        try:
            self._mapping = _Mapping(fd, shape)
        finally:
            os.close(fd)

    def copy_newest(self, into: NDArray[np.uint8]) -> int | None:
        """Copy the newest input into a (height, width, 3) array; its frame number, or None when there is none.

        None as well when the writer overtook TRIES copies in a row.
        """
        header, slots = self._mapping.header, self._mapping.slots
        for _ in range(TRIES):
            slot = int(header[_LATEST]) & 1
            seq, checksum = int(header[_SEQ + slot]), int(header[_SUM + slot])
            if seq == _NEVER:
                continue
            np.copyto(into, slots[slot])
            if _checksum(into, seq) == checksum:
                return seq
        return None


def _checksum(pixels: NDArray[np.uint8], seq: int) -> int:
    return xxhash.xxh3_64_intdigest(pixels.data, seed=seq)
