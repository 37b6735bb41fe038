"""Inference actors that hang, die or do not answer, and actors in general: real Ray, real processes."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    TaskCancelledError,
    WorkerCrashedError,
)

from actors import NAMESPACE
from actors.board import Board
from actors.channel import SPARE
from actors.crew import Crew, death_of
from actors.embedded_redis import EmbeddedRedis
from actors.link import ModelLink, Peer
from actors.models import ModelError
from actors.pool import PoolCrew
from actors.promotions import PromotionRegistry, ShadowRegistry
from actors.shadows import ShadowKeeper, begin
from actors.supervisor import Supervisor, SystemSettings
from actors.turns import ModelTurns
from hoaban import pool_health, reconcile
from hoaban.fleet import UNLOAD_AFTER_S
from hoaban.placement import Node, inference_places
from hoaban.reconcile import Action, Step
from hoaban.shadow import ShadowStep, running
from tests.misbehaving import video
from tests.torch_models import Bright, Hangs, ray_with_models, write_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "bright", Bright())
    write_model(folder, "hangs", Hangs())
    with ray_with_models(folder):
        yield folder


class Watched:
    """A camera's link to a model of the pool, and what came back."""

    def __init__(self, model: str, peer: Peer, spare: bool = False) -> None:
        self.model, self.seq, self.answered = model, 0, 0
        hello = {"camera": model, "model": model, "rate": 5.0} | ({SPARE: True} if spare else {})
        self.link = ModelLink(hello, [peer], peer.node, self._take)
        self.link.start()

    def _take(self, result: object, _: object) -> None:
        self.answered += 1

    def offer(self, brightness: int) -> bool:
        self.seq += 1
        return self.link.offer(self.seq, lambda into, _: into.fill(brightness))

    def answers(self, brightness: int, ticks: Callable[[], object], limit_s: float = 60) -> None:
        """Offer pictures until one more is answered."""
        before, ends = self.answered, time.monotonic() + limit_s
        while self.answered == before:
            assert time.monotonic() < ends, self.link.error
            self.offer(brightness)
            ticks()
            time.sleep(0.05)


class Pool:
    """A pool of one on this machine, kept by a crew, as the supervisor does it."""

    def __init__(self, models: list[str], data: Path = Path("/nowhere")) -> None:
        node = ray.get_runtime_context().get_node_id()
        self.nodes = [Node(node, 2, 0)]
        self.places, self.models = inference_places(self.nodes), models
        self.unload_after_s: float | None = UNLOAD_AFTER_S
        session = secrets.token_hex(4)
        self.shadows = ShadowKeeper(data)
        self.crew = PoolCrew(session, ModelTurns(PromotionRegistry(data)), self.shadows)
        self.peer = Peer(self.places[0].name, node, session)
        self.steps: list[Step] = []

    def tick(self) -> list[Step]:
        self.crew.hear()
        steps = self.crew.keep(self.places, self.nodes, self.models, self.unload_after_s)
        self.steps += steps
        return steps

    def until(self, action: Action, limit_s: float = 60) -> Step:
        ends = time.monotonic() + limit_s
        while True:
            if found := [step for step in self.tick() if step.action is action]:
                return found[0]
            assert time.monotonic() < ends, self.steps
            time.sleep(0.05)


@pytest.fixture
def pool(models: Path) -> Iterator[Pool]:
    running = Pool(["bright", "hangs"])
    yield running
    running.crew.end_all(0)


def test_a_model_that_hangs_is_ended_with_its_process_and_the_other_models_cameras_go_on(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_health, "BATCH_LIMIT_S", 2.0)
    good, bad = Watched("bright", pool.peer), Watched("hangs", pool.peer)
    good.answers(40, pool.tick)
    bad.answers(40, pool.tick)
    answered = bad.answered
    while not bad.offer(255):
        time.sleep(0.05)
    good.answers(50, pool.tick)  # the other thread serves
    killed = pool.until(Action.KILL)
    assert "'hangs' has not come back from one batch" in killed.why
    pool.until(Action.START)
    good.answers(60, pool.tick)
    assert [step.action for step in pool.steps] == [Action.START, Action.KILL, Action.START]
    ends = time.monotonic() + 10
    while not (bad.link.error and "hung" in bad.link.error):
        assert time.monotonic() < ends, bad.link.error
        time.sleep(0.05)
    assert bad.answered == answered
    good.link.stop()
    bad.link.stop()


