"""Numbers that rules remember of each track, as parallel arrays: a few numpy operations a frame, however many."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Rows = NDArray[np.intp]
FORGET_S = 30.0
"""a track not seen for so long does not come back under its id"""
CLEAN_EVERY_S = 1.0
_PIECES = {8: "f8", 16: "c16"}
"""bytes of a row -> a type of that size which numpy copies fastest"""


class TrackRows:
    """A row for each track, for as long as it is seen: the same one in every table that stands on these rows.

    A row is free again when its track was not seen for forget_s.

    >>> rows = TrackRows()
    >>> rows.of(np.array([7, 3]), now_s=1.0).tolist() == rows.of(np.array([7, 3]), now_s=2.0).tolist()
    True
    """

    def __init__(self, forget_s: float = FORGET_S) -> None:
        self.forget_s = forget_s
        self._ids, self._rows = np.zeros(0, np.int64), np.zeros(0, np.intp)  # of each track, ids ascending
        self._seen_s = np.zeros(0)  # of each row
        self._free: list[int] = []
        self._cleaned_s = float("-inf")
        self._last: tuple[NDArray[np.int64], float, Rows] | None = None
        self.frame, self.before_s = 0, float("-inf")
        self.come = self._rows
        """how often other tracks or another time were asked about, when that was the time before, and the rows of those
        tracks which were not among the ones asked about then"""

    @property
    def capacity(self) -> int:
        """How many rows there are, free ones included."""
        return len(self._seen_s)

    def of(self, ids: NDArray[np.int64], now_s: float) -> Rows:
        """(len(ids),) the row of each track, which is seen now. Rules ask again about the same array."""
        if self._last is not None and self._last[0] is ids and self._last[1] == now_s:
            return self._last[2]
        if now_s - self._cleaned_s >= min(CLEAN_EVERY_S, self.forget_s):
            self._clean(now_s)
        at = self._ids.searchsorted(ids)
        known = self._ids.take(at, mode="clip") == ids if len(self._ids) else np.zeros(len(ids), bool)
        if np.count_nonzero(known) < len(ids):
            new = ids[~known]
            self._add(new if len(new) == 1 else np.unique(new))
            at = self._ids.searchsorted(ids)
        rows = self._rows.take(at)
        self.frame, self.before_s = self.frame + 1, float("-inf") if self._last is None else self._last[1]
        self.come = rows[self._seen_s.take(rows) != self.before_s]
        self._seen_s[rows] = now_s
        self._last = ids, now_s, rows
        return rows

    def are_all(self, rows: Rows) -> bool:
        """Whether these are what `of` gave last."""
        return self._last is not None and self._last[2] is rows

    def find(self, track: int) -> int | None:
        """The row of a track that was seen within forget_s."""
        at = int(np.searchsorted(self._ids, track))
        return int(self._rows[at]) if at < len(self._ids) and self._ids[at] == track else None

    def _clean(self, now_s: float) -> None:
        self._cleaned_s = now_s
        stay = now_s - self._seen_s[self._rows] <= self.forget_s
        if not stay.all():
            self._free += self._rows[~stay].tolist()
            self._ids, self._rows = self._ids[stay], self._rows[stay]

    def _add(self, new: NDArray[np.int64]) -> None:
        if len(self._free) < len(new):
            room = max(64, self.capacity, len(new))
            self._free += range(self.capacity, self.capacity + room)
            self._seen_s = np.concatenate([self._seen_s, np.full(room, -np.inf)])
        rows = np.array([self._free.pop() for _ in new], np.intp)
        self._seen_s[rows] = -np.inf
        if not len(self._ids) or new[0] > self._ids[-1]:  # as nearly always: a tenth of an insertion's time
            self._ids, self._rows = np.concatenate([self._ids, new]), np.concatenate([self._rows, rows])
            return
        at = np.searchsorted(self._ids, new)
        self._ids, self._rows = np.insert(self._ids, at, new), np.insert(self._rows, at, rows)


class TrackTable:
    """A named column of float64 holds one number a row or, given a tuple of defaults, several.

    What a track left in its row is good while it is touched again within forget_s; then its row begins anew.

    >>> table = TrackTable(rows := TrackRows(), points=0.0, place=(0.0, 0.0))
    >>> here = rows.of(np.array([7, 3]), now_s=1.0)
    >>> table.touch(here, now_s=1.0).tolist() == here.tolist()  # both are new
    True
    >>> table.put("place", here, np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> table.get("place", here).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    def __init__(self, rows: TrackRows, forget_s: float = FORGET_S, **defaults: float | tuple[float, ...]) -> None:
        rows.forget_s = max(rows.forget_s, forget_s)  # so a row that another track was given is always a stale one
        self._rows, self._forget_s = rows, forget_s
        self._defaults = {name: np.asarray(value, np.float64)[None] for name, value in defaults.items()}
        self._columns: dict[str, F64] = {name: value[:0] for name, value in self._defaults.items()}
        self._whole: dict[str, NDArray[Any]] = {}
        self._touched_s = np.zeros(0)
        self._frame = -1  # of the rows, in which all of them were touched

    def __getitem__(self, column: str) -> F64:
        """The column, by row; good until the next call of `touch`."""
        return self._columns[column]

    def get(self, column: str, rows: Rows) -> F64:
        """A copy of these rows."""
        return self._columns[column].take(rows, axis=0)

    def put(self, column: str, rows: Rows, values: F64) -> None:
        """Write these rows. values: contiguous, one row each."""
        whole = self._whole[column]
        whole[rows] = values.view(whole.dtype).reshape(-1)

    @property
    def touched_s(self) -> F64:
        """When each row was touched last; -inf for never."""
        return self._touched_s

    def touch(self, rows: Rows, now_s: float) -> Rows:
        """Go on with these rows, before they are read or written; those of them that began anew."""
        if len(self._touched_s) < self._rows.capacity:
            self._grow(self._rows.capacity - len(self._touched_s))
        doubtful = rows
        if self._rows.are_all(rows):
            # Who was touched in the frame before is not stale: of nearly all, nothing need be asked.
            if self._frame == self._rows.frame - 1 and now_s - self._rows.before_s <= self._forget_s:
                doubtful = self._rows.come
            self._frame = self._rows.frame
        stale = doubtful[now_s - self._touched_s.take(doubtful) > self._forget_s] if len(doubtful) else doubtful
        if len(stale):
            for name, column in self._columns.items():
                column[stale] = self._defaults[name]
        self._touched_s[rows] = now_s
        return stale

    def _grow(self, count: int) -> None:
        self._touched_s = np.concatenate([self._touched_s, np.full(count, -np.inf)])
        for name, column in self._columns.items():
            default = self._defaults[name]
            grown = np.ascontiguousarray(np.concatenate([column, default.repeat(count, axis=0)]))
            # The same memory, a row as one piece: numpy writes pieces at once and numbers one by one, at tenfold cost.
            size = grown[:1].nbytes
            self._columns[name] = grown
            self._whole[name] = grown.view(_PIECES.get(size, f"V{size}")).reshape(-1)
