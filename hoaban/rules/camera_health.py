"""The camera's own health: frozen, dark, blurred, covered, moved, wrong time. Offline is told where no frames come.

The faults of a moment are also shown to the other rules of the camera (Scene.faults), which come after this one.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from hoaban.clock_watch import ClockWatch
from hoaban.events import Finding
from hoaban.latch import Latch
from hoaban.picture_health import FrozenWatch, PictureHealth
from hoaban.rules.base import RuleConfig, Site
from hoaban.scene import Pixels, Scene, View
from hoaban.stream_health import health_finding
from hoaban.view_reference import JUDGE_EVERY_S, ViewReference

WHOLE = View(width=160, height=90, colour="luma")
SHARPER = View(box=(0.3, 0.3, 0.7, 0.7), width=256, height=144, colour="luma")
LOOK_EVERY_S = 1.0
DRIFT = 0.001
"""3.6 s an hour; a sound crystal keeps to a tenth of that"""


class CameraHealthRule(RuleConfig):
    """An event whenever a fault of the camera begins or is over. Seconds: how long its sign must hold."""

    type: Literal["camera_health"]
    frozen_s: float = Field(20.0, gt=0, description="above the stream's key frame interval")
    dark_s: float = Field(10.0, ge=0)
    blurred_s: float = Field(20.0, ge=0)
    covered_s: float = Field(5.0, ge=0)
    moved_s: float = Field(120.0, ge=0)
    wrong_time_s: float = Field(2.0, gt=0, description="the camera's time of day may be off by so much")
    learn_s: float = Field(60.0, gt=0, description="how long the view is learned that `moved` compares with")
    view: str = Field("1", description="another value learns the view anew, after the camera was turned on purpose")

    def build(self, site: Site) -> "CameraHealth":
        return CameraHealth(self)


class CameraHealth:
    """Looks at two small views of the picture and at the frames' times."""

    views: tuple[View, ...] = (WHOLE, SHARPER)

    def __init__(self, config: CameraHealthRule) -> None:
        self.name, self._config = config.name, config
        self._latches = {
            "frozen": Latch(config.frozen_s, 0.5),
            "covered": Latch(config.covered_s, 5.0),
            "dark": Latch(config.dark_s, 5.0),
            "blurred": Latch(config.blurred_s, 10.0),
            "moved": Latch(config.moved_s, min(30.0, config.moved_s)),
            "wrong_time": Latch(30.0, 60.0),
        }
        self._frozen, self._clock = FrozenWatch(), ClockWatch()
        self._picture, self._reference = PictureHealth(), ViewReference(config.learn_s)
        self._looked_s = self._judged_s = float("-inf")
        self._elsewhere = False

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong now: fault -> reason in words."""
        return {name: latch.reason for name, latch in self._latches.items() if latch.on}

    def due(self, now_s: float) -> bool:
        """Whether the picture of a frame of this time is to be looked at: once a second is enough, for views cost."""
        return now_s < self._looked_s or now_s - self._looked_s >= LOOK_EVERY_S

    def update(self, scene: Scene) -> list[Finding]:
        frame, now_s = scene.frame, scene.now_s
        if now_s < self._looked_s:
            self._looked_s = self._judged_s = float("-inf")
        due = self.due(now_s)
        if frame.arrived_s is not None:
            self._clock.frame(frame.arrived_s, frame.stream_s, frame.told_s)
        found: list[Finding] = []
        whole, sharper = scene.views.get(WHOLE), scene.views.get(SHARPER)
        if not due or whole is None or sharper is None:
            return found
        self._looked_s, now_s = now_s, scene.watched_s
        still_s = self._frozen.update((whole, sharper), now_s)
        found += self._turn("frozen", still_s > 0, now_s, f"not one grey level has changed for {still_s:.0f} s")
        if not self._latches["frozen"].on:
            found += self._look(whole, sharper, now_s)
        return found

    def take_over(self, other: "CameraHealth") -> None:
        """Go on with what another one, of an older configuration, has learned."""
        self._frozen, self._clock, self._picture = other._frozen, other._clock, other._picture
        for name, latch in self._latches.items():
            latch.on, latch.reason = other._latches[name].on, other._latches[name].reason
        if self._config.view == other._config.view and self._config.learn_s == other._config.learn_s:
            self._reference = other._reference

    def memory(self) -> dict[str, Any]:
        """What a successor needs after a restart, as plain JSON values."""
        return {"view": self._config.view, "reference": self._reference.saved(), "faults": self.faults}

    def remember(self, saved: Mapping[str, Any]) -> None:
        """Go on from a memory; one for another configured view gives its faults only."""
        for name, reason in saved.get("faults", {}).items():
            if name in self._latches:
                self._latches[name].on, self._latches[name].reason = True, str(reason)
        if saved.get("view") == self._config.view and saved.get("reference"):
            with suppress(ValueError, KeyError):  # a damaged one is as good as none: the view is learned anew
                self._reference.restore(saved["reference"])

    def _look(self, whole: Pixels, sharper: Pixels, now_s: float) -> list[Finding]:
        signs = self._picture.update(whole, sharper, now_s)
        lost = f"{1 - signs.detail:.0%} of the picture has suddenly lost its detail; clean or free the lens"
        found = self._turn("covered", signs.covered, now_s, lost)
        covered = self._latches["covered"].on or bool(signs.covered)
        dark = f"brightness {signs.brightness:.0f} of 255 on average and nothing brighter"
        found += self._turn("dark", signs.dark and not covered, now_s, dark)
        soft = f"{signs.sharpness:.0%} of the usual sharpness is left; focus or clean the lens"
        # Another view has another sharpness: a camera that was turned is not blurred for that.
        found += self._turn("blurred", None if self._elsewhere else signs.blurred, now_s, soft)
        if covered or signs.dark:
            self._reference.forget_view()
        else:
            self._reference.look(whole, now_s)
        if now_s - self._judged_s >= JUDGE_EVERY_S:
            self._judged_s = now_s
            found += self._judge_view(bool(signs.blurred), now_s) + self._judge_clock(now_s)
        return found

    def _judge_view(self, blurred: bool, now_s: float) -> list[Finding]:
        verdict = self._reference.judge()
        if blurred and verdict.moved and not verdict.placed:
            verdict = replace(verdict, moved=None)  # a view that cannot be recognised for blur is no other view
        self._elsewhere = bool(verdict.moved)
        if verdict.moved is None and not self._reference.known and self._latches["moved"].on:
            return self._turn("moved", False, now_s)  # it is being learned anew
        return self._turn("moved", verdict.moved, now_s, verdict.reason)

    def _judge_clock(self, now_s: float) -> list[Finding]:
        offset_s, drift = self._clock.offset_s, self._clock.drift
        if offset_s is None and drift is None:
            return []
        reasons = []
        if offset_s is not None and abs(offset_s) > self._config.wrong_time_s:
            ahead = "ahead" if offset_s > 0 else "behind"
            reasons.append(f"the camera's clock is {abs(offset_s):.1f} s {ahead}; give it a time server")
        if drift is not None and abs(drift) > DRIFT:
            reasons.append(f"its stream's clock {'gains' if drift > 0 else 'loses'} {abs(drift) * 3600:.0f} s an hour")
        return self._turn("wrong_time", bool(reasons), now_s, "; ".join(reasons))

    def _turn(self, fault: str, bad: bool | None, now_s: float, reason: str = "") -> list[Finding]:
        latch = self._latches[fault]
        phase = latch.update(bad, now_s, reason)
        return [] if phase is None else [health_finding(self.name, fault, phase, latch.reason)]
