"""Whether a model that was just put in another's place does its work, judged by its first pictures."""

from enum import StrEnum
from statistics import median

PICTURES = 200
"""looked at before it is kept"""
LEAST_TIMED = 20
"""pictures before its time is judged: the first ones of a model are slow"""
MOST_FAILED = 3
TIMES_SLOWER = 3.0
"""than the model before it, where no budget was given"""


class Verdict(StrEnum):
    OPEN = "on probation"
    KEPT = "kept"
    FAILED = "rolled back"


class Probation:
    """Counts a model's pictures until it is kept, or must go. budget_s: seconds a picture may take; None: any."""

    def __init__(self, budget_s: float | None) -> None:
        self.budget_s = budget_s
        self.pictures = self.failed = 0
        self.verdict = Verdict.OPEN
        self.why = ""
        self._times: list[float] = []

    def saw(self, pictures: int, failed: int, took_s: float) -> Verdict:
        """One more batch; took_s: of all its pictures together. What is decided stays."""
        if self.verdict is not Verdict.OPEN:
            return self.verdict
        self.pictures += pictures
        self.failed += failed
        self._times += [took_s / pictures] * pictures
        if self.failed >= MOST_FAILED:
            self.verdict, self.why = Verdict.FAILED, f"it failed on {self.failed} of its first {self.pictures} pictures"
        elif self.budget_s is not None and self.pictures >= LEAST_TIMED and median(self._times) > self.budget_s:
            self.verdict = Verdict.FAILED
            self.why = f"a picture takes {median(self._times) * 1e3:.0f} ms, {self.budget_s * 1e3:.0f} ms are allowed"
        elif self.pictures >= PICTURES:
            self.verdict = Verdict.KEPT
        return self.verdict

    def end(self, verdict: Verdict, why: str) -> None:
        """Decide it from outside."""
        if self.verdict is Verdict.OPEN:
            self.verdict, self.why = verdict, why


def budget_after(times_s: list[float]) -> float | None:
    """The budget that follows from what the model before took per picture; None where that is not known."""
    return TIMES_SLOWER * median(times_s) if times_s else None
