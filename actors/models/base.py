"""What the back ends share: a card's properties, and rows from outputs."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from hoaban.events import ModelRef
from hoaban.models.backend import ModelError
from hoaban.models.card import ModelCard
from hoaban.models.decode import fastestdet_rows, suppress, yolox_rows

GPU_BATCH = 16


def batch_for(device: str, most: int | None) -> int:
    """Pictures of one batch: as asked, or by default many on a GPU, and one on a processor, where more gain nothing.

    docs/inference.md has the figures.
    """
    return most or (1 if device == "cpu" else GPU_BATCH)


def in_short(error: Exception) -> str:
    """What a back end says: its first line, and its last, where torch tells what it was."""
    lines = [line.strip()[:500] for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " … ".join(dict.fromkeys((lines[0], lines[-1])))


class CardDetector(ABC):
    """The part of a detector that its card tells."""

    def __init__(self, card: ModelCard) -> None:
        self.card, self.ref = card, card.ref
        self.device = "cpu"
        self.most = 1
        self.notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        return self.card.labels

    @property
    def input_width(self) -> int:
        return self.card.input.width

    @property
    def input_height(self) -> int:
        return self.card.input.height

    @property
    def template(self) -> ModelRef | None:
        return None

    @abstractmethod
    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """See hoaban.models.backend.Detector."""

    def warm_up(self) -> None:
        """Empty pictures through the model; a shape that does not fit its card shows here. Raises ModelError."""
        try:
            for count in (1, self.most):
                self._check(self.infer(np.full((count, self.input_height, self.input_width, 3), 114, np.uint8)), count)
        except ModelError:
            raise
        except Exception as error:  # each back end raises its own kinds; the card's owner needs one message
            raise ModelError(
                f"model {self.card.name!r} does not run as its card says: {in_short(error)}; "
                "correct input, decoder or labels in the card"
            ) from error

    def _check(self, rows: list[NDArray[np.float32]], count: int) -> None:
        if len(rows) != count or rows[0].ndim != 2 or rows[0].shape[1] != 6:
            raise ModelError(f"model {self.card.name!r} gives no (n, 6) rows; correct the decoder in its card")

    def rows(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows of one picture's output, by the card's decoder. Raises ModelError for numbers that are none.

        Without that, a model gone wrong would see an empty street: whatever a threshold is compared with, NaN is below.
        """
        card = self.card
        if not np.isfinite(output).all():
            raise ModelError(f"model {card.name!r} gives numbers that are not finite")
        if card.decoder == "rows":
            if output.ndim != 2 or output.shape[1] != 6:
                raise ValueError(f"output {output.shape} is not (n, 6)")
            return suppress(output[output[:, 4] >= card.min_score], card.nms_iou)
        decode = yolox_rows if card.decoder == "yolox" else fastestdet_rows
        classes = output.shape[-1] - 5 if card.decoder == "yolox" else output.shape[0] - 5
        if classes != len(card.labels):
            raise ValueError(f"the output has {classes} classes, the card {len(card.labels)} labels")
        return decode(output, card.input.width, card.input.height, card.min_score, card.nms_iou)
