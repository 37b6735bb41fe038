"""`make bench`: run the measurements, print a table, write benchmarks/results.json."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from actors.models import find_clip
from benchmarks import throughput, tracking


def main() -> None:
    """Run all."""
    machine = {"processors": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    results = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "throughput": throughput.measure()}
    for name, value in results["throughput"].items():
        print(f"{name:40} {value}")
    truth = Path(os.environ.get("HOABAN_TRUTH", find_clip(tracking.CLIP).parents[1] / "truth"))
    results["tracking"] = tracking.measure(truth)
    for name, value in results["tracking"].items():
        print(f"{name:40} {value}")
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
