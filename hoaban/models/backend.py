"""The protocol that every back end meets."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hoaban.events import ModelRef

if TYPE_CHECKING:
    from hoaban.models.card import ModelCard

ENTRY_POINTS = "hoaban.backends"
"""the group of entry points under which installed packages bring back ends, each by the name that cards give"""


class ModelError(Exception):
    """A model cannot be had, loaded or run; the message says why and what to do."""


class Detector(Protocol):
    """A loaded detector."""

    @property
    def ref(self) -> ModelRef: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def input_width(self) -> int: ...
    @property
    def input_height(self) -> int: ...
    @property
    def template(self) -> ModelRef | None:
        """What made the templates that its rows carry; None for a model whose rows carry none."""
        ...

    @property
    def device(self) -> str:
        """Where it runs: cpu or cuda."""
        ...

    @property
    def most(self) -> int:
        """Pictures of one batch that are worth while; more are taken too."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever runs it should know: that it does not run as it could, and why."""
        ...

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Rows for each picture of a batch.

        batch: (n, height, width, 3) uint8 BGR, letterboxed. Each answer: (k, 6) float32: x1, y1, x2, y2 in input
        pixels, score, class index; the best first; a face model's rows are longer (hoaban/faces/rows.py). May be
        called from several threads at once.
        """
        ...

    def warm_up(self) -> None:
        """Run once on an empty picture, so that the first frame is not the slow one. Raises ModelError."""
        ...


class Backend(Protocol):
    """What an entry point of the group ENTRY_POINTS names: it loads a detector."""

    def __call__(self, card: "ModelCard", path: Path | None, threads: int, device: str, most: int | None) -> Detector:
        """The detector of a card and its file, which was checked against the card's digest.

        path: None where the card names no file. threads: for one picture. device: auto, cpu or cuda. most: pictures of
        one batch; None: what is best on the device. Raises ModelError that says what is wrong and what to do.
        """
        ...


class Embedder(Protocol):
    """A loaded model that makes a template of an aligned face. ONNX files and deepface's models meet it alike."""

    @property
    def ref(self) -> ModelRef: ...
    @property
    def size(self) -> int:
        """Side of the square crop it wants, in pixels."""
        ...

    @property
    def margin(self) -> float:
        """Share of the crop around the face, see hoaban.faces.align."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers of a template."""
        ...

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, dimension) float32 templates of length 1 of (n, size, size, 3) uint8 BGR aligned faces.

        May be called from several threads at once.
        """
        ...
