"""Cameras that sample in step move apart, where that helps: drawn arrivals through the real sampler and scheduler."""

import heapq

import numpy as np
import pytest

from hoaban.phase import PhaseSeeker
from hoaban.sampling import FrameSampler
from hoaban.scheduling import FrameScheduler

CAMERAS, MODELS, RATE, SOURCE_FPS, WARM_S, END_S = 8, 2, 9.0, 25.0, 40.0, 80.0


def run(service_s: float, *, seek: bool) -> tuple[float, float, int]:
    """Cameras that started within 10 ms: 95th percentile of the waits, frames a second, moves in the last part."""
    names = [f"c{i}" for i in range(CAMERAS)]
    scheduler, samplers = FrameScheduler(), {name: FrameSampler(RATE) for name in names}
    seekers = {name: PhaseSeeker(name, 1 / RATE) for name in names}
    for name in names:
        scheduler.join(name, rate=RATE, now=0.0)
    happenings = [(0.01 * i / CAMERAS, 1, name) for i, name in enumerate(names)]
    free, offered, waits, moves = MODELS, dict[str, float](), list[float](), 0
    while happenings[0][0] < END_S:
        now_s, frame, name = heapq.heappop(happenings)
        if frame:
            heapq.heappush(happenings, (now_s + 1 / SOURCE_FPS, 1, name))
            if samplers[name].due(now_s):
                scheduler.offer(name, now_s)
                offered[name] = now_s
        else:
            free += 1
            scheduler.done(name)
        while free and (picked := scheduler.pick(now_s, lambda _: 1)):
            (taken,), wait_s = picked, now_s - offered[picked[0]]
            free -= 1
            heapq.heappush(happenings, (now_s + service_s, 0, taken))
            delay_s = seekers[taken].waited(wait_s, now_s) if seek else 0.0
            if delay_s:
                samplers[taken].delay(delay_s)
            if now_s > WARM_S:
                waits.append(wait_s)
                moves += delay_s > 0
    return float(np.percentile(waits, 95)), len(waits) / (END_S - WARM_S), moves


def test_cameras_in_step_move_apart_and_keep_their_rate() -> None:
    in_step_s, rate, _ = run(0.7 * MODELS / CAMERAS / RATE, seek=False)
    apart_s, kept, _ = run(0.7 * MODELS / CAMERAS / RATE, seek=True)
    assert apart_s < 0.4 * in_step_s
    assert kept == pytest.approx(rate, rel=0.01)


def test_under_overload_no_rate_is_lost_by_moving() -> None:
    _, rate, _ = run(1.5 * MODELS / CAMERAS / RATE, seek=False)
    _, kept, moves = run(1.5 * MODELS / CAMERAS / RATE, seek=True)
    assert kept == pytest.approx(rate, rel=0.01)
    assert moves < 0.01 * kept * (END_S - WARM_S)


def test_a_clock_that_was_set_moves_no_more_than_one_period() -> None:
    seeker = PhaseSeeker("c", 0.1)
    delays = [seeker.waited(3600.0 if i == 500 else 0.0, 0.1 * i) for i in range(1000)]
    assert max(delays) <= 0.1
    assert not any(delays[600:])
