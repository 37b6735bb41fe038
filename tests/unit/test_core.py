"""Tracker, scheduler, sampler, reconcile, states, motion, events, diff: the plain parts."""

import numpy as np
import pytest

from hoaban.detections import Detections
from hoaban.diff import diff_events
from hoaban.events import Event, Finding, ModelRef, Provenance, bind
from hoaban.frames import FrameMeta
from hoaban.motion import MotionGate
from hoaban.placement import Node, inference_places
from hoaban.reconcile import Action, Observed, Phase, after_death, backoff_s, plan_steps
from hoaban.sampling import FrameSampler
from hoaban.scheduling import FrameScheduler, jain_index
from hoaban.source_state import SourceTracker
from hoaban.status import SourceState
from hoaban.tracking import Tracker

PROVENANCE = Provenance(ModelRef("m", "1", "d"), "c", "0")


def seen(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    n = len(boxes)
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.full(n, score, np.float32), np.zeros(n, np.int32), ("person",))


def walker(x: float, y: float = 100) -> tuple[float, float, float, float]:
    return (x, y, x + 20, y + 50)


def test_two_that_pass_each_other_keep_their_ids() -> None:
    tracker = Tracker()
    first = last = None
    for i in range(40):
        tracks = tracker.update(seen(walker(10 + 5 * i), walker(250 - 5 * i, 118)), i / 5)
        if len(tracks) == 2:
            by_y = tracks.ids[np.argsort(tracks.boxes[:, 1])].tolist()
            first, last = first or by_y, by_y
    assert first == last
    assert first is not None


def test_a_track_lives_through_missed_frames_and_a_new_one_needs_two() -> None:
    tracker = Tracker()
    assert len(tracker.update(seen(walker(0)), 0.0)) == 0
    (track,) = tracker.update(seen(walker(4)), 0.2).ids
    assert len(tracker.update(seen(), 0.4)) == 0
    assert tracker.update(seen(walker(16)), 0.8).ids.tolist() == [track]
    tracker.update(seen(), 3.0)
    assert len(tracker.update(seen(walker(16)), 3.2)) == 0


def test_unsure_detections_continue_tracks_but_begin_none() -> None:
    tracker = Tracker()
    for i in range(3):
        assert len(tracker.update(seen(walker(0), score=0.4), i / 5)) == 0
    tracker = Tracker()
    tracker.update(seen(walker(0)), 0.0)
    tracker.update(seen(walker(0)), 0.2)
    assert len(tracker.update(seen(walker(1), score=0.4), 0.4)) == 1


def test_scheduler_shares_in_proportion_to_what_was_asked() -> None:
    scheduler, served = FrameScheduler(), dict.fromkeys("abc", 0)
    rates = {"a": 5.0, "b": 10.0, "c": 20.0}
    for name, rate in rates.items():
        scheduler.join(name, rate=rate, now=0.0)
    now = 0.0
    for _ in range(3000):  # one server of 10 frames a second for 35 asked: 3.5 times too few
        for name in rates:
            scheduler.offer(name, now)
        now += 0.1
        for name in scheduler.pick(now, lambda _: 1):
            served[name] += 1
            scheduler.done(name)
    assert sum(served.values()) == 3000
    assert jain_index([served[name] / rates[name] for name in rates]) > 0.99


def test_scheduler_guarantees_one_in_flight_and_groups() -> None:
    scheduler = FrameScheduler()
    scheduler.join("slow", rate=1, guaranteed_rate=1, now=0.0, group="m")
    scheduler.join("fast", rate=30, now=0.0, group="m")
    scheduler.join("other", rate=0.1, now=0.0, group="n")
    for name in ("slow", "fast", "other"):
        scheduler.offer(name, 0.0)
    assert scheduler.pick(1.01, lambda _: 8) == ["slow", "fast"]
    scheduler.offer("slow", 1.01)
    assert scheduler.pick(1.02, lambda _: 8) == ["other"]
    assert scheduler.pick(1.03, lambda _: 8) == []
    scheduler.done("slow")
    assert scheduler.pick(1.04, lambda _: 8) == ["slow"]


def test_jain_index_of_known_shares() -> None:
    assert jain_index([1, 1, 1, 1]) == 1
    assert jain_index([1, 0, 0, 0]) == 0.25
    with pytest.raises(ValueError, match="no shares"):
        jain_index([])


def test_sampler_keeps_its_rate_and_survives_jumps() -> None:
    sampler = FrameSampler(5)
    assert sum(sampler.due(i / 24) for i in range(240)) == 50
    assert sampler.due(1000.0)
    assert sampler.due(2.0)


