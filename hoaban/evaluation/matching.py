"""Events of a run against happenings that are known to have taken place (counted by hand, or of a simulation)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hoaban.assignment import cheapest_pairs

WRONG_CLASS_S = 1000.0
"""a pair of the wrong class is taken only where no pair of the right one is possible"""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that took place, or that an event says took place.

    place: what it belongs to, such as (line, direction) or (rule, zone): only the same place can be the same happening.
    classes: what it may rightly be called; empty: anything.
    """

    at_s: float
    place: tuple[str, ...]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matched:
    """pairs: (truth, told) indices. missed: truths without an event; false: events without a truth."""

    pairs: tuple[tuple[int, int], ...]
    missed: tuple[int, ...]
    false: tuple[int, ...]
    wrong_class: tuple[tuple[int, int], ...]
    """of the pairs, those whose class is none of the right ones"""


def match(truths: Sequence[Happening], told: Sequence[Happening], near_s: float) -> Matched:
    """As many pairs as can be made within `near_s`, of these the ones of the right class, nearest in time."""
    pairs: list[tuple[int, int]] = []
    for place in dict.fromkeys(truth.place for truth in truths):
        here = [i for i, truth in enumerate(truths) if truth.place == place]
        there = [j for j, event in enumerate(told) if event.place == place]
        if not there:
            continue
        apart_s = np.abs(np.array([[truths[i].at_s - told[j].at_s for j in there] for i in here]))
        wrong = np.array([[not _right(truths[i], told[j]) for j in there] for i in here])
        # Each pair that is possible at all outweighs any that is not, so that most pairs are made first.
        cost = np.where(apart_s <= near_s, apart_s + WRONG_CLASS_S * wrong, 1e3 * WRONG_CLASS_S)
        for row, column in zip(*cheapest_pairs(cost), strict=True):
            if apart_s[row, column] <= near_s:
                pairs.append((here[row], there[column]))
    pairs.sort()
    found, used = {i for i, _ in pairs}, {j for _, j in pairs}
    return Matched(
        tuple(pairs),
        tuple(i for i in range(len(truths)) if i not in found),
        tuple(j for j in range(len(told)) if j not in used),
        tuple((i, j) for i, j in pairs if not _right(truths[i], told[j])),
    )


def _right(truth: Happening, event: Happening) -> bool:
    return not truth.classes or not event.classes or event.classes[0] in truth.classes


def errors_by_segment(
    truths: Sequence[Happening], told: Sequence[Happening], near_s: float, ends_s: float, segment_s: float
) -> tuple[list[float], list[int]]:
    """Errors and truths of each segment of a recording that is `ends_s` long.

    A miss and a false event count 1; a right event of the wrong class counts 1 too: it is wrong in the traffic report.
    """
    segments = max(1, int(np.ceil(ends_s / segment_s)))
    errors, known = [0.0] * segments, [0] * segments

    def segment(at_s: float) -> int:
        return min(segments - 1, max(0, int(at_s // segment_s)))

    matched = match(truths, told, near_s)
    for truth in truths:
        known[segment(truth.at_s)] += 1
    for i in (*matched.missed, *(i for i, _ in matched.wrong_class)):
        errors[segment(truths[i].at_s)] += 1
    for j in matched.false:
        errors[segment(told[j].at_s)] += 1
    return errors, known
