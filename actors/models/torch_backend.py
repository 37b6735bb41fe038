"""torch: TorchScript (.pt, .ts) and torch.export (.pt2) files. No pickle is ever loaded."""

import zipfile
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from actors.models.base import CardDetector, batch_for
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard

log = structlog.get_logger(__name__)


class TorchDetector(CardDetector):
    """A detector whose module maps (n, 3, height, width) float32 to one output a picture, as its decoder expects."""

    def __init__(self, card: ModelCard, path: Path, threads: int, device: str, most: int | None = None) -> None:
        super().__init__(card)
        if device == "cuda" and not torch.cuda.is_available():
            raise ModelError(f"model {card.name!r}: CUDA was asked for, but torch sees no GPU; install torch with CUDA")
        self._device = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        self.device = self._device.type
        self.most = batch_for(self.device, most)
        if self.device == "cpu":
            if device == "auto":
                self.notes = ("runs on the processor: torch sees no GPU; on a node with one, install torch with CUDA",)
                log.warning("no CUDA: the processor is used", model=card.name)
            torch.set_num_threads(threads)
        if not zipfile.is_zipfile(path):
            raise ModelError(f"model {card.name!r}: {path} is no TorchScript or torch.export archive; export it again")
        try:
            if path.suffix == ".pt2":
                self._module = torch.export.load(path).module().to(self._device)
            else:
                self._module = torch.jit.load(path, map_location=self._device).eval()
        except Exception as error:  # torch raises RuntimeError, KeyError and others on a broken archive
            raise ModelError(f"model {card.name!r}: {path} cannot be loaded: {str(error).splitlines()[0]}") from error

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            pictures = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
            pictures = pictures.permute(0, 3, 1, 2).float() * self.card.input.scale
            if self.card.input.colour == "rgb":
                pictures = pictures.flip(1)
            outputs = self._module(pictures)
        return [self.rows(output.float().cpu().numpy()) for output in outputs]
