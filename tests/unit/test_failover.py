"""Which inference actor a camera asks: who failed waits, who is nearer is gone back to, and never back and forth."""

from hypothesis import given
from hypothesis import strategies as st

from hoaban.failover import BACK_FOR_S, MOST_BACK_FOR_S, STEADY_S, Failover


def ranked(*names: str) -> Failover:
    failover = Failover()
    failover.rank(names)
    return failover


def test_the_nearest_goes_first_and_one_that_failed_last_until_it_rested() -> None:
    failover = ranked("a", "b", "c")
    assert failover.to_try(0.0) == ["a", "b", "c"]
    failover.linked("b", 0.0)
    failover.lost(100.0)
    failover.refused("a", 100.0)
    assert failover.to_try(100.0) == ["c", "a", "b"]
    assert failover.to_try(100.0 + BACK_FOR_S) == ["a", "b", "c"]


def test_when_all_failed_the_nearest_goes_first() -> None:
    failover = ranked("a", "b")
    for name in ("b", "a"):
        failover.refused(name, 10.0)
    assert failover.to_try(10.0) == ["a", "b"]


def test_the_link_moves_to_the_nearest_that_has_answered_long_enough() -> None:
    failover = ranked("a", "b", "c")
    failover.linked("c", 0.0)
    assert failover.nearer() == ["a", "b"]
    assert failover.better({"b": 0.0}, BACK_FOR_S - 0.1) is None
    assert failover.better({"b": 0.0}, BACK_FOR_S) == "b"
    assert failover.better({"a": 0.0, "b": 0.0}, BACK_FOR_S) == "a"
    failover.linked("a", 5.0)
    assert failover.nearer() == []
    assert failover.better({"b": 0.0}, 100.0) is None


def test_each_loss_doubles_the_wait_and_steady_service_makes_good() -> None:
    failover = ranked("a", "b")
    waits, now_s = [], 0.0
    for _ in range(12):
        failover.linked("a", now_s)
        now_s += 1.0
        failover.lost(now_s)
        waits.append(failover.back_for_s("a"))
    assert waits[:4] == [BACK_FOR_S, 2 * BACK_FOR_S, 4 * BACK_FOR_S, 8 * BACK_FOR_S]
    assert waits[-1] == MOST_BACK_FOR_S
    failover.linked("a", now_s)
    failover.lost(now_s + STEADY_S)
    assert failover.back_for_s("a") == BACK_FOR_S


def test_who_leaves_the_fleet_is_left_for_who_is_in_it() -> None:
    failover = ranked("a", "b")
    failover.linked("a", 0.0)
    failover.rank(["b"])
    assert failover.nearer() == ["b"]
    failover.lost(1.0)
    failover.rank(["a", "b"])
    assert failover.nearer() == []


@given(st.lists(st.floats(0.5, 30.0), min_size=2, max_size=60), st.floats(0.0, 3.0))
def test_a_nearer_actor_that_keeps_dying_costs_ever_fewer_moves(ups: list[float], gap_s: float) -> None:
    """The nearer one answers for a while and is gone again, over and over; its links last as long as it lives."""
    failover, now_s, moves = ranked("near", "far"), 0.0, []
    failover.linked("far", now_s)
    for up_s in ups:
        waits_s = failover.back_for_s("near")
        if failover.better({"near": now_s}, now_s + up_s) == "near":
            moves.append(now_s + waits_s)
            failover.linked("near", now_s + waits_s)
            failover.lost(now_s + up_s)
            failover.linked("far", now_s + up_s)
        now_s += up_s + gap_s
    # The moves need 5, 5, 10, 20 and then 40 s of answering, which no run of at most 30 s gives.
    assert len(moves) <= 4
