"""The enforcement rules against the simulation's truth: precision and recall by kind and by condition.

Every frame goes the whole way: drawn, encoded, decoded, the vehicles found by colour, tracked, the light read from the
picture of its lamps. `python -m benchmarks.enforcement` prints the tables and writes them into
docs/roles/traffic-enforcement.md.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from actors.models import find_model, load_detector
from actors.source import open_frames
from benchmarks.enforcement_misses import AROUND_S, CAUSES, FRAMES, cause, moments, was_visible, ways
from hoaban import __version__
from hoaban.detections import Tracks
from hoaban.events import Event
from hoaban.fleet import SIM_MODEL, Camera
from hoaban.pipeline import CameraPipeline
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film
from hoaban.sim.truth import CrossingTruth, FrameTruth, PhaseTruth, SceneTruth, Truth, ViolationTruth

OVER_LINES = ("red_light", "illegal_turn")
"""of whose violations it is known when they went over a line, and so whether they could be seen there"""
KINDS = ("red_light", "stop_line", "wrong_way", "illegal_turn", "illegal_parking")
PARK_S = 15.0
EDGE_S = 4.0
"""what happens so near to the end of a run cannot be judged, and neither counts for nor against"""
GRACE_S, RED_S = 0.3, 18.0
FAR = 1e4
CONDITIONS = {
    "plain": "",
    "noise": "noise=12",
    "occlusion": "occlusion=0.2",
    "lost frames": "drop=0.2",
    "jitter": "jitter=0.4",
    "night": "night=true",
    "all together": "noise=8&occlusion=0.1&drop=0.1&jitter=0.3",
}
SEEDS, DURATION_S = (31, 32), 240
"""seeds that nobody has looked at while the rules were made: 1, 2, 11 to 13, 21 and 22 served that"""
DOC = Path(__file__).parents[1] / "docs/roles/traffic-enforcement.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def junction_camera(setup: SceneTruth) -> Camera:
    """The camera of sim://junction with every enforcement rule on it."""
    lines: list[dict[str, Any]] = [{"id": name, "from": a, "to": b} for name, (a, b) in setup.lines.items()]
    (outer,) = (lane for lane in setup.lanes if lane.id == "outer")
    lines.append({"id": "heading", "from": outer.heading[0], "to": outer.heading[1]})
    stop = {"signal": "main", "line": "stop", "direction": "backward", "point": "front"}
    rules = [
        {"type": "red_light", "zone": "box", "grace_s": GRACE_S, **stop},
        {"type": "stop_line", "yellow": False, **stop},
        {"type": "wrong_way", "line": "heading", "zone": "approach"},
        {"type": "illegal_turn", "enter": "stop", "enter_direction": "backward", "leave": ["left"]},
        {"type": "illegal_parking", "zone": "no-parking", "after_s": PARK_S},
    ]
    return Camera.model_validate(
        {
            "id": "junction", "name": "Nút giao mô phỏng", "role": "traffic_enforcement", "district": "sim",
            "owner": "sim", "source": setup.source, "analysis_fps": 30, "model": SIM_MODEL,
            "lines": lines, "zones": [{"id": name, "polygon": p} for name, p in setup.zones.items()],
            "signals": [signal_of(setup)], "calibration": setup.calibration, "rules": rules,
        }
    )  # fmt: skip


def signal_of(setup: SceneTruth) -> dict[str, Any]:
    """The signal of the scene as a fleet file has it."""
    (signal,) = setup.signals
    lamps = {name: _corners(getattr(signal, name)) for name in ("red", "yellow", "green")}
    return {"id": signal.id, "lamps": lamps}


def _corners(box: tuple[float, float, float, float]) -> list[tuple[float, float]]:
    x1, y1, x2, y2 = box
    return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


@dataclass
class Score:
    """What was right, missed and made up, of one kind under one condition.

    unsure: red-light events that say that the crossing itself was hidden. errors_s: of seconds into red, of the others.
    found, lost: the violations themselves. seen_right, seen_missed: of those that could be seen at their lines.
    """

    right: int = 0
    missed: int = 0
    wrong: int = 0
    unsure: int = 0
    errors_s: list[float] = field(default_factory=list)
    yellow_errors_s: list[float] = field(default_factory=list)
    found: list[ViolationTruth] = field(default_factory=list)
    lost: list[ViolationTruth] = field(default_factory=list)
    seen_right: int = 0
    seen_missed: int = 0
    causes: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Score") -> None:
        self.right, self.missed, self.wrong = (
            self.right + other.right,
            self.missed + other.missed,
            self.wrong + other.wrong,
        )
        self.unsure += other.unsure
        self.errors_s += other.errors_s
        self.yellow_errors_s += other.yellow_errors_s
        self.found, self.lost = self.found + other.found, self.lost + other.lost
        self.seen_right, self.seen_missed = self.seen_right + other.seen_right, self.seen_missed + other.seen_missed
        self.causes += other.causes

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        return self.right / (self.right + self.missed) if self.right + self.missed else None

    @property
    def seen_recall(self) -> float | None:
        """Of those that could be seen."""
        return self.seen_right / (self.seen_right + self.seen_missed) if self.seen_right + self.seen_missed else None


