"""`make bench`: run the measurements, print them, write benchmarks/results.json and docs/benchmarks.md."""

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    capacity,
    counting,
    crowd,
    dashboard,
    footprint,
    happenings,
    latency,
    linear,
    mosaic,
    page,
    rivals,
    rules,
    shadow,
    throughput,
    tracking,
    transport,
    viewers,
)

RESULTS = Path(__file__).with_name("results.json")


def _latency() -> dict[str, Any]:
    """At the capacity that the throughput run found, the one before or in this run."""
    return latency.measure(max(json.loads(RESULTS.read_text())["throughput"]["actors_frames_per_s"]))


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "throughput": throughput.measure,
    "rivals": rivals.measure,
    "latency": _latency,
    "footprint": footprint.measure,
    "transport": transport.measure,
    "tracking": lambda: tracking.measure(tracking.truth_folder()),
    "counting": counting.measure,
    "crowd": lambda: crowd.measure(tracking.truth_folder()),
    "tiles": lambda: mosaic.measure(tracking.truth_folder()),
    "rules": rules.measure,
    "happenings": happenings.measure,
    "capacity": capacity.measure,
    "capacity_alone": capacity.measure_alone,
    "shadow": shadow.measure,
    "linear": linear.measure,
    "viewers": lambda: viewers.measure(50, 30.0),
    "dashboard": dashboard.measure,
}
ASKED_FOR = ("capacity_alone", "linear", "dashboard")
"""not of a run of all: capacity has the first in it, the second takes 25 GB of memory, the third an hour"""


def main() -> None:
    """Run the parts named on the command line, by default all; what is not run keeps its last result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    wanted = parser.parse_args().parts or [part for part in PARTS if part not in ASKED_FOR]
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    run(wanted)


def run(wanted: list[str]) -> None:
    """Run these parts, print them, renew the results and the pages."""
    machine = {"processors": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    for name in wanted:
        results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        found = PARTS[name]() | {"date": datetime.now(UTC).date().isoformat(), "machine": machine}
        print(name, json.dumps(found, indent=2, ensure_ascii=False), flush=True)
        RESULTS.write_text(json.dumps(results | {name: found}, indent=2, ensure_ascii=False) + "\n")
    results = json.loads(RESULTS.read_text())
    page.write(results)
    if "tracking" in wanted:
        tracking.write_page(results["tracking"])


if __name__ == "__main__":
    main()
