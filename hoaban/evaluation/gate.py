"""The promotion gate: may a candidate take the present model's place?

Both models see the same recordings. These are cut into segments, and each segment gives a pair of error counts. For
each camera role the candidate has to be shown *not worse by more than a margin*: its errors per known happening may
exceed the present model's by at most `margin`. The null hypothesis, that they exceed it by the margin or more, has to
be rejected at level alpha in every role; since all have to be, each is tested at alpha and the whole stays at alpha
(intersection-union test: Berger, Hsu: Bioequivalence Trials, Intersection-Union Tests and Equivalence Confidence Sets,
Statistical Science 11, 1996).

The test of one role is a one-sided permutation test over the signs of the segments' differences (Fisher's randomisation
test for pairs, in scipy.stats.permutation_test). Segments of one recording are alike, so signs are drawn for each
recording's blocks of neighbouring segments, never for single frames. The interval is a bootstrap over the same blocks.

Error counts are skewed, most blocks having none, and such a test then rejects more often than its level says: 5 to 9 %
of drawn candidates that were worse by just the margin passed at 5 %. It is therefore held at alpha / 2, where at most
about alpha of them pass from 20 blocks on. Where present and candidate seldom err, few happenings prove nothing: so the
upper bound of what the candidate may do worse has to lie within the margin too (tests/unit/test_gate.py draws both).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hoaban.shapes import Strict

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a recording, seen by both models. errors: misses, false events, wrong classes."""

    role: str
    recording: str
    truths: int
    present_errors: float
    candidate_errors: float


class GateSettings(Strict):
    """When a candidate is good enough."""

    alpha: float = Field(0.05, gt=0, lt=0.5, description="share of candidates too bad by the margin that may pass")
    margin: float = Field(0.05, gt=0, le=1, description="errors per known happening that it may make more")
    least_truths: int = Field(30, ge=1, description="known happenings a role needs to be judged")
    least_blocks: int = Field(20, ge=20, description="independent blocks of segments a role needs")
    block_segments: int = Field(2, ge=1, description="neighbouring segments that count as one, since they are alike")
    resamples: int = Field(9999, ge=999, le=999_999)
    seed: int = 1


@dataclass(frozen=True, slots=True)
class RoleVerdict:
    """present, candidate: errors per known happening. difference: candidate - present, with its confidence interval.

    p_value: of the test; None where there was too little to test.
    """

    role: str
    passed: bool
    reason: str
    truths: int
    blocks: int
    present: float
    candidate: float
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """passed: in every role."""

    passed: bool
    roles: tuple[RoleVerdict, ...]

    @property
    def reason(self) -> str:
        """Why it passed, or every reason why not."""
        return "; ".join(f"{role.role}: {role.reason}" for role in self.roles if role.passed == self.passed)


def judge(segments: Sequence[Segment], settings: GateSettings, roles: Sequence[str] = ()) -> Verdict:
    """The verdict on a candidate. roles: those that have to be judged; one without any segment fails.

    Without roles, those of the segments; without either nothing was shown, so nothing passes.
    """
    by_role: dict[str, list[Segment]] = {role: [] for role in roles}
    for segment in segments:
        by_role.setdefault(segment.role, []).append(segment)
    verdicts = tuple(_judge_role(role, found, settings) for role, found in by_role.items())
    return Verdict(bool(verdicts) and all(verdict.passed for verdict in verdicts), verdicts)


def _judge_role(role: str, segments: Sequence[Segment], settings: GateSettings) -> RoleVerdict:
    blocks = _blocks(segments, settings.block_segments)
    truths, present, candidate = blocks.sum(axis=0) if len(blocks) else np.zeros(3)
    per = max(1.0, float(truths))
    difference = float(candidate - present) / per
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    if truths < settings.least_truths or len(blocks) < settings.least_blocks:
        passed = False
        reason = (
            f"too little to judge by: {int(truths)} known happenings in {len(blocks)} blocks; "
            f"{settings.least_truths} in {settings.least_blocks} are needed"
        )
    else:
        excess = blocks[:, 2] - blocks[:, 1] - settings.margin * blocks[:, 0]
        p_value = _p_value(excess, settings)
        interval = _interval(blocks, settings)
        blind = candidate >= truths  # as wrong as one that sees nothing, which a blind present model must not excuse
        worst = worst_excess(blocks, settings.alpha / 2)
        passed = p_value <= settings.alpha / 2 and worst <= settings.margin and not blind
        shown = "shown not worse by" if passed else "not shown to be within"
        if blind:
            shown = "no better than seeing nothing, let alone within"
        reason = (
            f"errors per happening {present / per:.3f} -> {candidate / per:.3f}: {shown} {settings.margin:g} "
            f"(p = {p_value:.4f}, at most {settings.alpha / 2:g} passes; it may be {worst:.3f} worse)"
        )
    return RoleVerdict(
        role, passed, reason, int(truths), len(blocks), float(present) / per, float(candidate) / per, difference,
        interval, p_value,
    )  # fmt: skip


def _blocks(segments: Sequence[Segment], size: int) -> Floats:
    """(blocks, 3) truths, present and candidate errors of neighbouring segments; a block never spans two recordings."""
    by_recording: dict[str, list[tuple[float, float, float]]] = {}
    for s in segments:
        rows = by_recording.setdefault(s.recording, [])
        rows.append((float(s.truths), s.present_errors, s.candidate_errors))
    sums = [
        np.sum(rows[first : first + size], axis=0)
        for rows in by_recording.values()
        for first in range(0, len(rows), size)
    ]
    found = np.array(sums, np.float64).reshape(-1, 3)
    return found[found.any(axis=1)]  # where nothing happened and nobody erred there is nothing to learn


def worst_excess(blocks: Floats, alpha: float) -> float:
    """The errors per known happening that a candidate may make more, at the worst that `alpha` leaves possible.

    What it did worse, block by block, is taken for a Poisson count, of which the exact upper bound is taken (Garwood,
    Biometrika 28, 1936), and what it did better is set off against it. A few happenings without an error show little:
    of 40 the bound is 0.09. The test over signs, in which such blocks have no say, does not know that.
    """
    from scipy import stats  # takes half a second, which no command that judges nothing should wait

    change = blocks[:, 2] - blocks[:, 1]
    worse, better = change.clip(0).sum(), (-change).clip(0).sum()
    return float((stats.chi2.ppf(1 - alpha, 2 * (worse + 1)) / 2 - better) / max(1.0, blocks[:, 0].sum()))


def _p_value(excess: Floats, settings: GateSettings) -> float:
    """Of the null hypothesis that the mean excess over the margin is 0 or more."""
    from scipy import stats

    found = stats.permutation_test(
        (excess,),
        np.mean,
        permutation_type="samples",
        alternative="less",
        n_resamples=settings.resamples,
        rng=np.random.default_rng(settings.seed),
        vectorized=True,
    )
    return float(found.pvalue)


def _interval(blocks: Floats, settings: GateSettings) -> tuple[float, float]:
    """Bootstrap interval (percentile) of the difference of errors per known happening, at 1 - alpha."""
    draws = np.random.default_rng(settings.seed).integers(0, len(blocks), (2000, len(blocks)))
    sums = blocks[draws].sum(axis=1)
    differences = (sums[:, 2] - sums[:, 1]) / np.maximum(1.0, sums[:, 0])
    low, high = np.quantile(differences, (settings.alpha / 2, 1 - settings.alpha / 2))
    return float(low), float(high)
