"""What a supervisor that starts makes of the inference actors that run: none is ended for what it does not know yet."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.board import DRAINS, ERA, POOL, Board
from actors.crew import Crew
from actors.embedded_redis import EmbeddedRedis
from actors.pool import PoolCrew, _models
from actors.pool_scaler import PoolScaler
from actors.promotions import PromotionRegistry
from actors.supervisor import Supervisor, SystemSettings
from actors.turns import ModelTurns
from hoaban.placement import Node, inference_places
from hoaban.pool_health import Pulse, hang_of
from hoaban.pool_size import PoolSettings
from hoaban.reconcile import Observed, Phase
from hoaban.succession import Models

NODES = [Node("n" * 20, 6, 0), Node("d" * 20, 6, 0)]
SETTINGS = PoolSettings(least=1, most=6)
FLEET = """
version: 1
province: {name: Test}
districts: [{id: d, name: D}]
agencies: [{id: o, name: O}]
models: {pool: {least: 1, most: 6, threads: 1}}
cameras: []
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


def wanted(scaler: PoolScaler, running: int) -> int:
    return len(scaler.places(NODES, "", SETTINGS, {}, running))


def test_a_pool_that_runs_keeps_its_size_and_a_new_one_begins_with_the_least(live: EmbeddedRedis) -> None:
    board = Board(live.url)
    scaler = PoolScaler(board)
    assert wanted(scaler, 0) == 1
    board.put_json(POOL, {"wanted": 4})
    assert wanted(scaler, 1) == 1  # it is asked once
    board.put_json(POOL, {"wanted": 4})
    assert wanted(PoolScaler(board), 5) == 4  # five run: one leaves
    board.put_json(POOL, {"wanted": 4})
    assert wanted(PoolScaler(board), 0) == 1  # of a system that was ended since
    board.put_json(POOL, {})
    assert wanted(PoolScaler(board), 3) == 3
    live.stop()
    assert wanted(PoolScaler(board), 3) == 3


class _Runs:
    """Takes the place of an actor's handle: asked, it never answers."""

    class ping:  # noqa: N801 - a handle's method is called so
        @staticmethod
        def remote(*_: Any) -> object:
            return object()

    keep = ping


@pytest.mark.parametrize("away", ["board", "fleet"])
def test_a_supervisor_that_starts_amid_an_upgrade_and_a_drain_ends_none_before_its_successor_serves(
    tmp_path: Path, live: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    stay, leave = NODES
    runs = [place.name for place in (*inference_places(NODES, "1", 1)[:4], *inference_places([stay], "2", 1)[:2])]

    def adopt(crew: Crew) -> None:
        if crew.kind == "inference":
            crew.actors = {name.removeprefix("inference:"): _Runs() for name in runs}
            crew._observed = {name: Observed(Phase.STARTING, time.monotonic()) for name in crew.actors}

    monkeypatch.setattr(Crew, "_adopt", adopt)
    monkeypatch.setattr(
        "actors.supervisor.ray.nodes",
        lambda: [
            {
                "NodeID": node.id,
                "Alive": True,
                "Resources": {"CPU": node.cpus},
                "NodeManagerAddress": "",
                "NodeManagerHostname": "",
            }
            for node in NODES
        ],
    )
    board = Board(live.url)
    board.put_json(ERA, {"era": "2"})
    board.put_json(DRAINS, {leave.id: {}})
    board.put_json(POOL, {"wanted": 2})
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET if away == "board" else "version: 1")
    if away == "board":
        live.stop()
    supervisor = Supervisor(SystemSettings("s", live.url, str(tmp_path), (str(fleet),)))
    assert supervisor.tick() == []
    assert len(supervisor._pool._asked) == len(runs)  # so that none counts as hung later
    if away == "board":
        live.start()
    fleet.write_text(FLEET)
    supervisor._pool._asked = {}
    assert supervisor.tick() == []
    assert {f"inference:{name}" for name in supervisor._pool.actors} == set(runs)
    assert {place.name for place in supervisor._pool.peers} == set(runs)


def test_what_an_actor_tells_of_its_models_decides_whether_it_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = NODES[:1]
    old, new = inference_places(nodes, "1"), inference_places(nodes, "2")
    names = [place.name.removeprefix("inference:") for place in (*old, *new)]

    def adopt(crew: Crew) -> None:
        crew.actors = {name: _Runs() for name in names}
        crew._observed = {name: Observed(Phase.STARTING, time.monotonic()) for name in names}

    monkeypatch.setattr(Crew, "_adopt", adopt)
    crew = PoolCrew("s", ModelTurns(PromotionRegistry(tmp_path)))
    has = Pulse(loaded=frozenset({"m"}))

    def peers(**told: Pulse) -> set[str]:
        for name, pulse in told.items():
            crew.read(names[("old", "new").index(name)], pulse)
        crew.keep(new, nodes, ["m"])
        return {place.name for place in crew.peers}

    both = {place.name for place in (*old, *new)}
    assert peers(old=has, new=Pulse(loading=("m", 1.0), lacking=frozenset({"m"}))) == both
    assert peers(new=Pulse(lacking=frozenset({"m"}))) == both
    assert peers(new=has) == {new[0].name}
    crew.died(names[1], 1, "")
    assert peers() == both


def test_an_actor_of_code_from_before_does_not_tell_of_its_models_and_is_heard() -> None:
    told = Pulse.__new__(Pulse)
    told.__setstate__([None, None, 0.0, 0.0, 0.5])  # type: ignore[attr-defined]  # as it is unpickled
    assert hang_of(told) is None
    assert _models(told) == Models(loaded=None)
    assert _models(Pulse(lacking=frozenset("a"), loaded=frozenset("b"))) == Models(frozenset("a"), frozenset("b"))
