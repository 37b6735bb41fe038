"""Uptime: for how much of its time a camera gave pictures. Arithmetic on intervals of time; seconds since 1970 UTC."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hoaban.schedule import Schedule
from hoaban.stream_health import DOWN

Interval = tuple[float, float]
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class FaultChange:
    """A fault of a camera began ("start") or was over ("end")."""

    camera: str
    fault: str
    phase: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Uptime:
    """Seconds for which cameras should have worked, gave nothing, and had any fault at all (those included)."""

    expected_s: float = 0.0
    down_s: float = 0.0
    faulty_s: float = 0.0

    @property
    def up(self) -> float | None:
        """Share of the expected time with pictures, 0..1; None without any expected time."""
        return None if self.expected_s <= 0 else 1.0 - self.down_s / self.expected_s

    @property
    def sound(self) -> float | None:
        """Share without any fault."""
        return None if self.expected_s <= 0 else 1.0 - self.faulty_s / self.expected_s

    def __add__(self, other: "Uptime") -> "Uptime":
        return Uptime(self.expected_s + other.expected_s, self.down_s + other.down_s, self.faulty_s + other.faulty_s)


def camera_uptime(
    changes: Iterable[FaultChange],
    since_s: float,
    until_s: float,
    known_since_s: float | None,
    silent_since_s: float | None = None,
    hours: Schedule | None = None,
) -> Uptime:
    """One camera's uptime between two times.

    changes: of this camera, the last of each fault before since_s among them. known_since_s: before that nothing was
    expected of it; None: never. silent_since_s: since when nothing is heard of it, where no event tells so yet. hours:
    when its owner shares it; outside them it is not expected to work.
    """
    if known_since_s is None or max(since_s, known_since_s) >= until_s:
        return Uptime()
    expected = [(max(since_s, known_since_s), until_s)]
    if hours is not None:
        expected = both(expected, awake(hours, expected[0][0], until_s))
    by_fault = fault_intervals(changes, until_s)
    if silent_since_s is not None:
        by_fault.setdefault("silent", []).append((silent_since_s, until_s))
    down = union(span for fault in DOWN for span in by_fault.get(fault, []))
    faulty = union(span for spans in by_fault.values() for span in spans)
    return Uptime(length(expected), length(both(expected, down)), length(both(expected, faulty)))


def fault_intervals(changes: Iterable[FaultChange], until_s: float) -> dict[str, list[Interval]]:
    """fault -> when it lasted. A fault that is not over lasts until until_s; a second start changes nothing."""
    began: dict[str, float] = {}
    found: dict[str, list[Interval]] = {}
    for change in sorted(changes, key=lambda change: change.time_s):
        if change.phase == "start":
            began.setdefault(change.fault, change.time_s)
        elif change.fault in began:
            found.setdefault(change.fault, []).append((began.pop(change.fault), change.time_s))
    for fault, begin_s in began.items():
        found.setdefault(fault, []).append((begin_s, until_s))
    return found


def union(spans: Iterable[Interval]) -> list[Interval]:
    """The same time, in order and without overlap."""
    joined: list[Interval] = []
    for begin_s, end_s in sorted(spans):
        if begin_s >= end_s:
            continue
        if joined and begin_s <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end_s)
        else:
            joined.append((begin_s, end_s))
    return joined


def both(a: Sequence[Interval], b: Sequence[Interval]) -> list[Interval]:
    """The time that is in both; each in order and without overlap."""
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        begin_s, end_s = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if begin_s < end_s:
            found.append((begin_s, end_s))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return found


def length(spans: Iterable[Interval]) -> float:
    return sum(end_s - begin_s for begin_s, end_s in spans)


def awake(hours: Schedule, since_s: float, until_s: float) -> list[Interval]:
    """When a schedule is awake between two times, to the minute, in which schedules are written."""
    spans: list[Interval] = []
    begin_s = since_s
    while begin_s < until_s:
        end_s = min((begin_s // MINUTE_S + 1) * MINUTE_S, until_s)
        if hours.awake(begin_s):
            spans.append((begin_s, end_s))
        begin_s = end_s
    return union(spans)


def by_district(uptimes: Mapping[str, Uptime], districts: Mapping[str, str]) -> dict[str, Uptime]:
    """district -> its cameras' uptimes together. districts: camera -> district."""
    found: dict[str, Uptime] = {}
    for camera, uptime in uptimes.items():
        found[districts[camera]] = found.get(districts[camera], Uptime()) + uptime
    return found
