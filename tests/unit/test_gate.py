"""The promotion gate: worse models stay out, better ones come in, and chance promotes no more often than it may."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoaban.evaluation.gate import GateSettings, Segment, judge
from hoaban.evaluation.matching import Happening, errors_by_segment, match

SETTINGS = GateSettings(resamples=999)


def segments(
    rng: np.random.Generator, present: float, candidate: float, number: int = 40, role: str = "r"
) -> list[Segment]:
    """Drawn pairs: some happenings a segment, each model errs with its rate; hard segments are hard for both."""
    found = []
    for index in range(number):
        truths, hard = int(rng.poisson(4)), rng.gamma(4, 0.25)
        errors = (float(rng.poisson(rate * hard * truths)) for rate in (present, candidate))
        found.append(Segment(role, f"clip-{index // 10}", truths, *errors))
    return found


def test_a_worse_model_is_refused_and_a_better_one_passes() -> None:
    rng = np.random.default_rng(5)
    worse = judge(segments(rng, 0.10, 0.30), SETTINGS)
    assert not worse.passed
    assert "not shown to be within 0.05" in worse.reason
    better = judge(segments(rng, 0.20, 0.05, 80), SETTINGS)
    assert better.passed
    assert better.roles[0].difference < 0
    low, high = better.roles[0].interval or (1, 1)
    assert low < better.roles[0].difference < high < 0


@pytest.mark.parametrize("candidate", [0.15, 0.18])
def test_models_too_bad_by_the_margin_or_more_pass_at_most_as_often_as_alpha(candidate: float) -> None:
    rng = np.random.default_rng(11)
    trials, alpha = 200, SETTINGS.alpha
    passed = sum(judge(segments(rng, 0.10, candidate), SETTINGS).passed for _ in range(trials))
    assert passed <= alpha * trials


@pytest.mark.parametrize(("blocks", "happenings"), [(20, 2), (30, 1), (40, 2), (20, 5), (60, 2)])
def test_a_few_happenings_without_an_error_prove_nothing(blocks: int, happenings: int) -> None:
    rng = np.random.default_rng(13)
    settings = GateSettings(resamples=999, least_truths=20, block_segments=1)

    def drawn() -> list[Segment]:
        errors = rng.binomial(happenings, settings.margin, blocks)
        return [Segment("r", f"clip-{i}", happenings, 0.0, float(errors[i])) for i in range(blocks)]

    passed = sum(judge(drawn(), settings).passed for _ in range(200))
    assert passed <= settings.alpha * 200


def test_an_equal_model_mostly_passes_with_enough_to_judge_by() -> None:
    rng = np.random.default_rng(12)
    passed = sum(judge(segments(rng, 0.05, 0.05, 160), SETTINGS).passed for _ in range(50))
    assert passed >= 40


def test_one_bad_role_refuses_all() -> None:
    rng = np.random.default_rng(6)
    mixed = segments(rng, 0.2, 0.05, role="good") + segments(rng, 0.05, 0.4, role="bad")
    verdict = judge(mixed, SETTINGS)
    assert {role.role: role.passed for role in verdict.roles} == {"good": True, "bad": False}
    assert not verdict.passed
    assert verdict.reason.startswith("bad: ")


def test_too_little_is_refused_whatever_it_shows() -> None:
    few = [Segment("r", "clip", 3, 3, 0)] * 6
    verdict = judge(few, SETTINGS, roles=("r", "never seen"))
    assert not verdict.passed
    assert "r: too little to judge by: 18 known happenings in 3 blocks; 30 in 20" in verdict.reason
    assert "never seen: too little to judge by: 0 known happenings" in verdict.reason
    assert not judge([], SETTINGS).passed


def test_two_blind_models_are_equal_and_none_passes() -> None:
    blind = [Segment("r", f"clip-{i // 10}", 3, 3, 3) for i in range(80)]
    verdict = judge(blind, SETTINGS)
    assert not verdict.passed
    assert "no better than seeing nothing" in verdict.reason
    sees = [Segment("r", f"clip-{i // 10}", 3, 3, 1) for i in range(80)]
    assert judge(sees, SETTINGS).passed


def test_matching_takes_the_right_class_first_and_never_too_far() -> None:
    place = ("in", "forward")
    truths = [Happening(1.0, place, ("car",)), Happening(1.4, place, ("bus", "truck")), Happening(9.0, place, ("car",))]
    told = [Happening(1.3, place, ("car",)), Happening(1.1, place, ("truck",)), Happening(5.0, place, ("car",))]
    found = match(truths, told, 1.5)
    assert found.pairs == ((0, 0), (1, 1))
    assert (found.missed, found.false, found.wrong_class) == ((2,), (2,), ())
    assert match(truths, [Happening(1.0, ("in", "backward"), ("car",))], 1.5).missed == (0, 1, 2)
    assert match(truths[:1], [Happening(1.0, place, ("bus",))], 1.5).wrong_class == ((0, 0),)


happenings = st.lists(
    st.builds(Happening, st.floats(0, 60), st.sampled_from([("a",), ("b",)]), st.sampled_from([("car",), ("bus",)])),
    max_size=12,
)


@given(happenings, happenings)
def test_every_truth_and_every_event_is_accounted_for_once(truths: list[Happening], told: list[Happening]) -> None:
    found = match(truths, told, 2.0)
    assert sorted([i for i, _ in found.pairs] + list(found.missed)) == list(range(len(truths)))
    assert sorted([j for _, j in found.pairs] + list(found.false)) == list(range(len(told)))
    errors, known = errors_by_segment(truths, told, 2.0, 60.0, 10.0)
    assert sum(errors) == len(found.missed) + len(found.false) + len(found.wrong_class)
    assert sum(known) == len(truths)
    assert match(truths, truths, 2.0).missed == match(truths, truths, 2.0).false == ()