def test_a_candidate_that_hangs_is_shown_no_more_and_the_model_that_counts_goes_on(
    models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool_health, "BATCH_LIMIT_S", 2.0)
    registry = ShadowRegistry(tmp_path)
    order = begin("hangs@1", cameras=(), role=None, share=1.0, sample=1.0, by="Lan")
    registry.add(lambda _: ShadowStep(order=order, at=order.at, by="Lan"))
    pool = Pool(["bright"], tmp_path)
    pool.shadows.assigned([])  # as the supervisor reads it at each tick
    good, candidate = Watched("bright", pool.peer), Watched("hangs@1", pool.peer, spare=True)
    try:
        good.answers(40, pool.tick)
        candidate.answers(40, pool.tick)
        while not candidate.offer(255):
            time.sleep(0.05)
        good.answers(50, pool.tick)
        assert "'hangs@1' has not come back from one batch" in pool.until(Action.KILL).why
        last = registry.steps()[-1]
        assert (last.ends, last.by, running(registry.steps())) == ("hangs@1", "hoaban", {})
        assert "has not come back" in last.why
        candidate.link.stop()  # as its camera does when it is told
        pool.until(Action.START)
        good.answers(60, pool.tick)
        assert list(ray.get(next(iter(pool.crew.actors.values())).where.remote())["models"]) == ["bright"]
        assert [step.action for step in pool.steps] == [Action.START, Action.KILL, Action.START]
    finally:
        good.link.stop()
        candidate.link.stop()
        pool.crew.end_all(0)


def test_a_running_actor_hears_what_the_fleet_asks_for_no_more(pool: Pool) -> None:
    good = Watched("bright", pool.peer)
    good.answers(40, pool.tick)
    (actor,) = pool.crew.actors.values()

    def stays() -> dict[str, bool]:
        return {name: told["unloads_in_s"] is None for name, told in ray.get(actor.where.remote())["models"].items()}

    def becomes(expected: dict[str, bool]) -> None:
        ends = time.monotonic() + 60
        while stays() != expected:
            assert time.monotonic() < ends, stays()
            pool.tick()
            time.sleep(0.05)

    becomes({"bright": True, "hangs": True})
    pool.models = ["bright"]
    becomes({"bright": True, "hangs": False})
    good.link.stop()
    pool.unload_after_s = 0.5
    becomes({"bright": True})


def test_a_swapped_model_that_hangs_gives_its_place_back_to_the_fleets_own(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pool_health, "BATCH_LIMIT_S", 2.0)
    write_model(tmp_path, "hangs", Hangs(), version="2")
    good = Watched("bright", pool.peer)
    good.answers(40, pool.tick)
    (actor,) = pool.crew.actors.values()
    assert ray.get(actor.swap.remote("bright", str(tmp_path / "hangs"), 60.0)) > 1
    good.answers(40, pool.tick)
    assert ray.get(actor.where.remote())["models"]["bright"]["version"] == "2"
    while not pool.tick():
        good.offer(255)
        time.sleep(0.05)
    assert "bright (generation" in pool.steps[-1].why
    pool.until(Action.START)
    good.answers(40, pool.tick)
    assert ray.get(next(iter(pool.crew.actors.values())).where.remote())["models"]["bright"]["version"] == "1"
    good.link.stop()
    with pytest.raises(ModelError, match="not known"):
        ray.get(next(iter(pool.crew.actors.values())).swap.remote("bright", "nothing"))


