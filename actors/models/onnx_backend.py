"""Detectors on ONNX Runtime."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from actors.models.base import CardDetector
from actors.models.onnx_session import open_session, picture_input
from hoaban.models.card import ModelCard


class OnnxDetector(CardDetector):
    """A detector in an ONNX file. A file with a fixed batch of one is run picture by picture."""

    def __init__(self, card: ModelCard, path: Path, threads: int, device: str) -> None:
        super().__init__(card)
        self._session = open_session(card, path, threads, device)
        self._input, self._one_by_one = picture_input(card, self._session)

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        card = self.card
        swap = card.input.colour == "rgb"
        blob = cv2.dnn.blobFromImages(list(batch), card.input.scale, swapRB=swap)
        if not self._one_by_one:
            return [self.rows(output) for output in self._session.run(None, {self._input: blob})[0]]
        return [self.rows(self._session.run(None, {self._input: blob[i : i + 1]})[0][0]) for i in range(len(batch))]
