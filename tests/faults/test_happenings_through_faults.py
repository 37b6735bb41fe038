"""Seeded faults over one camera's rules: whatever happens in between, each beginning that was told has one end.

A run is named by its seed, which is printed. HOABAN_FAULT_RUNS says how many (`make faults`: many).
"""

import os
import random
from collections import Counter

import numpy as np
import pytest

from hoaban.detections import Detections
from hoaban.events import Event, ModelRef
from hoaban.fleet import Camera
from hoaban.frames import FrameMeta
from hoaban.incidents.joining import happening
from hoaban.lasting import OpenHappenings
from hoaban.pipeline import CameraPipeline

pytestmark = pytest.mark.faults

RUNS = int(os.environ.get("HOABAN_FAULT_RUNS", "6"))
ZONE = {"id": "z", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
RULES = [
    {"type": "crowd", "zone": "z", "at_least": 3, "hold_s": 1},
    {"type": "congestion", "zone": "z", "hold_s": 2, "smooth_s": 0.5, "fuller_than": [0.01, 0.02, 0.03]},
    {"type": "abandoned_object", "zone": "z", "after_s": 2, "picture": False},
]
PEOPLE = [(100.0 + 60 * i, 100.0, 130.0 + 60 * i, 190.0, 0) for i in range(3)]
CARS = [(20.0 + 110 * i, 230.0, 110.0 + 110 * i, 300.0, 1) for i in range(5)]
SUITCASE = [(500.0, 150.0, 530.0, 180.0, 2)]
FAULTS = (
    "none", "killed", "outage", "clock back", "clock ahead", "other size", "renamed", "rule edited", "slow", "fast",
)  # fmt: skip


def camera(**fields: object) -> Camera:
    base = {"id": "cam", "name": "C", "role": "shared", "district": "d", "owner": "o", "source": "rtsp://127.0.0.1/x"}
    return Camera.model_validate(base | {"zones": [ZONE], "rules": RULES} | fields)


class Life:
    """A camera through its restarts: what was told, and what the place that takes events holds for open."""

    def __init__(self, seed: int) -> None:
        self.random, self.now_s, self.seq = random.Random(seed), 1_800_000_000.0, 0
        self.camera, self.size, self.period_s = camera(), (640, 360), 0.2
        self.told, self.noted = list[Event](), OpenHappenings()
        self.begin()

    def begin(self) -> None:
        self.pipeline = CameraPipeline(self.camera, ModelRef("m", "1", "d"), "c")

    def show(self, boxes: list[tuple[float, ...]], seconds: float) -> None:
        rows = np.array(boxes, np.float32).reshape(-1, 5)
        labels = ("person", "car", "suitcase")
        seen = Detections(rows[:, :4], np.full(len(rows), 0.9, np.float32), rows[:, 4].astype(np.int32), labels)
        ends_s = self.now_s + seconds
        while self.now_s < ends_s:
            events = self.pipeline.step(FrameMeta("cam", self.seq, self.now_s, *self.size), seen).events
            self.told += events
            for event in events:
                self.noted.take(event)
            self.seq, self.now_s = self.seq + 1, self.now_s + self.period_s

    def suffer(self, fault: str) -> None:
        match fault:
            case "killed":
                watched_s, left = self.now_s, self.noted.drain()
                for event in left:
                    self.noted.take(event)
                self.now_s += self.random.choice((3.0, 600.0))
                self.begin()
                self.pipeline.resume(left, watched_s)
            case "outage" | "clock ahead":
                self.now_s += self.random.uniform(3, 7200)
            case "clock back":
                self.now_s -= 3600.0 + self.random.random()
            case "other size":
                self.size = (self.size[0] + 2 if self.size[0] < 650 else 640, 360)
            case "renamed":
                self.edit(name=f"C{self.seq}")
            case "rule edited":
                changed = RULES[0] | {"grow_by": self.random.uniform(0.4, 0.9)}
                self.edit(rules=[changed, *RULES[1:]])
            case "slow":
                self.period_s = 1.0
            case "fast":
                self.period_s = 1 / 60

    def edit(self, **fields: object) -> None:
        self.camera = camera(**fields)
        self.pipeline.reconfigure(self.camera)


@pytest.mark.parametrize("run", range(RUNS))
def test_each_beginning_has_one_end(run: int) -> None:
    seed = int(os.environ.get("HOABAN_FAULT_SEED", "0")) + run
    print(f"seed {seed}")
    life = Life(seed)
    for _ in range(8):
        boxes = [box for some in (PEOPLE, CARS, SUITCASE) if life.random.random() < 0.6 for box in some]
        life.show(boxes, life.random.uniform(2, 12))
        life.suffer(life.random.choice(FAULTS))
    life.period_s = 0.2
    life.show([], 60)
    assert life.noted.drain() == []
    open_ = Counter[str]()
    for event in life.told:
        known = happening(event.type.removeprefix("hoaban."), "cam", 0.0, event.data, None)
        key = f"{event.data['rule']}/{event.data.get('object', '')}"
        open_[key] += known.begins - (known.over and event.data.get("was") != "slow")
        assert open_[key] in (0, 1), (seed, key)
    assert not +open_, (seed, open_)
    assert len({event.id for event in life.told}) == len(life.told)
    assert life.told
