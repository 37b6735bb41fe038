"""Who moves when a node is drained or the code is replaced, how inference actors follow one another, and how many."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.moves import MOST_LOST, MOST_MOVING, MOVE_LIMIT_S, Mover, Seat, leaving
from hoaban.placement import Node, Place, inference_places, place_named
from hoaban.pool_size import REST_S, Load, PoolSettings, PoolSize
from hoaban.scheduling import FrameScheduler
from hoaban.succession import LEAVE_S, START_LIMIT_S, Models, Succession

EAST, WEST = Node("e" * 20, 4, 0, frozenset({"east"})), Node("w" * 20, 4, 0, frozenset({"west"}))
HEAD = Node("h" * 20, 0, 0, head=True)


def test_a_drained_nodes_cameras_leave_where_another_may_carry_them() -> None:
    seats = {name: Seat(EAST.id, "", True) for name in ("free", "bound")} | {"away": Seat(WEST.id, "", True)}
    sites = {"free": None, "bound": "east", "away": None, "not started": None}
    found = leaving(seats, sites, [HEAD, EAST, WEST], {EAST.id}, "")
    assert set(found.why) == {"free"}
    assert "site_east" in found.stuck["bound"]
    assert set(leaving(seats, sites, [HEAD, EAST], {EAST.id}, "").stuck) == {"free", "bound"}
    assert not leaving(seats, sites, [HEAD, EAST, WEST], set(), "").why


def test_after_an_upgrade_all_of_the_era_before_are_replaced_and_removed_ones_are_not() -> None:
    seats = {"a": Seat(EAST.id, "1", True), "b": Seat(EAST.id, "2", True), "removed": Seat(EAST.id, "1", True)}
    assert set(leaving(seats, {"a": "east", "b": None}, [EAST], (), "2").why) == {"a"}


@given(st.integers(1, 40), st.integers(1, 5))
def test_all_come_and_never_more_than_so_many_are_on_their_way(cameras: int, steps: int) -> None:
    mover = Mover()
    why = {f"c{i}": "its node is drained" for i in range(cameras)}
    seats, away, now_s = {name: Seat("old", "", True) for name in why}, dict[str, int](), 0.0
    while why or mover.moving:
        for name in mover.due(why, seats, seats, now_s):
            away[name] = steps
        assert len(mover.moving) <= MOST_MOVING
        for name in list(away):
            away[name] -= 1
            if away[name] == 0:
                seats[name] = Seat("new", "", True)
                del why[name], away[name]
        now_s += 1
    assert {seat.node for seat in seats.values()} == {"new"}
    assert now_s <= cameras * (steps + 1) + 2


def test_where_cameras_get_no_pictures_no_more_are_sent() -> None:
    mover = Mover(most=1)
    why = {f"c{i}": "" for i in range(10)}
    seats = {name: Seat("old", "", True) for name in why}
    sent, now_s = [], 0.0
    while now_s < 20 * MOVE_LIMIT_S:
        for name in mover.due(why, seats, seats, now_s):
            sent.append(name)
            seats[name] = Seat("new", "", False)
            del why[name]
        now_s += 1
    assert len(sent) == MOST_LOST
    assert all(name in mover.halted for name in sent)
    seats[sent[0]] = Seat("new", "", True)  # its network was mended
    assert mover.due(why, seats, seats, now_s) == ["c3"]


def test_one_that_had_no_pictures_before_holds_nobody_up() -> None:
    mover = Mover(most=1)
    seats = {"down": Seat("old", "", False), "next": Seat("old", "", True)}
    assert mover.due({"down": "", "next": ""}, seats, seats, 0.0) == ["down"]
    seats["down"] = Seat("new", "", False)
    assert mover.due({"next": ""}, seats, seats, 3.0) == ["next"]


def test_a_camera_that_is_removed_on_its_way_is_neither_awaited_nor_lost() -> None:
    mover = Mover()
    why, seats = {"removed": "", "lost": ""}, {name: Seat("old", "", True) for name in ("removed", "lost")}
    assert mover.due(why, seats, seats, 0.0) == ["removed", "lost"]
    assert mover.due({}, {}, {"lost"}, 1.0) == []
    assert list(mover.moving) == ["lost"]
    mover.due({}, {}, {"lost"}, MOVE_LIMIT_S + 1)
    assert mover.lost == ["lost"]
    mover.due({}, {}, set(), MOVE_LIMIT_S + 2)
    assert mover.lost == []


def places(era: str, cpus: int = 2, gpus: int = 0) -> list[Place]:
    return inference_places([Node("n" * 20, cpus, gpus)], era)


NODES = [Node("n" * 20, 2, 0)]
ALL = Models(loaded=frozenset({"m", "rare"}))
"""of an actor that has all models"""


def ready(*names: str) -> dict[str, Models]:
    return dict.fromkeys(names, ALL)


def test_the_old_actors_serve_until_the_new_ones_answer_and_cameras_had_time_to_go() -> None:
    succession = Succession()
    old, new = places(""), places("1")
    names = [place.name for place in (*old, *new)]
    assert succession.update(old, [], {}, 0, NODES).peers == tuple(old)
    both = succession.update(new, names[:1], ready(names[0]), 1, NODES)
    assert set(both.peers) == set(both.kept) == {*old, *new}
    both = succession.update(new, names, ready(names[0]), 50, NODES)
    assert set(both.peers) == {*old, *new}
    told = succession.update(new, names, ready(*names), 60, NODES)
    assert (set(told.peers), set(told.kept)) == (set(new), {*old, *new})
    assert set(succession.update(new, names, ready(*names), 60 + LEAVE_S - 1, NODES).kept) == {*old, *new}
    assert set(succession.update(new, names, ready(*names), 60 + LEAVE_S, NODES).kept) == set(new)


def test_a_successor_that_never_answers_keeps_the_old_no_longer_than_its_limit() -> None:
    succession = Succession()
    old, new = places(""), places("1")
    succession.update(old, [], {}, 0, NODES)
    running, answering = [old[0].name, new[0].name], ready(old[0].name)
    succession.update(new, running, answering, 0, NODES)
    late_s = START_LIMIT_S + 1
    assert set(succession.update(new, running, answering, late_s, NODES).kept) == {*old, *new}
    assert set(succession.update(new, running, answering, late_s + LEAVE_S, NODES).kept) == set(new)


def spread(era: str, count: int) -> list[Place]:
    return inference_places([Node("n" * 20, count, 0)], era, 1)


def test_what_was_silent_before_makes_no_successor_late_and_each_that_answers_gives_the_others_time() -> None:
    succession = Succession()
    old, new = spread("", 3), spread("1", 3)
    olds, news = [place.name for place in old], [place.name for place in new]
    for now_s in (0.0, 1000.0):  # one of them never answers
        succession.update(old, olds, ready(*olds[1:]), now_s, NODES)
    running, now_s = [*olds, *news], 1001.0
    for came in range(3):
        answering = ready(*olds[1:], *news[:came])
        for passed_s in (0.0, START_LIMIT_S):
            standing = succession.update(new, running, answering, now_s + passed_s, NODES)
            assert set(standing.peers) == {*old, *new}
        now_s += START_LIMIT_S + 1
    # One that answers again, and no further one: the last is late.
    succession.update(new, running, ready(*olds[1:], news[0]), now_s, NODES)
    assert set(succession.update(new, running, answering, now_s + START_LIMIT_S, NODES).peers) == set(new)


def test_old_actors_serve_while_a_successor_lacks_a_model_that_they_have() -> None:
    succession = Succession()
    old, new = places(""), places("1")
    names = [place.name for place in (*old, *new)]
    lacks = Models(lacking=frozenset({"rare"}), loaded=frozenset({"m"}))
    succession.update(old, [], {}, 0, NODES)
    for now_s in (1.0, 500.0):
        standing = succession.update(new, names, {names[0]: ALL, names[1]: lacks}, now_s, NODES)
        assert set(standing.peers) == {*old, *new}
        assert standing.lacking == {names[1]: {"rare"}}
    # One that does not tell yet may have it; one that lacks it too holds nobody up.
    assert set(succession.update(new, names, {names[1]: lacks}, 501, NODES).peers) == {*old, *new}
    assert set(succession.update(new, names, dict.fromkeys(names, lacks), 502, NODES).peers) == set(new)
    assert set(succession.update(new, names, ready(*names), 502, NODES).peers) == set(new)


def test_actors_that_an_earlier_supervisor_started_serve_until_their_successors_do() -> None:
    nodes = [Node("n" * 20, 8, 2)]
    old, new = inference_places(nodes, "1"), inference_places(nodes, "2")
    standing = Succession().update(new, [place.name for place in old], {}, 0, nodes)
    assert set(standing.peers) > set(new)
    assert {place.gpus for place in standing.kept} == {1}


def test_a_gpu_is_left_by_one_at_a_time() -> None:
    """An actor of the new era has a GPU only when one of the old is ended: the others serve meanwhile."""
    succession, nodes = Succession(), [Node("n" * 20, 2, 3)]
    old, new = places("", gpus=3), places("1", gpus=3)
    succession.update(old, [], {}, 0, nodes)
    running, answering, least = {place.name for place in old}, {place.name for place in old}, 3
    pending = [place.name for place in new]
    for now_s in range(40):
        kept = {place.name for place in succession.update(new, running, ready(*answering), now_s, nodes).kept}
        running &= kept
        answering &= kept
        if now_s % 5 == 4:  # a new one takes five seconds to load its models
            answering |= {name for name in pending if name in running}
        while len(running) < 3 and pending:
            running.add(pending[len({place.name for place in new} & running)])
        least = min(least, len(answering))
    assert answering == {place.name for place in new}
    assert least == 2


def test_of_a_pool_smaller_than_its_nodes_gpus_none_is_ended_for_room_while_one_is_free() -> None:
    succession, nodes = Succession(), [Node("n" * 20, 2, 3)]
    old, new = inference_places(nodes, "")[:2], inference_places(nodes, "1")[:2]
    olds, news = [place.name for place in old], [place.name for place in new]
    succession.update(old, [], {}, 0, nodes)
    assert set(succession.update(new, olds, ready(*olds), 1, nodes).kept) == {*old, *new}
    # The third GPU is taken: the other successor waits for one.
    standing = succession.update(new, [*olds, news[0]], ready(*olds, news[0]), 2, nodes)
    assert set(standing.kept) == {old[1], *new}


def test_actors_of_a_few_processors_never_have_more_than_the_node_and_are_spread() -> None:
    found = inference_places([Node("a" * 20, 5, 0), Node("b" * 20, 2, 0), Node("c" * 20, 1, 0)], threads=2)
    assert [(place.node[0], place.threads) for place in found] == [("a", 2), ("b", 2), ("c", 1), ("a", 2)]
    assert len({place.name for place in found}) == len(found)


def test_an_actor_of_other_threads_has_another_name_and_is_replaced() -> None:
    node = Node("a" * 20, 8, 0)
    two, four = inference_places([node], threads=2), inference_places([node], threads=4)
    assert not {place.name for place in two} & {place.name for place in four}
    names = [place.name for place in two]
    succession = Succession()
    succession.update(two, [], {}, 0, [node])
    assert set(succession.update(four, names, ready(*names), 1, [node]).kept) == {*two, *four}


@given(st.integers(1, 9), st.integers(0, 3), st.sampled_from(["", "7"]), st.none() | st.integers(1, 12))
def test_a_place_is_found_again_by_its_actors_name(cpus: int, gpus: int, era: str, threads: int | None) -> None:
    nodes = [Node("a" * 20, cpus, gpus), Node("b" * 20, cpus, gpus), HEAD]
    for place in inference_places(nodes, era, threads):
        assert place_named(place.name, nodes) == place
        assert place_named(place.name, [HEAD]) is None
    assert place_named(f"inference:{'a' * 8}:0.3", nodes[:1]) == Place(
        f"inference:{'a' * 8}:0.3", "a" * 20, min(gpus, 1), 2 if gpus else cpus
    )


SETTINGS = PoolSettings(least=1, most=4, grow_after_s=10, shrink_after_s=60)


def drive(demands: Sequence[float], room: int = 8, settings: PoolSettings = SETTINGS) -> list[int]:
    """The pool's size, second by second, under a demand in frames an actor can take; a new one is ready at once."""
    size, ready, found = PoolSize(), settings.least, list[int]()
    for now_s, demand in enumerate(demands):
        busy = min(1.0, demand / ready)
        lag = 0.1 if demand < 0.9 * ready else 0.1 + 2 * (demand / ready - 0.9)
        ready = min(room, size.update(settings, [Load(lag, busy)] * ready, float(now_s), room))
        found.append(ready)
    return found


