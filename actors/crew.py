"""Actors of one kind, kept as a plan wants them: started, asked how they are, ended, started again.

What to do is decided in hoaban/reconcile.py. The cameras are one crew, the inference actors another.
"""

import contextlib
import time
from collections.abc import Collection, Mapping
from typing import Any

import ray
import structlog
from ray.exceptions import (
    ActorAlreadyExistsError,
    ActorPlacementGroupRemoved,
    ActorUnavailableError,
    ActorUnschedulableError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)

from actors import NAMESPACE
from hoaban.reconcile import Action, Observed, Phase, Step, after_answer, after_death, plan_steps

log = structlog.get_logger(__name__)

GONE = (
    ActorPlacementGroupRemoved,
    ActorUnschedulableError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)
"""What Ray says when there is no actor any more"""


def death_of(error: Exception) -> str | None:
    """Why an actor is gone, in words, by what its answer raised; None when that does not mean its end.

    An answer that was lost or cancelled, a node out of reach for a moment, a fault in the answering itself: that is no
    answer. The actor is asked again, and ended by plan_steps when it stays so.
    """
    if not isinstance(error, GONE) or isinstance(error, ActorUnavailableError):
        return None
    if isinstance(error, OutOfMemoryError):
        return "its node ran out of memory and Ray ended it; give the node more, or less to do"
    if isinstance(error, NodeDiedError | LocalRayletDiedError):
        return "its node is gone"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    # Of an actor that failed to start, the first line tells its address and the last one what it raised.
    return lines[-1] if "creation task" in lines[0] else lines[0]


