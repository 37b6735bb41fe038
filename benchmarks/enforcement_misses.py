"""Why violations of the simulation were missed: what could be seen of them, and which tracks followed it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from hoaban.detections import Tracks
from hoaban.geometry import iou
from hoaban.sim.truth import CrossingTruth, FrameTruth, ViolationTruth

FRAMES, AROUND_S, SEEN = 3, 3.0, 0.5
"""visible at a line: in so many frames of so many seconds before it, and after it, so much of it could be seen"""
LEAST_OVERLAP = 0.15
"""of a track's box with the whole box of a thing, of which it may show a part"""
CAUSES = {
    "not visible": "in too few frames before or after a line could half of it be seen",
    "hidden between": "between the lines it was out of sight",
    "no track": "visible, yet found or followed in too few frames",
    "another number": "seen on both sides, under different track numbers",
    "rule": "followed under one number all the way: the rule's timing of the crossing, or its judgement",
}


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A thing in one frame. visible: share of its pixels. track: the number that follows it; None for none."""

    time_s: float
    visible: float
    track: int | None


Ways = Mapping[int, Sequence[Glimpse]]


def ways(truths: Iterable[FrameTruth], seen: Iterable[Tracks]) -> Ways:
    """object -> what was seen of it, frame by frame. seen: the tracks of the same frames."""
    found: dict[int, list[Glimpse]] = defaultdict(list)
    for truth, tracks in zip(truths, seen, strict=True):
        boxes = np.array([thing.box for thing in truth.objects]).reshape(-1, 4)
        labels = [tracks.label(row) for row in range(len(tracks))]
        alike = np.array([[1.0 if thing.label == label else 0.5 for label in labels] for thing in truth.objects])
        fit = iou(boxes, tracks.boxes) * alike.reshape(len(boxes), len(tracks))
        pairs = zip(*linear_sum_assignment(-fit), strict=True)
        taken = {int(i): int(tracks.ids[j]) for i, j in pairs if fit[i, j] >= LEAST_OVERLAP}
        for index, thing in enumerate(truth.objects):
            found[thing.id].append(Glimpse(truth.time_s, thing.visible, taken.get(index)))
    return found


def moments(violation: ViolationTruth, crossings: Iterable[CrossingTruth], leave: str = "left") -> list[float]:
    """When it went over the lines that its rule watches."""
    if violation.kind.value == "illegal_turn":
        out = [c.time_s for c in crossings if c.track == violation.track and c.line == leave]
        return [] if violation.line_s is None or not out else [violation.line_s, out[-1]]
    return [violation.at_s]


def was_visible(way: Sequence[Glimpse], at: Sequence[float]) -> bool:
    """Whether it could be seen before and after each of these moments."""
    return bool(at) and all(len(glimpses) >= FRAMES for time_s in at for glimpses in _around(way, time_s))


def cause(way: Sequence[Glimpse], at: Sequence[float]) -> str:
    """The first of CAUSES that holds for one that was missed."""
    if not was_visible(way, at):
        return "not visible"
    sides = [side for time_s in at for side in _around(way, time_s)]
    tracks = [Counter(glimpse.track for glimpse in side if glimpse.track is not None) for side in sides]
    if any(sum(numbers.values()) < FRAMES for numbers in tracks):
        return "no track"
    if len({numbers.most_common(1)[0][0] for numbers in tracks}) == 1:
        return "rule"
    between = [g for g in way if at[0] < g.time_s < at[-1] and g.visible >= SEEN]
    times = [at[0], *(g.time_s for g in between), at[-1]]
    hidden = len(at) > 1 and max(np.diff(times)) > 1.0
    return "hidden between" if hidden else "another number"


def _around(way: Sequence[Glimpse], time_s: float) -> tuple[list[Glimpse], list[Glimpse]]:
    near = [g for g in way if abs(g.time_s - time_s) <= AROUND_S and g.visible >= SEEN]
    return [g for g in near if g.time_s <= time_s], [g for g in near if g.time_s > time_s]
