"""ONNX Runtime, on the processor or on CUDA."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from actors.models.base import CardDetector
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard


class OnnxDetector(CardDetector):
    """A detector in an ONNX file. A file with a fixed batch of one is run picture by picture."""

    def __init__(self, card: ModelCard, path: Path, threads: int, device: str) -> None:
        super().__init__(card)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle workers that spin would take the processor from the decoders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        if device != "cpu" and "CUDAExecutionProvider" in ort.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        elif device == "cuda":
            raise ModelError(
                f"model {card.name!r}: CUDA was asked for, but this onnxruntime has none; install onnxruntime-gpu"
            )
        try:
            self._session = ort.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime raises its own kinds, which have no common base
            raise ModelError(f"model {card.name!r}: {path} is no ONNX model: {str(error).splitlines()[0]}") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise ModelError(
                f"model {card.name!r}: one input (batch, 3, height, width) is expected; it has "
                f"{[i.shape for i in inputs]}"
            )
        self._input = inputs[0].name
        batch, *picture = inputs[0].shape
        wanted = [3, card.input.height, card.input.width]
        if any(isinstance(has, int) and has != want for has, want in zip(picture, wanted, strict=True)):
            raise ModelError(f"model {card.name!r}: its input is {picture}, its card says {wanted}; correct the card")
        self._one_by_one = batch == 1

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        card = self.card
        swap = card.input.colour == "rgb"
        blob = cv2.dnn.blobFromImages(list(batch), card.input.scale, swapRB=swap)
        if not self._one_by_one:
            return [self.rows(output) for output in self._session.run(None, {self._input: blob})[0]]
        return [self.rows(self._session.run(None, {self._input: blob[i : i + 1]})[0][0]) for i in range(len(batch))]
