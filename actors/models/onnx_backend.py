"""Detectors on ONNX Runtime."""

import contextlib
import threading
from pathlib import Path

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from actors.models.base import CardDetector, batch_for
from actors.models.onnx_session import device_of, open_session, picture_input
from hoaban.models.card import ModelCard

log = structlog.get_logger(__name__)


class OnnxDetector(CardDetector):
    """A detector in an ONNX file.

    A file with a fixed batch of one is made to take more (actors/models/onnx_batch.py) where more are wanted; one that
    cannot be is run picture by picture, and `notes` says so.
    """

    def __init__(self, card: ModelCard, path: Path, threads: int, device: str, most: int | None = None) -> None:
        super().__init__(card)
        self._session, note = open_session(card, path, threads, device)
        self.notes = (note,) if note else ()
        self._input, self._one_by_one = picture_input(card, self._session)
        self.device = device_of(self._session)
        self.most = batch_for(self.device, most)
        if self._one_by_one and self.most > 1:
            self._free_batch(path, threads)
        # A GPU runs one batch at a time; what leads to it and away from it goes on beside, on other threads.
        self._turn: contextlib.AbstractContextManager[object] = (
            threading.Lock() if self.device == "cuda" else contextlib.nullcontext()
        )

    def _free_batch(self, path: Path, threads: int) -> None:
        from actors.models.onnx_batch import any_batch  # onnx is not needed, nor its memory spent, for batches of one

        card = self.card
        try:
            model = any_batch(path, (3, card.input.height, card.input.width), card.input.scale)
        except ValueError as error:
            self.most = 1
            self.notes += (f"takes one picture at a time; its graph could not be rewritten: {error}",)
            log.warning("batch of one", model=card.name, why=str(error))
        else:
            self._session, _ = open_session(card, model, threads, self.device)
            self._one_by_one = False

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        card = self.card
        swap = card.input.colour == "rgb"
        blob = cv2.dnn.blobFromImages(list(batch), card.input.scale, swapRB=swap)
        step = 1 if self._one_by_one else len(blob)
        outputs = []
        for start in range(0, len(blob), step):
            with self._turn:
                outputs.append(self._session.run(None, {self._input: blob[start : start + step]})[0])
        return [self.rows(output) for part in outputs for output in part]
