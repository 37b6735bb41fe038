"""A back end of one file: it finds the brightest piece of a picture. Its model file holds one number, the threshold."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.models.base import CardDetector
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard


class BrightnessDetector(CardDetector):
    """One box around all pixels above the threshold, labelled with the card's first class.

    CardDetector gives what the card tells (labels, input size, digest); `infer` is all that is left to write.
    """

    def __init__(self, card: ModelCard, threshold: float) -> None:
        super().__init__(card)
        self._threshold = threshold

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return [self.rows(self._find(picture)) for picture in batch]

    def _find(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        ys, xs = np.nonzero(picture.mean(axis=2) > self._threshold)
        if not len(ys):
            return np.zeros((0, 6), np.float32)
        return np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.9, 0]], np.float32)


def load(card: ModelCard, path: Path | None, threads: int, device: str, most: int | None) -> BrightnessDetector:
    """What the entry point names (hoaban.models.backend.Backend)."""
    try:
        return BrightnessDetector(card, float((path or Path("no file")).read_text()))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {card.name!r}: {error}; let its file hold one number, 0 to 255") from None
