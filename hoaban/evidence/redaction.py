"""Whom a picture of a violation may show: the vehicle that it is about. All others are hidden."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Floats
from hoaban.privacy import head_boxes

SAME_IOU = 0.3
"""a vehicle that overlaps the subject's box by so much is the subject"""
GROWN = 0.05

Box = tuple[float, float, float, float]


def as_box(sides: Iterable[float]) -> Box:
    x1, y1, x2, y2 = (float(side) for side in sides)
    return x1, y1, x2, y2


@dataclass(frozen=True, slots=True)
class Subject:
    """Where the vehicle was, at the moments that are known: capture times, and xyxy boxes in pixels."""

    times: Sequence[float]
    boxes: Sequence[Box]

    @classmethod
    def of(cls, frames: Mapping[str, Mapping[str, Any]]) -> "Subject":
        """From an event's `frames`: captured_s and bbox of each moment."""
        moments = sorted(frames.values(), key=lambda frame: float(frame["captured_s"]))
        return cls([float(frame["captured_s"]) for frame in moments], [as_box(frame["bbox"]) for frame in moments])

    def at(self, captured_s: float, slack_s: float = 0.0) -> Box | None:
        """Its box at a time between two moments, straight from one to the next. None before the first, after the last.

        slack_s: so far outside of them the nearest moment's box still counts.
        """
        if not self.times or not self.times[0] - slack_s <= captured_s <= self.times[-1] + slack_s:
            return None
        sides = np.asarray(self.boxes, np.float64)
        return as_box(np.interp(captured_s, self.times, side) for side in sides.T)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What of a picture is to be hidden: first the vehicles, then `clear` is as it was again, then the heads.

    heads, vehicles: (n, 4) xyxy pixels. clear: the subject's box, None where no subject is known.
    """

    heads: Floats
    vehicles: Floats
    clear: Box | None

    def joined(self, others: Iterable["Hidden"]) -> "Hidden":
        """With what is hidden in the pictures around this one: who is missed in one picture is found in the next."""
        heads, vehicles = self.heads, self.vehicles
        for other in others:
            heads, vehicles = np.concatenate([heads, other.heads]), np.concatenate([vehicles, other.vehicles])
        if self.clear is not None:
            heads = heads[~_within(self.clear, heads)]
        return Hidden(heads, vehicles, self.clear)


def to_hide(subject: Box | None, people: Floats, faces: Floats, vehicles: Floats) -> Hidden:
    """Faces and heads outside of the subject's vehicle, and whole other vehicles: a plate may be anywhere on one.

    All boxes: (n, 4) xyxy pixels of the picture.
    """
    clear, others = subject, vehicles
    if subject is not None and len(vehicles):
        overlaps = iou(subject, vehicles)
        best = int(np.argmax(overlaps))
        if overlaps[best] >= SAME_IOU:
            clear = as_box(vehicles[best].tolist())
            others = np.delete(vehicles, best, axis=0)
    heads = np.concatenate([faces.reshape(-1, 4), head_boxes(people)]).astype(np.float32)
    if clear is not None:
        heads = heads[~_within(clear, heads)]
    margin = (others[:, 2:] - others[:, :2]) * np.float32(GROWN)
    grown = np.concatenate([others[:, :2] - margin, others[:, 2:] + margin], axis=1).astype(np.float32)
    return Hidden(heads, grown, clear)


def iou(box: Box, boxes: Floats) -> Floats:
    """(n,) overlap of a box with each of (n, 4) boxes: intersection over union."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    own = (box[2] - box[0]) * (box[3] - box[1])
    theirs = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(common / np.maximum(own + theirs - common, 1e-9), np.float32)


def _within(box: Box, boxes: Floats) -> NDArray[np.bool_]:
    """(n,) whether the middle of each of (n, 4) boxes lies in a box."""
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
    x1, y1, x2, y2 = box
    return np.asarray((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2), np.bool_)
