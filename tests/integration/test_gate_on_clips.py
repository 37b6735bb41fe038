"""The shipped hand counts as a gate: the real detector made worse is refused, its equal passes.

Of the first 90 seconds of each clip, three pictures a second; HOABAN_WHOLE_CLIPS=1: all of all, which takes minutes.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from actors.models.files import open_package
from actors.suite import OnDisk, load_suite
from cli.evaluate import run_suite
from hoaban.evaluation.report import Report, Run, compare
from hoaban.models.card import YOLOX_NANO
from tests.clips import WHOLE, cut_short
from tests.planted import package, yolox_scaled

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
SECONDS, FPS = 90.0, 3


@pytest.fixture(scope="module")
def suite(clip: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[OnDisk]:
    clip("road-a.mp4")
    folder = tmp_path_factory.mktemp("clips")
    return [seldom(cut_short(one, folder, SECONDS)) for one in load_suite()]


def seldom(one: OnDisk) -> OnDisk:
    """The recording, fewer of whose pictures are analysed."""
    if WHOLE:
        return one
    recording = one.suited.recording
    camera = recording.camera | {"analysis_fps": FPS}
    return replace(one, suited=replace(one.suited, recording=recording.model_copy(update={"camera": camera})))


@pytest.fixture(scope="module")
def before(suite: list[OnDisk], yolox: str) -> list[Run]:
    return run_suite(open_package(yolox), suite)


def judged(suite: list[OnDisk], before: list[Run], folder: Path, scores: float) -> Report:
    """The detector with its scores multiplied, against itself."""
    model = open_package(str(package(folder, YOLOX_NANO, yolox_scaled(scores), name="planted")))
    after = run_suite(model, suite)
    return compare(model.card, YOLOX_NANO, [one.suited for one in suite], list(zip(before, after, strict=True)))


def test_the_same_network_passes(suite: list[OnDisk], before: list[Run], tmp_path: Path) -> None:
    report = judged(suite, before, tmp_path, 1.0)
    assert report.passed, report.reason
    assert all(one.lost == one.gained == one.changed == () for one in report.recordings)


def test_halved_scores_are_refused(suite: list[OnDisk], before: list[Run], tmp_path: Path) -> None:
    report = judged(suite, before, tmp_path, 0.5)
    assert not report.passed
    assert "no better than seeing nothing" in report.reason
    assert sum(len(one.lost) for one in report.recordings) > (80 if WHOLE else 50)