def test_reconcile_takes_only_the_steps_that_are_due() -> None:
    run = Observed(Phase.RUNNING, 0.0, "d1", answered_s=100.0)
    observed = {"keep": run, "edit": run, "gone": run, "hung": Observed(Phase.RUNNING, 0.0, "d1", answered_s=10.0)}
    steps = plan_steps({"keep": "d1", "edit": "d2", "hung": "d1", "new": "d1"}, observed, now_s=101.0)
    assert [(s.action, s.name) for s in steps] == [
        (Action.STOP, "gone"),
        (Action.KILL, "hung"),
        (Action.CONFIGURE, "edit"),
        (Action.START, "new"),
    ]


def test_reconcile_backs_off_from_a_camera_that_keeps_dying_and_starts_few_at_once() -> None:
    dead = after_death(after_death(Observed(Phase.STARTING, 0.0), 1.0), 2.0)
    assert dead.deaths == 2
    assert plan_steps({"a": "d"}, {"a": dead}, now_s=3.0) == []
    assert len(plan_steps({"a": "d"}, {"a": dead}, now_s=4.1)) == 1
    assert backoff_s(50) == 60
    assert len(plan_steps({str(i): "d" for i in range(100)}, {}, 0.0, most_starting=8)) == 8


def test_a_camera_that_was_removed_starts_again_only_when_it_is_gone() -> None:
    ending = {"a": Observed(Phase.ENDING, 10.0)}
    assert plan_steps({}, ending, 11.0) == plan_steps({"a": "d"}, ending, 11.0) == []
    assert [step.action for step in plan_steps({"a": "d"}, ending, 18.5)] == [Action.END]
    assert [step.action for step in plan_steps({"a": "d"}, {}, 18.6)] == [Action.START]


def test_placement_prefers_gpus() -> None:
    assert [p.gpus for p in inference_places([Node("a" * 20, 8, 2), Node("b" * 20, 8, 0)])] == [1, 1]
    assert [p.threads for p in inference_places([Node("a" * 20, 8, 0), Node("b" * 20, 0, 0)])] == [8]


def test_source_states_and_backoff() -> None:
    tracker = SourceTracker(stall_s=5, now_s=0)
    tracker.failed("dead", 1)
    tracker.connecting(2)
    assert (tracker.look(2), tracker.error) == (SourceState.FAILED, "dead")
    tracker.frame(3)
    assert (tracker.look(7), tracker.error) == (SourceState.LIVE, None)
    assert tracker.look(8.5) is SourceState.STALLED
    tracker.frame(9)
    assert tracker.look(9) is SourceState.LIVE
    for i in range(20):
        tracker.failed("x", 10 + i)
    assert 15 <= tracker.pause_s(0.0) <= tracker.pause_s(1.0) == 30


def test_motion_gate_holds_back_a_still_picture_and_wakes_at_once() -> None:
    gate, still = MotionGate(), np.full((54, 96), 90, np.uint8)
    admitted = [gate.admit(still, i / 10) for i in range(100)]
    assert sum(admitted[40:]) == pytest.approx(6, abs=1)
    moved = still.copy()
    moved[20:30, 20:26] = 200
    assert gate.admit(moved, 10.0)


def event(time_s: float, label: str = "car", direction: str = "forward", track: int = 1) -> Event:
    finding = Finding("line_count", "line_count:in", track=track, label=label, line="in", direction=direction)
    return bind(finding, FrameMeta("cam", 0, time_s, 10, 10), "shared", PROVENANCE)


def test_events_go_round_through_json_and_have_one_name_each() -> None:
    one = event(12.345678)
    assert Event.from_json(one.to_json()).to_json() == one.to_json()
    assert one.id == event(12.345678).id != event(12.345679).id
    assert '"time":"1970-01-01T00:00:12.345678Z"' in one.to_json()
    with pytest.raises(ValueError, match="source"):
        Event.from_json('{"id": "x"}')


def test_diff_finds_gained_lost_and_changed_whatever_the_track_numbers() -> None:
    before = [event(1), event(5), event(9)]
    after = [event(1, track=7), event(9, label="truck"), event(20)]
    found = diff_events(before, after)
    assert [e.time.second for e in found.gained] == [20]
    assert [e.time.second for e in found.lost] == [5]
    assert [c.fields for c in found.changed] == [{"class": ("car", "truck")}]
    assert found.same == 1
