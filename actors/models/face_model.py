"""The face model: faces found, judged, aligned and made templates of, in one place, so that no picture travels.

It runs on the shared inference actors like a detector, and is told from one by its longer rows (hoaban/faces/rows.py).
"""

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

from actors.faces import FaceDetector
from actors.models.files import ModelPackage
from hoaban.events import ModelRef
from hoaban.faces.align import aligned
from hoaban.faces.quality import MEASURES, Refusal, measure
from hoaban.faces.rows import LANDMARKS, SCORE, face_rows
from hoaban.models.backend import Embedder, ModelError
from hoaban.models.card import ModelCard

Floats = NDArray[np.float32]


class FaceModel:
    """Meets hoaban.models.backend.Detector with rows that carry landmarks, quality and templates.

    Its digest is of its parts' digests and its gate: any other part is another model.
    """

    def __init__(
        self, card: ModelCard, finder: ModelPackage, embedder: Embedder, threads: int = 1, device: str = "cpu"
    ) -> None:
        """Raises ModelError."""
        if card.faces is None:
            raise ModelError(f"model {card.name!r}: its card has no faces; correct it")
        self.card, self._gate, self._embedder = card, card.faces.gate, embedder
        self._finder = FaceDetector(finder, min_score=card.min_score, threads=threads, device=device)
        self.device, self.most = self._finder.device, 1  # faces are looked for picture by picture
        self.notes = (self._finder.note,) if self._finder.note else ()
        parts = {
            "detector": finder.ref.digest,
            "embedder": embedder.ref.digest,
            "gate": self._gate.model_dump(mode="json"),
            "input": card.input.model_dump(mode="json"),
            "min_score": card.min_score,
        }
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        self.ref = ModelRef(card.name, card.version, digest, card.digest())
        self.template: ModelRef = embedder.ref
        self.labels = card.labels

    @property
    def input_width(self) -> int:
        return self.card.input.width

    @property
    def input_height(self) -> int:
        return self.card.input.height

    def infer(self, batch: NDArray[np.uint8]) -> list[Floats]:
        return [self.faces(picture) for picture in batch]

    def faces(self, picture: NDArray[np.uint8]) -> Floats:
        """(n, k) rows of the faces in an (h, w, 3) uint8 BGR picture of any size, in its pixels; the best first."""
        found = self._finder.rows(picture)
        count, size, margin = len(found), self._embedder.size, self._embedder.margin
        measures = np.zeros((count, len(MEASURES)), np.float32)
        refusals = np.zeros(count, np.int32)
        crops = []
        for row in range(count):
            landmarks = found[row, LANDMARKS].reshape(5, 2)
            try:
                measures[row] = measure(landmarks, aligned(picture, landmarks))
                refusals[row] = self._gate.refusal(float(found[row, SCORE]), measures[row])
                if refusals[row] == Refusal.NONE:
                    crops.append(aligned(picture, landmarks, size, margin))
            except ValueError:  # landmarks in one point: whatever it is, it is not a face that can be compared
                refusals[row] = Refusal.UNSURE
        templates = np.zeros((count, self._embedder.dimension), np.float32)
        if crops:
            templates[refusals == Refusal.NONE] = self._embedder.embed(np.stack(crops))
        return face_rows(found, measures, refusals, templates)

    def warm_up(self) -> None:
        """An empty picture, and an empty face, which the picture does not have. Raises ModelError."""
        try:
            self.infer(np.full((1, self.input_height, self.input_width, 3), 114, np.uint8))
            side = self._embedder.size
            templates = self._embedder.embed(np.full((1, side, side, 3), 114, np.uint8))
        except Exception as error:  # each back end raises its own kinds; the card's owner needs one message
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"model {self.card.name!r} does not run as its parts' cards say: {first}") from error
        if templates.shape != (1, self._embedder.dimension):
            raise ModelError(f"model {self.card.name!r} gives templates {templates.shape}; correct embed.dimension")
