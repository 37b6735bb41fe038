"""What came of many faults: `python -m tests.faults.summary REPORT`. Exit code 1: not all of it is as it has to be.

REPORT: the file that HOABAN_FAULT_REPORT named, whose tests may have run in several pieces. HOABAN_BACK_WITHIN_S (10 by
default) is how soon all must be back, where a fault has no time of its own. HOABAN_SHARE_KEPT (0.95) is what share of
their frames the cameras that a kind of fault leaves alone must have kept in the mean: one fault's window has 15 frames,
so by itself it cannot tell 5 %.
"""

import itertools
import json
import math
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.whole_system import Outcome

SHARE_KEPT = float(os.environ.get("HOABAN_SHARE_KEPT", "0.95"))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def said(outcomes: Sequence[Outcome]) -> int:
    """Events told in all: an outcome has those since its system began, and a smaller number is another system's."""
    so_far = [*(outcome.said for outcome in outcomes), 0]
    return sum(now for now, then in itertools.pairwise(so_far) if then < now)


def line(kind: str, outcomes: Sequence[Outcome]) -> str:
    """A row of a table in Markdown."""
    timed = [outcome for outcome in outcomes if not outcome.stood_still_s]
    back = [outcome.back_s for outcome in timed if outcome.back_s is not None]
    kept = [share for outcome in timed for share in outcome.kept.values()]
    times = " / ".join(f"{percentile(back, share):.1f}" for share in (0.5, 0.95, 1.0)) if back else "–"
    late = sum(map(is_late, timed))
    shares = f"{statistics.mean(kept):.3f}, {min(kept):.3f}" if kept else "–"
    lost, doubled = sum(outcome.lost for outcome in outcomes), sum(outcome.doubled for outcome in outcomes)
    return f"| {kind} | {len(outcomes)} | {lost} | {doubled} | {times} | {late} | {shares} |"


def is_late(outcome: Outcome) -> bool:
    return outcome.back_s is None or outcome.back_s > outcome.within_s


def wrong(outcomes: Sequence[Outcome]) -> list[str]:
    """What is not as it has to be."""
    found = []
    for kind, ours in kinds(outcomes).items():
        if bad := [outcome.name for outcome in ours if outcome.lost or outcome.doubled]:
            found.append(f"{kind}: events lost or doubled: {', '.join(bad)}")
        timed = [outcome for outcome in ours if not outcome.stood_still_s]
        if late := [outcome.name for outcome in timed if is_late(outcome)]:
            found.append(f"{kind}: not back within {ours[0].within_s:g} s: {', '.join(late)}")
        kept = [share for outcome in timed for share in outcome.kept.values()]
        if kept and statistics.mean(kept) < SHARE_KEPT:
            found.append(f"{kind}: the others kept {statistics.mean(kept):.3f} of their frames")
    return found


def kinds(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.fault, []).append(outcome)
    return dict(sorted(found.items()))


def main(report: Path) -> int:
    outcomes = [Outcome(**json.loads(text)) for text in report.read_text().splitlines()]
    still = sum(outcome.stood_still_s > 0 for outcome in outcomes)
    print(f"{len(outcomes)} faults, {said(outcomes)} events told; {still} of them not timed, for the test stood still")
    print("| fault | times | lost | doubled | back after, s: median / p95 / most | late |", end="")
    print(" the others' share of frames kept: mean, least |\n|---|---|---|---|---|---|---|")
    for kind, ours in kinds(outcomes).items():
        print(line(kind, ours))
    print(line("all", outcomes))
    for text in (found := wrong(outcomes)):
        print(text)
    return 1 if found or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
