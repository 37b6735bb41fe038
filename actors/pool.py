"""The inference actors of a cluster, kept as hoaban/placement.py wants them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors import NAMESPACE
from actors.crew import Crew
from actors.inference import InferenceActor
from actors.shadows import ShadowKeeper
from actors.turns import ModelTurns
from hoaban.fleet import UNLOAD_AFTER_S
from hoaban.placement import Node, Place
from hoaban.pool_health import Hang, Pulse, Quarantine, hang_of
from hoaban.pool_size import Load
from hoaban.reconcile import Step
from hoaban.succession import Models, Succession

log = structlog.get_logger(__name__)

KIND = "inference"
MOST_STARTING = 64
"""one a GPU or node; none waits for another"""


class PoolCrew(Crew):
    """One inference actor a place. A model that hung in one is kept away from the next in that place for a while."""

    def __init__(self, session: str, turns: ModelTurns, shadows: ShadowKeeper | None = None) -> None:
        self._session, self._turns, self._shadows = session, turns, shadows
        self._models: list[str] = []
        self._unload_after_s: float | None = UNLOAD_AFTER_S
        self._told: dict[str, tuple[list[str], float | None]] = {}
        self._places: dict[str, Place] = {}
        self._succession = Succession()
        self.peers: Sequence[Place] = ()
        """those that cameras turn to"""
        self.loads: dict[str, Load] = {}
        """of those that are ready: they answer, and load no model"""
        self._have: dict[str, Models] = {}
        """of these, too"""
        self._lacking: Mapping[str, frozenset[str]] = {}
        self._hangs: dict[str, Hang] = {}
        self._quarantine: dict[str, Quarantine] = {}
        super().__init__(KIND, MOST_STARTING)

    def keep(
        self,
        places: Sequence[Place],
        nodes: Sequence[Node],
        models: Sequence[str],
        unload_after_s: float | None = UNLOAD_AFTER_S,
    ) -> list[Step]:
        """One step towards actors in these places; see hoaban/succession.py for those that run in others.

        nodes: all of the cluster. models: what a new one loads at once, and what stays loaded in all of them.
        unload_after_s: how long any other model stays that no camera asks for; None: it stays too.
        """
        standing = self._succession.update(
            places, [self.ray_name(name) for name in self.actors], self._have, time.monotonic(), nodes
        )
        if standing.lacking != self._lacking:
            self._lacking = standing.lacking
            lacking = {name: sorted(models) for name, models in standing.lacking.items()}
            log.warning("inference actors before them stay while models cannot be loaded", lacking=lacking)
        self.peers = standing.peers
        self._places = {place.name.removeprefix(f"{KIND}:"): place for place in standing.kept}
        self._models, self._unload_after_s = list(models), unload_after_s
        steps = self.tick(dict.fromkeys(self._places, ""))
        self._tell()
        self._turns.tick(self.actors)
        return steps

    @property
    def nodes(self) -> dict[str, str]:
        """Name of an actor that runs -> its node."""
        return {self.ray_name(name): self._places[name].node for name in self.actors if name in self._places}

    def _tell(self) -> None:
        """Have actors that run keep what the fleet asks for now."""
        told = self._models, self._unload_after_s
        for name, actor in self.actors.items():
            if self._told.get(name) != told:
                actor.keep.remote(*told)
                self._told[name] = told

    def start(self, name: str) -> Any:
        place = self._places[name]
        device = "auto" if place.gpus else "cpu"  # auto: without a GPU build of the back end, the processor
        barred = self._quarantine.setdefault(name, Quarantine()).barred(time.monotonic())
        log.info("inference actor starts", name=place.name, threads=place.threads, device=device, barred=barred)
        self._told[name] = self._models, self._unload_after_s
        return InferenceActor.options(
            name=self.ray_name(name),
            namespace=NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            num_gpus=place.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
        ).remote(
            place.name,
            self._session,
            self._models,
            place.threads,
            device,
            barred,
            self._turns.started(name),
            self._unload_after_s,
        )

    def read(self, name: str, answer: Pulse) -> tuple[str, str]:
        self._hangs.pop(name, None)
        if answer.loading is None:
            self.loads[self.ray_name(name)] = Load(answer.lag, answer.busy)
            self._have[self.ray_name(name)] = _models(answer)
        if (hang := hang_of(answer)) is None:
            return "", ""
        self._hangs[name] = hang
        return "", hang.why

    def died(self, name: str, deaths: int, why: str) -> None:
        self.gone(name)

    def gone(self, name: str) -> None:
        self.loads.pop(self.ray_name(name), None)
        self._have.pop(self.ray_name(name), None)

    def killed(self, name: str) -> None:
        hang = self._hangs.pop(name, None)
        if hang is None or hang.model is None:
            return
        ended = self._shadows is not None and self._shadows.hung(hang.model, hang.why)
        if not (ended or self._turns.hung(name, hang.model, hang.why)):
            self._quarantine.setdefault(name, Quarantine()).hung(hang.model, time.monotonic())


def _models(pulse: Pulse) -> Models:
    """Which models an actor has. One that runs code of before pulses told of them has left these fields unset."""
    return Models(getattr(pulse, "lacking", frozenset()), getattr(pulse, "loaded", None))