def test_the_pool_grows_to_a_load_and_shrinks_after_it() -> None:
    sizes = drive([0.3] * 60 + [2.5] * 300 + [0.3] * 600)
    assert sizes[59] == 1
    assert sizes[359] == 3
    assert sizes[-1] == 1
    assert max(abs(b - a) for a, b in itertools.pairwise(sizes)) == 1


def test_a_short_peak_moves_nothing_and_a_load_at_the_edge_does_not_swing() -> None:
    assert set(drive(([0.3] * 30 + [3.0] * 8) * 20)) == {1}
    for tenths in range(1, 40):
        sizes = drive([tenths / 10] * 900)
        assert sum(a != b for a, b in itertools.pairwise(sizes)) <= 3, tenths / 10


@given(st.lists(st.floats(0, 12), min_size=1, max_size=300), st.integers(1, 6))
def test_the_pool_stays_within_its_bounds_and_rests_after_a_change(demands: list[float], room: int) -> None:
    sizes = drive(demands, room)
    assert all(SETTINGS.least <= size <= min(room, SETTINGS.most) for size in sizes)
    changes = [i for i, (a, b) in enumerate(itertools.pairwise(sizes)) if a != b]
    assert all(b - a >= REST_S for a, b in itertools.pairwise(changes))


def test_of_a_cluster_without_room_one_more_is_asked_for_and_not_ever_more() -> None:
    size = PoolSize()
    wanted = [size.update(SETTINGS, [Load(3.0, 1.0)], float(now_s), 1) for now_s in range(600)]
    assert wanted[-1] == 2


