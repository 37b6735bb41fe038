"""Templates of faces by an ONNX file, MobileFaceNet's above all."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.models.onnx_session import open_session, picture_input
from hoaban.events import ModelRef
from hoaban.faces.gallery import unit
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard


class OnnxEmbedder:
    """Meets hoaban.models.backend.Embedder."""

    def __init__(self, card: ModelCard, path: Path, threads: int, device: str) -> None:
        """Raises ModelError for a file that does not fit its card."""
        if card.embed is None or card.input.width != card.input.height:
            raise ModelError(f"model {card.name!r}: a square input and embed are needed; correct the card")
        self.card, self._spec = card, card.embed
        self._session, _ = open_session(card, path, threads, device)
        self._input, self._one_by_one = picture_input(card, self._session)
        outputs = [output.shape for output in self._session.get_outputs()]
        if len(outputs) != 1 or len(outputs[0]) != 2 or outputs[0][1] not in (self._spec.dimension, None):
            raise ModelError(
                f"model {card.name!r}: one output (batch, {self._spec.dimension}) is expected; it has {outputs}"
            )

    @property
    def ref(self) -> ModelRef:
        return self.card.ref

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
        pixels = crops[..., ::-1] if self.card.input.colour == "rgb" else crops
        scaled = pixels.astype(np.float32) * np.float32(self.card.input.scale)
        scaled = (scaled - np.array(self._spec.mean, np.float32)) / np.array(self._spec.std, np.float32)
        blob = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)
        step = 1 if self._one_by_one else len(blob)
        runs = [self._session.run(None, {self._input: blob[i : i + step]})[0] for i in range(0, len(blob), step)]
        return unit(np.concatenate(runs))
