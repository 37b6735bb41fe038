"""Promotions and rollbacks reach inference actors that run, and those that start: real Ray, real processes."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import ray

from actors.local_ray import start_local
from actors.models import find_model
from actors.promotions import PromotionRegistry
from hoaban import pool_health
from hoaban.evaluation.report import ModelIdentity
from hoaban.models.promotion import Step, rollback
from hoaban.reconcile import Action
from tests.integration.test_pool import Pool, Watched
from tests.torch_models import Bright, Fails, Hangs, write_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "bright", Bright())
    write_model(folder, "other", Bright(), size=96, version="2")
    write_model(folder, "fails", Fails())
    write_model(folder, "hangs", Hangs())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOABAN_MODEL_PATH", str(folder))  # Ray's workers inherit it
        start_local(2)
        yield folder
        ray.shutdown()


class Running:
    """A pool that serves a camera of the model `bright`, and its registry."""

    def __init__(self, data: Path) -> None:
        self.registry = PromotionRegistry(data)
        self.pool = Pool(["bright"], data)
        self.camera = Watched("bright", self.pool.peer)

    def promote(self, name: str) -> None:
        new, old = (ModelIdentity.of(find_model(model).card) for model in (name, "bright"))
        step = Step(kind="promote", place="bright", before=old, after=new, at=datetime.now(UTC), by="test")
        self.registry.add(lambda _: step)

    def runs(self) -> str:
        """The model that stands for `bright` in the actor; "" while there is none."""
        if not (actors := list(self.pool.crew.actors.values())):
            return ""
        return str(ray.get(actors[0].where.remote())["models"].get("bright", {}).get("name", ""))

    def until(self, what: Callable[[], bool], brightness: int = 60, limit_s: float = 90) -> None:
        ends = time.monotonic() + limit_s
        while not what():
            assert time.monotonic() < ends, (self.camera.link.error, self.pool.steps, self.registry.steps())
            self.camera.offer(brightness)
            self.pool.tick()
            time.sleep(0.05)


@pytest.fixture
def running(folder: Path, tmp_path: Path) -> Iterator[Running]:
    system = Running(tmp_path)
    system.camera.answers(40, system.pool.tick)
    yield system
    system.camera.link.stop()
    system.pool.crew.end_all(0)


def test_a_promotion_and_a_rollback_reach_a_running_actor_and_one_that_starts(running: Running) -> None:
    running.promote("other")
    running.until(lambda: running.runs() == "other")
    running.camera.answers(50, running.pool.tick)
    (actor,) = running.pool.crew.actors.values()
    psutil.Process(ray.get(actor.where.remote())["pid"]).kill()
    running.pool.until(Action.START)
    running.camera.answers(50, running.pool.tick)
    assert running.runs() == "other"
    (actor,) = running.pool.crew.actors.values()
    assert ray.get(actor.where.remote())["swaps"] == {}  # it began with it
    running.registry.add(lambda steps: rollback(steps, place="bright", at=datetime.now(UTC), by="test"))
    running.until(lambda: running.runs() == "bright")
    running.camera.answers(50, running.pool.tick)


def test_a_rollback_waits_for_no_probation(running: Running) -> None:
    running.promote("other")
    running.until(lambda: running.runs() == "other")
    running.registry.add(lambda steps: rollback(steps, place="bright", at=datetime.now(UTC), by="test"))
    (actor,) = running.pool.crew.actors.values()
    ends = time.monotonic() + 15
    while running.runs() != "bright":  # no camera sends anything meanwhile
        assert time.monotonic() < ends
        running.pool.tick()
        time.sleep(0.05)
    assert ray.get(actor.where.remote())["swaps"]["bright"]["state"] == "rolled back"
    running.camera.answers(50, running.pool.tick)
    assert len(running.registry.steps()) == 2


def test_a_supervisor_that_starts_anew_brings_an_actor_to_what_was_promoted_meanwhile(running: Running) -> None:
    running.promote("other")
    successor = Pool(["bright"], running.registry.path.parents[1])
    successor.places = running.pool.places
    assert list(successor.crew.actors) == list(running.pool.crew.actors)
    running.pool.crew = successor.crew
    running.until(lambda: running.runs() == "other")
    assert {step.action for step in running.pool.steps} == {Action.START}


def test_a_promoted_model_that_fails_is_rolled_back_for_good(running: Running) -> None:
    running.promote("fails")
    running.until(lambda: len(running.registry.steps()) == 2)
    taken_back = running.registry.steps()[-1]
    assert (taken_back.kind, taken_back.by, taken_back.after.name) == ("rollback", "hoaban", "bright")
    assert "failed on 3 of its first" in taken_back.why
    running.until(lambda: running.runs() == "bright")
    running.camera.answers(50, running.pool.tick)


def test_a_promoted_model_that_hangs_is_rolled_back_with_its_process(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_health, "BATCH_LIMIT_S", 2.0)
    running.promote("hangs")
    running.until(lambda: running.runs() == "hangs", brightness=60)
    running.until(lambda: len(running.registry.steps()) == 2, brightness=255)
    assert "has not come back from one batch" in running.registry.steps()[-1].why
    running.until(lambda: running.runs() == "bright")
    running.camera.answers(50, running.pool.tick)


def test_another_file_of_the_promoted_name_is_not_run(running: Running, folder: Path) -> None:
    running.promote("other")
    write_model(folder, "other", Fails(), size=96, version="2")
    try:
        (actor,) = running.pool.crew.actors.values()
        identity = running.registry.steps()[0].after
        with pytest.raises(Exception, match="stands for other@2, and the one on this node is another"):
            ray.get(actor.stand_for.remote("bright", identity))
        assert running.runs() == "bright"
    finally:
        write_model(folder, "other", Bright(), size=96, version="2")