def run(source: str) -> tuple[list[Event], list[Truth], list[Tracks], dict[str, Any]]:
    """What the rules found on a simulated source, what is true of it, the tracks of each frame, and figures."""
    cv2.setNumThreads(1)
    film = Film(parse_address(source))
    camera = junction_camera(film.setup())
    truth, seen = list(film.truth()), list[Tracks]()
    phases = [record for record in truth if isinstance(record, PhaseTruth)]
    detector = load_detector(find_model(SIM_MODEL), threads=1, device="cpu")
    pipeline = CameraPipeline(camera, detector.ref, __version__)
    batch = np.empty((1, detector.input_height, detector.input_width, 3), np.uint8)
    events: list[Event] = []
    busy_s = frames = known = right = 0.0
    for picture in open_frames(source, camera.id):
        _, letterbox = picture.model_input(detector.input_width, detector.input_height, batch[0])
        (rows,) = detector.infer(batch)
        views = picture.views(pipeline.views(picture.meta))
        began_s = time.thread_time()
        step = pipeline.step_rows(picture.meta, rows, letterbox, detector.labels, views)
        busy_s += time.thread_time() - began_s
        seen.append(step.tracks)
        frames += 1
        state = pipeline.signals["main"].state.value
        if state != "unknown":
            known += 1
            now_s = picture.meta.captured_s
            right += any(p.from_s - 0.35 <= now_s <= p.to_s + 0.35 and p.colour.value == state for p in phases)
        events += [event for event in step.events if event.data["rule"]]
    figures = {"frames": frames, "known": known, "state_right": right, "step_ms": busy_s / frames * 1e3}
    return events, truth, seen, figures


def judge(events: Iterable[Event], violations: Sequence[ViolationTruth], ends_s: float) -> dict[str, Score]:
    """Each event against the violations of its kind, one to one by time; see EDGE_S for what is left out."""
    scores = {kind: Score() for kind in KINDS}
    for kind in KINDS:
        true = [v for v in violations if v.kind.value == kind]
        told = [event for event in events if event.type == f"hoaban.{kind}"]
        cost = np.array([[_apart_s(event, violation) for violation in true] for event in told]).reshape(
            len(told), len(true)
        )
        # Those that count first: what may be reported or not takes only what is left.
        cost += np.array([0.0 if _counts(violation) else 100.0 for violation in true])
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(np.minimum(cost, FAR)), strict=True) if cost[i, j] < FAR]
        score, matched = scores[kind], {int(i): true[j] for i, j in pairs}
        for index, event in enumerate(told):
            violation = matched.get(index)
            if violation is None:
                score.wrong += event.data["frames"]["past"]["captured_s"] < ends_s - 0.5
            elif _counts(violation):
                score.right += 1
                score.found.append(violation)
                _note_errors(score, event, violation)
        found = {id(violation) for violation in matched.values()}
        score.lost = [
            v for v in true
            if id(v) not in found and _counts(v) and v.until_s < ends_s - 0.1 and v.at_s < ends_s - EDGE_S
        ]  # fmt: skip
        score.missed = len(score.lost)
    return scores


def explain(scores: dict[str, Score], truth: Sequence[Truth], seen: Sequence[Tracks]) -> None:
    """Why violations were missed, and how many could be seen, into the scores of OVER_LINES."""
    followed = ways([record for record in truth if isinstance(record, FrameTruth)], seen)
    crossings = [record for record in truth if isinstance(record, CrossingTruth)]
    for score in (scores[kind] for kind in OVER_LINES):
        for violation in (*score.found, *score.lost):
            way, at = followed[violation.track], moments(violation, crossings)
            missed = violation in score.lost
            if was_visible(way, at):
                score.seen_missed, score.seen_right = score.seen_missed + missed, score.seen_right + (not missed)
            if missed:
                score.causes[cause(way, at)] += 1


def _apart_s(event: Event, violation: ViolationTruth) -> float:
    """Seconds between what an event says and a violation; FAR where the event cannot be of it."""
    before_s, at_s, past_s = (event.data["frames"][name]["captured_s"] for name in ("before", "at", "past"))
    if violation.kind.value == "red_light":  # the front passed the line between the first two moments
        apart_s = max(before_s - violation.at_s, violation.at_s - at_s, 0.0)
        return apart_s if apart_s <= 1.0 else FAR
    inside = violation.at_s - 2.0 <= past_s and at_s <= violation.until_s + 1.0
    return abs(past_s - violation.at_s) * 1e-3 if inside else FAR


def _note_errors(score: Score, event: Event, violation: ViolationTruth) -> None:
    """How far off a red-light event's times are, where it does not itself say that it did not see the crossing."""
    unsure = any("not seen" in doubt for doubt in event.data["not_evidential_because"])
    if violation.kind.value != "red_light" or event.data["seconds_into_red"] is None:
        return
    score.unsure += unsure
    if not unsure:
        score.errors_s.append(event.data["seconds_into_red"] - (violation.red_for_s or 0.0))
    if event.data["yellow_s"] is not None and violation.yellow_s is not None:
        score.yellow_errors_s.append(event.data["yellow_s"] - violation.yellow_s)


