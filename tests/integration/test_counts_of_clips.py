"""Replayed clips against their hand counts: exact where the view is clear, bounded where it is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.models import find_model, load_detector
from actors.suite import SHIPPED, load_suite
from benchmarks.counting import Verdict, judge, judged
from hoaban.evaluation.matching import Happening
from tests.clips import WHOLE, cut_short

pytestmark = pytest.mark.integration
SECONDS = 46.0
"""of each clip; `make bench` judges all of them"""


@pytest.fixture(scope="module")
def verdict(
    clip: Callable[[str], Path], yolox: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Verdict]:
    detector = load_detector(find_model(yolox), threads=1, device="cpu")
    detector.warm_up()
    clip("road-a.mp4")
    folder = tmp_path_factory.mktemp("clips")

    def of(name: str) -> Verdict:
        (one,) = load_suite([SHIPPED / f"{name}.yaml"])
        return judged(cut_short(one, folder, SECONDS), detector)

    return of


@pytest.mark.parametrize(("name", "crossings"), [("road-a", 4), ("one-by-one-person-detection", 6 if WHOLE else 2)])
def test_clear_views_are_counted_exactly(verdict: Callable[[str], Verdict], name: str, crossings: int) -> None:
    found = verdict(name)
    assert (found.truth, found.counted, found.strict) == (crossings, crossings, 0)


@pytest.mark.parametrize(("name", "most"), [("pets-s2l1-v1", 2), ("highway-low", 4), ("plaza", 1)])
def test_crowded_and_blurred_views_stay_within_bounds(verdict: Callable[[str], Verdict], name: str, most: int) -> None:
    found = verdict(name)
    assert found.strict <= most, (found.missed, found.false)
    assert len(found.wrong_class) <= 2


def test_nothing_cancels_out_in_the_strict_error() -> None:
    def at(at_s: float, direction: str = "forward", *classes: str) -> Happening:
        return Happening(at_s, ("line_count", "in", direction), classes or ("car",))

    truth = [at(1.0), at(2.0), at(9.0), at(20.0, "forward", "truck", "car")]
    found = [at(2.2), at(1.2), at(1.4), at(9.0, "backward"), at(20.5), at(12.0)]
    verdict = judge(truth, found, 1.5)
    assert [c.at_s for c in verdict.missed] == [9.0]
    assert [c.at_s for c in verdict.false] == [1.4, 9.0, 12.0]
    assert (verdict.net, verdict.strict, verdict.wrong_class) == (2, 4, ())
    assert judge(truth, [], 1.5).strict == 4
