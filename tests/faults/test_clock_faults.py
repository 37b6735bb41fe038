"""The clock of the whole machine jumps, by an hour ahead and back, under a running system: cameras, models, supervisor,
writer, API and Valkey see it at once (libfaketime; the running clock goes on, as it does when a clock is set)."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.test_process_faults import RUNS
from tests.faults.whole_system import SCENES, WATCH_S, Outcome, System, judged, kept, started, until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(RUNS == 0, reason="some minutes: `make faults`"),
]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clock") / "clock"
    path.write_text("+0")
    return path


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, clock: Path) -> Iterator[System]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        assert not os.environ.get("HOABAN_REQUIRE_FAKETIME"), "libfaketime is not installed"
        pytest.skip("a clock that jumps needs libfaketime: apt-get install libfaketime")
    faked = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": 1, "FAKETIME_DONT_RESET": 1}
    faked |= {"FAKETIME_DONT_FAKE_MONOTONIC": 1}
    with started(tmp_path_factory.mktemp("system"), **{name: str(value) for name, value in faked.items()}) as found:
        yield found


@pytest.mark.parametrize("jump_s", [3600, 0, -3600])
def test_a_clock_that_jumps_costs_no_event_and_no_process(system: System, clock: Path, jump_s: int) -> None:
    """jump_s: how far the clock is off from then on; each jump is of an hour, to there."""
    with judged(Outcome(f"clock at {jump_s:+d} s", "clock", ""), SCENES) as outcome:
        began = until(lambda: system.live({}))
        time.sleep(WATCH_S)
        before = until(lambda: system.live({}))
        family = {process.pid for process in psutil.Process(system.process.pid).children(recursive=True)}
        struck_s = time.monotonic()
        clock.write_text(f"{jump_s:+d}")

        def sees_it() -> bool:
            now = system.live({}) or {}
            return bool(now) and all(
                abs(status["last_analysed_s"] - time.time() - jump_s) < 60
                and status["frames_analysed"] > before[camera]["frames_analysed"] + 5
                for camera, status in now.items()
            )

        until(sees_it)
        outcome.back_s = round(time.monotonic() - struck_s, 1)
        time.sleep(WATCH_S)
        after = until(lambda: system.live({}))
        outcome.kept = kept(began, before, after, SCENES)
        said = system.journals.said()
        until(lambda: said.keys() <= {event.id for event in system.stored()}, 60)
        times = Counter(event.id for event in system.stored())
        outcome.said, outcome.lost = len(said), len(said.keys() - times.keys())
        outcome.doubled = sum(n > 1 for n in times.values())
    assert family <= {process.pid for process in psutil.Process(system.process.pid).children(recursive=True)}
