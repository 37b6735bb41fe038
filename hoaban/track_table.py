"""Numbers that a rule remembers of each track, as parallel arrays: a few numpy operations a frame, however many."""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


class TrackTable:
    """One row a track and one named column of float64 a number; a track not seen for forget_s loses its row.

    >>> table = TrackTable(30.0, first_s=float("nan"), points=0.0)
    >>> rows = table.rows(np.array([7, 3]), now_s=1.0)
    >>> table["points"][rows] += 1
    """

    def __init__(self, forget_s: float, **defaults: float) -> None:
        self._forget_s, self._defaults = forget_s, defaults
        self._ids = np.zeros(0, np.int64)
        self._seen_s = np.zeros(0)
        self._columns: dict[str, F64] = {name: np.zeros(0) for name in defaults}

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
        kept = now_s - self._seen_s <= self._forget_s
        if not kept.all():
            self._ids, self._seen_s = self._ids[kept], self._seen_s[kept]
            self._columns = {name: column[kept] for name, column in self._columns.items()}
        new = np.setdiff1d(ids, self._ids)
        if len(new):
            order = np.argsort(np.concatenate([self._ids, new]), kind="stable")
            self._ids = np.concatenate([self._ids, new])[order]
            self._seen_s = np.concatenate([self._seen_s, np.full(len(new), now_s)])[order]
            self._columns = {
                name: np.concatenate([column, np.full(len(new), self._defaults[name])])[order]
                for name, column in self._columns.items()
            }
        found = np.searchsorted(self._ids, ids)
        self._seen_s[found] = now_s
        return found