def _counts(violation: ViolationTruth) -> bool:
    """Whether the rule, as it is set here, is to report it; what it may report or not counts neither way."""
    lasted_s = violation.until_s - violation.at_s
    match violation.kind.value:
        case "red_light":
            return GRACE_S + 0.2 < (violation.red_for_s or 0.0) < RED_S - GRACE_S - 0.2
        case "stop_line":
            return lasted_s >= 2.2 and (violation.overrun_m or 0.0) >= 1.0
        case "illegal_parking":
            return lasted_s >= PARK_S + 1.0
    return True


def _one(job: tuple[str, int, int]) -> tuple[str, dict[str, Score], dict[str, Any]]:
    condition, seed, duration_s = job
    extra = CONDITIONS[condition]
    source = f"sim://junction?seed={seed}&duration={duration_s}&violations=0.9&fps=10{'&' + extra if extra else ''}"
    events, truth, seen, figures = run(source)
    scores = judge(events, [record for record in truth if isinstance(record, ViolationTruth)], duration_s)
    explain(scores, truth, seen)
    return condition, scores, figures


def measure(seeds: Sequence[int] = SEEDS, duration_s: int = DURATION_S, workers: int = 1) -> dict[str, Any]:
    """Scores by condition and kind."""
    jobs = [(condition, seed, duration_s) for condition in CONDITIONS for seed in seeds]
    table: dict[str, dict[str, Score]] = {name: {kind: Score() for kind in KINDS} for name in CONDITIONS}
    figures: dict[str, dict[str, float]] = {
        name: dict.fromkeys(("frames", "known", "state_right"), 0.0) for name in CONDITIONS
    }
    with ProcessPoolExecutor(workers) as pool:
        for condition, scores, more in pool.map(_one, jobs):
            for kind, score in scores.items():
                table[condition][kind].add(score)
            for key in figures[condition]:
                figures[condition][key] += more[key]
    return {"table": table, "figures": figures}


def as_markdown(result: dict[str, Any], seeds: Sequence[int], duration_s: int) -> str:
    """The tables for the documentation."""
    table: dict[str, dict[str, Score]] = result["table"]
    total = sum(score.right + score.missed for by_kind in table.values() for score in by_kind.values())
    lines = [
        f"{total} violations, {len(seeds)} runs of {duration_s} s a condition, 640x360 at 10 frames a second. "
        "Each cell: precision / recall (violations); after the bar, recall over those that could be seen: at each line "
        f"that makes it a violation, half of it in {FRAMES} frames of the {AROUND_S:g} s before, and in as many after.",
        "",
        "| condition | " + " | ".join(KINDS) + " |",
        "|---|" + "---|" * len(KINDS),
    ]
    everything = {kind: Score() for kind in KINDS}
    for condition, by_kind in table.items():
        lines.append(f"| {condition} | " + " | ".join(_cell(by_kind[kind]) for kind in KINDS) + " |")
        for kind in KINDS:
            everything[kind].add(by_kind[kind])
    lines += ["| **all** | " + " | ".join(_cell(everything[kind]) for kind in KINDS) + " |", ""]
    lines += [
        "| condition | light known | right where known | seconds into red, error | yellow, error |",
        "|---|---|---|---|---|",
    ]
    for condition, more in result["figures"].items():
        red = table[condition]["red_light"]
        known, right = more["known"] / more["frames"], more["state_right"] / max(more["known"], 1)
        errors = f"{_spread(red.errors_s)} | {_spread(red.yellow_errors_s)}"
        lines.append(f"| {condition} | {known:.1%} | {right:.2%} | {errors} |")
    lines += ["", "Why violations were missed, of all conditions:", "", "| cause | " + " | ".join(OVER_LINES) + " |"]
    lines.append("|---|" + "---|" * len(OVER_LINES))
    for name, words in CAUSES.items():
        lines.append(f"| {name}: {words} | " + " | ".join(str(everything[k].causes[name]) for k in OVER_LINES) + " |")
    return "\n".join(lines)


def _cell(score: Score) -> str:
    values = score.precision, score.recall, score.seen_recall
    shown = ["–" if value is None else f"{value:.2f}" for value in values]
    cell = f"{shown[0]} / {shown[1]} ({score.right + score.missed})"
    return cell if score.seen_recall is None else f"{cell} \\| {shown[2]} ({score.seen_right + score.seen_missed})"


def _spread(errors: list[float]) -> str:
    if not errors:
        return "–"
    return f"median {np.median(errors):+.2f} s, 95 % within {np.percentile(np.abs(errors), 95):.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--duration", type=int, default=DURATION_S, help="seconds a run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOC.name}")
    options = parser.parse_args()
    text = as_markdown(measure(options.seeds, options.duration, options.workers), options.seeds, options.duration)
    print(text)
    if options.write:
        before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
        DOC.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
