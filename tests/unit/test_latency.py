"""The latency budget: the late stage is named, and the ladder steps down and up without swinging."""

import numpy as np
import pytest

from hoaban.latency import STAGES, Ladder, Rung, blame, rungs

ALL = tuple(Rung)
USUAL_S = (0.004, 0.02, 0.03, 0.004)


def ages(rng: np.random.Generator, late: int | None = None, by_s: float = 0.0, number: int = 200) -> np.ndarray:
    """Drawn stage ages, one of them late."""
    drawn = np.array(USUAL_S) * rng.lognormal(0, 0.3, (number, 4))
    if late is not None:
        drawn[:, late] += by_s * rng.uniform(0.8, 1.2, number)
    return drawn


@pytest.mark.parametrize("late", range(4))
def test_an_injected_delay_is_blamed_on_its_stage(late: int) -> None:
    found = blame(ages(np.random.default_rng(late), late, 0.3), 0.2)
    assert found is not None
    assert found.stage == STAGES[late]
    assert found.p95_s > 0.24


def test_nobody_is_blamed_within_the_budget_or_without_frames() -> None:
    assert blame(ages(np.random.default_rng(1)), 0.2) is None
    assert blame(np.empty((0, 4)), 0.2) is None


def test_a_camera_gives_up_only_what_it_has() -> None:
    assert rungs(shadow=False, optional_models=False, tiles=False) == (
        Rung.FULL, Rung.TWO_THIRDS, Rung.HALF, Rung.THIRD,
    )  # fmt: skip
    assert Rung.NO_TILES in rungs(shadow=False, optional_models=False, tiles=True)
    assert Rung.HALF.gives_up(Rung.NO_SHADOW)
    assert not Rung.NO_SHADOW.gives_up(Rung.NO_TILES)


def test_it_steps_down_one_rung_at_a_time_and_stays_when_the_budget_holds() -> None:
    ladder = Ladder(0.2, ALL)
    seen = [ladder.update(0.5, float(t)) for t in range(12)]
    assert seen[4] is Rung.FULL
    assert seen[5] is Rung.NO_SHADOW
    assert seen[10] is Rung.NO_OPTIONAL_MODELS
    assert {ladder.update(0.15, 12.0 + t) for t in range(300)} == {Rung.NO_OPTIONAL_MODELS}  # in the budget, not calm


def test_a_short_peak_moves_nothing() -> None:
    ladder = Ladder(0.2, ALL)
    assert {ladder.update(0.5 if t % 5 == 0 else 0.1, float(t)) for t in range(200)} == {Rung.FULL}


def test_it_climbs_back_to_full_when_calm_and_no_frames_are_calm() -> None:
    ladder = Ladder(0.2, ALL)
    for t in range(100):
        ladder.update(1.0, float(t))
    assert ladder.rung is Rung.THIRD
    for t in range(100, 100 + 21 * len(ALL)):
        ladder.update(None if t % 2 else 0.05, float(t))
    assert ladder.rung is Rung.FULL


def test_a_rung_that_cannot_be_held_is_tried_ever_less_often() -> None:
    ladder = Ladder(0.2, ALL)
    changes, before = [], Rung.FULL
    for t in range(4000):  # full is too much, one rung down is calm
        now = ladder.update(0.5 if ladder.rung is Rung.FULL else 0.05, float(t))
        if now is not before:
            changes.append(t)
            before = now
    assert len(changes) < 25
    gaps = np.diff(changes)
    assert gaps[-2:].max() > 10 * gaps[1]


class Queue:
    """A model that a camera shares: its wait grows with the load it gets."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity

    def p95_s(self, rate: float) -> float:
        load = rate / self.capacity
        return 0.05 / (1 - load) if load < 0.95 else 2.0


@pytest.mark.parametrize(("capacity", "rung"), [(20, Rung.FULL), (12, Rung.TWO_THIRDS), (5.5, Rung.THIRD)])
def test_with_a_queue_it_settles_on_the_first_rung_that_holds(capacity: float, rung: Rung) -> None:
    queue, ladder = Queue(capacity), Ladder(0.2, (Rung.FULL, Rung.TWO_THIRDS, Rung.HALF, Rung.THIRD))
    seen = [ladder.update(queue.p95_s(10 * ladder.rung.rate), float(t)) for t in range(2000)]
    settled = seen[500:]
    assert max(set(settled), key=settled.count) is rung
    assert settled.count(rung) > 0.9 * len(settled)
