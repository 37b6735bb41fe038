"""Counts of `hoaban replay` against hand counts of real clips (benchmarks/counts, which say how they were made).

Two errors are told. `net` is what a traffic report shows: the difference of the two counts, line by line and direction
by direction, so that a miss and a false count of the same line cancel out. `strict` lets nothing cancel: every
hand-counted crossing that has no event near its time, and every event that has no such crossing, over the hand count.
Classes are judged on the pairs.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from scipy.optimize import linear_sum_assignment

from actors.models import find_clip, find_model, load_detector
from cli.replay import run
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.models.backend import Detector

COUNTS = Path(__file__).with_name("counts")
NEAR_S = 1.5
"""an event so near in time to a hand-counted crossing of the same line and direction may be it"""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One crossing: by hand, or an event's. classes: what it may be called; the first is what the counter wrote."""

    at_s: float
    line: str
    direction: str
    classes: tuple[str, ...]
    what: str = ""


@dataclass(frozen=True, slots=True)
class HandCount:
    """A clip's hand count. view: "good", or "poor" where the detector is known to fail."""

    clip: str
    view: str
    camera: Camera
    crossings: tuple[Crossing, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a clip's events compare with its hand count."""

    truth: int
    counted: int
    net: int
    missed: tuple[Crossing, ...]
    false: tuple[Crossing, ...]
    wrong_class: tuple[tuple[Crossing, Crossing], ...]

    @property
    def strict(self) -> int:
        return len(self.missed) + len(self.false)


def load(path: Path) -> HandCount:
    """A hand count from its file."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    clip = document["clip"]
    rules = [{"type": "line_count", "line": line["id"]} for line in document["lines"]]
    base = {"id": path.stem, "name": clip, "role": "traffic_counting", "district": "d", "owner": "o", "source": clip}
    camera = Camera.model_validate(base | document["camera"] | {"lines": document["lines"], "rules": rules})
    crossings = tuple(
        Crossing(c["at_s"], c["line"], c["direction"], (c["class"], *c.get("also", ())), c["what"])
        for c in document["crossings"]
    )
    return HandCount(clip, document["view"], camera, crossings)


def hand_counts() -> list[HandCount]:
    """All hand counts of crossings that are kept here; other counts lie beside them."""
    paths = sorted(COUNTS.glob("*.yaml"))
    return [load(path) for path in paths if "crossings" in yaml.safe_load(path.read_text(encoding="utf-8"))]


def replayed(count: HandCount, detector: Detector) -> list[Crossing]:
    """The crossings that a replay of the clip finds."""
    out = io.StringIO()
    run(count.camera, str(find_clip(count.clip)), detector, out)
    return crossings_of(Event.from_json(line) for line in out.getvalue().splitlines())


def crossings_of(events: Iterable[Event]) -> list[Crossing]:
    """The line crossings among events."""
    return [
        Crossing(e.time.timestamp(), e.data["line"], e.data["direction"], (e.data["class"],))
        for e in events
        if e.type == "hoaban.line_count"
    ]


def judge(truth: Iterable[Crossing], found: Iterable[Crossing]) -> Verdict:
    """Pair each hand-counted crossing with at most one event of its line and direction, the pairs nearest in time."""
    truth, found = tuple(truth), tuple(found)
    far = 10 * NEAR_S
    cost = [
        [
            abs(t.at_s - f.at_s) + 0.1 * (f.classes[0] not in t.classes)
            if (t.line, t.direction) == (f.line, f.direction) and abs(t.at_s - f.at_s) <= NEAR_S
            else far
            for f in found
        ]
        for t in truth
    ]
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(cost), strict=True) if cost[i][j] < far] if found else []
    one, other = Counter((t.line, t.direction) for t in truth), Counter((f.line, f.direction) for f in found)
    return Verdict(
        truth=len(truth),
        counted=len(found),
        net=sum(abs(one[key] - other[key]) for key in one | other),
        missed=tuple(t for i, t in enumerate(truth) if i not in {i for i, _ in pairs}),
        false=tuple(f for j, f in enumerate(found) if j not in {j for _, j in pairs}),
        wrong_class=tuple((truth[i], found[j]) for i, j in pairs if found[j].classes[0] not in truth[i].classes),
    )


def measure() -> dict[str, Any]:
    """Errors by clip, and over all clips of a good view."""
    verdicts = _verdicts()
    good = [verdict for count, verdict in verdicts if count.view == "good"]
    rows = {f"{count.clip} ({count.view} view)": _figures([verdict]) for count, verdict in verdicts}
    return rows | {"all of a good view": _figures(good)}


def _verdicts() -> list[tuple[HandCount, Verdict]]:
    detector = load_detector(find_model("yolox-nano"), threads=1, device="cpu")
    detector.warm_up()
    return [(count, judge(count.crossings, replayed(count, detector))) for count in hand_counts()]


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
    for count, verdict in _verdicts():
        print(f"{count.clip} ({count.view} view): {json.dumps(_figures([verdict]))}")
        for crossing in verdict.missed:
            print(f"  missed       {crossing.at_s:5.1f} s {crossing.line}: {crossing.what}")
        for crossing in verdict.false:
            print(f"  false        {crossing.at_s:5.1f} s {crossing.line}: {crossing.classes[0]} {crossing.direction}")
        for truth, found in verdict.wrong_class:
            print(f"  wrong class  {truth.at_s:5.1f} s {truth.line}: {truth.what}, counted as {found.classes[0]}")


if __name__ == "__main__":
    main()
