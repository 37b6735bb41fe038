"""The summary of many faults finds each thing that is not as it has to be."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.faults.summary import main, percentile, said, wrong
from tests.faults.whole_system import Outcome

GOOD = Outcome("seed 1", "camera", "road", 2.0, 10, 0, 0, 10.0, 0.0, {"plaza": 1.0, "yard": 0.93})


def test_what_is_as_it_has_to_be_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = Outcome("seed 2", "camera", "road", 9.0, 25, 0, 0, 10.0, 0.0, {"plaza": 1.0})
    again = Outcome("seed 3", "inference", "yard", 4.0, 7, 0, 0, 10.0, 0.0, {})
    still = Outcome("seed 5", "inference", "yard", 99.0, 8, 0, 0, 10.0, 88.0, {"road": 0.1})
    report = tmp_path / "report.jsonl"
    report.write_text("".join(json.dumps(asdict(one)) + "\n" for one in (GOOD, later, again, still)))
    assert main(report) == 0
    told = capsys.readouterr().out
    assert told.startswith("4 faults, 33 events told; 1 of them not timed")
    assert "| camera | 2 | 0 | 0 | 2.0 / 9.0 / 9.0 | 0 | 0.977, 0.930 |" in told
    assert "| inference | 2 | 0 | 0 | 4.0 / 4.0 / 4.0 | 0 | – |" in told


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Outcome("seed 4", "camera", "road", 2.0, 10, 1, 0, 10.0, 0.0, {}), "camera: events lost or doubled: seed 4"),
        (Outcome("seed 4", "camera", "road", 2.0, 10, 0, 1, 10.0, 0.0, {}), "camera: events lost or doubled: seed 4"),
        (Outcome("seed 4", "camera", "road", 10.1, 10, 0, 0, 10.0, 0.0, {}), "camera: not back within 10 s: seed 4"),
        (Outcome("seed 4", "camera", "road", None, 10, 0, 0, 10.0, 0.0, {}), "camera: not back within 10 s: seed 4"),
        (
            Outcome("seed 4", "API", "road", 2.0, 10, 0, 0, 10.0, 0.0, {"yard": 0.9}),
            "API: the others kept 0.900 of their frames",
        ),
    ],
)
def test_what_is_not_is_told(tmp_path: Path, bad: Outcome, words: str) -> None:
    assert wrong([GOOD, bad]) == [words]
    report = tmp_path / "report.jsonl"
    report.write_text("".join(json.dumps(asdict(one)) + "\n" for one in (GOOD, bad)))
    assert main(report) == 1


def test_percentiles_are_values_that_were_seen() -> None:
    assert [percentile([3.0, 1.0, 2.0, 4.0], share) for share in (0.5, 0.95, 1.0)] == [2.0, 4.0, 4.0]
    assert said([]) == 0
