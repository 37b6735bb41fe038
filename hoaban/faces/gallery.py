"""The watchlist as it is searched: templates of one model, one to many, by cosine similarity."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
NOBODY = -1


class WrongModelError(ValueError):
    """Templates of different models say nothing about each other."""


@dataclass(frozen=True, slots=True)
class WatchlistEntry:
    """One approved entry. `subject` is a reference (a case or file number), not a name.

    template: (d,) float32. model_digest: of the embedding model that made it. expires_s: seconds since 1970 UTC.
    """

    id: str
    watchlist: str
    subject: str
    template: Floats
    model_digest: str
    expires_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """The best entry of each searched face: (n,) index into `entries`, NOBODY where there is none; (n,) similarity."""

    entries: NDArray[np.intp]
    similarities: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Entries of one model. matrix: (N, d) float32, rows of length 1. left_out: entries that another model made."""

    entries: tuple[WatchlistEntry, ...]
    matrix: Floats
    expires_s: NDArray[np.float64]
    model_digest: str
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def for_model(cls, entries: Iterable[WatchlistEntry], watchlists: Iterable[str], model_digest: str) -> "Gallery":
        """The entries of these watchlists that `model_digest` made; the others are counted as left out."""
        names = set(watchlists)
        wanted = sorted((entry for entry in entries if entry.watchlist in names), key=lambda entry: entry.id)
        own = tuple(entry for entry in wanted if entry.model_digest == model_digest)
        matrix = np.stack([entry.template for entry in own]) if own else np.zeros((0, 1), np.float32)
        return cls(
            own, unit(matrix), np.array([entry.expires_s for entry in own]), model_digest, len(wanted) - len(own)
        )

    def size(self, now_s: float) -> int:
        """Entries that are not over."""
        return int((self.expires_s > now_s).sum())

    def search(self, templates: Floats, model_digest: str, now_s: float) -> Found:
        """The most similar entry of each of (n, d) templates, those that are over left out.

        Raises WrongModelError for templates of another model than the gallery's.
        """
        if model_digest != self.model_digest:
            raise WrongModelError(
                f"templates of model {model_digest[:12]}… cannot be searched in a gallery of model "
                f"{self.model_digest[:12]}…; enrol the watchlist again with the model that runs"
            )
        nobody = Found(np.full(len(templates), NOBODY, np.intp), np.full(len(templates), -1, np.float32))
        if len(self) == 0 or len(templates) == 0:
            return nobody
        if templates.shape[1] != self.matrix.shape[1]:
            raise WrongModelError(f"templates of {templates.shape[1]} numbers against {self.matrix.shape[1]}")
        # Not numpy's product: its threads wait for each other on a busy machine, 0.1 ms becoming 30, and how many there
        # are decides the order of the sums, which a replay must not depend on. The gallery comes first: a tall product
        # takes a tenth of the time of a wide one.
        product = cv2.gemm(self.matrix, unit(templates), 1.0, None, 0.0, flags=cv2.GEMM_2_T)  # type: ignore[call-overload]
        similarities = np.ascontiguousarray(np.asarray(product, np.float32).T)
        over = self.expires_s <= now_s
        if over.any():
            similarities[:, over] = -1
        best = similarities.argmax(axis=1)
        score = similarities[np.arange(len(best)), best]
        return Found(np.where(score > -1, best, NOBODY).astype(np.intp), score)


def unit(vectors: Floats) -> Floats:
    """(n, d) float32 rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
