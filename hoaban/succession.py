"""How one set of inference actors follows another without a frame that nobody answers.

What a new set has more is started beside the old. While one of it does not answer yet, or could not load a model that
an old one has, cameras have the old ones as well; when all are ready, cameras are told of the new set alone and go over
to it by themselves (hoaban/failover.py). Only then the old ones are ended.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hoaban.failover import BACK_FOR_S
from hoaban.placement import Node, Place, place_named

LEAVE_S = BACK_FOR_S + 10.0
"""a camera looks for a nearer actor every two seconds, and goes to one that has answered for BACK_FOR_S"""
START_LIMIT_S = 120.0
"""successors of which none more answers for so long keep the old ones no longer; those that lack a model do"""


@dataclass(frozen=True, slots=True)
class Models:
    """Of an actor that answers. lacking: those it was to load at once and could not. loaded: None: it does not tell."""

    lacking: frozenset[str] = frozenset()
    loaded: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """peers: those that cameras turn to. kept: those that run. lacking: names of successors that answer -> the models
    for which the old ones are kept."""

    peers: tuple[Place, ...]
    kept: tuple[Place, ...]
    lacking: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Succession:
    """Times: seconds of one clock that runs on."""

    def __init__(self) -> None:
        self._known: dict[str, Place] = {}
        self._names: frozenset[str] = frozenset()
        self._came: frozenset[str] = frozenset()
        """of the names wanted now, those that have answered since"""
        self._waited_s: float | None = None
        self._left_s: dict[str, float] = {}

    def update(
        self,
        wanted: Sequence[Place],
        running: Collection[str],
        answering: Mapping[str, Models],
        now_s: float,
        nodes: Sequence[Node],
    ) -> Standing:
        """wanted: the places as they should be. running: names of actors that exist, also those that an earlier
        supervisor started. answering: name -> models, of those that answer and load nothing. nodes: all of the cluster.
        """
        names = frozenset(place.name for place in wanted)
        adopted = [place_named(name, nodes) for name in running if name not in self._known]
        self._known |= {place.name: place for place in (*adopted, *wanted) if place is not None}
        old = [self._known[name] for name in sorted(running) if name not in names and name in self._known]
        self._known = {name: self._known[name] for name in {*names, *(place.name for place in old)}}
        lacking = _lacking(names, [place.name for place in old], answering)
        late = self._late(names, answering, now_s)
        silent = not names <= answering.keys()
        if lacking or (silent and not late):
            starting = [place for place in wanted if place.name not in answering or place.name in lacking]
            kept = _with_room(wanted, starting, old, {node.id: node.gpus for node in nodes})
            self._left_s = {}
            return Standing((*wanted, *kept), (*wanted, *kept), lacking)
        self._left_s = {place.name: self._left_s.get(place.name, now_s) for place in old}
        kept = [place for place in old if now_s - self._left_s[place.name] < LEAVE_S]
        return Standing(tuple(wanted), (*wanted, *kept))

    def _late(self, names: frozenset[str], answering: Collection[str], now_s: float) -> bool:
        """Whether one of a set has been silent for too long. Another set, or one more that answers, is waited for anew.

        One that answers again and again, and dies between, counts once.
        """
        if names != self._names:
            self._names, self._came, self._waited_s = names, frozenset(), None
        came = self._came | names.intersection(answering)
        if came != self._came or names <= set(answering):
            self._came, self._waited_s = came, None
        if self._waited_s is None:
            self._waited_s = now_s
        return now_s - self._waited_s > START_LIMIT_S


def _lacking(
    names: Collection[str], old: Collection[str], answering: Mapping[str, Models]
) -> dict[str, frozenset[str]]:
    """Those wanted that could not load a model that an old one has; one that does not tell, or not yet, may have it."""
    told = [answering.get(name, Models()).loaded for name in old]
    found = {}
    for name in names & answering.keys():
        models = answering[name].lacking
        if had := frozenset(model for model in models if any(have is None or model in have for have in told)):
            found[name] = had
    return found


def _with_room(
    wanted: Sequence[Place], starting: Sequence[Place], old: Sequence[Place], gpus: Mapping[str, int]
) -> list[Place]:
    """The old ones, without one whose GPU a starting one waits for: a GPU takes one actor at a time.

    Not while a GPU is free, nor while one that was ended before has left a GPU to a successor that is not ready yet.
    gpus: node -> how many it has.
    """
    for node in dict.fromkeys(place.node for place in starting if place.gpus):
        there = [place for place in old if place.node == node and place.gpus]
        ready = sum(place.node == node for place in wanted) - sum(place.node == node for place in starting)
        if there and len(there) + ready >= gpus.get(node, 0):
            return [place for place in old if place is not there[0]]
    return list(old)