def test_an_inference_process_that_answers_no_more_is_ended_and_its_cameras_link_to_the_next(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Watched("bright", pool.peer)
    good.answers(40, pool.tick)
    (actor,) = pool.crew.actors.values()
    process = psutil.Process(ray.get(actor.where.remote())["pid"])
    process.send_signal(signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "HUNG_AFTER_S", 1.0)
        assert "no answer" in pool.until(Action.KILL).why
    pool.until(Action.START)
    good.answers(40, pool.tick)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    good.link.stop()


@ray.remote
class Probe:
    def __init__(self) -> None:
        self.faulty = False

    def ping(self) -> str:
        if self.faulty:
            raise ValueError("a fault in the answering")
        return "digest"

    def be_faulty(self) -> None:
        self.faulty = True

    def die(self) -> None:
        os._exit(1)


class ProbeCrew(Crew):
    def __init__(self) -> None:
        self.deaths: list[str] = []
        super().__init__(f"probe-{secrets.token_hex(4)}", 8)

    def start(self, name: str) -> object:
        return Probe.options(name=self.ray_name(name), namespace=NAMESPACE, lifetime="detached", num_cpus=0).remote()

    def died(self, name: str, deaths: int, why: str) -> None:
        self.deaths.append(why)

    def tick_until(self, what: Callable[[list[Step]], bool], limit_s: float = 30) -> None:
        steps: list[Step] = []
        ends = time.monotonic() + limit_s
        while not what(steps):
            assert time.monotonic() < ends, steps
            self.hear()
            steps += self.tick({"a": "digest"})
            time.sleep(0.02)


def test_what_an_actors_silence_and_death_lead_to(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = ProbeCrew()

    def running() -> bool:
        return crew._observed["a"].phase is reconcile.Phase.RUNNING

    crew.tick_until(lambda steps: bool(steps))
    crew.tick_until(lambda _: running())
    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "HUNG_AFTER_S", 1.0)
        crew.actors["a"].be_faulty.remote()
        crew.tick_until(lambda steps: [step.action for step in steps] == [Action.KILL])
    assert crew.deaths == ["no answer for 1 s"]
    crew.tick_until(lambda steps: [step.action for step in steps] == [Action.START])
    crew.tick_until(lambda _: running())  # what the killed one was still asked does not count against it
    assert len(crew.deaths) == 1
    crew.actors["a"].die.remote()
    crew.tick_until(lambda steps: [step.action for step in steps] == [Action.START])
    crew.tick_until(lambda _: running())
    assert len(crew.deaths) == 2
    successor = ProbeCrew.__new__(ProbeCrew)
    successor.deaths = []
    Crew.__init__(successor, crew.kind, 8)
    assert list(successor.actors) == ["a"]
    successor.hear()
    assert successor.tick({"a": "digest"}) == []
    assert [step.action for step in successor.tick({})] == [Action.STOP]
    assert successor.actors == {}


def test_which_of_rays_errors_mean_that_an_actor_is_gone() -> None:
    lost = (GetTimeoutError("slow"), TaskCancelledError(), ObjectLostError("00", "", ""), OSError("another kind"))
    for error in (*lost, ActorUnavailableError("away for a moment", b"0" * 16)):
        assert death_of(error) is None
    for error in (ActorDiedError(), NodeDiedError("node"), WorkerCrashedError(), OutOfMemoryError("too much")):
        assert death_of(error)
    assert "ran out of memory" in death_of(OutOfMemoryError("Task was killed due to the node running low on memory"))


FLEET = """\
version: 1
province: {{name: T}}
districts: [{{id: d, name: D}}]
agencies: [{{id: o, name: O}}]
models: {{detect: bright}}
cameras:
{far}
  - {{id: near, name: N, role: shared, district: d, owner: o, source: {source}}}
"""
FAR = "  - {{id: far-{}, name: F, role: shared, district: d, owner: o, source: {}, site: nowhere}}"


def test_a_site_that_no_node_offers_is_told_of_its_cameras_alone_and_the_others_start(
    models: Path, tmp_path: Path
) -> None:
    source = video(tmp_path / "v.mp4", 30)
    far = "\n".join(FAR.format(i, source) for i in range(reconcile.plan_steps.__defaults__[0] + 1))
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET.format(far=far, source=source))
    valkey = EmbeddedRedis(tmp_path / "valkey")
    url = valkey.start()
    supervisor = Supervisor(SystemSettings(secrets.token_hex(4), url, str(tmp_path), (str(fleet),)))
    board, steps = Board(url), []
    try:
        ends = time.monotonic() + 60
        while (statuses := board.statuses()).get("near", {}).get("frames_analysed", 0) < 1:
            assert time.monotonic() < ends, statuses
            steps += supervisor.tick()
            time.sleep(0.1)
    finally:
        supervisor.shutdown()
        valkey.stop()
    started = [step.name for step in steps if step.action is Action.START]
    assert started.count("near") == 1
    assert not [name for name in started if name.startswith("far")]
    away = [status for name, status in statuses.items() if name.startswith("far")]
    assert len(away) > 8
    assert {status["error"] for status in away} == {
        "no node offers the site nowhere; start a Ray node there with the resource site_nowhere"
    }
    assert {status["state"] for status in away} == {"failed"}
