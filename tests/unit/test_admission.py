"""Which frames a model sees: due, and moving; the same ones live and in a replay."""

from collections.abc import Callable, Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hoaban.admission import Admission
from hoaban.motion import REFRESH_S, Luma

STILL = np.full((54, 96), 90, np.uint8)


def admitted(admission: Admission, times: Iterable[float], luma: Callable[[int, int], Luma]) -> list[int]:
    return [i for i, captured_s in enumerate(times) if admission.admit(captured_s, luma)]


@given(rate=st.floats(0.5, 30.0), fps=st.integers(5, 30))
def test_behind_the_gate_frames_are_never_so_far_apart_that_a_rule_takes_what_stands_for_gone(
    rate: float, fps: int
) -> None:
    times = [i / fps for i in range(20 * fps)]
    found = [times[i] for i in admitted(Admission(rate, gate=True), times, lambda *_: STILL)]
    longest_s = max(np.diff(found))
    assert longest_s <= max(REFRESH_S, 1 / rate) + 1 / fps + 0.011
    if rate >= 4 and fps >= 10:
        assert longest_s < 1.0


@given(
    begin_s=st.floats(1.5e9, 2.5e9),
    rate=st.sampled_from([1.0, 2.0, 4.0, 5.0, 10.0]),
    moves=st.sets(st.integers(0, 300), max_size=4),
)
def test_the_same_frames_are_admitted_whenever_they_were_captured(begin_s: float, rate: float, moves: set[int]) -> None:
    """In a replay times begin in 1970; live they have fewer digits behind the point."""

    def run(first_s: float) -> list[int]:
        shown = iter(range(10**6))
        luma = lambda *_: np.roll(MOVED, 7 * sum(next(shown) >= move for move in moves), axis=1)  # noqa: E731
        return admitted(Admission(rate, gate=True), (first_s + i / 10 for i in range(300)), luma)

    assert run(0.0) == run(begin_s)


MOVED = STILL.copy()
MOVED[20:40, 20:40] = 200


def test_what_is_held_back_is_counted_and_only_due_frames_are_looked_at() -> None:
    looked: list[int] = []

    def luma(width: int, height: int) -> Luma:
        looked.append(width * height)
        return STILL

    admission = Admission(5.0, gate=True)
    found = admitted(admission, [i / 10 for i in range(200)], luma)
    assert len(looked) == 100
    assert len(found) + admission.gated == 100
    assert admission.gated > 50
