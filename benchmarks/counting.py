"""Counts of `hoaban replay` against hand counts of real clips (hoaban/evaluation/counts, which say how they were made).

Two errors are told. `net` is what a traffic report shows: the difference of the two counts, line by line and direction
by direction, so that a miss and a false count of the same line cancel out. `strict` lets nothing cancel: every
hand-counted crossing that has no event near its time, and every event that has no such crossing, over the hand count.
Classes are judged on the pairs.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.models import find_model, load_detector
from actors.suite import OnDisk, load_suite
from cli.evaluate import run_recording
from hoaban.evaluation.matching import Happening, match
from hoaban.models.backend import Detector


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a clip's events compare with its hand count."""

    truth: int
    counted: int
    net: int
    missed: tuple[Happening, ...]
    false: tuple[Happening, ...]
    wrong_class: tuple[tuple[Happening, Happening], ...]

    @property
    def strict(self) -> int:
        return len(self.missed) + len(self.false)


def judged(one: OnDisk, detector: Detector) -> Verdict:
    """A replay of a recording against its hand count."""
    recording = one.suited.recording
    return judge(recording.truths, recording.told(run_recording(one, detector).events), recording.near_s)


def judge(truths: Sequence[Happening], told: Sequence[Happening], near_s: float) -> Verdict:
    matched = match(truths, told, near_s)
    one, other = Counter(t.place for t in truths), Counter(f.place for f in told)
    return Verdict(
        truth=len(truths),
        counted=len(told),
        net=sum(abs(one[key] - other[key]) for key in one | other),
        missed=tuple(truths[i] for i in matched.missed),
        false=tuple(told[j] for j in matched.false),
        wrong_class=tuple((truths[i], told[j]) for i, j in matched.wrong_class),
    )


def measure() -> dict[str, Any]:
    """Errors by clip, and over all clips of a good view."""
    verdicts = _verdicts()
    good = [verdict for one, verdict in verdicts if one.suited.recording.view == "good"]
    rows = {_title(one): _figures([verdict]) for one, verdict in verdicts}
    return rows | {"all of a good view": _figures(good)}


def _verdicts() -> list[tuple[OnDisk, Verdict]]:
    detector = load_detector(find_model("yolox-nano"), threads=1, device="cpu")
    detector.warm_up()
    return [(one, judged(one, detector)) for one in load_suite()]


def _title(one: OnDisk) -> str:
    return f"{one.suited.recording.clip} ({one.suited.recording.view} view)"


def _figures(verdicts: list[Verdict]) -> dict[str, Any]:
    truth = sum(v.truth for v in verdicts)
    return {
        "hand": truth,
        "counted": sum(v.counted for v in verdicts),
        "net_error": round(sum(v.net for v in verdicts) / truth, 3),
        "strict_error": round(sum(v.strict for v in verdicts) / truth, 3),
    }


def main() -> None:
    """Print what was missed, counted in error or given another class, clip by clip."""
    for one, verdict in _verdicts():
        what = {crossing.happening: crossing.what for crossing in one.suited.recording.crossings}
        print(f"{_title(one)}: {json.dumps(_figures([verdict]))}")
        for truth in verdict.missed:
            print(f"  missed       {truth.at_s:5.1f} s {truth.place[1]}: {what[truth]}")
        for found in verdict.false:
            print(f"  false        {found.at_s:5.1f} s {' '.join(found.place[1:])}: {found.classes[0]}")
        for truth, found in verdict.wrong_class:
            print(f"  wrong class  {truth.at_s:5.1f} s {truth.place[1]}: {what[truth]}, counted as {found.classes[0]}")


if __name__ == "__main__":
    main()
