"""The latency budget: the late stage is named, and the ladder steps down and up without swinging."""

import numpy as np
import pytest

from hoaban.latency import LATE, STAGES, Ladder, LatencyWatch, Rung, blame, rungs

ALL = tuple(Rung)
USUAL_S = (0.004, 0.003, 0.02, 0.03, 0.001, 0.004, 0.0005)


def ages(rng: np.random.Generator, late: int | None = None, by_s: float = 0.0, number: int = 200) -> np.ndarray:
    """Drawn stage ages, one of them late."""
    drawn = np.array(USUAL_S) * rng.lognormal(0, 0.3, (number, len(STAGES)))
    if late is not None:
        drawn[:, late] += by_s * rng.uniform(0.8, 1.2, number)
    return drawn


@pytest.mark.parametrize("late", range(len(STAGES)))
def test_an_injected_delay_is_blamed_on_its_stage(late: int) -> None:
    found = blame(ages(np.random.default_rng(late), late, 0.3), 0.2)
    assert found is not None
    assert found.stage == STAGES[late]
    assert found.p95_s > 0.24


def test_nobody_is_blamed_within_the_budget_or_without_frames() -> None:
    assert blame(ages(np.random.default_rng(1)), 0.2) is None
    assert blame(np.empty((0, len(STAGES))), 0.2) is None


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


def marks(now_s: float, stages_s: np.ndarray) -> list[tuple[float, ...]]:
    """Frames of the last two seconds that spent so long in each stage."""
    published = np.linspace(now_s - 2, now_s, len(stages_s))
    steps = np.cumsum(np.concatenate([np.zeros((len(stages_s), 1)), stages_s], axis=1), axis=1)
    return [tuple(row) for row in steps + (published - steps[:, -1])[:, None]]


def test_the_fault_begins_with_the_late_stage_named_and_ends_when_nothing_is_given_up() -> None:
    rng, watch = np.random.default_rng(4), LatencyWatch(0.2, (Rung.FULL, Rung.HALF))
    told = []
    for t in range(60):
        late = 2 if t < 20 else None
        told += [(t, change) for change in watch.update(marks(t, ages(rng, late, 0.5, 20)), float(t))]
    (start_t, start), (end_t, end) = told
    assert (start.fault, start.phase, start_t) == (LATE, "start", 5)
    assert "queue takes" in start.reason
    assert "half" in start.reason
    assert (end.fault, end.phase) == (LATE, "end")
    assert end_t >= 40  # twenty calm seconds, and only then the rung up
    assert watch.faults == {}
    assert watch.timing.late_stage is None


def test_without_a_budget_the_ages_are_told_and_nothing_is_given_up() -> None:
    watch = LatencyWatch(None, (Rung.FULL, Rung.HALF))
    for t in range(100):
        assert watch.update(marks(t, ages(np.random.default_rng(t), 3, 5.0, 20)), float(t)) == []
    assert watch.timing.rung is Rung.FULL
    assert watch.timing.stages_p95_s["infer"] > 4


def test_old_frames_do_not_count() -> None:
    watch = LatencyWatch(0.2, (Rung.FULL,))
    watch.update(marks(0.0, ages(np.random.default_rng(5), 0, 1.0, 20)), 30.0)
    assert watch.timing.p95_s is None
