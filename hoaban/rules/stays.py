"""How long each one has stayed in a place, also through a lost track."""

import numpy as np

from hoaban.scene import Scene
from hoaban.track_table import F64, Rows, TrackRows, TrackTable


class Stays:
    """Since when each has been somewhere, by its row. An absence of up to gap_s does not end a stay."""

    def __init__(self, rows: TrackRows, gap_s: float) -> None:
        self._table = TrackTable(rows, gap_s, began_s=np.nan, told=0.0)

    def update(self, rows: Rows, scene: Scene) -> F64:
        """(n,) watched seconds that each of these, which are there now, has stayed."""
        come = self._table.touch(rows, scene.now_s)
        began_s = self._table["began_s"]
        began_s[come] = scene.watched_s
        return np.asarray(scene.watched_s - began_s[rows])

    def told(self, rows: Rows) -> np.ndarray:
        """(n,) whose stay `tell` was called for. They must be among those of the last `update`."""
        return np.asarray(self._table["told"][rows] > 0)

    def tell(self, row: int) -> None:
        """This one's stay is told; its next one is not."""
        self._table["told"][row] = 1.0
