"""What is judged of inference actors and of actors that cannot be started: plain functions with the time given."""

import pytest

from hoaban.placement import Node, inference_places, without_a_place
from hoaban.pool_health import (
    BARRED_FIRST_S,
    BARRED_MOST_S,
    BATCH_LIMIT_S,
    LOAD_LIMIT_S,
    STALL_LIMIT_S,
    Pulse,
    Quarantine,
    hang_of,
)
from hoaban.reconcile import Action, Observed, Phase, after_answer, plan_steps
from hoaban.scheduling import FrameScheduler


@pytest.mark.parametrize(
    ("pulse", "model", "words"),
    [
        (Pulse(running=("a", BATCH_LIMIT_S + 1)), "a", "not come back"),
        (Pulse(loading=("b", LOAD_LIMIT_S + 1), running=("a", 1.0)), "b", "loading"),
        (Pulse(running=("a", BATCH_LIMIT_S + 1), loading=("b", LOAD_LIMIT_S + 1)), "a", "not come back"),
        (Pulse(stalled_s=STALL_LIMIT_S + 1), None, "none was taken"),
    ],
)
def test_a_hang_is_told_with_the_model_that_it_is_in(pulse: Pulse, model: str | None, words: str) -> None:
    hang = hang_of(pulse)
    assert hang is not None
    assert (hang.model, words in hang.why) == (model, True)


def test_slow_is_not_hung() -> None:
    assert hang_of(Pulse()) is None
    assert hang_of(Pulse(("a", BATCH_LIMIT_S), ("b", LOAD_LIMIT_S), STALL_LIMIT_S)) is None


def test_a_model_that_hangs_again_is_kept_away_for_longer_and_one_that_ran_begins_anew() -> None:
    quarantine, now = Quarantine(), 0.0
    bars = []
    for _ in range(9):
        quarantine.hung("a", now)
        bars.append(quarantine.barred(now)["a"])
        now += bars[-1] + 1
        assert quarantine.barred(now) == {}
    assert bars[:3] == [BARRED_FIRST_S, 2 * BARRED_FIRST_S, 4 * BARRED_FIRST_S]
    assert bars[-1] == BARRED_MOST_S
    quarantine.hung("a", now + BARRED_MOST_S)
    assert quarantine.barred(now + BARRED_MOST_S) == {"a": BARRED_FIRST_S}


def test_what_answers_and_is_stuck_is_ended_as_one_that_does_not_answer() -> None:
    well = after_answer(Observed(Phase.STARTING, 0.0), "d", 5.0)
    stuck = after_answer(well, "d", 6.0, "hangs")
    assert plan_steps({"a": "d"}, {"a": well}, 6.0) == []
    (step,) = plan_steps({"a": "d"}, {"a": stuck}, 6.0)
    assert (step.action, step.why) == (Action.KILL, "hangs")
    assert plan_steps({"a": "d"}, {"a": after_answer(stuck, "d", 7.0)}, 7.0) == []


def test_what_cannot_be_started_takes_nobodys_place() -> None:
    desired = {f"far-{i}": "d" for i in range(20)} | {"near": "d", "runs": "d"}
    observed = {"runs": Observed(Phase.RUNNING, 0.0, "d", 1.0), "far-1": Observed(Phase.DEAD, 0.0, deaths=1)}
    held = without_a_place(
        {name: "x" if name != "near" else None for name in desired}, [Node("n", 2, 0, frozenset({"y"}))]
    )
    assert set(held) == set(desired) - {"near"}
    assert "resource site_x" in held["far-0"]
    assert [step.name for step in plan_steps(desired, observed, 2.0, 1, held)] == ["near"]
    assert without_a_place({"a": "x"}, [Node("n", 2, 0), Node("m", 0, 0, frozenset({"x"}))]) == {}


def test_a_gpu_has_a_second_thread_and_a_processor_one_a_core() -> None:
    assert [p.threads for p in inference_places([Node("a" * 20, 64, 2)])] == [2, 2]
    assert [p.threads for p in inference_places([Node("a" * 20, 5, 0)])] == [5]


def test_a_group_without_room_is_passed_over_and_what_waits_is_told() -> None:
    scheduler = FrameScheduler()
    for name, group in (("a", "hung"), ("b", "well"), ("c", "well")):
        scheduler.join(name, rate=5, now=0.0, group=group)
        scheduler.offer(name, 0.0)
    scheduler.offer("a", 3.0)
    assert scheduler.waited_s(4.0) == 4.0
    assert scheduler.pick(4.0, lambda group: 0 if group == "hung" else 1) == ["b"]
    assert scheduler.pick(4.0, lambda group: 0 if group == "hung" else 1) == ["c"]
    assert scheduler.pick(4.0, lambda group: 0 if group == "hung" else 1) == []
    scheduler.offer("b", 5.0)  # in flight: it could not be served yet
    assert scheduler.pick(6.0, lambda _: 8) == ["a"]
    assert scheduler.waited_s(6.0) == 0.0
    scheduler.done("b")
    assert scheduler.waited_s(6.0) == 1.0
