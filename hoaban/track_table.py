"""Numbers that a rule remembers of each track, as parallel arrays: a few numpy operations a frame, however many."""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
CLEAN_EVERY_S = 1.0


class TrackTable:
    """One row a track; a named column of float64 holds one number or, given a tuple of defaults, several.

    A track not seen for forget_s loses its row.

    >>> table = TrackTable(30.0, points=0.0, place=(0.0, 0.0))
    >>> rows = table.rows(np.array([7, 3]), now_s=1.0)
    >>> table["points"][rows] += 1
    >>> table["place"][rows].shape
    (2, 2)
    """

    def __init__(self, forget_s: float, **defaults: float | tuple[float, ...]) -> None:
        self._forget_s = forget_s
        self._defaults = {name: np.asarray(value, np.float64)[None] for name, value in defaults.items()}
        self._ids = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)
        self._columns: dict[str, F64] = {name: value[:0] for name, value in self._defaults.items()}
        self._cleaned_s = float("-inf")

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, column: str) -> F64:
        """The column, whose rows `rows` names; good until the next call of `rows`."""
        return self._columns[column]

    @property
    def ids(self) -> NDArray[np.int64]:
        """(n,) ascending, the track of each row."""
        return self._ids

    @property
    def seen_s(self) -> F64:
        """(n,) when each was seen last."""
        return self._seen_s

    def rows(self, ids: NDArray[np.int64], now_s: float) -> NDArray[np.intp]:
        """(len(ids),) the row of each track, new ones with the defaults. Rows move: ask again in each frame."""
        if now_s - self._cleaned_s >= min(CLEAN_EVERY_S, self._forget_s):
            self._cleaned_s = now_s
            self._take(np.flatnonzero(now_s - self._seen_s <= self._forget_s))
        found = np.searchsorted(self._ids, ids)
        known = found < len(self._ids)
        known[known] = self._ids[found[known]] == ids[known]
        if not known.all():
            self._add(np.unique(ids[~known]), now_s)
            found = np.searchsorted(self._ids, ids)
        self._seen_s[found] = now_s
        return found

    def _add(self, new: NDArray[np.int64], now_s: float) -> None:
        count = len(new)
        self._ids = np.concatenate([self._ids, new])
        self._seen_s = np.concatenate([self._seen_s, np.full(count, now_s)])
        for name, column in self._columns.items():
            default = self._defaults[name]
            self._columns[name] = np.concatenate([column, np.broadcast_to(default, (count, *default.shape[1:]))])
        self._take(np.argsort(self._ids, kind="stable"))

    def _take(self, rows: NDArray[np.intp]) -> None:
        self._ids, self._seen_s = self._ids[rows], self._seen_s[rows]
        self._columns = {name: column[rows] for name, column in self._columns.items()}
