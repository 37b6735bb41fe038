"""Events of the neighbourhood, crowd and overview rules against the exact truth of simulated scenes.

Each scene runs through the pipeline as `hoaban replay` runs it, with the simulation's own detector: what is judged is
tracking and rules, not how well a real detector sees a real street. A happening counts if it lasted as long as its rule
asks for, where a rule asks for a time a second longer; it is found if the rule told it while it went on, or up to
LATE_S later. `late_s` is the median time from that moment to the event, below 0 within the spare second.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from actors.models import find_model, load_detector
from actors.source import open_frames
from cli.sim import fleet_document
from hoaban.events import Event
from hoaban.fleet import Camera
from hoaban.pipeline import CameraPipeline
from hoaban.sampling import FrameSampler
from hoaban.sim.address import parse_address
from hoaban.sim.film import Film
from hoaban.sim.truth import HappeningTruth
from hoaban.tiling import Part, Sweeps

LATE_S = 12.0
EARLY_S = 1.0
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Watched:
    """A rule on a scene. least_s: how long a happening must last to count, and from which on the rule can know of it.
    lasts: whether it goes on for a while; else it is a moment."""

    scene: str
    seconds: float
    rule: dict[str, Any]
    least_s: float
    lasts: bool = True


WATCHED = (
    Watched("yard", 300, {"type": "intrusion", "zone": "yard", "classes": ["person"], "min_height": 0.12}, 1.0),
    Watched("yard", 300, {"type": "loitering", "zone": "corner", "after_s": 20}, 21.0),
    Watched("yard", 300, {"type": "abandoned_object", "zone": "pavement", "after_s": 15}, 16.0),
    Watched("yard", 300, {"type": "removed_object", "zone": "yard", "after_s": 10}, 10.0, lasts=False),
    Watched("plaza", 180, {"type": "crowd", "zone": "square", "at_least": 15}, 3.0),
    Watched("overview", 200, {"type": "congestion", "zone": "eastbound", "hold_s": 10}, 10.0),
)


def replayed(address: str, rules: list[dict[str, Any]], analysis_fps: float = 5) -> list[Event]:
    """Events of a camera on a simulated source, as `hoaban replay` gives them."""
    cv2.setNumThreads(1)
    (entry,) = fleet_document(parse_address(address))["cameras"]  # type: ignore[misc]
    camera = Camera.model_validate(entry | {"rules": rules, "analysis_fps": analysis_fps, "model": "sim-colours"})
    detector = load_detector(find_model("sim-colours"), threads=1, device="cpu")
    pipeline, sampler, sweeps = CameraPipeline(camera, detector.ref, "bench"), FrameSampler(analysis_fps), Sweeps(None)
    events: list[Event] = []
    for picture in open_frames(address, camera.id):
        if not sampler.due(picture.meta.captured_s):
            continue
        sweep = sweeps.begin(picture.meta.width, picture.meta.height)
        pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
        sweep.parts.append(Part(detector.infer(pixels[None])[0], letterbox))
        views = picture.views(pipeline.views(picture.meta))
        events += pipeline.step_parts(picture.meta, sweep.parts, detector.labels, views).events
    return events


def starts(events: list[Event], kind: str) -> list[float]:
    """When happenings of a kind were told to have begun, seconds of media time."""
    told, bad = [], False
    for event in events:
        if event.type != f"hoaban.{kind}":
            continue
        if kind == "congestion":
            was, bad = bad, event.data["level"] in ("congested", "jam")
            begins = bad and not was
        else:
            begins = event.data.get("phase", "start") == "start"
        if begins:
            told.append(event.time.timestamp())
    return told


def happened(address: str, watched: Watched) -> Iterator[HappeningTruth]:
    """What the scene's truth says happened, of the kind and in the zone that a rule watches."""
    for record in _told(address):
        if (
            record.kind.value == watched.rule["type"]
            and record.zone == watched.rule["zone"]
            and (not watched.lasts or record.to_s - record.from_s >= watched.least_s)
        ):
            yield record


@lru_cache(maxsize=4)
def _told(address: str) -> tuple[HappeningTruth, ...]:
    """The happenings of a scene; all of its rules are judged by them."""
    truth = Film(parse_address(address)).truth(frames=False)
    return tuple(record for record in truth if isinstance(record, HappeningTruth))


def match(told: list[float], truth: list[HappeningTruth], watched: Watched) -> tuple[list[float], int]:
    """How late each found happening was told, and how many told ones did not happen."""
    left, late = sorted(told), []
    for happening in sorted(truth, key=lambda one: one.from_s):
        known_s = happening.from_s + watched.least_s
        until_s = max(happening.to_s, known_s) + LATE_S
        found = next((at for at in left if happening.from_s - EARLY_S <= at <= until_s), None)
        if found is not None:
            left.remove(found)
            late.append(found - known_s)
    return late, len(left)


def measure(seeds: tuple[int, ...] = SEEDS) -> dict[str, Any]:
    """For each rule: happenings, how many of them were found, how many were told that did not happen, how late."""
    figures: dict[str, Any] = {}
    for scene in dict.fromkeys(watched.scene for watched in WATCHED):
        rules = [watched for watched in WATCHED if watched.scene == scene]
        sums: dict[str, list[Any]] = {watched.rule["type"]: [0, [], 0] for watched in rules}
        for seed in seeds:
            address = f"sim://{scene}?seed={seed}&duration={rules[0].seconds:.0f}"
            events = replayed(address, [watched.rule for watched in rules])
            for watched in rules:
                kind = watched.rule["type"]
                truth = list(happened(address, watched))
                late, false = match(starts(events, kind), truth, watched)
                sums[kind][0] += len(truth)
                sums[kind][1] += late
                sums[kind][2] += false
        for kind, (count, late, false) in sums.items():
            figures[f"{kind} ({scene})"] = {
                "happened": count,
                "found": len(late),
                "false": false,
                "late_s": round(float(np.median(late)), 1) if late else None,
            }
    return figures
