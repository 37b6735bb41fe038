"""What the rules cost: every kind at once on one camera, with 200 tracks that walk, drive, leave and come.

Views are made beforehand: cutting them out of a picture is the camera's work, and so is finding faces. Of faces, 20 are
searched among 1,000 entries; of plates it is chosen which are read, which another thread does. Processor time of the
thread, all frames of all passes; `yardstick` is one fixed piece of numpy work, done beside every frame, so that a busy
or slow machine shows: the ratio compares between runs, milliseconds hardly do. Where many share the machine even the
ratio grows: compare two versions by turns. `fires`: frames in which a rule found something. Some rules look twice a
second only: means count that, medians do not.

With three tracks the rules together already cost about a third of what they cost with 200: it is some hundred
calls of numpy and the steps between them, spread evenly, and the search among faces, one product of matrices.

No camera bears all of that: tracks jump and give about ten findings a frame. `NAME camera` is what the rules of one
such camera of examples/dien-bien cost under the same tracks.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from hoaban.detections import Tracks
from hoaban.events import Finding, ModelRef
from hoaban.faces.gallery import Gallery, WatchlistEntry
from hoaban.faces.quality import MEASURES
from hoaban.faces.rows import Faces
from hoaban.faces.watch import FaceWatch, Look
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.plate_watch import ListedPlate, PlateWatch
from hoaban.plates import parse_plate
from hoaban.rules import RULE_KINDS, build_rules
from hoaban.scene import Scene
from hoaban.signals import Phase, SignalState, SignalView

WIDTH, HEIGHT, TRACKS, FPS = 1920, 1080, 200, 5
FEWER = (0, 3, 9, 50)
"""tracks: what most cameras see, for the price that does not grow with them"""
FACES, ENTRIES, DIMENSION = 20, 1000, 128
BEGIN_S, RED_S = 1_800_000_000.0, 18.0
LABELS = ("person", "car", "motorcycle", "suitcase")
ZONE = {"id": "z", "polygon": [[0.05, 0.2], [0.95, 0.2], [0.95, 0.98], [0.05, 0.98]]}
LINES = (
    {"id": "l", "from": [0.0, 0.6], "to": [1.0, 0.6]},
    {"id": "m", "from": [0.3, 0.0], "to": [0.3, 1.0]},
    {"id": "n", "from": [0.8, 0.0], "to": [0.8, 1.0]},
)
CALIBRATION = {
    "id": "c",
    "measured": "2026-01-01",
    "picture": [[0.1, 0.9], [0.9, 0.9], [0.3, 0.2], [0.7, 0.2]],
    "ground_m": [[-20, 0], [20, 0], [-20, 90], [20, 90]],
}
NIGHT = [{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "24:00"}]
BASIS = {"law": "l", "authority": "a", "document": "d", "valid_until": "2099-01-01T00:00:00Z"}
LIGHT = {"signal": "s", "line": "l", "direction": "backward", "point": "front"}
RULES: tuple[dict[str, Any], ...] = (
    {"type": "camera_health"},
    {"type": "line_count", "line": "l", "lanes": ["z"]},
    {"type": "turning_count", "lines": ["l", "m", "n"]},
    {"type": "red_light", "zone": "z", **LIGHT},
    {"type": "stop_line", **LIGHT},
    {"type": "wrong_way", "line": "m", "zone": "z"},
    {"type": "illegal_turn", "enter": "l", "leave": ["m", "n"]},
    {"type": "illegal_parking", "zone": "z", "signal": "s"},
    {"type": "intrusion", "zone": "z", "schedule": NIGHT},
    {"type": "line_crossing", "line": "l", "schedule": NIGHT},
    {"type": "loitering", "zone": "z", "schedule": NIGHT},
    {"type": "abandoned_object", "zone": "z"},
    {"type": "removed_object", "zone": "z"},
    {"type": "crowd", "zone": "z", "at_least": 20},
    {"type": "congestion", "zone": "z"},
    {"type": "face_watchlist", "zone": "z", "watchlist": ["w"], "threshold": 0.45, "lawful_basis": BASIS},
    {"type": "plate_watchlist", "zone": "z", "watchlist": ["w"], "lawful_basis": BASIS},
)
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "dien-bien"
ROLES = ("traffic-enforcement", "traffic-counting", "face-crowd", "overview", "neighbourhood", "shared")
"""files of EXAMPLES: the first camera of each"""
MODEL = ModelRef("embedder", "1", "d")


def scenes(frames: int, rng: np.random.Generator, count: int = TRACKS) -> list[Tracks]:
    """Walks of `count` objects; one that leaves the picture or, after 40 s on average, is lost gives way to another."""
    ids, next_id = np.arange(count), count
    feet = rng.uniform((0, 300), (WIDTH, HEIGHT), (count, 2))
    speed, hits = rng.normal(0, 12, (count, 2)), np.ones(count, np.int32)
    classes = rng.choice(len(LABELS), count, p=[0.63, 0.2, 0.15, 0.02]).astype(np.int32)
    sizes = np.array([[30, 80], [120, 80], [50, 70], [30, 30]])[classes]
    walks = []
    for _ in range(frames):
        feet = feet + speed
        gone = (rng.random(count) < 1 / (40 * FPS)) | ((feet < 0) | (feet > (WIDTH, HEIGHT))).any(axis=1)
        feet[gone] = rng.uniform((0, 300), (WIDTH, HEIGHT), (int(gone.sum()), 2))
        ids, hits = ids.copy(), np.where(gone, 1, hits + 1).astype(np.int32)
        ids[gone] = np.arange(next_id, next_id + gone.sum())
        next_id += int(gone.sum())
        boxes = np.column_stack([feet[:, 0] - sizes[:, 0] / 2, feet[:, 1] - sizes[:, 1], feet[:, 0] + sizes[:, 0] / 2])
        boxes = np.column_stack([boxes, feet[:, 1]]).astype(np.float32)
        order = np.argsort(ids)  # as the tracker gives them
        scores = np.full(count, 0.8, np.float32)
        walks.append(Tracks(ids[order].astype(np.int64), boxes[order], scores, classes[order], hits[order], LABELS))
    return walks


def measure(passes: int = 5) -> dict[str, Any]:
    """Milliseconds of processor time a frame: each rule, and all together."""
    runs = [_pass(_every_kind()) for _ in range(passes)]
    spent = np.concatenate([cost for _, cost, _, _ in runs]) * 1e3
    fires = np.concatenate([fired for _, _, fired, _ in runs])
    yard_ms = float(np.median(np.concatenate([yard for _, _, _, yard in runs]))) * 1e3
    together = spent.sum(axis=1)
    rules = {name: _figures(column) for name, column in zip(runs[0][0], spent.T, strict=True)}
    every = _figures(together)
    return {
        "tracks": TRACKS,
        **{f"{name}: {key}": value for name, figures in rules.items() for key, value in figures.items()},
        **{f"all: {key}": value for key, value in every.items()},
        "all: 95 % of frames within": round(float(np.percentile(together, 95)), 3),
        "fires: share of frames": round(float(fires.mean()), 3),
        "fires: median ms of these": round(float(np.median(together[fires])), 3) if fires.any() else None,
        "fires: median ms of the others": round(float(np.median(together[~fires])), 3) if not fires.all() else None,
        "yardstick: median ms": round(yard_ms, 3),
        "all, median, in yardsticks": round(every["median ms"] / yard_ms, 2),
        **{key: value for count in FEWER for key, value in _cost(_every_kind(), f"all, {count} tracks", count).items()},
        **{key: value for role in ROLES for key, value in _role(role).items()},
    }


def _role(role: str) -> dict[str, Any]:
    """What the rules of one camera of a role cost."""
    camera = Camera.model_validate(
        yaml.safe_load((EXAMPLES / f"{role}.yaml").read_text(encoding="utf-8"))["cameras"][0]
    )
    return _cost(camera, f"{role} camera", TRACKS) | _cost(camera, f"{role} camera, {FEWER[2]} tracks", FEWER[2])


def _cost(camera: Camera, name: str, tracks: int, passes: int = 2) -> dict[str, Any]:
    """All rules of a camera together."""
    runs = [_pass(camera, tracks=tracks) for _ in range(passes)]
    figures = _figures(np.concatenate([cost.sum(axis=1) for _, cost, _, _ in runs]) * 1e3)
    yard_ms = float(np.median(np.concatenate([yard for _, _, _, yard in runs]))) * 1e3
    return {
        **{f"{name}: {key}": value for key, value in figures.items()},
        f"{name}: median in yardsticks": round(figures["median ms"] / yard_ms, 2),
    }


def _figures(spent: np.ndarray) -> dict[str, float]:
    return {"median ms": round(float(np.median(spent)), 3), "mean ms": round(float(spent.mean()), 3)}


def _every_kind() -> Camera:
    """A camera with a rule of each kind."""
    base = {"id": "c", "name": "C", "role": "face_crowd", "district": "d", "owner": "o", "source": "rtsp://x/y"}
    site = {"zones": [ZONE], "lines": LINES, "signals": [{"id": "s", "feed": {}}], "calibration": CALIBRATION}
    camera = Camera.model_validate({**base, **site, "rules": RULES})
    if missing := set(RULE_KINDS) - {rule.type for rule in camera.rules}:
        raise ValueError(f"rule kinds without a measurement: {', '.join(sorted(missing))}")
    return camera


def _pass(
    camera: Camera, frames: int = 300, warm: int = 50, tracks: int = TRACKS
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """The rules' names, (frames, rules) seconds, (frames,) whether any found something, (frames,) yardstick."""
    cv2.setNumThreads(1)  # as in a camera's process
    rng = np.random.default_rng(7)
    rules = build_rules(camera.rules, camera.site_for(WIDTH, HEIGHT))
    walks = scenes(frames + warm, rng, tracks)
    views = {}
    for view in dict.fromkeys(view for rule in rules for view in rule.views):
        ground = rng.integers(60, 200, (view.height or 0, view.width or 0))
        views[view] = [np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    jobs: dict[str, Callable[[Any], list[Finding]]] = {rule.name: rule.update for rule in rules}
    search = look_at = None
    if camera.face_rules:
        look_at, search = _faces(camera, rng)
        jobs[camera.face_rules[0].name] = search
    if camera.plate_rules:
        jobs[camera.plate_rules[0].name] = _plates(camera)
    cost, fired, yard = np.zeros((len(walks), len(jobs))), np.zeros(len(walks), bool), np.zeros(len(walks))
    numbers = rng.normal(size=(400, 400))
    for number, walked in enumerate(walks):
        frame = FrameMeta("c", number, BEGIN_S + number / FPS, WIDTH, HEIGHT)
        seen = {view: noisy[number % 5] for view, noisy in views.items()}
        lights = {signal.id: _light(signal.id, frame.captured_s) for signal in camera.signals}
        scene = Scene(frame, walked, seen, {}, lights)
        look = look_at(scene) if look_at else None
        for column, job in enumerate(jobs.values()):
            shown = look if job is search else scene
            began = time.thread_time()
            found = job(shown)
            cost[number, column] = time.thread_time() - began
            fired[number] |= bool(found)
        began = time.thread_time()
        np.sort(numbers, axis=1)
        yard[number] = time.thread_time() - began
    return list(jobs), cost[warm:], fired[warm:], yard[warm:]


def _light(signal: str, now_s: float) -> SignalView:
    """Red and green by turns, RED_S each."""
    began = int((now_s - BEGIN_S) // RED_S)
    states = (SignalState.RED, SignalState.GREEN)
    turns = [(states[turn % 2], BEGIN_S + turn * RED_S) for turn in range(max(0, began - 4), began + 1)]
    return SignalView(signal, "lamps", tuple(Phase(state, at_s, at_s) for state, at_s in turns), now_s)


def _plates(camera: Camera) -> Callable[[Scene], list[Finding]]:
    """The choice of vehicles whose plates are read, of which none is listed."""
    watch, plate = PlateWatch(camera, "bench"), parse_plate("29B-999.99")
    watch.set_watchlist([ListedPlate(f"{i:04}", "w", f"{i:04}", f"30A{i:05}", np.inf) for i in range(ENTRIES)])

    def choose(scene: Scene) -> list[Finding]:
        for look in watch.choose(scene.frame, scene.tracks, MODEL):
            watch.take(look, plate)
        watch.pins()
        return []

    return choose


def _faces(camera: Camera, rng: np.random.Generator) -> tuple[Callable[[Scene], Look], Callable[[Look], list[Finding]]]:
    """Faces of the first FACES tracks, one in four of which is like an entry; and the rule that searches them."""
    (config,) = camera.face_rules
    watch = FaceWatch(config, camera.zones[0], WIDTH, HEIGHT)
    people = rng.normal(size=(ENTRIES, DIMENSION)).astype(np.float32)
    entries = [WatchlistEntry(f"{i:04}", "w", f"{i:04}", people[i], MODEL.digest, np.inf) for i in range(ENTRIES)]
    gallery = Gallery.for_model(entries, ["w"], MODEL.digest)

    strangers, nothing = np.roll(people, 1, axis=1), np.zeros((FACES, 5, 2), np.float32)
    unmeasured, usable = np.zeros((FACES, len(MEASURES)), np.float32), np.zeros(FACES, np.int32)

    def look_at(scene: Scene) -> Look:
        tracks = scene.tracks
        ids, boxes, scores = tracks.ids[:FACES], tracks.boxes[:FACES], tracks.scores[:FACES]
        templates = np.where(ids[:, None] % 4 == 0, people[ids % ENTRIES], strangers[ids % ENTRIES])
        count = len(ids)
        faces = Faces(boxes, nothing[:count], scores, unmeasured[:count], usable[:count], templates)
        return Look(scene.frame.seq, scene.now_s, faces, ids)

    return look_at, lambda look: watch.update(look, gallery, MODEL, look.now_s)
