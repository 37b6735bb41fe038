"""What the benchmark of many cameras makes of its steps."""

import psutil
import pytest

from benchmarks import linear


def test_a_cost_that_grows_with_the_number_has_no_deviation_and_one_that_grows_faster_has() -> None:
    straight = [{"cameras": n, "cpu": 0.3 + 0.02 * n} for n in (8, 32, 64, 212)]
    assert linear.line(straight, "cpu") == {"slope": 0.02, "base": 0.3, "worst_deviation": 0.0}
    bent = [{"cameras": n, "cpu": 0.3 + 0.02 * n + 0.0002 * n * n} for n in (8, 32, 64, 212)]
    assert linear.line(bent, "cpu")["worst_deviation"] > 0.1
    assert linear.line(straight[:1], "cpu") == {}


def test_a_step_without_memory_is_left_out_with_the_reason() -> None:
    free = psutil.virtual_memory().available
    mb = free / 2**20
    assert linear._short_of(1, {"cameras": 10, "mb": mb / 100}) == ""
    assert "GiB are needed" in linear._short_of(20, {"cameras": 10, "mb": mb})


def test_other_steps_are_named_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOABAN_LINEAR_CAMERAS", "32,8")
    assert linear.steps() == (8, 32)
