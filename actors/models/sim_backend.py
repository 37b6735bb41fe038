"""The detector of simulated pictures."""

import numpy as np
from numpy.typing import NDArray

from actors.models.base import CardDetector
from hoaban.sim.detect import find


class SimDetector(CardDetector):
    """Things in a simulated picture, by their colours (hoaban.sim.detect). It knows nothing but the pixels."""

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return [self.rows(find(picture)) for picture in batch]
