"""What the makers of templates share: their card, and batches of crops turned into vectors of length 1."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from hoaban.faces.gallery import unit
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard


class CardEmbedder(ABC):
    """Meets hoaban.models.backend.Embedder; subclasses run the model."""

    def __init__(self, card: ModelCard) -> None:
        """Raises ModelError for a card that is none of an embedder's."""
        if card.embed is None or card.input.width != card.input.height:
            raise ModelError(f"model {card.name!r}: a square input and embed are needed; correct the card")
        self.card, self.ref, self._spec = card, card.ref, card.embed

    @property
    def size(self) -> int:
        return self.card.input.width

    @property
    def margin(self) -> float:
        return self._spec.margin

    @property
    def dimension(self) -> int:
        return self._spec.dimension

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(crops) == 0:
            return np.zeros((0, self.dimension), np.float32)
        return unit(self._run(crops).reshape(len(crops), -1))

    @abstractmethod
    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, dimension) float32, of any length, of (n, size, size, 3) uint8 BGR crops, n above 0."""
