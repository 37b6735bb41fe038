"""What a rule is shown of one analysed frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hoaban.detections import Tracks
from hoaban.frames import FrameMeta
from hoaban.signals import SignalView

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class View:
    """A piece of the picture that a rule looks at itself.

    box: left, top, right, bottom as fractions of the picture. width, height: pixels it is scaled to; None keeps the
    picture's own. colour: "bgr" gives (h, w, 3), "luma" (h, w), both uint8. Rules that ask for an equal view share it.
    """

    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    width: int | None = None
    height: int | None = None
    colour: Literal["bgr", "luma"] = "bgr"


@dataclass(frozen=True, slots=True)
class Scene:
    """One analysed frame.

    views: what the rules asked for, less what the picture cannot give. faults: what is wrong with the camera now, by
    name ("moved", "wrong_time", …), with the reason in words; a rule whose findings must stand as evidence looks here.
    signals: what the camera's traffic signals show, by their id. gap_s: of the time before this frame, how much nobody
    watched; lost_s: the same of all frames so far (hoaban/watched.py).
    """

    frame: FrameMeta
    tracks: Tracks
    views: Mapping[View, Pixels] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, SignalView] = field(default_factory=dict)
    gap_s: float = 0.0
    lost_s: float = 0.0

    @property
    def now_s(self) -> float:
        """The frame's capture time."""
        return self.frame.captured_s

    @property
    def watched_s(self) -> float:
        """The clock for whatever must last: capture time that stands still while no picture comes."""
        return self.frame.captured_s - self.lost_s
