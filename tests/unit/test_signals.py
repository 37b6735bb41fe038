"""Signals: lamps drawn by day, by night, behind a bus, in glare; feeds that fall silent; phases and their times."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hoaban.lamps import LampWatch
from hoaban.signals import FeedWatch, Phase, Reading, Signal, SignalState, SignalView

RED, YELLOW, GREEN, UNKNOWN = SignalState.RED, SignalState.YELLOW, SignalState.GREEN, SignalState.UNKNOWN
W, H = 320, 240
LIT = {RED: (40, 40, 250), YELLOW: (20, 190, 250), GREEN: (170, 235, 30)}  # BGR
PLACES = {RED: (160, 60), YELLOW: (160, 84), GREEN: (160, 108)}
RADIUS = 8


def lamp(place: tuple[int, int]) -> list[tuple[float, float]]:
    x, y = place
    return [((x + dx * 9) / W, (y + dy * 9) / H) for dx, dy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


SIGNAL = Signal.model_validate({"id": "main", "lamps": {c.value: lamp(place) for c, place in PLACES.items()}})


def day(lit: SignalState | None, seed: int = 0, dim: float = 1.0) -> np.ndarray:
    """A head with dark glass, one lamp lit, and a camera's noise."""
    rng = np.random.default_rng(seed)
    picture = np.full((H, W, 3), 120, np.uint8)
    cv2.rectangle(picture, (146, 44), (174, 124), (25, 25, 25), -1)
    for colour, place in PLACES.items():
        shown = np.array(LIT[colour]) * (dim if colour is lit else 0.22)
        cv2.circle(picture, place, RADIUS, shown.tolist(), -1, cv2.LINE_AA)
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def night(lit: SignalState | None, seed: int = 0, glare: float = 0.0) -> np.ndarray:
    """A lamp that burns white with a coloured glow, in the dark; glare: grey levels of headlight over everything."""
    rng = np.random.default_rng(seed)
    picture = np.full((H, W, 3), 12.0)
    if lit is not None:
        bloom = np.zeros((H, W, 3), np.float32)
        cv2.circle(bloom, PLACES[lit], RADIUS + 2, [3.0 * v for v in LIT[lit]], -1)
        picture += cv2.GaussianBlur(bloom, (0, 0), 5)
        core = np.zeros((H, W, 1), np.float32)
        cv2.circle(core, PLACES[lit], RADIUS - 2, 1, -1)
        picture += core * 255
    picture += glare + rng.normal(0, 8, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


class Watched:
    """Pictures shown to a LampWatch one after the other."""

    def __init__(self, fps: float = 10) -> None:
        self.watch, self.fps, self.frame = LampWatch(SIGNAL), fps, 0

    def show(self, picture: np.ndarray) -> SignalView:
        left, top, right, bottom = self.watch.view.box
        piece = picture[round(top * H) : round(bottom * H), round(left * W) : round(right * W)]
        self.frame += 1
        return self.watch.update((self.frame - 1) / self.fps, piece)


@pytest.mark.parametrize("draw", [day, night])
def test_a_cycle_gives_its_phases_and_their_times(draw) -> None:
    watched = Watched()
    cycle = [(GREEN, 50), (YELLOW, 30), (RED, 80), (GREEN, 50), (YELLOW, 30), (RED, 40)]
    for seed, state in enumerate(state for state, frames in cycle for _ in range(frames)):
        view = watched.show(draw(state, seed))
    assert [phase.state for phase in view.phases][1:] == [state for state, _ in cycle]
    assert [phase.began_s for phase in view.phases][2:] == pytest.approx([5, 8, 16, 21, 24])
    assert view.at(10.0) is RED
    assert view.since(10.0).began_s == pytest.approx(8)
    assert view.yellow_s(10.0) == pytest.approx(3.0)
    assert view.yellow_s(3.0) is None


def test_a_lamp_behind_a_bus_is_unknown_also_when_the_bus_is_red() -> None:
    watched = Watched()
    for i in range(40):
        assert i < 3 or watched.show(day(GREEN, i)).state in (GREEN, UNKNOWN)
    for colour in ((40, 40, 200), (200, 60, 30), (230, 230, 230)):
        for i in range(20):
            hidden = day(GREEN, i)
            hidden[30:140] = np.clip(np.array(colour) + np.random.default_rng(i).normal(0, 6, (110, W, 3)), 0, 255)
            view = watched.show(hidden)
        assert view.state is UNKNOWN
        assert "hides" in view.why
        for i in range(10):
            view = watched.show(day(GREEN, i))
        assert view.state is GREEN


def test_a_bus_edge_over_the_dark_lamps_leaves_the_lit_one_known() -> None:
    watched = Watched()
    for i in range(30):
        picture = day(RED, i)
        picture[96:] = (40, 160, 200)
        view = watched.show(picture)
    assert view.state is RED


def test_flicker_of_an_led_lamp_does_not_end_a_phase() -> None:
    watched, rng = Watched(), np.random.default_rng(1)
    states = [GREEN] * 40 + [YELLOW] * 30 + [RED] * 60
    for i, state in enumerate(states):
        view = watched.show(day(state, i, dim=rng.choice([1.0, 0.6, 0.2])))
    assert [phase.state for phase in view.phases if phase.state is not UNKNOWN] == [GREEN, YELLOW, RED]
    # A lamp that was dark in the very frame of a change is seen a few frames later, never earlier.
    assert 7.0 <= view.since(12.0).began_s <= 7.4


def test_night_glare_over_the_head_makes_nothing_green_and_goes_by() -> None:
    watched, seen = Watched(), set()
    for i in range(40):
        seen.add(watched.show(night(RED, i)).state)
    for i in range(40):
        seen.add(watched.show(night(RED, i, glare=min(240.0, 12 * i))).state)
    assert watched.show(night(None, 0, glare=250)).state in (RED, UNKNOWN)
    for i in range(20):
        seen.add((view := watched.show(night(RED, i))).state)
    assert view.state is RED
    assert seen <= {RED, UNKNOWN}


def test_a_headlight_reflected_in_one_dark_lamp_is_no_green() -> None:
    watched = Watched()
    for i in range(60):
        picture = night(RED, i)
        if i > 30:
            cv2.circle(picture, PLACES[GREEN], RADIUS, (255, 255, 255), -1)
        assert watched.show(picture).state is not GREEN


def test_dusk_and_a_dark_head() -> None:
    watched = Watched()
    for i in range(200):
        view = watched.show(day(RED, i, dim=1 - 0.6 * i / 200))
    assert view.state is RED
    for i in range(20):
        view = watched.show(day(None, i))
    assert view.state is UNKNOWN
    assert view.at(view.phases[-1].began_s + 0.01) is UNKNOWN


def test_a_change_is_not_believed_before_it_is_confirmed() -> None:
    watched = Watched()
    for i in range(30):
        watched.show(day(GREEN, i))
    view = watched.show(day(RED, 1))
    assert view.known_until_s == pytest.approx(2.9)
    assert view.at(3.0) is UNKNOWN  # not settled yet
    for i in range(3):
        view = watched.show(day(RED, i))
    assert view.at(3.0) is RED


FED = Signal.model_validate({"id": "main", "feed": {"stale_after_s": 3}})


def told(*states: tuple[SignalState, float]) -> list[Reading]:
    return [Reading("main", state, at_s) for state, at_s in states]


def test_a_feed_tells_phases_and_is_lost_when_silent() -> None:
    feed = FeedWatch(FED)
    assert feed.update(99.0, []).why == "the feed has told nothing yet"
    feed.update(100.0, told((GREEN, 99.5)))
    view = feed.update(103.0, told((YELLOW, 101.0), (RED, 103.0)))
    assert (view.state, view.known_until_s) == (RED, 103.0)
    assert view.yellow_s(103.0) == 2.0
    view = feed.update(105.9, [])
    assert (view.state, view.at(105.9)) == (RED, UNKNOWN)  # not heard of yet, not lost yet
    view = feed.update(107.0, [])
    assert view.state is UNKNOWN
    assert "lost" in view.why
    assert view.at(104.0) is UNKNOWN  # after the last reading nobody knows
    assert view.at(103.0) is RED
    assert view.known_before(107.0) == (RED, pytest.approx(4.0, abs=0.01))
    view = feed.update(108.0, told((RED, 108.0)))
    assert view.since(108.0).began_s == 103.0  # red before and after a short silence: one red


def test_old_future_and_foreign_readings_change_nothing() -> None:
    feed = FeedWatch(FED)
    feed.update(10.0, told((RED, 10.0)))
    view = feed.update(11.0, [*told((GREEN, 9.0), (GREEN, 99.0)), Reading("other", GREEN, 11.0)])
    assert view.state is RED
    assert "ahead" in FeedWatch(FED).update(0.0, told((GREEN, 50.0))).why


states = st.sampled_from([RED, YELLOW, GREEN, UNKNOWN])


@given(st.lists(st.tuples(states, st.floats(0.1, 20)), min_size=1, max_size=12), st.floats(-5, 300))
def test_what_a_view_says_of_any_time_agrees_with_its_phases(spans, time_s) -> None:
    phases, now_s = [], 0.0
    for state, length_s in spans:
        if not phases or phases[-1].state is not state:
            phases.append(Phase(state, now_s, now_s))
        now_s += length_s
    view = SignalView("s", "lamps", tuple(phases), now_s)
    state, since = view.at(time_s), view.since(time_s)
    if time_s < -1e-5:
        assert since is None
        assert state is UNKNOWN
    elif time_s <= now_s and since is not None:
        assert since.state is state
        assert since.began_s <= time_s + 1e-6
    yellow_s = view.yellow_s(time_s)
    assert yellow_s is None or yellow_s > 0
    reds_s = [after.began_s - one.began_s for one, after in pairwise(phases) if one.state is RED]
    longest_s = view.longest_s(RED)
    assert longest_s is None or max(reds_s) <= longest_s <= now_s


def test_a_signal_has_lamps_or_a_feed() -> None:
    for wrong in ({"id": "x"}, {"id": "x", "feed": {}, "lamps": SIGNAL.model_dump()["lamps"]}):
        with pytest.raises(ValidationError, match="one of lamps and feed"):
            Signal.model_validate(wrong)


def test_a_red_is_as_long_as_the_longest_that_was_seen_and_is_over() -> None:
    plan = [(RED, 5), (UNKNOWN, 9), (YELLOW, 3), (RED, 4), (UNKNOWN, 2), (RED, 3), (GREEN, 9), (RED, 50)]
    starts = np.cumsum([0, *(length_s for _, length_s in plan)])
    phases = [Phase(state, float(began_s), 0.0) for (state, _), began_s in zip(plan, starts, strict=False)]

    def longest(count: int) -> float | None:
        return SignalView("s", "lamps", tuple(phases[:count]), float(starts[count])).longest_s(RED)

    assert [longest(count) for count in (1, 2, 4, 5, 6, 7, 8)] == [None, None, None, 5, 5, 9, 9]
