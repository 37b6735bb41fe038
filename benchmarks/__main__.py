"""`make bench`: run the measurements, print a table, write benchmarks/results.json."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import throughput, tracking


def main() -> None:
    """Run all."""
    machine = {"processors": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    results = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "throughput": throughput.measure()}
    for name, value in results["throughput"].items():
        print(f"{name:40} {value}")
    results["tracking"] = tracking.measure(tracking.truth_folder())
    print(tracking.table(results["tracking"]))
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
