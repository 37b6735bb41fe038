"""How long each one has stayed in a place, also through a lost track."""

import numpy as np
from numpy.typing import NDArray


class Stays:
    """Since when each of many numbers has been somewhere. An absence of up to gap_s does not end a stay."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._ids = np.zeros(0, np.int64)  # sorted
        self._began_s = np.zeros(0)
        self._seen_s = np.zeros(0)
        self._told = np.zeros(0, bool)

    def update(self, ids: NDArray[np.int64], now_s: float) -> NDArray[np.float64]:
        """(n,) seconds that each of these, which are there now, has stayed."""
        keep = now_s - self._seen_s <= self._gap_s
        if not keep.all():
            self._ids, self._began_s = self._ids[keep], self._began_s[keep]
            self._seen_s, self._told = self._seen_s[keep], self._told[keep]
        if len(ids) == 0:
            return np.zeros(0)
        come = ids[~np.isin(ids, self._ids)]
        if len(come):
            every = np.concatenate([self._ids, come])
            order = np.argsort(every, kind="stable")
            self._ids = every[order]
            self._began_s = np.concatenate([self._began_s, np.full(len(come), now_s)])[order]
            self._seen_s = np.concatenate([self._seen_s, np.full(len(come), now_s)])[order]
            self._told = np.concatenate([self._told, np.zeros(len(come), bool)])[order]
        at = np.searchsorted(self._ids, ids)
        self._seen_s[at] = now_s
        return np.asarray(now_s - self._began_s[at])

    def untold(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whose stay `tell` was not called for yet. They must be among those of the last `update`."""
        return np.asarray(~self._told[np.searchsorted(self._ids, ids)])

    def tell(self, number: int) -> None:
        """This one's stay is told; its next one is not."""
        self._told[np.searchsorted(self._ids, number)] = True