def test_the_pool_does_not_grow_again_before_the_actor_it_added_answers() -> None:
    size, late = PoolSize(), Load(3.0, 1.0)
    wanted = [size.update(SETTINGS, [late], float(now_s), 8) for now_s in range(600)]
    first, second = (wanted.index(count) for count in (2, 3))
    assert second - first >= START_LIMIT_S  # it never comes: another may
    size, loads = PoolSize(), [late]
    for now_s in range(100):
        if size.update(SETTINGS, loads, float(now_s), 8) == 2 and now_s >= first + 60:
            loads = [late, late]
    assert size.wanted == 3


def test_a_pool_goes_on_from_what_was_wanted_before_within_its_bounds() -> None:
    for before, wanted in ((3, 3), (9, SETTINGS.most), (0, SETTINGS.least)):
        size = PoolSize()
        size.resume(before)
        assert size.update(SETTINGS, [], 0.0, 8) == wanted


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ValueError, match="more than most"):
        PoolSettings(least=3, most=2)


def test_lag_is_told_in_periods_and_forgotten_when_told() -> None:
    scheduler = FrameScheduler()
    scheduler.join("a", rate=2.0, now=0.0)
    scheduler.join("spare", rate=2.0, now=0.0, spare=True)
    assert scheduler.take_lag(0.0) is None
    scheduler.offer("a", 1.0)
    scheduler.offer("spare", 1.0)
    assert scheduler.take_lag(1.4) is None  # it waits, and not for a period yet
    scheduler.offer("a", 1.5)  # a newer frame: the camera has waited since the one before
    assert scheduler.take_lag(2.0) == pytest.approx(2.0)
    assert scheduler.pick(2.0, lambda _: 1) == ["a"]
    assert scheduler.take_lag(2.0) == pytest.approx(2.0)
    assert scheduler.take_lag(2.0) is None
    scheduler.pick_spare("spare", 9.0)
    assert scheduler.take_lag(9.0) is None
