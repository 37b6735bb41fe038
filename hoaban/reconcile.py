"""The fleet's reconcile step: what should run against what does, and the small steps that bring them together.

Plain functions over a snapshot, with the time given: the supervisor carries the steps out and looks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

HUNG_AFTER_S = 30.0
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 60.0
END_LIMIT_S = 8.0
STEADY_AFTER_S = 60.0
"""a camera that ran so long starts its back-off anew when it dies"""


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    DEAD = "dead"
    ENDING = "ending"
    """it left the fleet and is saving its counters; its name is free only when it is gone"""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of a camera's actor. Times are a monotonic clock's seconds."""

    phase: Phase
    since_s: float
    digest: str | None = None
    """of the configuration it runs; None before its first answer"""
    answered_s: float = 0.0
    """when it was last heard of"""
    deaths: int = 0
    """in a row, without a steady run between"""


class Action(StrEnum):
    START = "start"
    CONFIGURE = "configure"
    STOP = "stop"
    END = "end"
    """it does not stop by itself: end it, and forget it"""
    KILL = "kill"
    """it does not answer: end it, it is started again like one that died"""


@dataclass(frozen=True, slots=True)
class Step:
    action: Action
    camera: str
    why: str


def backoff_s(deaths: int) -> float:
    """How long a camera that died `deaths` times in a row rests: 1 s, doubled each time, at most a minute."""
    return 0.0 if deaths <= 0 else min(BACKOFF_FIRST_S * 2.0 ** (deaths - 1), BACKOFF_MOST_S)


def plan_steps(
    desired: Mapping[str, str], observed: Mapping[str, Observed], now_s: float, most_starting: int = 8
) -> list[Step]:
    """The steps due now, in the fleet's order: stops first, then changes, then at most `most_starting` starts at once.

    desired: camera id -> digest of its configuration. observed: camera id -> its actor. A camera whose
    configuration did not change gets no step.
    """
    steps = [
        Step(Action.STOP, camera, "no longer in the fleet")
        for camera, seen in observed.items()
        if camera not in desired and seen.phase is not Phase.ENDING
    ]
    steps += [
        Step(Action.END, camera, f"did not stop within {END_LIMIT_S:.0f} s")
        for camera, seen in observed.items()
        if seen.phase is Phase.ENDING and now_s - seen.since_s > END_LIMIT_S
    ]
    starting = sum(1 for seen in observed.values() if seen.phase is Phase.STARTING)
    for camera, digest in desired.items():
        seen = observed.get(camera)
        if seen is not None and seen.phase is Phase.ENDING:
            continue  # wanted again before it was gone: it starts when it is
        if seen is None or (seen.phase is Phase.DEAD and now_s - seen.since_s >= backoff_s(seen.deaths)):
            if starting < most_starting:
                starting += 1
                steps.append(Step(Action.START, camera, "not running" if seen is None else "died"))
        elif seen.phase is not Phase.DEAD and now_s - max(seen.answered_s, seen.since_s) > HUNG_AFTER_S:
            steps.append(Step(Action.KILL, camera, f"no answer for {HUNG_AFTER_S:.0f} s"))
        elif seen.phase is Phase.RUNNING and seen.digest is not None and seen.digest != digest:
            steps.append(Step(Action.CONFIGURE, camera, "configuration changed"))
    order = [Action.STOP, Action.END, Action.KILL, Action.CONFIGURE, Action.START]
    return sorted(steps, key=lambda step: order.index(step.action))


def after_death(seen: Observed, now_s: float) -> Observed:
    """The record of an actor that was found dead."""
    steady = seen.phase is Phase.RUNNING and now_s - seen.since_s >= STEADY_AFTER_S
    return Observed(Phase.DEAD, now_s, deaths=1 if steady else seen.deaths + 1)


def after_answer(seen: Observed, digest: str, now_s: float) -> Observed:
    """The record of an actor that answered with the digest of its configuration."""
    since_s = seen.since_s if seen.phase is Phase.RUNNING else now_s
    return Observed(Phase.RUNNING, since_s, digest, now_s, seen.deaths)
