"""Capture times, whatever a stream's stamps or the machine's clock do. All clocks here are drawn."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hoaban.capture import MOST_GAP_S, MOST_LATE_S, ArrivalClock, MediaClock, PlayoutClock, WallTime

EPOCH_S = 1_800_000_000.0
JUMPS = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.04, -0.04, 3.0, -3.0, 7200.0, -7200.0, 2**33 / 9e4]), max_size=60)
OR_NONE = st.lists(st.booleans(), min_size=60, max_size=60)


@given(JUMPS, OR_NONE)
def test_an_arrival_is_never_dated_ahead_nor_far_back(jumps: list[float], unstamped: list[bool]) -> None:
    clock, wall, stream_s, before = ArrivalClock(), WallTime(), 0.0, 0.0
    for i, jump in enumerate(jumps):
        now, stream_s = 100 + i * 0.04, stream_s + 0.04 + jump
        at = clock.stamp(None if unstamped[i] else stream_s, now)
        assert now - MOST_LATE_S <= at <= now
        captured = wall.at(at, now, EPOCH_S + now)
        assert captured > before
        assert captured - EPOCH_S <= now + 0.1
        before = captured


def test_jitter_does_not_show_and_the_fastest_frame_tells_the_delay() -> None:
    clock = ArrivalClock()
    delays = [0.5, 0.3, 0.0, 0.2, 0.1, 0.25, 0.4, 0.05]
    times = [clock.stamp(i * 0.2, 50 + i * 0.2 + delay) for i, delay in enumerate(delays)]
    assert all(abs(time - (50 + i * 0.2)) < 1e-9 for i, time in enumerate(times) if i >= 2)


def test_a_camera_whose_clock_is_slow_is_followed() -> None:
    clock = ArrivalClock()
    late = [now - clock.stamp(now * 0.999, now) for now in (i * 0.1 for i in range(36_000))]  # 1 in 1000, for an hour
    assert max(late) < 0.05


def test_a_jump_of_the_stream_costs_no_time() -> None:
    for jump in (7200.0, -7200.0, -2.0, -(2**33) / 9e4, -(2**32) / 9e4):
        clock = ArrivalClock()
        times = [clock.stamp(i * 0.04 + (jump if i >= 50 else 0), 9 + i * 0.04) for i in range(100)]
        steps = [after - before for before, after in pairwise(times)]
        assert all(abs(step - 0.04) < 1e-6 for step in steps), jump


@given(JUMPS)
def test_a_recording_is_shown_evenly_and_never_waited_for_long(jumps: list[float]) -> None:
    clock, now, stream_s, before = PlayoutClock(0.04, 100.0), 100.0, 0.0, 0.0
    for jump in jumps:
        stream_s += 0.04 + jump
        due = clock.stamp(stream_s, now)
        assert before < due <= now + MOST_GAP_S + 0.04
        now, before = max(now, due) + 0.001, due


def test_a_loop_goes_on_evenly_and_a_late_player_goes_on_from_now() -> None:
    clock = PlayoutClock(0.1, 0.0)
    first = [clock.stamp(5 + i * 0.1, i * 0.1) for i in range(10)]
    clock.again()
    second = [clock.stamp(5 + i * 0.1, 1 + i * 0.1) for i in range(10)]
    assert all(abs(time - i * 0.1) < 1e-9 for i, time in enumerate(first + second))
    assert clock.stamp(6.0, 60.0) == 60.0


@given(JUMPS)
def test_media_time_grows_and_bridges_jumps(jumps: list[float]) -> None:
    clock, stream_s, times = MediaClock(0.04), 0.0, []
    for jump in jumps:
        stream_s += 0.04 + jump
        times.append(clock.stamp(stream_s))
    assert all(0 < after - before <= 60 for before, after in pairwise(times))
    assert times[:1] in ([], [0.0])


def drive(wall_offsets: list[float]) -> list[tuple[float, float]]:
    """(capture time, wall time) of frames ten a second while the wall clock is off by so much at each."""
    arrivals, wall = ArrivalClock(), WallTime()
    found = []
    for i, offset in enumerate(wall_offsets):
        now = 500 + i * 0.1
        shown = EPOCH_S + now + offset
        found.append((wall.at(arrivals.stamp(i * 0.1, now), now, shown), shown))
    return found


def test_a_wall_clock_set_ahead_is_followed_at_once() -> None:
    found = drive([0.0] * 20 + [3600.0] * 20)
    assert all(abs(captured - shown) < 1e-6 for captured, shown in found)


def test_a_wall_clock_set_back_is_followed_at_once_and_time_runs_on_from_there() -> None:
    found = drive([25_200.0] * 20 + [0.0] * 20)  # a clock that took local time of Viet Nam for UTC, set right
    assert all(abs(captured - shown) < 1e-6 for captured, shown in found)
    times = [captured for captured, _ in found]
    assert sum(after <= before for before, after in pairwise(times)) == 1
    assert all(abs(after - before - 0.1) < 1e-6 for before, after in pairwise(times[20:]))


@given(st.floats(-0.9, 0.9))
def test_small_corrections_never_stop_or_turn_the_time(step: float) -> None:
    found = drive([0.0] * 20 + [step] * 600)
    assert all(0.05 < after - before < 0.15 for (before, _), (after, _) in pairwise(found))
    assert abs(found[-1][0] - found[-1][1]) < 0.01
