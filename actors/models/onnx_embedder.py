"""Templates of faces by an ONNX file, MobileFaceNet's above all."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.models.embedder import CardEmbedder
from actors.models.onnx_session import open_session, picture_input
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard


class OnnxEmbedder(CardEmbedder):
    """Meets hoaban.models.backend.Embedder."""

    def __init__(self, card: ModelCard, path: Path, threads: int, device: str) -> None:
        """Raises ModelError for a file that does not fit its card."""
        super().__init__(card)
        self._session, _ = open_session(card, path, threads, device)
        self._input, self._one_by_one = picture_input(card, self._session)
        outputs = [output.shape for output in self._session.get_outputs()]
        if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][1] not in (self._spec.dimension, None):
            raise ModelError(
                f"model {card.name!r}: one output (batch, {self._spec.dimension}) is expected; it has {outputs}"
            )

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = crops[..., ::-1] if self.card.input.colour == "rgb" else crops
        scaled = pixels.astype(np.float32) * np.float32(self.card.input.scale)
        scaled = (scaled - np.array(self._spec.mean, np.float32)) / np.array(self._spec.std, np.float32)
        blob = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)
        step = 1 if self._one_by_one else len(blob)
        runs = [self._session.run(None, {self._input: blob[i : i + step]})[0] for i in range(0, len(blob), step)]
        return np.asarray(np.concatenate(runs), np.float32)
