"""When a live camera's frames count as not analysed, and what is said then."""

from typing import Any

import pytest

from hoaban.analysis_health import LEAST_LATE_S, not_analysed
from hoaban.status import CameraStatus, SourceState
from serve.metrics import render


@pytest.mark.parametrize(
    ("live_for_s", "idle_s", "rate"),
    [
        (None, None, 5.0),  # no stream, nothing to analyse
        (None, 100.0, 5.0),
        (3.0, None, 5.0),  # it has only begun
        (3.0, 100.0, 5.0),  # it was away meanwhile
        (100.0, 1.0, 5.0),
        (100.0, 20.0, 0.2),  # a frame every five seconds
    ],
)
def test_a_camera_that_is_not_late_is_not_told(live_for_s: float | None, idle_s: float | None, rate: float) -> None:
    assert not_analysed(live_for_s, idle_s, rate, "a reason") is None


@pytest.mark.parametrize(
    ("live_for_s", "idle_s", "rate", "late_s"),
    [(7.0, None, 5.0, 7), (100.0, 8.0, 5.0, 8), (8.0, 100.0, 5.0, 8), (100.0, 26.0, 0.2, 26)],
)
def test_a_late_one_says_for_how_long_and_why(
    live_for_s: float, idle_s: float | None, rate: float, late_s: float
) -> None:
    assert late_s > LEAST_LATE_S
    said = not_analysed(live_for_s, idle_s, rate, "model: none is known")
    assert said == f"not analysed for {late_s:.0f} s: model: none is known"


def test_without_a_known_reason_a_debt_or_the_load_is_named() -> None:
    assert "has not answered for 9 s" in str(not_analysed(60.0, 30.0, 5.0, None, 9.0))
    assert "no time for it" in str(not_analysed(60.0, 30.0, 5.0, None, 0.2))
    assert "no time for it" in str(not_analysed(60.0, 30.0, 5.0, None, None))


def test_the_metrics_tell_it() -> None:
    def status(**fields: Any) -> dict[str, Any]:
        return CameraStatus("c", SourceState.LIVE, 0.0, 0.0, **fields).as_dict()

    why = "not analysed for 9 s: x"
    late = status(not_analysed=why, faults={"not_analysed": why}, analysis_age_s=9.5, frames_failed=3)
    text = render({"late": late, "well": status(analysis_age_s=0.2), "young": status()}).decode()
    assert 'hoaban_camera_not_analysed{camera="late"} 1.0' in text
    assert 'hoaban_camera_not_analysed{camera="well"} 0.0' in text
    assert 'hoaban_analysis_age_seconds{camera="late"} 9.5' in text
    assert 'hoaban_analysis_age_seconds{camera="young"}' not in text
    assert 'hoaban_camera_fault{camera="late",fault="not_analysed"} 1.0' in text
    assert 'hoaban_frames_failed_total{camera="late"} 3.0' in text
