"""Faults of a camera that can be told without a picture: its stream is down, or its process says nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hoaban.events import Finding
from hoaban.latch import Phase
from hoaban.status import SourceState

OFFLINE, STALLED, SILENT = "offline", "stalled", "silent"
DOWN = (OFFLINE, STALLED, SILENT)
"""faults during which a camera gives nothing at all: they count against its uptime"""
RULE = "camera_health"
START_S, END_S = 2.0, 5.0
SILENT_AFTER_S = 15.0
_FAULT_OF = {SourceState.FAILED: OFFLINE, SourceState.STALLED: STALLED}


@dataclass(frozen=True, slots=True)
class Change:
    """A fault has begun or is over. since_s: when it truly did."""

    fault: str
    phase: Phase
    reason: str
    since_s: float

    def finding(self, **more: object) -> Finding:
        """As a finding of the camera_health rule."""
        return health_finding(RULE, self.fault, self.phase, self.reason, **more)


def health_finding(rule: str, fault: str, phase: Phase, reason: str, **more: object) -> Finding:
    """What a camera_health event says."""
    extra = {"fault": fault, "phase": phase, "reason": reason, **more}
    return Finding("camera_health", rule, part=f"{fault}/{phase}", extra=extra)


class StreamHealth:
    """Follows the state of a stream. A fault begins when its state has lasted START_S, and ends after END_S of frames.

    The first frames after a start end "offline" in any case: whoever ran before may have left it open.
    """

    def __init__(self) -> None:
        self._fault: str | None = None
        self._reason = ""
        self._next: tuple[str | None, float] | None = None
        self._seen_live = False

    @property
    def faults(self) -> dict[str, str]:
        """fault -> reason, now."""
        return {} if self._fault is None else {self._fault: self._reason}

    def update(self, state: SourceState, since_s: float, error: str | None, now_s: float) -> list[Change]:
        """What begins or is over now. since_s: since when the stream is in this state."""
        if state is SourceState.CONNECTING:
            return []  # neither up nor down: the last that was known stays
        fault = _FAULT_OF.get(state)
        if fault is not None and fault == self._fault:
            self._reason = error or self._reason
        if fault == self._fault and (fault is not None or self._seen_live or state is not SourceState.LIVE):
            self._next = None
            return []
        if self._next is None or self._next[0] != fault:
            self._next = fault, min(since_s, now_s)
        hold_s = START_S if fault is not None else END_S if self._fault is not None else 0.0
        began_s = self._next[1]
        if state is not SourceState.PAUSED and now_s - began_s < hold_s:
            return []
        ended = self._fault if self._fault is not None else OFFLINE
        changes = []
        if self._fault is not None or (fault is None and state is SourceState.LIVE):
            said = "frames arrive" if state is SourceState.LIVE else error or state.value
            changes.append(Change(ended, "end", said, began_s))
        if fault is not None:
            self._reason = error or state.value
            changes.append(Change(fault, "start", self._reason, began_s))
        self._seen_live = self._seen_live or state is SourceState.LIVE
        self._fault, self._next = fault, None
        return changes


class SilenceWatch:
    """Finds cameras whose process reports nothing, from the times of the last reports.

    silent: camera -> since when, from an earlier watch. Events are named by the time of the last report, so that a
    watch which begins anew, or a second one, tells the same silence by the same event.
    """

    def __init__(self, silent: Mapping[str, float] | None = None) -> None:
        self.silent: dict[str, float] = dict(silent or {})
        self._expected_s: dict[str, float] = {}

    def update(self, expected: Iterable[str], reported_s: Mapping[str, float], now_s: float) -> dict[str, Change]:
        """camera -> what begins or is over now. expected: the cameras that should run."""
        cameras = set(expected)
        self._expected_s = {c: self._expected_s.get(c, now_s) for c in cameras}
        changes = {}
        for camera in [c for c in self.silent if c not in cameras]:
            del self.silent[camera]
            changes[camera] = Change(SILENT, "end", "no longer in the fleet", now_s)
        for camera in sorted(cameras):
            last_s = reported_s.get(camera, self._expected_s[camera])
            quiet = now_s - last_s > SILENT_AFTER_S
            if quiet and camera not in self.silent:
                self.silent[camera] = last_s
                reason = "its process reports nothing; the node or the actor is down, it is started again"
                changes[camera] = Change(SILENT, "start", reason, last_s)
            elif not quiet and camera in self.silent and camera in reported_s:
                del self.silent[camera]
                changes[camera] = Change(SILENT, "end", "reports arrive", last_s)
        return changes
