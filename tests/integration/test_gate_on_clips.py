"""The shipped hand counts as a gate: the real detector made worse is refused, its equal passes. Takes minutes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.models.files import open_package
from actors.suite import load_suite
from cli.evaluate import run_suite
from hoaban.evaluation.report import compare
from hoaban.models.card import YOLOX_NANO
from tests.planted import package, yolox_scaled

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


def test_halved_scores_are_refused_and_the_same_network_passes(
    clip: Callable[[str], Path], yolox: str, tmp_path: Path
) -> None:
    clip("road-a.mp4")
    suite = load_suite()
    suited = [one.suited for one in suite]
    present = open_package(yolox)
    equal, half = (
        open_package(str(package(tmp_path / name, YOLOX_NANO, yolox_scaled(scores), name=name)))
        for name, scores in (("equal", 1.0), ("half", 0.5))
    )
    before = run_suite(present, suite)
    passed, refused = (
        compare(model.card, present.card, suited, list(zip(before, run_suite(model, suite), strict=True)))
        for model in (equal, half)
    )
    assert passed.passed, passed.reason
    assert all(one.lost == one.gained == one.changed == () for one in passed.recordings)
    assert not refused.passed
    assert "not shown to be within" in refused.reason or "no better than seeing nothing" in refused.reason
    assert sum(len(one.lost) for one in refused.recordings) > 80
