"""The protocol that every back end meets."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hoaban.events import ModelRef


class ModelError(Exception):
    """A model cannot be had, loaded or run; the message says why and what to do."""


class Detector(Protocol):
    """A loaded detector."""

    @property
    def ref(self) -> ModelRef: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def input_width(self) -> int: ...
    @property
    def input_height(self) -> int: ...

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Rows for each picture of a batch.

        batch: (n, height, width, 3) uint8 BGR, letterboxed. Each answer: (k, 6) float32: x1, y1, x2, y2 in input
        pixels, score, class index; the best first. May be called from several threads at once.
        """
        ...

    def warm_up(self) -> None:
        """Run once on an empty picture, so that the first frame is not the slow one. Raises ModelError."""
        ...
