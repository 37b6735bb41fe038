"""The fleet's reconcile step: what should run against what does, and the small steps that bring them together.

Plain functions over a snapshot, with the time given: the supervisor carries the steps out and looks again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

HUNG_AFTER_S = 30.0
START_LIMIT_S = 120.0
"""a process that starts beside many others on a busy node, and loads what it needs, answers late"""
BACKOFF_FIRST_S = 1.0
BACKOFF_MOST_S = 60.0
END_LIMIT_S = 8.0
STEADY_AFTER_S = 60.0
"""an actor that ran so long starts its back-off anew when it dies"""


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    DEAD = "dead"
    ENDING = "ending"
    """it left the fleet and is saving its counters; its name is free only when it is gone"""


@dataclass(frozen=True, slots=True)
class Observed:
    """What is known of an actor. Times are a monotonic clock's seconds."""

    phase: Phase
    since_s: float
    revision: str | None = None
    """of the configuration it runs; None before its first answer"""
    answered_s: float = 0.0
    """when it was last heard of"""
    deaths: int = 0
    """in a row, without a steady run between"""
    stuck: str = ""
    """why it must be ended though it answers, in words"""


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
    name: str
    why: str


def backoff_s(deaths: int) -> float:
    """How long an actor that died `deaths` times in a row rests: 1 s, doubled each time, at most a minute."""
    return 0.0 if deaths <= 0 else min(BACKOFF_FIRST_S * 2.0 ** (deaths - 1), BACKOFF_MOST_S)


def plan_steps(
    desired: Mapping[str, str],
    observed: Mapping[str, Observed],
    now_s: float,
    most_starting: int = 8,
    held: Collection[str] = (),
) -> list[Step]:
    """The steps due now, in the fleet's order: stops first, then changes, then at most `most_starting` starts at once.

    desired: name of an actor -> revision of its configuration. observed: name -> what is known of it. held: those that
    cannot be started now, and take nobody's place among the starting. One whose configuration did not change gets no
    step.
    """
    steps = [
        Step(Action.STOP, name, "no longer in the fleet")
        for name, seen in observed.items()
        if name not in desired and seen.phase is not Phase.ENDING
    ]
    steps += [
        Step(Action.END, name, f"did not stop within {END_LIMIT_S:.0f} s")
        for name, seen in observed.items()
        if seen.phase is Phase.ENDING and now_s - seen.since_s > END_LIMIT_S
    ]
    starting = sum(1 for seen in observed.values() if seen.phase is Phase.STARTING)
    for name, revision in desired.items():
        seen = observed.get(name)
        if seen is not None and seen.phase is Phase.ENDING:
            continue  # wanted again before it was gone: it starts when it is
        if seen is None or (seen.phase is Phase.DEAD and now_s - seen.since_s >= backoff_s(seen.deaths)):
            if starting < most_starting and name not in held:
                starting += 1
                steps.append(Step(Action.START, name, "not running" if seen is None else "died"))
        elif seen.phase is not Phase.DEAD and seen.stuck:
            steps.append(Step(Action.KILL, name, seen.stuck))
        elif seen.phase is not Phase.DEAD and now_s - max(seen.answered_s, seen.since_s) > _limit_s(seen):
            steps.append(Step(Action.KILL, name, f"no answer for {_limit_s(seen):.0f} s"))
        elif seen.phase is Phase.RUNNING and seen.revision is not None and seen.revision != revision:
            steps.append(Step(Action.CONFIGURE, name, "configuration changed"))
    order = [Action.STOP, Action.END, Action.KILL, Action.CONFIGURE, Action.START]
    return sorted(steps, key=lambda step: order.index(step.action))


def _limit_s(seen: Observed) -> float:
    return START_LIMIT_S if seen.phase is Phase.STARTING else HUNG_AFTER_S


def after_death(seen: Observed, now_s: float) -> Observed:
    """The record of an actor that was found dead."""
    steady = seen.phase is Phase.RUNNING and now_s - seen.since_s >= STEADY_AFTER_S
    return Observed(Phase.DEAD, now_s, deaths=1 if steady else seen.deaths + 1)


def after_answer(seen: Observed, revision: str, now_s: float, stuck: str = "") -> Observed:
    """The record of an actor that answered with the revision of its configuration; stuck: why it must be ended."""
    since_s = seen.since_s if seen.phase is Phase.RUNNING else now_s
    return Observed(Phase.RUNNING, since_s, revision, now_s, seen.deaths, stuck)
