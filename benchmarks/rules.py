"""What the rules cost: one of each kind on one camera, with 200 tracks that walk, drive, leave and come.

Views are made beforehand: cutting them out of a picture is the camera's work. Processor time, so that what else runs on
the machine disturbs little.
"""

import time
from typing import Any

import numpy as np

from hoaban.detections import Tracks
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.rules import build_rules
from hoaban.scene import Scene

WIDTH, HEIGHT, TRACKS, FPS = 1920, 1080, 200, 5
LABELS = ("person", "car", "motorcycle", "suitcase")
ZONE = {"id": "z", "polygon": [[0.05, 0.2], [0.95, 0.2], [0.95, 0.98], [0.05, 0.98]]}
LINES = (
    {"id": "l", "from": [0.0, 0.6], "to": [1.0, 0.6]},
    {"id": "m", "from": [0.3, 0.0], "to": [0.3, 1.0]},
    {"id": "n", "from": [0.8, 0.0], "to": [0.8, 1.0]},
)
NIGHT = [{"from": "00:00", "to": "12:00"}, {"from": "12:00", "to": "24:00"}]
RULES: tuple[dict[str, Any], ...] = (
    {"type": "camera_health"},
    {"type": "line_count", "line": "l", "lanes": ["z"]},
    {"type": "turning_count", "lines": ["l", "m", "n"]},
    {"type": "intrusion", "zone": "z", "schedule": NIGHT},
    {"type": "line_crossing", "line": "l", "schedule": NIGHT},
    {"type": "loitering", "zone": "z", "schedule": NIGHT},
    {"type": "abandoned_object", "zone": "z"},
    {"type": "removed_object", "zone": "z"},
    {"type": "crowd", "zone": "z", "at_least": 20},
    {"type": "congestion", "zone": "z"},
)


def scenes(frames: int, rng: np.random.Generator) -> list[Tracks]:
    """Walks of TRACKS objects; each is seen for 40 s on average, then another takes its place."""
    ids, next_id = np.arange(TRACKS), TRACKS
    feet = rng.uniform((0, 300), (WIDTH, HEIGHT), (TRACKS, 2))
    speed = rng.normal(0, 12, (TRACKS, 2))
    classes = rng.choice(len(LABELS), TRACKS, p=[0.63, 0.2, 0.15, 0.02]).astype(np.int32)
    sizes = np.array([[30, 80], [120, 80], [50, 70], [30, 30]])[classes]
    walks = []
    for _ in range(frames):
        feet = (feet + speed) % (WIDTH, HEIGHT)
        gone = rng.random(TRACKS) < 1 / (40 * FPS)
        ids = ids.copy()
        ids[gone] = np.arange(next_id, next_id + gone.sum())
        next_id += int(gone.sum())
        boxes = np.column_stack([feet[:, 0] - sizes[:, 0] / 2, feet[:, 1] - sizes[:, 1], feet[:, 0] + sizes[:, 0] / 2])
        boxes = np.column_stack([boxes, feet[:, 1]]).astype(np.float32)
        scores, hits = np.full(TRACKS, 0.8, np.float32), np.full(TRACKS, 9, np.int32)
        order = np.argsort(ids)  # as the tracker gives them
        walks.append(Tracks(ids[order].astype(np.int64), boxes[order], scores, classes[order], hits, LABELS))
    return walks


def measure(passes: int = 5) -> dict[str, Any]:
    """Milliseconds of processor time a frame: each rule, and all together.

    All passes do the very same work, so of each rule in each frame the quickest pass counts: what else ran on the
    machine's shared caches and cores at that moment is left out.
    """
    runs = [_pass() for _ in range(passes)]
    spent = np.minimum.reduce([cost for _, cost in runs]).mean(axis=0) * 1e3
    figures = {name: round(float(ms), 3) for name, ms in zip(runs[0][0], spent, strict=True)}
    return {"tracks": TRACKS, "ms_per_frame": figures, "all_ms_per_frame": round(float(spent.sum()), 3)}


def _pass(frames: int = 300, warm: int = 50) -> tuple[list[str], np.ndarray]:
    """The rules' names, and the (frames, rules) seconds that each took in each frame."""
    rng = np.random.default_rng(7)
    base = {"id": "c", "name": "C", "role": "overview", "district": "d", "owner": "o", "source": "rtsp://x/y"}
    camera = Camera.model_validate({**base, "zones": [ZONE], "lines": LINES, "rules": RULES})
    rules = build_rules(camera.rules, camera.site_for(WIDTH, HEIGHT))
    walks = scenes(frames + warm, rng)
    views = {}
    for view in dict.fromkeys(view for rule in rules for view in rule.views):
        ground = rng.integers(60, 200, (view.height or 0, view.width or 0))
        views[view] = [np.clip(ground + rng.normal(0, 3, ground.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    cost = np.zeros((len(walks), len(rules)))
    for number, tracks in enumerate(walks):
        frame = FrameMeta("c", number, number / FPS, WIDTH, HEIGHT)
        scene = Scene(frame, tracks, {view: noisy[number % 5] for view, noisy in views.items()})
        for column, rule in enumerate(rules):
            began = time.thread_time()
            rule.update(scene)
            cost[number, column] = time.thread_time() - began
    return [rule.name for rule in rules], cost[warm:]
