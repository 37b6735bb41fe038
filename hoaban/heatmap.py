"""Where people and things have been lately: a grid over the picture that warms up and cools down."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hoaban.detections import Floats
from hoaban.shapes import Strict

LONGEST_STEP_S = 2.0
"""a frame speaks for no longer than this: what happened while nothing was analysed is not known"""


class HeatMapSettings(Strict):
    """A camera's heat map in the fleet file."""

    columns: int = Field(64, ge=4, le=256)
    rows: int = Field(36, ge=4, le=256)
    half_life_s: float = Field(900.0, gt=0, description="after so long, half of what was counted is left")
    classes: tuple[str, ...] | None = Field(None, description="only these; all by default")


class HeatMap:
    """Seconds that feet stood in each cell, fading with a half-life. Time is the frames' capture time.

    A thing that stands in a cell for good brings it to half_life_s / ln 2 seconds, whatever the frame rate.
    """

    def __init__(self, settings: HeatMapSettings) -> None:
        self.settings = settings
        self._grid = np.zeros((settings.rows, settings.columns))
        self._now_s: float | None = None

    def add(self, feet: Floats, width: int, height: int, now_s: float) -> None:
        """Take a frame in. feet: (n, 2) pixels of a width x height frame. A clock that went back only fades nothing."""
        elapsed_s = 0.0 if self._now_s is None else max(0.0, now_s - self._now_s)
        self._now_s = now_s
        self._grid *= 0.5 ** (elapsed_s / self.settings.half_life_s)
        if len(feet) and elapsed_s:
            size = np.array([self.settings.columns, self.settings.rows])
            cells = np.clip(feet / (width, height) * size, 0, size - 1).astype(np.intp)
            np.add.at(self._grid, (cells[:, 1], cells[:, 0]), min(elapsed_s, LONGEST_STEP_S))

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(rows, columns) a copy of the grid."""
        return self._grid.copy()

    def as_dict(self) -> dict[str, Any]:
        """The grid as plain JSON values, rows from the top, seconds to the tenth."""
        return {
            "columns": self.settings.columns,
            "rows": self.settings.rows,
            "half_life_s": self.settings.half_life_s,
            "updated_s": self._now_s,
            "seconds": [[round(value, 1) for value in row] for row in self._grid.tolist()],
        }
