"""When a candidate may look, at which cameras, and in what two models do not agree."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.detections import Detections
from hoaban.disagreements import SURE, Kind, ShadowCount, compare
from hoaban.evaluation.report import ModelIdentity
from hoaban.fleet import Camera
from hoaban.scheduling import FrameScheduler
from hoaban.shadow import ShadowGate, ShadowOrder, ShadowStep, assigned, last_ends, running

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LABELS = ("car", "person", "bus")


def camera(name: str, **fields: object) -> Camera:
    given = {"id": name, "name": name, "role": "overview", "district": "d", "owner": "o", "source": "a.mp4"}
    return Camera.model_validate(given | {"model": "street"} | fields)


def order(version: str = "2", after_s: float = 0, **fields: object) -> ShadowOrder:
    candidate = ModelIdentity(name="street", version=version, sha256="", card="c")
    return ShadowOrder(candidate=candidate, at=NOW + timedelta(seconds=after_s), by="test", **fields)  # type: ignore[arg-type]


# --- when


@given(
    st.floats(0.01, 0.5),
    st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.001, 0.5)), min_size=2, max_size=40),
)
def test_candidates_never_take_more_than_their_share(share: float, looks: list[tuple[float, float]]) -> None:
    gate, now, busy = ShadowGate(share), 0.0, 0.0
    rests_s = []
    for late_s, took_s in looks:
        now += gate.wait_s(now, took_s, lambda _: 0, 0)
        assert gate.wait_s(now + 1e-6, took_s, lambda _: 0, 0) == 0
        now += late_s + took_s
        busy += took_s
        gate.took(now, took_s)
        rests_s.append(gate.wait_s(now, took_s, lambda _: 0, 0))
    assert busy <= share * (now + rests_s[-1]) * (1 + 1e-6)


def test_a_candidate_waits_for_whoever_is_due_within_its_cost_unless_another_thread_is_free() -> None:
    seats, gate = FrameScheduler(), ShadowGate()
    seats.join("a", rate=5, now=0.0)
    seats.join("spare", rate=5, now=0.0, spare=True)
    seats.offer("a", 10.0)
    seats.offer("spare", 10.0)

    def pause(now: float, cost_s: float, idle: int = 0) -> float:
        return gate.wait_s(now, cost_s, lambda s: seats.due(now, s), idle)

    assert pause(10.0, 0.01) > 0  # its frame waits
    assert seats.pick(10.0, lambda _: 4) == ["a"]  # and the candidate is never served with it
    seats.done("a")
    assert pause(10.1, 0.09) == 0  # a is expected at 10.2
    assert pause(10.1, 0.11) > 0
    assert pause(10.1, 0.11, idle=1) == 0
    assert pause(10.39, 0.01) > 0  # it is late
    assert pause(10.41, 0.01) == 0  # it is quiet
    assert seats.waited_s(1000.0) == 0  # a candidate that waits is no sign of a hang
    assert seats.spares() == ["spare"]
    seats.pick_spare("spare", 10.41)
    assert seats.spares() == []
    seats.done("spare")


# --- where


def test_the_order_given_last_holds_and_terms_are_heeded() -> None:
    everywhere, at_gate = order("2"), order("3", 60, cameras=("gate",))
    closed = {"analytics": ["line_count"]}
    cameras = [
        camera("gate"),
        camera("bridge"),
        camera("pinned", model="street@2"),
        camera("shared", terms=closed),
        camera("open", terms={"analytics": ["model_trials"]}),
    ]
    found = assigned([at_gate, everywhere], cameras)
    assert {name: one.model for name, one in found.items()} == {
        "gate": "street@3",
        "bridge": "street@2",
        "open": "street@2",
    }
    assert not assigned([order(role="face_crowd")], cameras)


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_share_keeps_the_cameras_of_a_smaller(one: float, other: float) -> None:
    cameras = [camera(f"c{i}") for i in range(60)]
    small, large = (set(assigned([order(share=share)], cameras)) for share in sorted((one, other)))
    assert small <= large


def test_a_share_is_about_so_many_cameras() -> None:
    cameras = [camera(f"c{i}") for i in range(400)]
    assert 70 < len(assigned([order(share=0.25)], cameras)) < 130
    assert len(assigned([order()], cameras)) == 400


def test_what_runs_follows_the_steps() -> None:
    begun = [ShadowStep(order=order("2"), at=NOW, by="a"), ShadowStep(order=order("3"), at=NOW, by="a")]
    again = ShadowStep(order=order("2", 9), at=NOW, by="a")
    ended = ShadowStep(ends="street@2", at=NOW, by="hoaban", why="it hung")
    assert list(running([*begun, again])) == ["street@3", "street@2"]
    assert list(running([*begun, ended])) == ["street@3"]
    assert last_ends([*begun, ended])["street@2"].why == "it hung"
    assert not last_ends([*begun, ended, again])


# --- what


def seen(*rows: tuple[str, float, tuple[float, float, float, float]], labels: tuple[str, ...] = LABELS) -> Detections:
    boxes = np.array([row[2] for row in rows], np.float32).reshape(-1, 4)
    classes = np.array([labels.index(row[0]) for row in rows], np.int32)
    return Detections(boxes, np.array([row[1] for row in rows], np.float32), classes, labels)


HERE, NEAR, FAR = (0.0, 0.0, 20.0, 20.0), (2.0, 2.0, 22.0, 22.0), (50.0, 50.0, 70.0, 70.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "kinds"),
    [
        ([("car", 0.9, HERE)], [("car", 0.8, NEAR)], []),
        ([("car", 0.9, HERE)], [("bus", 0.8, NEAR)], [Kind.CLASS]),
        ([("car", 0.9, HERE)], [("car", 0.4, NEAR)], [Kind.SCORE]),
        ([("car", 0.9, HERE)], [], [Kind.ONLY_PRIMARY]),
        ([], [("car", 0.9, HERE)], [Kind.ONLY_CANDIDATE]),
        ([("car", 0.9, HERE)], [("car", 0.9, FAR)], [Kind.ONLY_PRIMARY, Kind.ONLY_CANDIDATE]),
        ([("car", 0.4, HERE)], [("person", 0.3, FAR)], []),  # neither is sure of it
        # The pair of one class is taken, though the other box overlaps more.
        ([("car", 0.9, HERE)], [("bus", 0.9, HERE), ("car", 0.9, NEAR)], [Kind.ONLY_CANDIDATE]),
    ],
)
def test_differences(ours: list, theirs: list, kinds: list[Kind]) -> None:
    assert [one.kind for one in compare(seen(*ours), seen(*theirs))] == kinds


def test_a_class_that_one_model_does_not_know_is_no_difference() -> None:
    assert compare(seen(("bus", 0.9, HERE)), seen(labels=("car",))) == []


sights = st.lists(
    st.tuples(
        st.sampled_from(LABELS),
        st.floats(0.25, 1, width=32),
        st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2).map(
            lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
        ),
    ),
    max_size=8,
)


@given(sights, sights)
def test_each_thing_is_told_at_most_once_and_only_what_a_model_is_sure_of(ours: list, theirs: list) -> None:
    there = compare(seen(*ours), seen(*theirs))
    assert compare(seen(*ours), seen(*ours)) == []
    for one in there:
        assert max(s.score for s in (one.primary, one.candidate) if s) >= SURE
    for side, all_of_it in (("primary", ours), ("candidate", theirs)):
        told = [getattr(one, side).bbox for one in there if getattr(one, side)]
        boxes = [row[2] for row in all_of_it]
        assert all(told.count(box) <= boxes.count(box) for box in told)  # each thing at most once


def test_counts() -> None:
    count = ShadowCount()
    assert count.per_100 is None
    count.saw(compare(seen(("car", 0.9, HERE)), seen(("car", 0.9, FAR))))
    count.saw([])
    assert count.as_dict()["per_100_frames"] == 50.0
    assert count.as_dict()["kinds"] == {"only_primary": 1, "only_candidate": 1, "class": 0, "score": 0}
