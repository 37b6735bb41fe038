"""What trackers are judged on: detections of each frame, and who was there.

Four kinds, from the most real to the most complete:

- `pets`: a real clip with public truth for 7 frames only.
- `chains`: the same clip, whole. Nobody wrote down who is who, so the public detections stand in: a chain is a run of
  them that can only be one person. Pseudo truth: it shows broken tracks, but says nothing of who is who once people
  covered each other.
- `tud`: real people's boxes and names (TUD-Stadtmitte, which motmetrics ships), seen by a made-up detector.
- `drawn`: a made-up street with all the truth there is, seen by the same made-up detector.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import motmetrics
import numpy as np
from numpy.typing import NDArray

from actors.models import find_clip, find_model, load_detector
from actors.source import open_frames
from hoaban.detections import Detections
from hoaban.geometry import iou

CLIP, TRUTH, PUBLIC = "pets-s2l1-v1.mp4", "PETS09-S2L1_gt_subset.txt", "PETS09-S2L1_det.txt"
PETS_FPS = 10.0
LABELS = ("person", "motorcycle")


@dataclass(frozen=True, slots=True)
class People:
    """Who is in a frame. ids: (n,). boxes: (n, 4) xyxy pixels."""

    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """Frames in order, each with its time and detections, and the truth of those (by index) that have one.

    whole: the truth names all who are there, so that a track of nobody is wrong.
    """

    name: str
    times_s: tuple[float, ...]
    detections: tuple[Detections, ...]
    truth: dict[int, People]
    whole: bool = True

    def at(self, fps: float) -> "Scene":
        """Every so many frames only, as a camera that analyses `fps` of them sees it."""
        every = (len(self.times_s) - 1) / (self.times_s[-1] - self.times_s[0]) / fps
        kept = list(dict.fromkeys(round(k * every) for k in range(int((len(self.times_s) - 1) / every) + 1)))
        truth = {new: self.truth[old] for new, old in enumerate(kept) if old in self.truth}
        times, seen = (tuple(values[old] for old in kept) for values in (self.times_s, self.detections))
        return Scene(f"{self.name}, {fps:g} fps", times, seen, truth, self.whole)


def mot_rows(path: Path) -> dict[int, NDArray[np.float64]]:
    """frame (from 1) -> rows of a MOT file: id, left, top, width, height, score."""
    table = np.loadtxt(path, delimiter=",", comments="#")
    return {int(frame): table[table[:, 0] == frame][:, 1:7] for frame in np.unique(table[:, 0])}


def people(rows: NDArray[np.float64]) -> People:
    """Rows of a MOT file as boxes."""
    return People(rows[:, 0].astype(np.int64), np.concatenate([rows[:, 1:3], rows[:, 1:3] + rows[:, 3:5]], axis=1))


def public_detections(folder: Path) -> list[Detections]:
    """The detections that were published with the PETS truth."""
    found = mot_rows(folder / PUBLIC)
    frames = []
    for frame in range(1, max(found) + 1):
        rows = found.get(frame, np.zeros((0, 6)))
        scores = np.clip(rows[:, 5], 0, 1).astype(np.float32)
        boxes = people(rows).boxes.astype(np.float32)
        frames.append(Detections(boxes, scores, np.zeros(len(rows), np.int32), ("person",)))
    return frames


def own_detections(min_score: float) -> list[Detections]:
    """yolox-nano's on the same clip, people only, as a camera's pipeline gets them."""
    cv2.setNumThreads(1)
    detector = load_detector(find_model("yolox-nano"), device="cpu")
    frames = []
    for picture in open_frames(str(find_clip(CLIP)), "pets"):
        pixels, letterbox = picture.model_input(detector.input_width, detector.input_height)
        rows = detector.infer(pixels[None])[0]
        rows = rows[(rows[:, 5] == 0) & (rows[:, 4] >= min_score)]
        size = picture.meta.width, picture.meta.height
        frames.append(Detections.from_rows(rows, letterbox, detector.labels, *size))
    return frames


def pets(folder: Path, detections: list[Detections], name: str) -> Scene:
    """The 7 frames of public truth."""
    truth = {frame - 1: people(rows) for frame, rows in mot_rows(folder / TRUTH).items()}
    times = tuple(i / PETS_FPS for i in range(len(detections)))
    return Scene(name, times, tuple(detections), truth)


def chains(
    public: list[Detections], detections: list[Detections], name: str, least_s: float = 1.5, near: float = 0.45
) -> Scene:
    """The whole clip with chains of public detections as pseudo truth.

    Two detections of neighbouring frames are linked when they overlap by `near`, each is the other's best, and neither
    overlaps anybody else by a fifth. A chain of at least least_s counts. Chains end where a person is covered or missed
    once, so a person is several chains.
    """
    ids = [np.zeros(len(frame), np.int64) for frame in public]
    latest = 0
    for index, frame in enumerate(public):
        ids[index][:] = np.arange(latest + 1, latest + 1 + len(frame))
        latest += len(frame)
        if index == 0 or len(frame) == 0 or len(public[index - 1]) == 0:
            continue
        overlap = iou(public[index - 1].boxes, frame.boxes)
        likely = overlap >= 0.2
        alone = likely & (likely.sum(axis=0) == 1)[None] & (likely.sum(axis=1) == 1)[:, None] & (overlap >= near)
        before, now = np.nonzero(alone)
        ids[index][now] = ids[index - 1][before]
    names, lengths = np.unique(np.concatenate(ids), return_counts=True)
    long = names[lengths >= least_s * PETS_FPS]
    truth = {}
    for index, frame in enumerate(public):
        kept = np.isin(ids[index], long)
        truth[index] = People(ids[index][kept], frame.boxes[kept].astype(np.float64))
    times = tuple(i / PETS_FPS for i in range(len(public)))
    return Scene(name, times, tuple(detections), truth, whole=False)


def tud(seed: int = 1) -> Scene:
    """Real people who walk past each other, seen by the made-up detector."""
    path = Path(motmetrics.__file__).parent / "data/TUD-Stadtmitte/gt.txt"
    truth = {frame - 1: people(rows) for frame, rows in mot_rows(path).items()}
    detector = _Detector(np.random.default_rng(seed), 640, 480)
    frames = tuple(detector.see(truth[index], np.zeros(len(truth[index].ids), np.int32)) for index in sorted(truth))
    return Scene("tud", tuple(i / 25 for i in range(len(frames))), frames, truth)


def drawn(walkers: int = 14, riders: int = 6, seconds: float = 40, seed: int = 1) -> Scene:
    """A street, 1280x720 at 30 fps: people who walk, stand and turn, and motorcycles that cross it at 5 to 11 m/s.

    A person is 1.7 m, so metres are heights: near ones are 130 pixels high, far ones 50. All keep coming back.
    """
    chance = np.random.default_rng(seed)
    fps, width, height = 30, 1280, 720
    movers = [_Mover(chance, rider, width, height) for rider in [False] * walkers + [True] * riders]
    truth, frames, detector = {}, [], _Detector(chance, width, height)
    for index in range(int(seconds * fps)):
        boxes = np.array([mover.step(1 / fps) for mover in movers])
        ids = np.array([mover.name + 1000 * k for k, mover in enumerate(movers)], np.int64)
        kinds = np.array([mover.rider for mover in movers], np.int32)
        middle = boxes[:, :2] / 2 + boxes[:, 2:] / 2
        there = ((middle > 0) & (middle < (width, height))).all(axis=1)
        all_there = People(ids[there], boxes[there])
        frames.append(detector.see(all_there, kinds[there]))
        seen = covered(all_there.boxes) < 0.9  # nobody is asked to see who is hidden
        truth[index] = People(all_there.ids[seen], all_there.boxes[seen])
    return Scene("drawn", tuple(i / fps for i in range(len(frames))), tuple(frames), truth)


def moving(objects: int, seconds: float = 40, fps: float = 5, seed: int = 1) -> Scene:
    """So many objects that wander over a 1920x1080 picture, to take the time; nobody judges who is who."""
    chance = np.random.default_rng(seed)
    size = np.array([1920, 1080])
    places, speeds = chance.uniform(0, size, (objects, 2)), chance.normal(0, 40, (objects, 2))
    halves = chance.uniform(15, 45, (objects, 1)) * (0.5, 1)
    frames = []
    for index in range(int(seconds * fps)):
        middles = np.mod(places + speeds * index / fps, size) + chance.normal(0, 1.5, (objects, 2))
        boxes = np.concatenate([middles - halves, middles + halves], axis=1)[chance.random(objects) > 0.05]
        scores = chance.uniform(0.4, 0.95, len(boxes)).astype(np.float32)
        frames.append(Detections(boxes.astype(np.float32), scores, np.zeros(len(boxes), np.int32), ("person",)))
    return Scene(f"{objects} objects", tuple(i / fps for i in range(len(frames))), tuple(frames), {})


def covered(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the greatest share of each box that one nearer to the camera (its foot lower in the picture) covers."""
    if len(boxes) == 0:
        return np.zeros(0)
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    nearer = boxes[None, :, 3] > boxes[:, None, 3]
    share: NDArray[np.float64] = (shared * nearer).max(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return share


class _Detector:
    """A made-up detector: trembling boxes, scores that fall with what is covered, misses, flicker, things that are not.

    Its errors last, as real ones do: each object has a mood that drifts over half a second, and a false object stays
    for a while where it is.
    """

    def __init__(self, chance: np.random.Generator, width: int, height: int) -> None:
        self._chance, self._size = chance, np.array([width, height])
        self._moods: dict[int, float] = {}
        self._ghosts: list[tuple[NDArray[np.float64], int]] = []

    def see(self, there: People, kinds: NDArray[np.int32]) -> Detections:
        chance = self._chance
        hidden = covered(there.boxes)
        boxes, scores, classes = [], [], []
        for name, box, share, kind in zip(there.ids, there.boxes, hidden, kinds, strict=True):
            mood = 0.93 * self._moods.get(int(name), 0.0) + chance.normal(0, 0.05)
            self._moods[int(name)] = mood
            score = 0.8 + mood - 0.7 * share + chance.normal(0, 0.04)
            if share > 0.7 or score < 0.1 or chance.random() < 0.03:
                continue
            sides = np.tile(box[2:] - box[:2], 2)
            boxes.append(box + chance.normal(0, 0.03, 4) * sides)
            scores.append(score)
            classes.append(kind)
        self._haunt()
        for box, kind in self._ghosts:
            if chance.random() < 0.5:
                boxes.append(box + chance.normal(0, 1.5, 4))
                scores.append(chance.uniform(0.2, 0.65))
                classes.append(kind)
        rows = np.array(boxes).reshape(-1, 4)
        rows = np.clip(rows, 0, np.tile(self._size, 2)).astype(np.float32)
        clipped = np.clip(np.array(scores), 0, 0.99).astype(np.float32)
        return Detections(rows, clipped, np.array(classes, np.int32), LABELS)

    def _haunt(self) -> None:
        chance = self._chance
        self._ghosts = [ghost for ghost in self._ghosts if chance.random() > 1 / 60]
        if chance.random() < 1 / 45:
            corner, tall = chance.uniform(0, self._size), chance.uniform(40, 110)
            box = np.array([corner[0], corner[1], corner[0] + tall * 0.45, corner[1] + tall])
            self._ghosts.append((box, int(chance.random() < 0.3)))


class _Mover:
    """Somebody on the street: where the foot point is, and how it goes on."""

    def __init__(self, chance: np.random.Generator, rider: bool, width: int, height: int) -> None:
        self._chance, self.rider, self._width, self._height = chance, rider, width, height
        self.name = 0
        self._enter()
        if not rider:
            self._x = chance.uniform(0, width)

    def _tall(self) -> float:
        return 50 + 80 * (self._y - 0.25 * self._height) / (0.75 * self._height)

    def _enter(self) -> None:
        chance = self._chance
        self.name += 1
        self._way = -1 if chance.random() < 0.5 else 1
        self._x = -40.0 if self._way > 0 else self._width + 40.0
        self._y = chance.uniform(0.3, 1.0) * self._height
        self._metres_s = chance.uniform(5, 11) if self.rider else chance.uniform(0.8, 1.8)
        self._slope, self._stands_s = chance.normal(0, 0.15), 0.0
        self._wide = chance.uniform(0.6, 1.1) if self.rider else chance.uniform(0.35, 0.45)

    def step(self, elapsed_s: float) -> NDArray[np.float64]:
        """The box after so long."""
        chance = self._chance
        metre = self._tall() / 1.7
        if self._stands_s > 0:
            self._stands_s -= elapsed_s
        else:
            self._x += self._way * self._metres_s * metre * elapsed_s
            self._y += self._slope * self._metres_s * metre * elapsed_s
            self._y = float(np.clip(self._y, 0.28 * self._height, 1.02 * self._height))
            if not self.rider and chance.random() < elapsed_s / 12:
                self._stands_s = chance.uniform(1, 6)
            if not self.rider and chance.random() < elapsed_s / 10:
                self._way, self._slope = -self._way, chance.normal(0, 0.4)
        if not -60 < self._x < self._width + 60:
            self._enter()
        tall = self._tall()
        wide = tall * self._wide
        return np.array([self._x - wide / 2, self._y - tall, self._x + wide / 2, self._y])
