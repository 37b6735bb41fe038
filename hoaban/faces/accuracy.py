"""How often a watchlist search errs, at a stated gallery size and threshold.

Terms of ISO/IEC 19795-1 for open-set identification, with the one best candidate (R = 1), as the face rule uses it:
FNIR(N, T): share of mated searches (the person is enrolled among N) that do not return that person at or above T.
FPIR(N, T): share of non-mated searches (the person is not enrolled) that return anyone at or above T.
Both are of faces that the quality gate let through; how many it refused (failure to acquire) is said beside them.
One search here is one frame. A rule that asks several frames to agree errs otherwise: less often falsely, and it
misses people who are seen too briefly.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Search:
    """One search and its best candidate. mate: who it truly is, None when not enrolled."""

    mate: str | None
    candidate: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """At one threshold. A rate is None without any search of its kind."""

    threshold: float
    fnir: float | None
    fpir: float | None
    missed: int
    mated: int
    false_alarms: int
    non_mated: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def error_rates(searches: Sequence[Search], thresholds: Sequence[float]) -> list[ErrorRates]:
    """FNIR and FPIR at each threshold. A wrong person above the threshold is a miss, too."""
    mated = [search for search in searches if search.mate is not None]
    other = [search for search in searches if search.mate is None]
    rates = []
    for threshold in thresholds:
        hits = sum(s.candidate == s.mate and s.similarity >= threshold for s in mated)
        alarms = sum(s.candidate is not None and s.similarity >= threshold for s in other)
        fnir = None if not mated else (len(mated) - hits) / len(mated)
        fpir = None if not other else alarms / len(other)
        rates.append(ErrorRates(threshold, fnir, fpir, len(mated) - hits, len(mated), alarms, len(other)))
    return rates
