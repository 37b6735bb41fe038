"""Registries of models that several processes write to at once, and a candidate that hangs."""

import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

from actors.promotions import PromotionRegistry, ShadowRegistry
from actors.shadows import BY, ShadowKeeper
from hoaban.evaluation.report import ModelIdentity
from hoaban.models.promotion import Step, in_force
from hoaban.shadow import ShadowOrder, ShadowStep, last_ends
from tests.unit.test_shadow import camera

EACH = 20


def identity(version: int) -> ModelIdentity:
    return ModelIdentity(name="street", version=str(version), sha256="", card="c")


def promote_many(data: Path) -> None:
    """Each promotion is of the version after the one that stands: one made of what another has changed would show."""

    def make(steps: list[Step]) -> Step:
        standing = int(in_force(steps)["street"].version) if steps else 0
        before, after = identity(standing), identity(standing + 1)
        return Step(kind="promote", place="street", before=before, after=after, at=datetime.now(UTC), by="test")

    registry = PromotionRegistry(data)
    for _ in range(EACH):
        registry.add(make)


def test_promotions_of_several_processes_come_one_after_the_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=promote_many, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    steps = PromotionRegistry(tmp_path).steps()
    assert [step.after.version for step in steps] == [str(n) for n in range(1, 3 * EACH + 1)]
    assert all(step.before.version == str(int(step.after.version) - 1) for step in steps)


def test_a_candidate_that_hangs_is_ended_and_no_other_model(tmp_path: Path) -> None:
    order = ShadowOrder(candidate=identity(2), at=datetime.now(UTC), by="test")
    registry = ShadowRegistry(tmp_path)
    registry.add(lambda _: ShadowStep(order=order, at=order.at, by="test"))
    keeper = ShadowKeeper(tmp_path)
    assert keeper.assigned([camera("gate")]) == {"gate": order}
    assert not keeper.hung("street", "it hung")
    assert keeper.hung("street@2", "it hung")
    assert keeper.assigned([camera("gate")]) == {}
    end = last_ends(registry.steps())["street@2"]
    assert (end.by, end.why) == (BY, "it hung")
    assert not keeper.hung("street@2", "again")
