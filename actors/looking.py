"""A detector shown one picture after the other, whole or in pieces, without a camera's link to a pool."""

import numpy as np

from actors.picture import Picture
from hoaban.models.backend import Detector
from hoaban.tiling import Part, Sweeps, Tiles


class Looker:
    """For a replay. failed: pieces on which the model failed."""

    def __init__(self, detector: Detector, tiles: Tiles | None) -> None:
        self._detector, self._sweeps = detector, Sweeps(tiles)
        self._batch = np.empty((1, detector.input_height, detector.input_width, 3), np.uint8)
        self.failed = 0

    def look(self, picture: Picture) -> list[Part]:
        """Show the model each piece. One that it fails on ends the sweep; raises when that is the whole picture."""
        sweep = self._sweeps.begin(picture.meta.width, picture.meta.height)
        for crop in sweep.pieces:
            _, letterbox = picture.model_input(
                self._detector.input_width, self._detector.input_height, self._batch[0], crop
            )
            try:
                (rows,) = self._detector.infer(self._batch)
            except Exception:
                if not sweep.parts:
                    raise
                self.failed += 1
                break
            sweep.parts.append(Part(rows, letterbox))
        self._sweeps.end(sweep)
        return sweep.parts