class Crew:
    """Actors by name. A kind says how one is started, asked and stopped, and hears of deaths."""

    def __init__(self, kind: str, most_starting: int) -> None:
        self.kind = kind
        self.actors: dict[str, Any] = {}
        self._observed: dict[str, Observed] = {}
        self._most_starting = most_starting
        self._asked: dict[Any, str] = {}
        self._ending: dict[Any, str] = {}
        self._adopt()

    def start(self, name: str) -> Any:
        """A new actor. May raise: then this one alone rests for a while, and is tried again."""
        raise NotImplementedError

    def configure(self, name: str) -> Any:
        """Give it its new configuration: a reference to the answer, which is that of a ping."""
        raise NotImplementedError

    def stop(self, name: str) -> Any | None:
        """Ask it to stop: a reference that is ready when it has; None for one that is simply ended."""
        return None

    def read(self, name: str, answer: Any) -> tuple[str, str]:
        """A ping's answer: the revision of what it runs, and why it must be ended though it answers, or ""."""
        return str(answer), ""

    def killed(self, name: str) -> None:
        """It is ended because it hangs; `died` follows."""

    def died(self, name: str, deaths: int, why: str) -> None:
        """It is no more, after so many deaths in a row; it is started again."""

    def not_started(self, name: str, times: int, why: str) -> None:
        """Nothing could be started, so many times in a row; it is tried again."""

    def gone(self, name: str) -> None:
        """It was ended for good."""

    @property
    def starting(self) -> bool:
        """Whether any of them is about to run for the first time, or again."""
        return any(record.phase is Phase.STARTING for record in self._observed.values())

    def tick(self, desired: Mapping[str, str], held: Collection[str] = ()) -> list[Step]:
        """Take the steps that are due; returns them. desired and held: see plan_steps."""
        steps = plan_steps(desired, self._observed, time.monotonic(), self._most_starting, held)
        for step in steps:
            log.info("step", action=step.action.value, kind=self.kind, name=step.name, why=step.why)
            try:
                self._take(step)
            except Exception:  # one actor's trouble is no reason to leave the others alone; the next tick looks again
                log.exception("step failed", action=step.action.value, kind=self.kind, name=step.name)
        self.ask()
        return steps

    def move(self, name: str, why: str) -> None:
        """Have one that runs stop; once it is gone it is started anew, where and as it should be now."""
        if name in self.actors and self._observed[name].phase in (Phase.STARTING, Phase.RUNNING):
            log.info("step", action="move", kind=self.kind, name=name, why=why)
            self._take(Step(Action.STOP, name, why))

    def hear(self) -> None:
        """Take in what was answered since."""
        self._hear_endings()
        ready, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0) if self._asked else ([], [])
        now = time.monotonic()
        for reference in ready:
            name = self._asked.pop(reference)
            seen = self._observed.get(name)
            if seen is None or seen.phase is Phase.ENDING:
                continue
            try:
                revision, stuck = self.read(name, ray.get(reference, timeout=0))
            except Exception as error:
                if (why := death_of(error)) is not None:
                    self._bury(name, after_death(seen, now), why)
                else:
                    log.warning("no answer", kind=self.kind, name=name, error=str(error))
                continue
            self._observed[name] = after_answer(seen, revision, now, stuck)

    def end_all(self, limit_s: float) -> None:
        """Stop all of them, and end those that do not within limit_s."""
        stopping = [reference for name in self.actors if (reference := self.stop(name)) is not None]
        if stopping:
            ray.wait(stopping, num_returns=len(stopping), timeout=limit_s)
        for name in list(self.actors):
            self._kill(name)

    def ray_name(self, name: str) -> str:
        return f"{self.kind}:{name}"

    def _adopt(self) -> None:
        """Find those that an earlier supervisor started."""
        for entry in ray.util.list_named_actors(all_namespaces=True):
            if entry["namespace"] == NAMESPACE and entry["name"].startswith(f"{self.kind}:"):
                name = entry["name"].removeprefix(f"{self.kind}:")
                with contextlib.suppress(ValueError):
                    self.actors[name] = ray.get_actor(entry["name"], namespace=NAMESPACE)
                    self._observed[name] = Observed(Phase.STARTING, time.monotonic())

    def ask(self) -> None:
        """Ask all of them how they are that are not asked yet."""
        waiting = set(self._asked.values())
        for name, actor in self.actors.items():
            if name not in waiting and self._observed[name].phase is not Phase.ENDING:
                self._asked[actor.ping.remote()] = name

    def _hear_endings(self) -> None:
        """Those that stopped are ended for good and forgotten; their names are free again."""
        ready, _ = ray.wait(list(self._ending), num_returns=len(self._ending), timeout=0) if self._ending else ([], [])
        for reference in ready:
            self._forget(self._ending.pop(reference))

    def _take(self, step: Step) -> None:
        name, now = step.name, time.monotonic()
        match step.action:
            case Action.START:
                deaths = self._observed[name].deaths if name in self._observed else 0
                starting = Observed(Phase.STARTING, now, deaths=deaths)
                try:
                    self.actors[name] = self.start(name)
                except ActorAlreadyExistsError:  # Ray still holds the name of one that was just killed: the next tick
                    return
                except Exception as error:
                    self._observed[name] = record = after_death(starting, now)
                    log.error("not started", kind=self.kind, name=name, times=record.deaths, exc_info=True)
                    self.not_started(name, record.deaths, f"{type(error).__name__}: {error}")
                    return
                self._observed[name] = starting
            case Action.CONFIGURE:
                if name not in self._asked.values():  # one question at a time
                    self._asked[self.configure(name)] = name
            case Action.KILL:
                self.killed(name)
                self._bury(name, after_death(self._observed[name], now), step.why)
            case Action.STOP:
                self._drop_questions(name)
                if name in self.actors and (reference := self.stop(name)) is not None:
                    self._observed[name] = Observed(Phase.ENDING, now)
                    self._ending[reference] = name
                else:
                    self._forget(name)
            case Action.END:
                self._forget(name)

    def _drop_questions(self, name: str) -> None:
        """What an actor that was ended is still asked says nothing of the next one of its name."""
        self._asked = {reference: asked for reference, asked in self._asked.items() if asked != name}

    def _bury(self, name: str, record: Observed, why: str) -> None:
        self._drop_questions(name)
        self._kill(name)
        self._observed[name] = record
        log.error("actor died", kind=self.kind, name=name, deaths=record.deaths, why=why)
        self.died(name, record.deaths, why)

    def _forget(self, name: str) -> None:
        self._observed.pop(name, None)
        self._ending = {reference: ending for reference, ending in self._ending.items() if ending != name}
        self._kill(name)
        self.gone(name)

    def _kill(self, name: str) -> None:
        if (actor := self.actors.pop(name, None)) is not None:
            with contextlib.suppress(Exception):
                ray.kill(actor)
