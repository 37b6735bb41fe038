"""Cameras are shared out evenly over the inference actors, few of them too, and one more or less moves few others."""

import random
from collections import Counter
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.camera_crew import CameraCrew
from actors.link import Peer
from hoaban.placement import Node as Machine
from hoaban.placement import inference_places, share_out

MOST_MOVED = 4.0
"""other cameras, in the mean, by one camera more or less"""
CAMERA = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=24)
FLEETS = st.lists(CAMERA, min_size=8, max_size=212, unique=True) | st.builds(
    lambda prefix, n: [f"{prefix}{i}" for i in range(n)], CAMERA, st.integers(8, 212)
)
"""ids as people give them: at random, or numbered"""


def pool(actors: int, nodes: int = 1) -> dict[str, str]:
    """So many actors by name, with their nodes, as the supervisor names them."""
    machines = [Machine(f"{n:x}".rjust(8, "a") * 2, actors, 0) for n in range(nodes)]
    return {place.name: place.node for place in inference_places(machines, threads=1)[:actors]}


def first(shared: dict[str, list[str]]) -> dict[str, str]:
    return {camera: order[0] for camera, order in shared.items()}


def even(cameras: int, actors: int) -> int:
    return -(-cameras // actors)


@given(FLEETS, st.integers(2, 8))
def test_no_actor_has_more_than_an_even_division_gives(cameras: list[str], actors: int) -> None:
    shared = share_out(dict.fromkeys(cameras), pool(actors))
    assert max(Counter(first(shared).values()).values()) <= even(len(cameras), actors)
    assert all(sorted(order) == sorted(pool(actors)) for order in shared.values())


@given(FLEETS, st.integers(2, 8), st.integers(2, 4), st.randoms(use_true_random=False))
def test_cameras_stay_on_their_node_and_are_even_there(
    cameras: list[str], actors: int, nodes: int, drawn: random.Random
) -> None:
    names = pool(actors, nodes)
    on = {camera: drawn.choice([*names.values(), "no actor here", None]) for camera in cameras}
    shared = share_out(on, names)
    for node in set(names.values()):
        here = [camera for camera in cameras if on[camera] == node]
        there = [actor for actor in names if names[actor] == node]
        loads = Counter(shared[camera][0] for camera in here)
        assert set(loads) <= set(there)
        assert max(loads.values(), default=0) <= even(len(here), len(there))
        for camera in here:  # and their next choices are near before they are far
            assert set(shared[camera][: len(there)]) == set(there)
    # Those from elsewhere fill up what has least: an actor gets one of them above its even share of all only where
    # less would not take them all.
    own = Counter(shared[camera][0] for camera in cameras if on[camera] in names.values())
    all_ = Counter(first(shared).values())
    fullest = max((all_[actor] for actor in names if all_[actor] > own[actor]), default=0)
    room_below = sum(max(0, fullest - 1 - own[actor]) for actor in names)
    assert fullest <= even(len(cameras), len(names)) or room_below < len(cameras) - own.total()


@given(FLEETS, st.integers(2, 8), st.randoms(use_true_random=False))
def test_it_is_the_same_in_whatever_order_it_is_asked(cameras: list[str], actors: int, drawn: random.Random) -> None:
    names = list(pool(actors).items())
    before = share_out(dict.fromkeys(cameras), dict(names))
    drawn.shuffle(cameras)
    drawn.shuffle(names)
    assert share_out(dict.fromkeys(cameras), dict(names)) == before


def moved(before: dict[str, list[str]], after: dict[str, list[str]]) -> int:
    """Cameras of both that turn to another actor than before."""
    return sum(before[camera][0] != after[camera][0] for camera in before.keys() & after.keys())


@pytest.mark.parametrize("actors", [2, 4, 8])
@pytest.mark.parametrize("n", [8, 60, 212])
def test_one_more_or_less_moves_few(n: int, actors: int) -> None:
    cameras, names = dict.fromkeys(f"cam-{i}" for i in range(n)), pool(actors + 1)
    fewer = dict(list(names.items())[:actors])
    shared = share_out(cameras, fewer)
    added = [moved(shared, share_out(cameras | {f"new-{i}": None}, fewer)) for i in range(10)]
    taken = [moved(shared, share_out({c: None for c in cameras if c != gone}, fewer)) for gone in list(cameras)[:10]]
    assert mean(added) <= MOST_MOVED
    assert mean(taken) <= MOST_MOVED
    # An actor more has to get its share from somewhere; few others move.
    grown = share_out(cameras, names)
    share = Counter(first(grown).values())[list(names)[-1]]
    assert moved(shared, grown) <= share + 2 * actors


def test_the_cameras_of_an_actor_that_dies_go_to_many() -> None:
    names = pool(8)
    shared = share_out(dict.fromkeys(f"cam-{i}" for i in range(212)), names)
    for actor in names:
        seconds = Counter(order[1] for order in shared.values() if order[0] == actor)
        assert len(seconds) >= 5
        assert max(seconds.values()) <= seconds.total() / 2


class _Handle:
    """Takes the place of a camera's handle."""

    def __init__(self) -> None:
        self.told: list[list[Peer]] = []
        self.set_peers = self

    def remote(self, peers: list[Peer]) -> None:
        self.told.append(peers)


class _Crew(CameraCrew):
    def _adopt(self) -> None:
        """There is no Ray in this test."""


def test_only_cameras_whose_order_is_another_are_told() -> None:
    crew = _Crew(None, "", "", "", left=lambda: None)  # type: ignore[arg-type]
    cameras = [f"cam-{i}" for i in range(12)]
    crew.configs = dict.fromkeys(cameras)  # type: ignore[assignment]
    crew.actors = {camera: _Handle() for camera in cameras}
    names = pool(4, 2)
    peers = [Peer(name, node, "s") for name, node in names.items()]
    crew.set_peers(peers, {})
    crew.set_peers(peers, {})
    assert [len(crew.actors[camera].told) for camera in cameras] == [1] * 12
    nodes = sorted(set(names.values()))
    crew.set_peers(peers, {"cam-0": nodes[0]})
    crew.set_peers(peers, {"cam-0": nodes[1]})
    assert {peer.node for peer in crew.actors["cam-0"].told[-1][:2]} == {nodes[1]}
    assert len(crew.actors["cam-0"].told) > 1
    assert sum(len(crew.actors[camera].told) > 1 for camera in cameras) < 12


@given(FLEETS, st.integers(1, 8), st.randoms(use_true_random=False))
def test_on_one_node_nobody_moves_as_it_comes_to_be_known_where_cameras_run(
    cameras: list[str], actors: int, drawn: random.Random
) -> None:
    names = pool(actors)
    (node,) = set(names.values())
    some = {camera: drawn.choice([node, None]) for camera in cameras}
    assert share_out(some, names) == share_out(dict.fromkeys(cameras), names)
